package signin

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"time"

	"parvis/internal/directory"
	"parvis/internal/i18n"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// mostRemembered is how many users one browser remembers, the latest ones.
const mostRemembered = 10

// RememberedBrowser is what a browser remembers in a sealed cookie even after signing out: which
// organization belongs to which address (journeys 2.5), and that it is no stranger to their
// users. It proves nothing and opens nothing. The zero RememberedBrowser remembers nobody.
type RememberedBrowser struct {
	ID      string  `json:"id"` // tries are counted by this in place of the network
	Entries []entry `json:"entries"`

	// Language is the one that was chosen in the browser, which a cookie of its own keeps; empty
	// where none was.
	Language i18n.Tag `json:"-"`
}

// An entry is one user who signed in with the browser, the latest first.
type entry struct {
	Address string           `json:"address"` // keyed hash
	OrgID   directory.OrgID  `json:"org"`
	UserID  directory.UserID `json:"user"`
	At      time.Time        `json:"at"`
}

// rememberedRow is what the cookie is sealed for.
const rememberedRow = "device"

// OpenRemembered reads the cookie; a cookie that we did not seal gives the zero RememberedBrowser.
func (s *Service) OpenRemembered(sealed string) RememberedBrowser {
	plain, err := s.browsers.Open(sealed, rememberedRow)
	if err != nil {
		return RememberedBrowser{}
	}
	var d RememberedBrowser
	if json.Unmarshal(plain, &d) != nil {
		return RememberedBrowser{}
	}
	return d
}

// knows reports whether the user signed in with the browser, and has not disowned it since.
func (d RememberedBrowser) knows(u directory.User) bool {
	return slices.ContainsFunc(d.Entries, func(e entry) bool {
		return e.OrgID == u.OrgID && e.UserID == u.ID && e.At.After(u.DisownedAt)
	})
}

// remembered returns the organization that belongs to an address in this browser; empty where
// the browser does not know the address.
func (s *Service) remembered(d RememberedBrowser, a naming.Address) directory.OrgID {
	if len(d.Entries) == 0 {
		return ""
	}
	for _, key := range s.lookup.All() { // an earlier one may have marked it
		mark := addressMark(key, a)
		if i := slices.IndexFunc(d.Entries, func(e entry) bool { return e.Address == mark }); i >= 0 {
			return d.Entries[i].OrgID
		}
	}
	return ""
}

// Remembers reports whether the browser remembers an organization of this region for an address.
func (s *Service) Remembers(d RememberedBrowser, a naming.Address) bool {
	return s.remembered(d, a) != ""
}

// remember puts a user first in the browser's list, and seals it.
func (s *Service) remember(d RememberedBrowser, u directory.User, now time.Time) (string, error) {
	address, err := naming.ParseAddress(u.Email)
	if err != nil {
		return "", err
	}
	if d.ID == "" {
		d.ID = secret.NewID("dev")
	}
	others := slices.DeleteFunc(slices.Clone(d.Entries), func(e entry) bool { return e.OrgID == u.OrgID && e.UserID == u.ID })
	d.Entries = append([]entry{{addressMark(s.lookup.Current(), address), u.OrgID, u.ID, now}}, others...)
	d.Entries = d.Entries[:min(len(d.Entries), mostRemembered)]
	plain, err := json.Marshal(d)
	if err != nil {
		return "", err
	}
	return s.browsers.Seal(plain, rememberedRow), nil
}

func addressMark(k secret.Key, a naming.Address) string {
	return base64.RawURLEncoding.EncodeToString(secret.MAC(k.Bytes, "address", a.Key)[:12])
}
