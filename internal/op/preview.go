package op

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"parvis/internal/db"
	"parvis/internal/session"
)

// Preview is what an application would get if somebody opened it now, with all that it
// may ask for. Nothing is issued for it, signed or kept.
type Preview struct {
	Forbidden bool // nobody of the organization may open it
	NotYours  bool // it is for groups that the person is in none of
	Asks      bool // the person would be asked first
	IDToken   []Told
	UserInfo  []Told
}

// Told is one claim; what is no text is shown as JSON.
type Told struct{ Name, Value string }

// Preview is that, for whoever visits.
func (p *Provider) Preview(ctx context.Context, r db.Reader, v session.Visit, a Application) (Preview, error) {
	c := a.Client
	if !c.Code() {
		return Preview{}, ErrNoClient // nobody signs in to it
	}
	h := holder{client: c, visit: v, place: a.Place}
	h.Grant = Grant{
		OrgID: v.User.OrgID, ClientID: c.ID, UserID: v.User.ID, SessionID: v.Session.ID, Scope: c.Settings.Scopes,
		Details: Details{AuthTime: v.Session.ProvedAt.Unix(), AMR: strings.Fields(v.Session.Methods)},
	}
	var err error
	if h.groups, err = groupsOf(ctx, r, h.OrgID, h.UserID); err != nil {
		return Preview{}, err
	}
	if h.Details.ACR, err = p.SignIn.Assurance(ctx, v); err != nil {
		return Preview{}, err
	}
	asked := Request{Scope: c.Settings.Scopes}
	if len(c.Settings.RedirectURIs) > 0 {
		asked.RedirectURI = c.Settings.RedirectURIs[0]
	}
	consented, err := p.consented(ctx, r, c, a.Place, v, asked)
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
	may := a.Place.admits(h.groups)
	all := Preview{Forbidden: may == forbidden, NotYours: may == notYours, Asks: !consented}
	if all.IDToken, err = told(id); err != nil {
		return Preview{}, err
	}
	all.UserInfo, err = told(info)
	return all, err
}

func told(claims map[string]any) ([]Told, error) {
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
