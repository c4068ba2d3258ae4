package op

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/session"
)

// Preview is what an application would get if a person opened it now and it asked for every
// scope that it may have. Nothing is issued, signed or stored.
type Preview struct {
	Forbidden bool // nobody of the organization may open it
	NotYours  bool // the person is not in any group that it is for
	Asks      bool // the person would be asked first
	IDToken   []Told
	UserInfo  []Told
}

// Told is one claim; a value that is not text is shown as JSON.
type Told struct{ Name, Value string }

// Preview returns what an application would get from this visit.
func (p *Provider) Preview(ctx context.Context, r db.Reader, v session.Visit, a application.Placed) (Preview, error) {
	c := a.Application
	if !c.Code() {
		return Preview{}, application.ErrUnknown // nobody signs in to it
	}
	h := holder{client: c, visit: v, place: a.Place}
	h.Grant = Grant{
		OrgID: v.User.OrgID, ClientID: c.ID, UserID: v.User.ID, SessionID: v.Session.ID, Scope: c.Settings.Scopes,
		Details: Details{AuthTime: v.Session.ProvedAt.Unix(), AMR: strings.Fields(v.Session.Methods)},
	}
	var err error
	if h.groups, err = application.GroupIDs(ctx, r, h.OrgID, h.UserID); err != nil {
		return Preview{}, err
	}
	if h.Details.ACR, err = p.SignIn.Assurance(ctx, v); err != nil {
		return Preview{}, err
	}
	redirectURI := ""
	if len(c.Settings.RedirectURIs) > 0 {
		redirectURI = c.Settings.RedirectURIs[0]
	}
	consented, err := application.Consented(ctx, r, a, v, redirectURI, c.Settings.Scopes)
	if err != nil {
		return Preview{}, err
	}
	id, err := p.idClaims(ctx, r, h, p.DB.Now())
	if err != nil {
		return Preview{}, err
	}
	info, err := p.info(ctx, r, h)
	if err != nil {
		return Preview{}, err
	}
	may := a.Place.Admits(h.groups)
	all := Preview{Forbidden: may == application.Absent, NotYours: may == application.NotYours, Asks: !consented}
	if all.IDToken, err = asText(id); err != nil {
		return Preview{}, err
	}
	all.UserInfo, err = asText(info)
	return all, err
}

func asText(claims map[string]any) ([]Told, error) {
	var all []Told
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		text, plain := claims[name].(string)
		if !plain {
			shown, err := json.Marshal(claims[name])
			if err != nil {
				return nil, err
			}
			text = string(shown)
		}
		all = append(all, Told{name, text})
	}
	return all, nil
}
