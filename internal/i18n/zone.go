package i18n

import (
	_ "embed" // for the list of time zones
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // for machines without a time zone database
)

// zones.txt lists UTC and the zones of zone.tab in IANA's time zone database, which has at
// least one for each country.
//
//go:embed zones.txt
var zonesText string

// ZoneArea is a part of the world with its time zones.
type ZoneArea struct {
	Name  string // as IANA names it; empty for zones without an area
	Zones []ZoneName
}

// ZoneName is a time zone of a ZoneArea.
type ZoneName struct{ Name, Place string }

// Zones lists the time zones that a person may choose. They have IANA's names in every
// language, because only places have names in each language.
func Zones() []ZoneArea {
	var areas []ZoneArea
	readable := strings.NewReplacer("_", " ", "/", ", ")
	for name := range strings.FieldsSeq(zonesText) {
		area, place, inArea := strings.Cut(name, "/")
		if !inArea {
			area, place = "", name
		}
		if len(areas) == 0 || areas[len(areas)-1].Name != area {
			areas = append(areas, ZoneArea{Name: area})
		}
		last := &areas[len(areas)-1]
		last.Zones = append(last.Zones, ZoneName{name, readable.Replace(place)})
	}
	return areas
}

// Zone returns the time zone of the list with this name. An empty name means UTC.
func Zone(name string) (*time.Location, bool) {
	if name == "" {
		return time.UTC, true
	}
	if !slices.Contains(strings.Fields(zonesText), name) {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}
