package i18n

import (
	_ "embed" // for the list of time zones
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // for machines that have none of their own
)

// zones.txt lists the zones of zone.tab in IANA's time zone database, one at least
// for each country, and UTC.
//
//go:embed zones.txt
var zonesText string

// ZoneArea is a part of the world with its time zones.
type ZoneArea struct {
	Name  string // as IANA names it; empty for the zones of no area
	Zones []ZoneName
}

// ZoneName is a time zone in a list.
type ZoneName struct{ Name, Place string }

// Zones lists the time zones that a person may choose. They are named as IANA
// names them: places have a name in each language, zones only the one.
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

// Zone finds a time zone of the list by its name; the empty one is UTC.
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
