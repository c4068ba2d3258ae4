package signin

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"parvis/internal/directory"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// mostRemembered is how many users one browser remembers, the last ones.
const mostRemembered = 10

// Device is what a browser remembers in a sealed cookie, over signing out: which
// organization goes with which address (journeys 2.5), and that it is no stranger
// to their users. It proves nothing and opens nothing. The zero Device remembers
// nobody.
type Device struct {
	ID      string  `json:"id"` // counts tries in place of the network
	Entries []entry `json:"entries"`
}

// An entry is one user who signed in with the browser, the last one first.
type entry struct {
	Address string           `json:"address"` // keyed hash
	OrgID   directory.OrgID  `json:"org"`
	UserID  directory.UserID `json:"user"`
	At      time.Time        `json:"at"`
}

// deviceRow is what the cookie is sealed for.
const deviceRow = "device"

// OpenDevice reads the cookie; anything that is not one of ours is no device.
func (s *Service) OpenDevice(sealed string) Device {
	plain, err := s.devices.Open(sealed, deviceRow)
	if err != nil {
		return Device{}
	}
	var d Device
	if json.Unmarshal(plain, &d) != nil {
		return Device{}
	}
	return d
}

// knows tells whether the user signed in with the browser, and did not disown it
// since.
func (d Device) knows(u directory.User) bool {
	return slices.ContainsFunc(d.Entries, func(e entry) bool {
		return e.OrgID == u.OrgID && e.UserID == u.ID && e.At.After(u.DisownedAt)
	})
}

// remembered is the organization that goes with an address here; empty where the
// browser does not know the address.
func (s *Service) remembered(d Device, a naming.Address) directory.OrgID {
	key := s.addressMark(a)
	i := slices.IndexFunc(d.Entries, func(e entry) bool { return e.Address == key })
	if i < 0 {
		return ""
	}
	return d.Entries[i].OrgID
}

// remember adds a user to the device, first, and seals it.
func (s *Service) remember(d Device, u directory.User, now time.Time) (string, error) {
	address, err := naming.ParseAddress(u.Email)
	if err != nil {
		return "", err
	}
	if d.ID == "" {
		d.ID = secret.NewID("dev")
	}
	others := slices.DeleteFunc(slices.Clone(d.Entries), func(e entry) bool { return e.OrgID == u.OrgID && e.UserID == u.ID })
	d.Entries = append([]entry{{s.addressMark(address), u.OrgID, u.ID, now}}, others...)
	d.Entries = d.Entries[:min(len(d.Entries), mostRemembered)]
	plain, err := json.Marshal(d)
	if err != nil {
		return "", err
	}
	return s.devices.Seal(plain, deviceRow), nil
}

func (s *Service) addressMark(a naming.Address) string {
	return base64.RawURLEncoding.EncodeToString(secret.MAC(s.lookup, "address", a.Key)[:12])
}
