package page

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"parvis/internal/number"
	"parvis/internal/secret"
)

// ID returns the id in the path, or an empty text, which is never found, if it cannot be one of
// ours.
func (v *Visitor) ID() string {
	if id := v.R.PathValue("id"); secret.IsID(id) {
		return id
	}
	return ""
}

// Place is where a page of a list begins: after the line of this instant and id.
//
// It is not signed. The organization comes from the session and stands in every statement, and
// search and filter stand in the address beside it: an edited place only moves readers within
// what they may see anyway (R-API-07).
type Place struct {
	At time.Time
	ID string
}

func (p Place) String() string {
	if p.ID == "" {
		return ""
	}
	return strconv.FormatInt(p.At.UnixMicro(), 10) + "." + p.ID
}

// ParsePlace reads what String wrote; the empty text is the beginning.
func ParsePlace(s string) (Place, error) {
	if s == "" {
		return Place{}, nil
	}
	at, id, _ := strings.Cut(s, ".")
	us, ok := number.Parse(at)
	if !ok || us <= 0 || !secret.IsID(id) {
		return Place{}, ErrQuery
	}
	return Place{time.UnixMicro(int64(us)).UTC(), id}, nil
}

// SealPlace seals the place where a page of a list begins, if it says more than an address may,
// such as a name. It opens only for the same list of the same organization.
func (v *Viewer) SealPlace(list string, place any) string {
	plain, err := json.Marshal(place)
	if err != nil {
		panic(err) // a place has texts and numbers
	}
	return v.site.Places.Seal(plain, string(v.Organization.ID)+" "+list)
}

// OpenPlace reads what SealPlace wrote; the empty text is the beginning.
func (v *Viewer) OpenPlace(list, sealed string, place any) error {
	if sealed == "" {
		return nil
	}
	plain, err := v.site.Places.Open(sealed, string(v.Organization.ID)+" "+list)
	if err != nil || json.Unmarshal(plain, place) != nil {
		return ErrQuery
	}
	return nil
}

// Pages are the links from one page of a list to others; empty if there is no such page.
type Pages struct{ Newest, Older string }
