package federation

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/federation/oidc"
	"parvis/internal/federation/saml"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/upstream"
)

// The checks of this package, beside those of its rooms.
const (
	checkRequest    = "request"    // an open request of this connection and this browser
	checkConnection = "connection" // the connection is on
	checkFresh      = "fresh"      // proved again, as was asked
	checkReplay     = "replay"     // never seen before
)

// mostPosted is how many bytes a provider may have a browser post: 256 kB of response,
// in Base64 and percent encoding.
const mostPosted = 512 << 10

var errPosted = fault.New(fault.TooLarge, "federation.posted_too_large")

// posted reads a form that another site had the browser post. Unlike our own forms it
// may have fields that we do not know, since a provider may add its own.
func posted(v *page.Visitor) (url.Values, error) {
	body, err := io.ReadAll(http.MaxBytesReader(v.W, v.R.Body, mostPosted))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return nil, errPosted
		}
		return nil, err
	}
	form, _ := url.ParseQuery(string(body)) // what cannot be parsed is missing, and refused when it is judged
	return form, nil
}

// park stores a response that a SAML provider had the browser post. Such a post brings
// no cookies, so the browser is sent back by a GET of ours, which does (decision 0031).
func (h *Hub) park(v *page.Visitor) error {
	ctx := v.R.Context()
	if err := h.SignIn.TakeUpstream(ctx); err != nil {
		return err
	}
	c, _, err := connectionByID(ctx, h.DB, v.R.PathValue("connection"))
	if err == nil && c.Protocol != SAML {
		err = directory.ErrNotFound
	}
	if err != nil {
		return err
	}
	form, err := posted(v)
	if err != nil {
		return err
	}
	token := secret.NewToken()
	err = h.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into upstream_responses (org_id, id, connection_id, token_hash, content, state, created_at)
			values ($1, $2, $3, $4, $5, $6, $7)`,
			string(c.OrgID), secret.NewID("ups"), c.ID, token.Hash(secret.Parked), clean(form.Get("SAMLResponse")), clean(form.Get("RelayState")), db.Time(tx.Now()))
		return err
	})
	if err != nil {
		return err
	}
	v.KeepResponse(token.Reveal())
	return v.Redirect("/federation/" + c.ID + "/callback")
}

// clean returns s, or nothing where a database would not take it as text.
func clean(s string) string {
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return ""
	}
	return s
}

// unpark returns the response that this browser posted, once, and deletes it.
func (h *Hub) unpark(ctx context.Context, c Connection, token secret.Token) (content, state string, found bool, err error) {
	if token.IsZero() {
		return "", "", false, nil
	}
	err = h.DB.Update(ctx, func(tx *db.Tx) error {
		found, err = tx.One(ctx, db.Into(&content, &state), `
			delete from upstream_responses
			where org_id = $1 and connection_id = $2 and token_hash = $3 and created_at > $4
			returning content, state`, string(c.OrgID), c.ID, token.Hash(secret.Parked), db.Time(tx.Now().Add(-page.ResponseLasts)))
		return err
	})
	return content, state, found, err
}

// answer is a judged answer of a provider.
type answer struct {
	Connection   Connection
	Organization directory.Organization
	Request      request // zero where nothing was asked
	Assertion    upstream.Assertion
	Trace        upstream.Trace
	prove        directory.UserID    // the user that the person must first prove to be
	wanted       wanted              // the link that was refused, if one was
	Arrival      Arrival             // how the person is known, once admitted
	Rehearsed    directory.Candidate // the user as whom a test would let the person in
	TimeZone     string              // of the browser, for a new user
}

// callback handles a browser that comes back from a provider.
func (h *Hub) callback(v *page.Visitor) error {
	ctx := v.R.Context()
	c, org, err := connectionByID(ctx, h.DB, v.R.PathValue("connection"))
	if err != nil {
		return err
	}
	b, err := v.Browser(ctx)
	if err != nil {
		return err
	}
	a := answer{Connection: c, Organization: org}
	if c.Protocol == OIDC {
		err = h.judgeOIDC(ctx, v.R.URL.Query(), b, &a)
	} else {
		content, state, found, parked := h.unpark(ctx, c, secret.ParseToken(v.Response()))
		if parked != nil {
			return parked
		}
		if !found {
			// Reloaded, or another browser's: there is nothing to judge.
			return v.Redirect(org.Path())
		}
		err = h.judgeSAML(ctx, content, state, b, &a)
	}
	if attempt, late := errors.AsType[tooLate](err); late {
		return v.Redirect("/sign-in/" + string(attempt))
	}
	if err == nil {
		err = h.conclude(v, b, a)
	} else {
		err = h.refuse(v, a, err)
	}
	if _, refused := errors.AsType[*fault.Error](err); err != nil && !refused && ctx.Err() == nil { // else the browser left
		h.markBroken(ctx, a.Request)
	}
	return err
}

// tooLate is the attempt whose answer came after its request expired. The answer counts
// for nothing; the attempt's page goes on to where the person was going (decision 0042).
type tooLate string

func (tooLate) Error() string { return "the answer came after its request expired" }

// markBroken records that an answer met an error of ours. The caller answers and logs
// that error, so a failure here is only logged.
func (h *Hub) markBroken(ctx context.Context, q request) {
	if q.ID == "" {
		return
	}
	err := h.DB.Update(context.WithoutCancel(ctx), func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update upstream_requests set broken_at = $1 where org_id = $2 and id = $3`, db.Time(tx.Now()), string(q.OrgID), q.ID)
		return err
	})
	if err != nil {
		h.Log.WarnContext(ctx, "an answer that met an error is not counted", "request", q.ID, "error", err)
	}
}

