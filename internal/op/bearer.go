package op

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/session"
)

// Within returns those of some scopes that the person of a session may give to an application: of
// the command line's, those in which the person's role can do something.
func Within(c application.Application, v session.Visit, scope []string) []string {
	if c.ID != application.CommandLine {
		return scope
	}
	reach := access.Reach(v.User.Role)
	return slices.DeleteFunc(slices.Clone(scope), func(s string) bool { return !slices.Contains(reach, access.Scope(s)) })
}

// Bearer returns who calls the administration's API with an access token of ours: a machine by its
// right, or a person at the command line. The token comes in the Authorization header alone, and
// a bound token with a proof of its key (RFC 9449 §7). It returns access.ErrUnknown
// for a token of another kind, of another audience, or one that has ended, and an *Error if the
// call is not as it should be.
func (p *Provider) Bearer(r *http.Request) (access.Caller, error) {
	scheme, token, err := inHeader(r)
	if err != nil {
		return access.Caller{}, err
	}
	ctx := r.Context()
	b, err := p.access(ctx, token, r.Method == http.MethodGet || r.Method == http.MethodHead)
	if errors.Is(err, errNotOurs) || err == nil && !slices.Equal(b.claims.Audience, []string{p.API()}) {
		err = access.ErrUnknown
	}
	if err != nil {
		return access.Caller{}, err
	}
	c, err := b.caller(ctx, p)
	if err == nil {
		err = p.holds(r, b, scheme, token)
	}
	if err != nil {
		return access.Caller{}, err
	}
	audit.Admitted(ctx, audit.Admission{Actor: c.Actor.ID, Session: b.SessionID, Method: audit.ByAccessToken})
	c.Key = c.Actor.ID // and not the grant's, which a new token or a fresh proof changes
	if ends := time.Unix(b.claims.Expires, 0); c.Until.IsZero() || ends.Before(c.Until) {
		c.Until = ends
	}
	return c, nil
}

// inHeader returns the access token of a call of the administration's API.
func inHeader(r *http.Request) (scheme, token string, err error) {
	head := r.Header.Values("Authorization")
	switch {
	case r.URL.Query().Has("access_token"):
		return "", "", Wrong(InvalidRequest, "an access token in the address is in every log; it belongs into the Authorization header")
	case len(head) > 1:
		return "", "", Wrong(InvalidRequest, "the Authorization header was sent twice")
	case len(head) == 0:
		return "", "", access.ErrUnknown
	}
	for _, scheme := range []string{"Bearer", dpopScheme} {
		if token, ok := cutScheme(head[0], scheme); ok && token != "" {
			return scheme, token, nil
		}
	}
	return "", "", access.ErrUnknown
}

// caller returns who a grant for the API lets call, with the scope of the token.
func (h holder) caller(ctx context.Context, p *Provider) (access.Caller, error) {
	scopes := make([]access.Scope, len(h.Scope))
	for i, s := range h.Scope {
		scopes[i] = access.Scope(s)
	}
	if h.Details.API && h.UserID == "" {
		c := h.right
		c.Scopes = scopes // p.machine took out what the machine may no more
		return c, nil
	}
	if h.ClientID != application.CommandLine || h.UserID == "" {
		return access.Caller{}, access.ErrUnknown
	}
	if h.Details.Device {
		if rules, err := access.RulesOf(ctx, p.DB, h.OrgID); err != nil || !rules.Devices {
			return access.Caller{}, errors.Join(err, access.ErrUnknown)
		}
	}
	return access.Caller{
		Actor: h.actor(p), Scopes: access.Within(h.visit.User.Role, scopes), ProvedAt: time.Unix(h.Details.AuthTime, 0), Until: h.EndsAt,
	}, nil
}

// actor returns the person of a grant as an actor, as long as the grant holds.
func (h holder) actor(p *Provider) directory.Actor {
	a := h.visit.User.AsActor()
	a.OrgID = h.OrgID // which a session.Row does not repeat
	a.Again = func(ctx context.Context, r db.Reader) (directory.Actor, error) {
		now, found, err := p.held(ctx, r, `g.org_id = $1 and g.id = $2`, string(h.OrgID), h.ID)
		if err == nil && (!found || now.over(r.Now())) {
			err = access.ErrUnknown
		}
		if err != nil {
			return directory.Actor{}, err
		}
		return now.actor(p), nil
	}
	return a
}
