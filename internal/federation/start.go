package federation

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/federation/oidc"
	"parvis/internal/federation/saml"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// RequestLasts is how long a provider may take to answer: as long as the attempt lasts.
const RequestLasts = signin.AttemptLifetime

// ErrOff says that nobody can sign in by this connection now.
var ErrOff = fault.New(fault.Conflict, "federation.off")

// request is what was asked of a provider.
type request struct {
	OrgID        directory.OrgID
	ID           string
	ConnectionID string
	BrowserID    string
	AttemptID    string // empty for a test, and for signing out
	Tester       string // of a test: a user's id, or a setup link's
	CreatedAt    time.Time
	Asked        asked
}

// asked is the part of a request that stays sealed until its answer is judged.
type asked struct {
	Nonce    string `json:"nonce,omitempty"`
	Verifier string `json:"verifier,omitempty"`
	Message  string `json:"message,omitempty"` // id of the SAML request
	Fresh    bool   `json:"fresh,omitempty"`   // the person was to prove again who they are
	SignOut  bool   `json:"sign_out,omitempty"`
	Beside   bool   `json:"beside,omitempty"` // a test of what waits beside the connection
	Then     string `json:"then,omitempty"`   // where an application wants the person after signing out
}

// requestRow names a request in the seal of what it keeps.
func requestRow(id, what string) string { return "upstream_requests " + id + " " + what }