// begun finds the request that an answer belongs to, and requires that the answer may come.
func (h *Hub) begun(ctx context.Context, b session.Browser, state string, a *answer) error {
	c := a.Connection
	q, found, err := h.claim(ctx, c, b, secret.ParseToken(state))
	if err != nil {
		return err
	}
	if found {
		a.Request = q
	} else if attempt, late, err := h.late(ctx, c, b, secret.ParseToken(state)); err != nil || late {
		return cmp.Or[error](err, tooLate(attempt))
	}
	if q.Asked.Beside {
		// What waits beside the connection judges it; nothing does if that is gone.
		w, waiting, err := Waiting(ctx, h.DB, c)
		if err != nil {
			return err
		}
		if found = waiting; found {
			a.Connection = w.Connection
		}
	}
	unsolicited := !found && state == "" || !found && c.Protocol == SAML && secret.ParseToken(state).IsZero()
	allowed := found || unsolicited && c.Protocol == SAML && c.SAML.AllowUnsolicited
	reason := "none"
	if unsolicited {
		reason = "unsolicited"
	}
	if allowed {
		reason = ""
	}
	if err := a.Trace.Require(checkRequest, allowed, "", reason); err != nil {
		return err
	}
	if a.Request.Tester != "" {
		return nil // a connection is tested before it is turned on
	}
	return a.Trace.Require(checkConnection, c.State == On, string(On), string(c.State))
}

func (h *Hub) judgeOIDC(ctx context.Context, query url.Values, b session.Browser, a *answer) error {
	if err := h.SignIn.TakeUpstream(ctx); err != nil {
		return err
	}
	if err := h.begun(ctx, b, query.Get("state"), a); err != nil {
		return err
	}
	c := a.Connection
	credentials, err := h.credentials(ctx, c)
	if err != nil {
		return err
	}
	back := oidc.Callback{
		Query: query, RedirectURI: c.Callback(h.Base), Nonce: a.Request.Asked.Nonce, Verifier: a.Request.Asked.Verifier,
		Wanted: c.wanted(a.Request.Tester != ""), Credentials: credentials, Keys: c.Found.Keys, Now: h.DB.Now(),
	}
	if a.Request.Asked.Fresh {
		back.Since = a.Request.CreatedAt
	}
	assertion, keys, trace, err := c.OIDC.Exchange(ctx, h.Outbound, c.Found.Provider, back)
	a.Assertion, a.Trace.Checks = assertion, append(a.Trace.Checks, trace.Checks...)
	if !keys.FetchedAt.Equal(c.Found.Keys.FetchedAt) {
		if err := h.keepKeys(ctx, c, keys); err != nil {
			return err
		}
	}
	return err
}

