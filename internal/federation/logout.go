package federation

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/federation/saml"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/upstream"
)

// ErrLogout answers a single logout message that was not believed and ended nothing.
var ErrLogout = fault.New(fault.Denied, "federation.logout_refused")

// ErrLogoutNobody answers a logout message that was believed but names no session here.
var ErrLogoutNobody = fault.New(fault.NotFound, "federation.logout_nobody")

// checkSession is the check of a believed logout message.
const checkSession = "logout_session" // it names somebody who had a session here

// SignOut sends the browser to the provider of a session that just ended here, to end it
// there too, if the provider has a page for it. It answers a form, and reports whether it
// did. then is the registered address where an application wants the person afterwards;
// empty for the organization's page.
func (h *Hub) SignOut(v *page.Visitor, ended session.Session, then string) (bool, error) {
	if ended.ConnectionID == "" {
		return false, nil
	}
	ctx := v.R.Context()
	c, err := connectionOf(ctx, h.DB, ended.OrgID, ended.ConnectionID)
	if errors.Is(err, directory.ErrNotFound) || err == nil && c.State != On {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if c.Protocol == SAML && c.SAML.SLO.Location == "" || c.Protocol == OIDC && c.Found.Provider.EndSession == "" {
		return false, nil
	}
	var subject, index string
	found, err := h.DB.One(ctx, db.Into(&subject, &index), `
		select subject, session_index from upstream_sessions
		where org_id = $1 and session_id = $2`, string(ended.OrgID), ended.ID)
	if err != nil || !found {
		return false, err
	}
	q := request{OrgID: c.OrgID, ConnectionID: c.ID, BrowserID: ended.BrowserID, Asked: asked{SignOut: true, Then: then, Message: secret.NewID("saml")}}
	q, state, err := h.ask(ctx, q)
	if err != nil {
		return false, err
	}
	if c.Protocol == OIDC {
		return true, v.GoTo(c.Name, c.OIDC.EndSessionURL(c.Found.Provider, c.SignedOut(h.Base), state.Reveal(), index, string(v.Language())))
	}
	keys, err := h.samlKeys(ctx)
	if err != nil {
		return false, err
	}
	m, err := saml.LogoutRequest(c.SAML, c.serviceProvider(h.Base), keys, saml.Request{ID: q.Asked.Message, RelayState: state.Reveal(), Now: q.CreatedAt}, subject, index)
	if err != nil {
		return false, err
	}
	return true, carry(v, c, m)
}

// signedOut is where an OpenID Connect provider sends the browser back. It believes
// nothing: the session here has ended before.
func (h *Hub) signedOut(v *page.Visitor) error {
	ctx := v.R.Context()
	c, org, err := connectionByID(ctx, h.DB, v.R.PathValue("connection"))
	if err != nil {
		return err
	}
	q, _, err := h.claimSignOut(ctx, c, secret.ParseToken(v.R.URL.Query().Get("state")))
	if err != nil {
		return err
	}
	return afterSignOut(v, org, q)
}

// afterSignOut sends the person to where the application wants them, or to the
// organization's page.
func afterSignOut(v *page.Visitor, org directory.Organization, q request) error {
	if q.Asked.Then == "" {
		return v.Redirect(org.Path() + "?signed-out")
	}
	if v.R.Method == http.MethodGet {
		http.Redirect(v.W, v.R, q.Asked.Then, http.StatusSeeOther)
		return nil
	}
	return v.GoTo(org.DisplayName, q.Asked.Then)
}

// sloQuery takes a single logout message by the redirect binding. This GET ends sessions,
// as the protocol demands; the message's signature replaces a form's token.
func (h *Hub) sloQuery(v *page.Visitor) error {
	return h.slo(v, v.R.URL.Query().Get("RelayState"), func(e saml.Expectation) (saml.Logout, upstream.Trace, error) {
		return saml.JudgeLogoutQuery(v.R.URL.RawQuery, e)
	})
}

// sloForm takes a single logout message by the POST binding.
func (h *Hub) sloForm(v *page.Visitor) error {
	form, err := posted(v)
	if err != nil {
		return err
	}
	return h.slo(v, form.Get("RelayState"), func(e saml.Expectation) (saml.Logout, upstream.Trace, error) {
		return saml.JudgeLogoutForm(form.Get("SAMLRequest")+form.Get("SAMLResponse"), e)
	})
}

// slo ends the sessions that a provider's signed request names, and answers it. If the
// message answers a request of ours, it leads to the page after signing out.
func (h *Hub) slo(v *page.Visitor, relayState string, judge func(saml.Expectation) (saml.Logout, upstream.Trace, error)) error {
	ctx := v.R.Context()
	if err := h.SignIn.TakeUpstream(ctx); err != nil {
		return err
	}
	c, org, err := connectionByID(ctx, h.DB, v.R.PathValue("connection"))
	if err == nil && (c.Protocol != SAML || c.State != On) {
		err = directory.ErrNotFound
	}
	if err != nil {
		return err
	}
	e := saml.Expectation{Connection: c.SAML, ServiceProvider: c.serviceProvider(h.Base), Now: h.DB.Now()}
	if e.Keys, err = h.samlKeys(ctx); err != nil {
		return err
	}
	q, found, err := h.claimSignOut(ctx, c, secret.ParseToken(relayState))
	if err != nil {
		return err
	}
	if found {
		e.RequestID = q.Asked.Message
	}
	l, trace, err := judge(e)
	if err != nil {
		return h.refuseLogout(v, c, trace, err)
	}
	if l.Answer {
		return afterSignOut(v, org, q)
	}
	a := answer{Connection: c, Organization: org, Trace: trace}
	if err := h.remember(ctx, &a, l.ID, l.Until); err != nil {
		return h.refuseLogout(v, c, a.Trace, err)
	}
	return h.obey(v, a, l, e, relayState)
}

// obey ends the sessions that a believed logout request names, and answers it.
func (h *Hub) obey(v *page.Visitor, a answer, l saml.Logout, e saml.Expectation, relayState string) error {
	ctx, c := v.R.Context(), a.Connection
	had, err := h.endUpstream(ctx, c, named{
		issuer: c.SAML.EntityID, text: l.Within, indexes: l.SessionIndexes,
		is: func(subject string) bool { return saml.SameSubject(subject, l.Subject) },
	})
	if err == nil {
		err = a.Trace.Require(checkSession, had, "", l.NameID)
	}
	if err != nil {
		if err := h.refuseLogout(v, c, a.Trace, err); !errors.Is(err, ErrLogout) {
			return err
		}
	}
	if c.SAML.SLO.Location == "" { // the provider takes no answer
		if !had {
			return ErrLogoutNobody
		}
		return v.Redirect(a.Organization.Path() + "?signed-out")
	}
	m, err := saml.LogoutResponse(c.SAML, c.serviceProvider(h.Base), e.Keys, saml.Request{ID: secret.NewID("saml"), RelayState: relayState, Now: e.Now}, l, had)
	if err != nil {
		return err
	}
	if m.Field == "" && v.R.Method == http.MethodGet {
		http.Redirect(v.W, v.R, m.Address, http.StatusSeeOther)
		return nil
	}
	return carry(v, c, m)
}

// claimSignOut finds the sign-out request that an answer belongs to.
func (h *Hub) claimSignOut(ctx context.Context, c Connection, state secret.Token) (request, bool, error) {
	if state.IsZero() {
		return request{}, false, nil
	}
	var q request
	var browser string
	found, err := h.DB.One(ctx, db.Into(&browser), `
		select browser_id from upstream_requests
		where org_id = $1 and connection_id = $2 and state_hash = $3 and attempt_id is null and tester is null`,
		string(c.OrgID), c.ID, state.Hash(secret.Upstream))
	if err != nil || !found {
		return request{}, false, err
	}
	q, found, err = h.claim(ctx, c, session.Browser{ID: browser}, state)
	return q, found && q.Asked.SignOut, err
}

func (h *Hub) refuseLogout(v *page.Visitor, c Connection, t upstream.Trace, why error) error {
	name, known := errors.AsType[upstream.Refusal](why)
	if !known {
		return why
	}
	ctx := v.R.Context()
	err := h.DB.Update(ctx, func(tx *db.Tx) error {
		if err := keepTrace(ctx, tx, Trace{OrgID: c.OrgID, ID: v.Reference(), ConnectionID: c.ID, Connection: c.Name, Refused: string(name), Checks: t.Checks}); err != nil {
			return err
		}
		return audit.Record(ctx, tx, audit.Event{
			OrgID: string(c.OrgID), Actor: audit.Anonymous, Action: "single_logout.refused", Result: audit.Refused,
			Target: c.ID, TargetName: c.Name, After: audit.Fields{"check": string(name), "reference": v.Reference()},
		})
	})
	if err != nil {
		return err
	}
	return ErrLogout
}

// named says whose sessions a provider wants ended.
type named struct {
	issuer  string
	text    string                    // a part of the subject; empty where the indexes alone say which
	is      func(subject string) bool // judges a subject that contains text
	indexes []string                  // the provider's names for sessions; none means all of the subject's
}

// endUpstream ends the sessions that a provider names. It reports whether there was any,
// ended before or not.
func (h *Hub) endUpstream(ctx context.Context, c Connection, n named) (had bool, err error) {
	err = h.DB.Update(ctx, func(tx *db.Tx) error {
		had = false
		var open []session.Visit
		err := tx.Rows(ctx, func(scan func(...any) error) error {
			var w session.Visit
			var subject, index string
			var ended time.Time
			into := append(w.User.Targets(), &w.Session.OrgID, &w.Session.ID, (*db.Time)(&ended), &subject, &index)
			if err := scan(into...); err != nil {
				return err
			}
			called := len(n.indexes) == 0 || index == "" && n.text != "" || slices.Contains(n.indexes, strings.TrimSpace(index))
			if !called || n.text != "" && !n.is(subject) {
				return nil
			}
			had = true
			if ended.IsZero() {
				open = append(open, w)
			}
			return nil
		}, `
			select `+directory.UserColumns+`, s.org_id, s.id, s.ended_at, p.subject, p.session_index
			from upstream_sessions p
			join sessions s on s.org_id = p.org_id and s.id = p.session_id
			join users u on u.org_id = s.org_id and u.id = s.user_id
			where p.org_id = $1 and p.connection_id = $2 and p.issuer = $3
				and ($4 = '' or replace(p.subject, $4, '') <> p.subject)`,
			string(c.OrgID), c.ID, n.issuer, n.text)
		if err != nil {
			return err
		}
		for _, w := range open {
			if err := h.Sessions.End(ctx, tx, w, session.EndedByProvider); err != nil {
				return err
			}
		}
		return nil
	})
	return had, err
}

// backChannel takes an OpenID Connect provider's message, server to server, that somebody
// signed out there (Back-Channel Logout 1.0 §2.5 to §2.8).
func (h *Hub) backChannel(v *page.Visitor) error {
	ctx := v.R.Context()
	if err := h.SignIn.TakeUpstream(ctx); err != nil {
		return err
	}
	c, org, err := connectionByID(ctx, h.DB, v.R.PathValue("connection"))
	if err == nil && (c.Protocol != OIDC || c.State != On) {
		err = directory.ErrNotFound
	}
	if err != nil {
		return err
	}
	form, err := posted(v)
	if err != nil {
		return err
	}
	l, keys, trace, err := c.OIDC.Logout(ctx, h.Outbound, c.Found.Provider, strings.TrimSpace(form.Get("logout_token")), c.Found.Keys, h.DB.Now())
	if !keys.FetchedAt.Equal(c.Found.Keys.FetchedAt) {
		if err := h.keepKeys(ctx, c, keys); err != nil {
			return err
		}
	}
	a := answer{Connection: c, Organization: org, Trace: trace}
	if err == nil {
		err = h.remember(ctx, &a, l.ID, l.Until)
	}
	if err == nil {
		var indexes []string
		if l.Session != "" {
			indexes = []string{l.Session}
		}
		// No session left is what the provider wanted (Back-Channel Logout §2.7).
		if _, err = h.endUpstream(ctx, c, named{
			issuer: c.Found.Provider.Issuer, text: l.Subject, indexes: indexes, is: func(subject string) bool { return subject == l.Subject },
		}); err == nil {
			v.W.WriteHeader(http.StatusOK)
			return nil
		}
	}
	if err = h.refuseLogout(v, c, a.Trace, err); !errors.Is(err, ErrLogout) {
		return err
	}
	v.W.Header().Set("Content-Type", "application/json")
	v.W.WriteHeader(http.StatusBadRequest)
	_, err = v.W.Write([]byte(`{"error":"invalid_request"}`))
	return err
}
