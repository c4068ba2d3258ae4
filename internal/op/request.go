package op

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"parvis/internal/application"
	"parvis/internal/application/redirect"
	"parvis/internal/directory"
	"parvis/internal/naming"
	"parvis/internal/number"
	"parvis/internal/session"
)

// Request is a parsed authorization request.
type Request struct {
	ClientID     application.ID  `json:"client_id"`
	RedirectURI  string          `json:"redirect_uri"`
	Mode         string          `json:"mode,omitempty"` // formPost, or empty for the query
	State        string          `json:"state,omitempty"`
	Scope        []string        `json:"scope"`
	LeftOut      []string        `json:"left_out,omitempty"` // scopes that were asked for and not registered
	Nonce        string          `json:"nonce,omitempty"`
	Challenge    string          `json:"challenge"`
	Prompt       []string        `json:"prompt,omitempty"`
	MaxAge       *int64          `json:"max_age,omitempty"` // seconds
	ACR          []string        `json:"acr,omitempty"`
	Locales      string          `json:"locales,omitempty"`
	Organization string          `json:"organization,omitempty"`
	LoginHint    string          `json:"login_hint,omitempty"`
	Subject      string          `json:"subject,omitempty"` // of id_token_hint
	SubjectOrg   directory.OrgID `json:"subject_org,omitempty"`
	Since        time.Time       `json:"since,omitzero"` // set if somebody else is to sign in: only a later sign-in counts
	Thumbprint   string          `json:"thumbprint,omitempty"`
	AskedAt      time.Time       `json:"asked_at"`
}

// Mismatch is an error that may not be answered by a redirect, because the address is not
// known to be the application's (RFC 6749 §4.1.2.1). A page shows it, in words for the
// application's developer.
type Mismatch struct {
	Key    string // of the sentence
	Args   map[string]any
	Client string // name, where it is known
}

func (m *Mismatch) Error() string { return "authorization request: " + m.Key }

// Refusal is an error that can be sent to the application.
type Refusal struct {
	Told *Error
	Pending
}

func (r *Refusal) Error() string { return r.Told.Error() }

const (
	RequestURI = "urn:ietf:params:oauth:request_uri:"
	mostText   = 2000    // bytes of a parameter that is carried along
	mostState  = 4 << 10 // bytes of a state, in which some libraries store a lot
)

// Parse reads an authorization request, from the address or pushed before. It refuses
// parameters that come twice, and those that we do not support though they would change the
// request. It ignores other unknown parameters (OIDC Core §3.1.2.1).
func (p *Provider) Parse(ctx context.Context, form url.Values) (q Pending, err error) {
	if q.Client, err = p.clientOf(ctx, form); err != nil {
		return Pending{}, err
	}
	if text, ours := strings.CutPrefix(form.Get("request_uri"), RequestURI); ours {
		if len(form["request_uri"]) > 1 {
			return Pending{}, &Mismatch{Key: "op.mismatch.twice", Client: q.Client.Settings.Name}
		}
		q.Request, err = p.pushed(ctx, q.Client, text)
		return q, err
	}
	q.Request, err = p.understand(ctx, q.Client, form)
	if err == nil && q.Client.Settings.PushedOnly {
		err = Wrong(InvalidRequest, "this client must push its requests (RFC 9126)")
	}
	if e, ok := errors.AsType[*Error](err); ok {
		err = &Refusal{e, q} // the address is known to be the application's
	}
	return q, err
}

// clientOf finds the application that a request names. Without it there is nobody to answer.
func (p *Provider) clientOf(ctx context.Context, form url.Values) (application.Application, error) {
	switch ids := form["client_id"]; {
	case len(ids) == 0 || ids[0] == "":
		return application.Application{}, &Mismatch{Key: "op.mismatch.no_client_id"}
	case len(ids) > 1:
		return application.Application{}, &Mismatch{Key: "op.mismatch.two_client_ids"}
	}
	c, err := application.Registered(ctx, p.DB, form.Get("client_id"))
	if errors.Is(err, application.ErrUnknown) || err == nil && c.Kind == application.Link {
		return application.Application{}, &Mismatch{Key: "op.mismatch.unknown_client"}
	}
	if err == nil && !c.Code() {
		return application.Application{}, &Mismatch{Key: "op.mismatch.no_people", Client: c.Settings.Name}
	}
	return c, err
}