// ask stores a request, and returns it with the state that its answer will carry.
func (h *Hub) ask(ctx context.Context, q request) (request, secret.Token, error) {
	state := secret.NewToken()
	q.ID = secret.NewID("upr")
	err := h.DB.Update(ctx, func(tx *db.Tx) error {
		sealed, err := json.Marshal(q.Asked)
		if err != nil {
			return err
		}
		q.CreatedAt = tx.Now()
		_, err = tx.Exec(ctx, `
			insert into upstream_requests (org_id, id, connection_id, browser_id, attempt_id, tester, state_hash, asked, created_at)
			values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			string(q.OrgID), q.ID, q.ConnectionID, db.Text(q.BrowserID), db.Text(q.AttemptID), db.Text(q.Tester), state.Hash(secret.Upstream),
			h.asked.Seal(sealed, requestRow(q.ID, "asked")), db.Time(q.CreatedAt))
		return err
	})
	return q, state, err
}

const requestColumns = `org_id, id, connection_id, browser_id, attempt_id, tester, created_at, asked`

func requestTargets(q *request, sealed *string) []any {
	return db.Into(&q.OrgID, &q.ID, &q.ConnectionID, (*db.Text)(&q.BrowserID), (*db.Text)(&q.AttemptID), (*db.Text)(&q.Tester), (*db.Time)(&q.CreatedAt), sealed)
}

// claim takes the request that a state names, once: of two answers at the same time only
// one finds it. It must be of this connection and this browser (R-RPO-01, R-SML-07).
func (h *Hub) claim(ctx context.Context, c Connection, b session.Browser, state secret.Token) (request, bool, error) {
	var q request
	var found bool
	err := h.DB.Update(ctx, func(tx *db.Tx) error {
		q = request{}
		var sealed string
		var err error
		found, err = tx.One(ctx, requestTargets(&q, &sealed), `
			update upstream_requests set ended_at = $1
			where org_id = $2 and state_hash = $3 and connection_id = $4 and browser_id = $5 and ended_at is null and created_at > $6
			returning `+requestColumns,
			db.Time(tx.Now()), string(c.OrgID), state.Hash(secret.Upstream), c.ID, b.ID, db.Time(tx.Now().Add(-RequestLasts)))
		if err != nil || !found {
			return err
		}
		plain, err := h.asked.Open(sealed, requestRow(q.ID, "asked"))
		if err != nil {
			return err
		}
		return json.Unmarshal(plain, &q.Asked)
	})
	return q, found && b.ID != "", err
}

// RequestedAt returns the id of the connection that a request went to.
func RequestedAt(ctx context.Context, r db.Reader, org directory.OrgID, request string) (connection string, err error) {
	_, err = r.One(ctx, db.Into(&connection), `
		select connection_id from upstream_requests
		where org_id = $1 and id = $2`, string(org), request)
	return connection, err
}

// late finds the attempt of this browser whose request expired unanswered.
func (h *Hub) late(ctx context.Context, c Connection, b session.Browser, state secret.Token) (attempt string, late bool, err error) {
	late, err = h.DB.One(ctx, db.Into(&attempt), `
		select attempt_id from upstream_requests
		where org_id = $1 and state_hash = $2 and connection_id = $3 and browser_id = $4 and ended_at is null and attempt_id is not null and created_at <= $5`,
		string(c.OrgID), state.Hash(secret.Upstream), c.ID, b.ID, db.Time(h.DB.Now().Add(-RequestLasts)))
	return attempt, late && b.ID != "", err
}

// Lead sends the browser of an attempt to the chosen provider. It answers a form.
func (h *Hub) Lead(v *page.Visitor, a signin.Attempt) error {
	ctx := v.R.Context()
	c, err := connectionOf(ctx, h.DB, a.OrgID, a.ConnectionID)
	if err == nil && c.State != On {
		err = ErrOff
	}
	if err != nil {
		return err
	}
	_, idle, err := h.Sessions.LeftIdle(ctx, h.DB, a.BrowserID, c.OrgID, h.DB.Now())
	if err != nil {
		return err
	}
	// Without fresh proof the provider would let anybody at that browser straight back in.
	return h.send(v, c, request{
		OrgID: c.OrgID, ConnectionID: c.ID, BrowserID: a.BrowserID, AttemptID: a.ID, Asked: asked{Fresh: a.Fresh > 0 || a.Anew || idle},
	})
}

// start is where a provider's portal sends people: to the organization's page, where one
// click goes on.
func (h *Hub) start(v *page.Visitor) error {
	c, org, err := connectionByID(v.R.Context(), h.DB, v.R.PathValue("connection"))
	if err != nil {
		return err
	}
	return v.Redirect(org.Path() + "?with=" + c.ID)
}

// send stores a request and sends the browser to the provider with it.
func (h *Hub) send(v *page.Visitor, c Connection, q request) error {
	ctx := v.R.Context()
	if c.Protocol == OIDC {
		q.Asked.Nonce, q.Asked.Verifier = secret.NewToken().Reveal(), secret.NewToken().Reveal()
	} else {
		q.Asked.Message = secret.NewID("saml")
	}
	q, state, err := h.ask(ctx, q)
	if err != nil {
		return err
	}
	if c.Protocol == OIDC {
		return v.GoTo(c.Name, c.OIDC.AuthorizationURL(c.Found.Provider, oidc.Request{
			RedirectURI: c.Callback(h.Base), State: state.Reveal(), Nonce: q.Asked.Nonce, Verifier: q.Asked.Verifier,
			Fresh: q.Asked.Fresh, Locale: string(v.Language()),
		}))
	}
	keys, err := h.samlKeys(ctx)
	if err != nil {
		return err
	}
	m, err := saml.AuthnRequest(c.SAML, c.serviceProvider(h.Base), keys, saml.Request{
		ID: q.Asked.Message, RelayState: state.Reveal(), ForceAuthn: q.Asked.Fresh, Now: q.CreatedAt,
	})
	if err != nil {
		return err
	}
	return carry(v, c, m)
}

// carry has the browser take a SAML message to the provider.
func carry(v *page.Visitor, c Connection, m saml.Message) error {
	if m.Field == "" {
		return v.GoTo(c.Name, m.Address)
	}
	fields := url.Values{m.Field: {m.Value}}
	if m.RelayState != "" {
		fields.Set("RelayState", m.RelayState)
	}
	return v.PostOut(page.Posted{To: c.Name, Address: m.Address, Fields: fields})
}

func (c Connection) serviceProvider(base string) saml.ServiceProvider {
	return saml.ServiceProvider{EntityID: c.EntityID(base), ACS: c.ACS(base), SLO: c.SLO(base)}
}

// Test sends a tester to a connection's provider, and back to the result. tester is the
// id of a user or of a setup link. It answers a form.
func (h *Hub) Test(v *page.Visitor, c Connection, tester string) error {
	b, err := v.BrowserOrNew(v.R.Context())
	if err != nil {
		return err
	}
	return h.send(v, c, request{OrgID: c.OrgID, ConnectionID: c.ID, BrowserID: b.ID, Tester: tester, Asked: asked{Beside: c.Beside}})
}
