package op

import (
	"context"
	"errors"
	"net/url"
	"slices"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/jose"
	"parvis/internal/session"
)

// Leaving is a parsed request to sign out (OIDC RP-Initiated Logout §2).
type Leaving struct {
	Client  application.Application // zero where none is named
	Hint    Hinted                  // zero where there was none
	Address string                  // to go to afterwards; empty where none was asked for
}

// ReadLeaving parses a request to sign out. Its address must be one that this very client
// registered; otherwise the browser gets a page and no redirect (§3).
func (p *Provider) ReadLeaving(ctx context.Context, form url.Values) (Leaving, error) {
	for _, values := range form {
		if len(values) > 1 {
			return Leaving{}, &Mismatch{Key: "op.mismatch.twice"}
		}
	}
	var l Leaving
	id := form.Get("client_id")
	if text := form.Get("id_token_hint"); text != "" {
		var err error
		l.Hint, err = p.readHint(ctx, text)
		if errors.Is(err, errRetired) {
			// Its key is gone, so it proves nothing and the person is asked. It may still name its
			// client.
			var said Hinted
			_ = jose.Unverified(text, mostOwn, &said) // if it cannot be read, it names no client
			l.Hint, err = Hinted{Audience: said.Audience}, nil
		}
		if errors.Is(err, errNotOurs) || err == nil && id != "" && id != l.Hint.Audience {
			return Leaving{}, &Mismatch{Key: "op.mismatch.id_token_hint"}
		}
		if err != nil {
			return Leaving{}, err
		}
		id = l.Hint.Audience
	}
	if id != "" {
		var err error
		l.Client, err = application.Registered(ctx, p.DB, id)
		if errors.Is(err, application.ErrUnknown) {
			return Leaving{}, &Mismatch{Key: "op.mismatch.unknown_client"}
		}
		if err != nil {
			return Leaving{}, err
		}
		if l.Hint.SID != "" && !l.Hint.of(l.Client) {
			// The hint was made for a removed application that had this ID, so only client_id can
			// name the present one. The person is asked.
			if l.Hint = (Hinted{}); form.Get("client_id") == "" {
				l.Client = application.Application{}
			}
		}
	}
	to := form.Get("post_logout_redirect_uri")
	switch {
	case to == "":
	case l.Client.ID == "":
		return Leaving{}, &Mismatch{Key: "op.mismatch.post_logout_client"}
	case !slices.Contains(l.Client.Settings.PostLogoutURIs, to):
		return Leaving{}, &Mismatch{Key: "op.mismatch.post_logout", Args: map[string]any{"Sent": shown(to)}, Client: l.Client.Settings.Name}
	case form.Get("state") != "":
		l.Address = WithQuery(to, url.Values{"state": {form.Get("state")}})
	default:
		l.Address = to
	}
	return l, nil
}

// IsOf reports whether the hint was made for this session.
func (p *Provider) IsOf(l Leaving, w session.Visit) bool {
	return l.Hint.SID != "" && l.Hint.SID == p.sid(l.Client, w.Session.ID)
}

// IsSame reports whether a session belongs to the person whom the hint names. If it is not
// the session of the hint, they signed in again since, so they are asked.
func (p *Provider) IsSame(l Leaving, w session.Visit) bool {
	return l.Hint.Organization.ID == w.Session.OrgID && l.Hint.Subject == p.subjectOf(l.Client, w.Session.OrgID, w.User.ID)
}

// Frames returns the addresses that a browser loads to tell applications that its sessions
// ended (OIDC Front-Channel Logout §3). Only applications that were opened in those sessions
// and registered such an address have one.
func (p *Provider) Frames(ctx context.Context, ended ...session.Session) ([]string, error) {
	var all []string
	for _, s := range ended {
		open, err := db.List(ctx, p.DB, (*application.Application).Targets, `
			select `+application.Columns+`
			from clients c
			where c.id in (select g.client_id from grants g where g.org_id = $1 and g.session_id = $2)`, string(s.OrgID), s.ID)
		if err != nil {
			return nil, err
		}
		for _, c := range open {
			if c.Settings.FrontChannel != "" {
				all = append(all, WithQuery(c.Settings.FrontChannel, url.Values{"iss": {p.Base}, "sid": {p.sid(c, s.ID)}}))
			}
		}
	}
	return all, nil
}