// understand reads the parameters of a request of c. If it returns an *Error, the Request has
// what is needed to send that error.
func (p *Provider) understand(ctx context.Context, c application.Application, form url.Values) (Request, error) {
	r := Request{ClientID: c.ID, AskedAt: p.DB.Now()}
	switch sent := form["redirect_uri"]; {
	case len(sent) == 0 || sent[0] == "":
		return r, &Mismatch{Key: "op.mismatch.no_redirect_uri", Client: c.Settings.Name}
	case len(sent) > 1:
		return r, &Mismatch{Key: "op.mismatch.two_redirect_uris", Client: c.Settings.Name}
	case !redirect.Match(c.Settings.RedirectURIs, sent[0], c.Kind == application.Native):
		return r, mismatch(c, sent[0])
	}
	r.RedirectURI = form.Get("redirect_uri")
	if modes := form["response_mode"]; len(modes) == 1 && modes[0] == FormPost && postable(r.RedirectURI) {
		r.Mode = FormPost // errors come that way too
	}
	if states := form["state"]; len(states) == 1 {
		r.State = states[0] // every error gives it back, even one about the state itself (RFC 6749 §4.1.2.1)
	}
	if err := once(form); err != nil {
		return r, err
	}
	for _, check := range []func(application.Application, url.Values) error{r.shape, r.scope, r.proofKey, r.wishes, p.cannot} {
		if err := check(c, form); err != nil {
			return r, err
		}
	}
	return r, p.hint(ctx, c, &r, form)
}

// shown cuts a long parameter for a page, and no character of it in two.
func shown(sent string) string { return strings.ToValidUTF8(sent[:min(len(sent), mostText)], "") }

// mismatch says where an address differs from the most similar registered one, without
// showing that one to a stranger.
func mismatch(c application.Application, sent string) *Mismatch {
	d := redirect.Difference(c.Settings.RedirectURIs, sent)
	return &Mismatch{Key: "op.mismatch.redirect_uri." + cmp.Or(string(d.Part), "none"), Args: map[string]any{"At": d.At, "Sent": shown(sent)}, Client: c.Settings.Name}
}

// shape checks the response type and mode, and how long the parameters are.
func (r *Request) shape(_ application.Application, form url.Values) error {
	switch {
	case form.Has("request"):
		return Wrong(RequestNotSupported, "request objects are not supported")
	case form.Has("request_uri"):
		return Wrong(RequestURINotSupported, "request_uri must be one that was pushed here")
	case form.Has("registration"):
		return Wrong(RegistrationNotSupported, "clients are registered by administrators")
	case form.Get("response_type") == "":
		return Wrong(InvalidRequest, "response_type is missing")
	case form.Get("response_type") != "code":
		return Wrong(UnsupportedResponseType, "response_type must be code")
	case !slices.Contains([]string{"", "query", FormPost}, form.Get("response_mode")):
		return Wrong(InvalidRequest, "response_mode must be query or form_post")
	case form.Get("response_mode") == FormPost && r.Mode != FormPost:
		return Wrong(InvalidRequest, "response_mode form_post needs a redirect_uri of http or https")
	}
	if len(form.Get("state")) > mostState {
		return Wrong(InvalidRequest, "state is longer than 4096 bytes")
	}
	for _, name := range []string{"nonce", "scope", "login_hint", "acr_values", "ui_locales", "organization"} {
		if len(form.Get(name)) > mostText {
			return Wrong(InvalidRequest, name+" is longer than 2000 bytes")
		}
	}
	r.Nonce = form.Get("nonce")
	return nil
}