// keepKeys stores a provider's key set, so that not every sign-in fetches it.
func (h *Hub) keepKeys(ctx context.Context, c Connection, keys oidc.Keys) error {
	text, err := json.Marshal(Found{c.Found.Provider, keys})
	if err != nil {
		return err
	}
	return h.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update connections set found = $1 where org_id = $2 and id = $3 and changed_at = $4`,
			string(text), string(c.OrgID), c.ID, db.Time(c.ChangedAt))
		return err
	})
}

// credentials returns what proves to the provider that we are its client.
func (h *Hub) credentials(ctx context.Context, c Connection) (oidc.Credentials, error) {
	switch {
	case c.OIDC.Method == oidc.PrivateKeyJWT:
		keys, err := h.oidcKeys(ctx)
		if err != nil {
			return oidc.Credentials{}, err
		}
		return oidc.Credentials{Key: keys[0]}, nil
	case c.secret != "":
		text, err := h.secrets.Open(c.secret, c.row())
		return oidc.Credentials{Secret: string(text)}, err
	}
	return oidc.Credentials{}, nil
}

func (h *Hub) judgeSAML(ctx context.Context, content, state string, b session.Browser, a *answer) error {
	if err := h.begun(ctx, b, state, a); err != nil {
		return err
	}
	c := a.Connection
	keys, err := h.samlKeys(ctx)
	if err != nil {
		return err
	}
	now := h.DB.Now()
	verdict, trace, err := saml.Judge(content, saml.Expectation{
		Connection: c.SAML, ServiceProvider: c.serviceProvider(h.Base), Keys: keys, Reads: c.reads(), RequestID: a.Request.Asked.Message, Now: now,
	})
	a.Assertion, a.Trace.Checks = verdict.Assertion, append(a.Trace.Checks, trace.Checks...)
	if err != nil {
		return err
	}
	if since := h.DB.Restored; !since.IsZero() { // what came in before is not remembered, and may be of a clock ahead
		since = since.Add(c.Tolerance())
		if err := a.Trace.Require(checkReplay, !verdict.Issued.Before(since), "≥ "+stamp(since), stamp(verdict.Issued)); err != nil {
			return err
		}
	}
	if err := h.remember(ctx, a, verdict.AssertionID, verdict.Until); err != nil {
		return err
	}
	if a.Request.Asked.Fresh {
		// The provider says when it last asked the person; its clock may differ.
		at := verdict.AuthTime
		good := !at.IsZero() && !at.Before(a.Request.CreatedAt.Add(-cmp.Or(c.SAML.Tolerance, time.Minute)))
		return a.Trace.Require(checkFresh, good, "≥ "+stamp(a.Request.CreatedAt), stamp(at))
	}
	return nil
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// refuse stores for the administrators why an answer was not believed, and shows the
// person one sentence with the reference. It returns an error of ours as it is.
func (h *Hub) refuse(v *page.Visitor, a answer, why error) error {
	name, known := errors.AsType[upstream.Refusal](why)
	if !known {
		return why
	}
	ctx := v.R.Context()
	err := h.DB.Update(ctx, func(tx *db.Tx) error {
		if err := keepTrace(ctx, tx, a.explained(v, string(name))); err != nil {
			return err
		}
		if err := a.keepWanted(ctx, tx, v.Reference()); err != nil {
			return err
		}
		if a.Request.Tester != "" {
			return nil
		}
		return audit.Record(ctx, tx, audit.Event{
			OrgID: string(a.Connection.OrgID), Actor: audit.Anonymous, Action: "signin.refused", Result: audit.Refused,
			Target: a.Connection.ID, TargetName: a.Connection.Name, After: audit.Fields{"method": "federated", "check": string(name), "reference": v.Reference()},
		})
	})
	if err != nil {
		return err
	}
	if a.Request.Tester != "" {
		return showTested(v, a)
	}
	v.Status(fault.Denied)
	v.NoForm()
	return v.Render("federation-refused", refusedPage{Organization: a.Organization, Connection: a.Connection, Reference: v.Reference()})
}

// refusedPage shows the person the reference and what to do.
type refusedPage struct {
	Organization directory.Organization
	Connection   Connection
	Reference    string
}

// explained returns the trace of an answer under the reference of v's request.
func (a answer) explained(v *page.Visitor, refused string) Trace {
	t := Trace{
		OrgID: a.Connection.OrgID, ID: v.Reference(), ConnectionID: a.Connection.ID, Connection: a.Connection.Name, Test: a.Request.Tester != "",
		Refused: refused, Who: a.who(), Checks: a.Trace.Checks, browser: a.Request.BrowserID,
	}
	if t.Test {
		t.Tester, t.Claims = a.Request.Tester, a.Assertion.Attributes
		t.Rehearsal = Rehearsal{
			Subject: cmp.Or(a.Assertion.NameID, a.Assertion.Subject), Format: a.Assertion.Format,
			Name: a.Rehearsed.User.Name, Email: a.Rehearsed.User.Email, Role: a.Rehearsed.User.Role, Arrival: a.Arrival,
		}
	}
	return t
}

// who returns the person's name as the provider gave it: an address, or else a subject.
func (a answer) who() string {
	if email := a.Connection.Mapping.email(a.Assertion); email != "" {
		return email
	}
	return cmp.Or(a.Assertion.NameID, a.Assertion.Subject)
}

// conclude signs in the person that a believed answer names.
func (h *Hub) conclude(v *page.Visitor, b session.Browser, a answer) error {
	if a.Request.Tester != "" {
		if err := h.rehearse(v, &a); err != nil {
			return h.refuse(v, a, err)
		}
		return h.passTest(v, a)
	}
	if a.Request.ID == "" {
		return h.askFirst(v, a, "", directory.User{})
	}
	return h.enterOrAsk(v, b, a, false)
}

// enterOrAsk signs in the person that a believed answer names, or first shows a page
// where the person has to see or prove something.
func (h *Hub) enterOrAsk(v *page.Visitor, b session.Browser, a answer, confirmed bool) error {
	entry, err := h.enter(v, b, a, confirmed)
	first, prove := errors.AsType[proveFirst](err)
	switch {
	case err == nil:
		return nil
	case prove:
		if err := h.explainProof(v, entry); err != nil {
			return err
		}
		return h.askFirst(v, a, a.Request.AttemptID, first.user)
	case errors.Is(err, errOtherAddress):
		return h.askFirst(v, a, a.Request.AttemptID, directory.User{})
	}
	return h.refuse(v, entry, err)
}

// remember stores a message that must not come twice, on any node. It stays stored
// whatever happens to the sign-in (R-SML-07).
func (h *Hub) remember(ctx context.Context, a *answer, message string, until time.Time) error {
	var n int64
	err := h.DB.Update(ctx, func(tx *db.Tx) (err error) {
		n, err = tx.Exec(ctx, `
			insert into upstream_replays (org_id, connection_id, id, expires_at) values ($1, $2, $3, $4)
			on conflict (org_id, connection_id, id) do nothing`,
			string(a.Connection.OrgID), a.Connection.ID, message, db.Time(until))
		return err
	})
	if err != nil {
		return fmt.Errorf("remembering a message of connection %s: %w", a.Connection.ID, err)
	}
	return a.Trace.Require(checkReplay, n == 1, "", "")
}