// scope reads the scopes that the client is registered for, and leaves out the others. The
// token answer says what was granted (OIDC Core §3.1.2.1, RFC 6749 §3.3).
func (r *Request) scope(c application.Application, form url.Values) error {
	for s := range strings.FieldsSeq(form.Get("scope")) {
		switch {
		case !c.Has(s):
			r.LeftOut = append(r.LeftOut, s)
		case !slices.Contains(r.Scope, s):
			r.Scope = append(r.Scope, s)
		}
	}
	if len(r.Scope) == 0 {
		return Wrong(InvalidScope, "scope names nothing that the client is registered for")
	}
	return nil
}

// proofKey reads what binds the code to its sender: a PKCE challenge, of S256 only (RFC
// 7636 §4.2), and the thumbprint of a DPoP key.
func (r *Request) proofKey(c application.Application, form url.Values) error {
	challenge, method := form.Get("code_challenge"), form.Get("code_challenge_method")
	switch {
	case challenge == "" && method != "":
		return Wrong(InvalidRequest, "code_challenge_method came without code_challenge")
	case challenge != "" && method != "S256":
		return Wrong(InvalidRequest, "code_challenge_method must be S256")
	case challenge != "" && (len(challenge) != 43 || !isVerifier(challenge)):
		return Wrong(InvalidRequest, "code_challenge is not a SHA-256 in base64url")
	}
	r.Challenge, r.Thumbprint = challenge, form.Get("dpop_jkt")
	if r.Thumbprint != "" && (len(r.Thumbprint) != 43 || !isVerifier(r.Thumbprint)) {
		return Wrong(InvalidRequest, "dpop_jkt is not a SHA-256 in base64url")
	}
	return r.protected(c)
}

// protected demands the protection that is registered (RFC 9700 §2.1.1): PKCE, unless the
// client authenticates, is registered for less, and asks for an ID token.
func (r *Request) protected(c application.Application) error {
	protection := cmp.Or(c.Settings.Protection, application.PKCE)
	switch {
	case r.Challenge != "":
		return nil
	case protection == application.PKCE || !c.Confidential():
		return Wrong(InvalidRequest, "code_challenge is missing: PKCE is required of this client")
	case !slices.Contains(r.Scope, application.OpenID):
		return Wrong(InvalidRequest, "code_challenge is missing: without the scope openid PKCE is required")
	case protection == application.PKCEOrNonce && r.Nonce == "":
		return Wrong(InvalidRequest, "code_challenge and nonce are missing: one of them is required of this client")
	}
	return nil
}

// prompts are the values of prompt that we know (OIDC Core §3.1.2.1).
var prompts = []string{"none", "login", "consent", "select_account"}

// wishes reads how the person is to sign in: prompt, max_age, acr_values, languages, hints.
func (r *Request) wishes(_ application.Application, form url.Values) error {
	r.Prompt = strings.Fields(form.Get("prompt"))
	for _, w := range r.Prompt {
		if !slices.Contains(prompts, w) {
			return Wrong(InvalidRequest, "prompt has a value that discovery does not list")
		}
	}
	if slices.Contains(r.Prompt, "none") && len(r.Prompt) > 1 {
		return Wrong(InvalidRequest, "prompt=none stands alone")
	}
	if text := form.Get("max_age"); text != "" {
		n, ok := number.Parse(text)
		if !ok || n < 0 || n > math.MaxInt32 {
			return Wrong(InvalidRequest, "max_age is not a number of seconds")
		}
		seconds := int64(n)
		r.MaxAge = &seconds
	}
	r.ACR, r.Locales, r.LoginHint = strings.Fields(form.Get("acr_values")), form.Get("ui_locales"), form.Get("login_hint")
	r.Organization = form.Get("organization")
	return nil
}

// hint reads id_token_hint, which says who is expected. It must be an ID token that we issued
// to this client; it may have expired (OIDC Core §3.1.2.1).
func (p *Provider) hint(ctx context.Context, c application.Application, r *Request, form url.Values) error {
	text := form.Get("id_token_hint")
	if text == "" {
		return nil
	}
	h, err := p.readHint(ctx, text)
	switch {
	case errors.Is(err, errRetired):
		// Its key is gone, so it proves nothing, and nobody is signed in silently because of it.
		if slices.Contains(r.Prompt, "none") {
			return Wrong(LoginRequired, "id_token_hint is older than our keys")
		}
		return nil
	case errors.Is(err, errNotOurs) || err == nil && h.Audience != string(c.ID):
		return Wrong(InvalidRequest, "id_token_hint is not an ID token of this client")
	case err != nil:
		return err
	case !h.of(c):
		// It was made for a removed application that had this ID, so it proves nothing.
		if slices.Contains(r.Prompt, "none") {
			return Wrong(LoginRequired, "id_token_hint is older than this registration of the client")
		}
		return nil
	}
	r.SubjectOrg, r.Subject = h.Organization.ID, h.Subject
	return nil
}

// Hinted are the claims of an ID token that comes back as a hint.
type Hinted struct {
	Issuer       string            `json:"iss"`
	Audience     string            `json:"aud"`
	Subject      string            `json:"sub"`
	SID          string            `json:"sid"`
	Organization organizationClaim `json:"org"`
}

// of reports whether the hint was made for this registration of a client, and not for an
// application that had the same ID and was removed.
func (h Hinted) of(c application.Application) bool {
	return h.Audience == string(c.ID) && registrationOf(h.SID) == c.Registration
}

func (p *Provider) readHint(ctx context.Context, text string) (Hinted, error) {
	payload, err := p.Keys.verify(ctx, text, idTokenType)
	if err != nil {
		return Hinted{}, err
	}
	var h Hinted
	// Of all that we sign with this type, only ID tokens have a sid.
	if json.Unmarshal(payload, &h) != nil || h.Issuer != p.Base || h.SID == "" {
		return Hinted{}, errNotOurs
	}
	return h, nil
}

// Hints returns which session a request means.
func (p *Provider) Hints(q Pending) application.Hints {
	h := application.Hints{
		Organization: q.Organization, Subject: q.Subject, SubjectOrg: q.SubjectOrg, ClientOrg: q.Client.OrgID, Session: q.SessionID, Since: q.Since,
		SubjectOf: func(v session.Visit) string { return p.subjectOf(q.Client, v.Session.OrgID, v.User.ID) },
	}
	if a, err := naming.ParseAddress(q.LoginHint); err == nil {
		h.Address = a.Key // otherwise it is a name that only the application knows
	}
	return h
}

// TwoFactors reports whether one factor is too little for every level that was asked for.
// Levels that we do not know are ignored (OIDC Core §3.1.2.1).
func (r Request) TwoFactors() bool {
	return slices.Contains(r.ACR, session.TwoFactors) && !slices.Contains(r.ACR, session.OneFactor)
}

// FormPost is the response mode in which the browser posts the answer to the application
// (OAuth 2.0 Form Post Response Mode §2).
const FormPost = "form_post"

// postable reports whether a form can be posted to an address: not to an app's own scheme.
func postable(address string) bool {
	return strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://")
}

// WithQuery appends parameters to an address and leaves its own bytes as they were registered.
func WithQuery(address string, more url.Values) string {
	if strings.Contains(address, "?") {
		return address + "&" + more.Encode()
	}
	return address + "?" + more.Encode()
}

// OrganizationOf returns the organization to sign in to, or an empty ID if neither the request
// nor its client says which.
func (p *Provider) OrganizationOf(ctx context.Context, q Pending) (directory.OrgID, error) {
	switch {
	case q.Organization != "":
		org, err := organizationNamed(ctx, p.DB, q.Organization)
		if isFault(err) {
			return "", Wrong(InvalidRequest, "organization names none that is here")
		}
		if err == nil && q.Client.OrgID != "" && q.Client.OrgID != org.ID {
			return "", Wrong(InvalidRequest, "organization names one that does not have this application")
		}
		return org.ID, err
	case q.Client.OrgID != "":
		return q.Client.OrgID, nil
	case q.SubjectOrg != "":
		if _, err := directory.OrganizationByID(ctx, p.DB, q.SubjectOrg); isFault(err) {
			return "", nil
		}
	}
	return q.SubjectOrg, nil
}
