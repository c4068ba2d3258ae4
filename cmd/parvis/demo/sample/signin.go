package sample

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// provider is what discovery returned.
type provider struct {
	*oidc.Provider
	oauth      oauth2.Config
	verifier   *oidc.IDTokenVerifier
	EndSession string   `json:"end_session_endpoint"`
	NamesSelf  bool     `json:"authorization_response_iss_parameter_supported"`
	Prompts    []string `json:"prompt_values_supported"`
}

// flow is one way to the provider and back.
type flow struct {
	back            string // the path where it comes back to
	nonce, verifier string
	target          string // a page of ours
	silent          bool   // the provider may ask nothing
}

// refusal is a sign-in that failed, as a page shows it.
type refusal struct {
	status   int
	Sentence string // a word
	Code     string
	Said     string // what the provider said
	err      error  // for the log
}

func (f *refusal) Error() string { return fmt.Sprintf("%s: %v", f.Code, f.err) }

// unbelieved is for an answer from the provider, or in its name, that is not valid.
func unbelieved(code string, err error) *refusal {
	return &refusal{http.StatusBadRequest, "problem.answer", code, "", err}
}

// fail shows why nobody was signed in, with ways to continue.
func (a *application) fail(w http.ResponseWriter, r *http.Request, err error, target string) {
	var why *refusal
	if !errors.As(err, &why) {
		why = &refusal{http.StatusServiceUnavailable, "problem.unreachable", "provider_unreachable", "", err}
	}
	a.Log.WarnContext(r.Context(), "nobody signed in", "error", why.Error())
	again := "/login?" + url.Values{"iss": {a.Issuer}, "target_link_uri": {target}}.Encode()
	a.render(w, r, why.status, view{Page: "problem", Title: "problem", Problem: why, Again: again})
}

// ask returns the context for requests to the provider.
func (a *application) ask(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, a.Client)
}

// discover reads the provider's endpoints when they are first needed, because the provider may
// start after this application. If two requests come first, both ask, which does no harm.
func (a *application) discover(ctx context.Context) (*provider, error) {
	if p := a.provider.Load(); p != nil {
		return p, nil
	}
	const pause = 300 * time.Millisecond
	found, err := oidc.NewProvider(a.ask(ctx), a.Issuer)
	if err != nil {
		select {
		case <-time.After(pause): // it may be starting right now
			found, err = oidc.NewProvider(a.ask(ctx), a.Issuer)
		case <-ctx.Done():
		}
	}
	if err != nil {
		return nil, err
	}
	p := &provider{Provider: found, verifier: found.Verifier(&oidc.Config{ClientID: a.ClientID})}
	p.oauth = oauth2.Config{
		ClientID: a.ClientID, ClientSecret: a.ClientSecret, RedirectURL: a.Address + "/callback",
		Endpoint: found.Endpoint(), Scopes: append([]string{oidc.ScopeOpenID, "profile", "email"}, a.Scopes...),
	}
	// If the library has to guess, it sends each code twice whenever the guess is wrong.
	if p.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInHeader; a.ClientSecret == "" {
		p.oauth.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	if err := found.Claims(p); err != nil {
		return nil, err
	}
	a.provider.Store(p)
	return p, nil
}

// leave gives this browser the state that it takes to the provider, in a cookie of its own:
// several tabs may be on their way at once.
func (a *application) leave(w http.ResponseWriter, f flow) (state string) {
	state = rand.Text()
	a.flows.add(state, f)
	a.setCookie(w, "state_"+state, "1", flowLife)
	return state
}

// returned takes what was kept for a state. It can be taken once, where it belongs, and only by
// the browser that left with it (RFC 9700 §4.7.1).
func (a *application) returned(w http.ResponseWriter, r *http.Request) (flow, bool) {
	state := r.URL.Query().Get("state")
	if _, err := r.Cookie(a.cookieName("state_" + state)); err != nil {
		return flow{}, false
	}
	a.setCookie(w, "state_"+state, "", -time.Second)
	f, ok := a.flows.take(state)
	return f, ok && f.back == r.URL.Path
}

// begin leads to the provider, which leads back to target.
func (a *application) begin(w http.ResponseWriter, r *http.Request, target string, parameters map[string]string) {
	p, err := a.discover(r.Context())
	if err != nil {
		a.fail(w, r, err, target)
		return
	}
	f := flow{back: "/callback", nonce: rand.Text(), verifier: oauth2.GenerateVerifier(), target: target, silent: parameters["prompt"] == "none"}
	options := []oauth2.AuthCodeOption{oidc.Nonce(f.nonce), oauth2.S256ChallengeOption(f.verifier)}
	for name, value := range parameters {
		if name == "prompt" && value == another && !slices.Contains(p.Prompts, another) {
			value = "login"
		}
		if value != "" {
			options = append(options, oauth2.SetAuthURLParam(name, value))
		}
	}
	http.Redirect(w, r, p.oauth.AuthCodeURL(a.leave(w, f), options...), http.StatusSeeOther)
}

// another is the prompt for people who sign in as somebody else, if the provider supports it.
const another = "select_account"

// login is where others send people to sign in here: the provider's home page and the links of
// our own problem page (OIDC Core §4).
func (a *application) login(w http.ResponseWriter, r *http.Request) {
	target, wish := a.Address+"/", r.FormValue("target_link_uri")
	if r.FormValue("iss") != a.Issuer {
		a.fail(w, r, &refusal{http.StatusBadRequest, "problem.request", "foreign_issuer", "", errors.New("it names another provider")}, target)
		return
	}
	if wish != "" {
		u, err := url.Parse(wish)
		if err != nil || u.User != nil || u.Scheme+"://"+u.Host != a.Address {
			a.fail(w, r, &refusal{http.StatusBadRequest, "problem.request", "foreign_target", "", fmt.Errorf("%q", wish)}, target)
			return
		}
		target = a.Address + u.RequestURI()
	}
	parameters := map[string]string{"login_hint": r.FormValue("login_hint"), "organization": r.FormValue("organization")}
	if r.FormValue("as") == "another" {
		parameters["prompt"] = another
	}
	a.begin(w, r, target, parameters)
}

// check asks the provider whether this person is still signed in there, without showing a page
// (OIDC Core §3.1.2.1). The browser goes there itself: in a hidden frame the provider would not
// get its cookies.
func (a *application) check(w http.ResponseWriter, r *http.Request) {
	s, _ := a.session(r) // people without a session may sign in silently too
	a.begin(w, r, a.Address+"/", map[string]string{"prompt": "none", "id_token_hint": s.idToken})
}

// callback is where the provider sends people back to.
func (a *application) callback(w http.ResponseWriter, r *http.Request) {
	f, ok := a.returned(w, r)
	if !ok {
		a.fail(w, r, &refusal{http.StatusBadRequest, "problem.state", "unknown_state", "", errors.New("this browser did not leave with it")}, a.Address+"/")
		return
	}
	before, _ := a.session(r)
	s, err := a.finish(r, f)
	if err != nil {
		var why *refusal
		if f.silent && errors.As(err, &why) && why.Code == "login_required" {
			a.sessions.take(before.id) // somebody who was signed out at the provider is signed out here
		}
		a.fail(w, r, err, f.target)
		return
	}
	if f.silent {
		s.notice = "still"
	}
	a.sessions.take(before.id)
	s.id = rand.Text() // never one that the browser brought: somebody else may have put it there
	a.sessions.add(s.id, s)
	a.setCookie(w, "session", s.id, 0)
	http.Redirect(w, r, f.target, http.StatusSeeOther)
}

// finish makes a session from the provider's answer.
func (a *application) finish(r *http.Request, f flow) (session, error) {
	ctx := a.ask(r.Context())
	p, err := a.discover(ctx)
	if err != nil {
		return session{}, err
	}
	q := r.URL.Query()
	for name, values := range q {
		if len(values) > 1 { // RFC 6749 §3.1
			return session{}, unbelieved("doubled_parameter", errors.New(name))
		}
	}
	// This checks whose answer it is, before anything in it is used (RFC 9207 §2.4).
	if iss := q.Get("iss"); iss != a.Issuer && (p.NamesSelf || q.Has("iss")) {
		return session{}, unbelieved("foreign_answer", fmt.Errorf("it comes from %q", iss))
	}
	if code := q.Get("error"); code != "" {
		why := &refusal{http.StatusForbidden, "problem." + code, code, q.Get("error_description"), errors.New("the provider said so")}
		if _, known := words()[why.Sentence]; !known {
			why.Sentence = "problem.provider"
		}
		return session{}, why
	}
	token, err := p.oauth.Exchange(ctx, q.Get("code"), oauth2.VerifierOption(f.verifier))
	if err != nil {
		return session{}, unbelieved("no_token", err)
	}
	s := session{refreshToken: token.RefreshToken, Expires: token.Expiry}
	id, err := p.identify(ctx, token, &s)
	if err != nil {
		return session{}, unbelieved("id_token", err)
	}
	if id.Nonce != f.nonce { // OIDC Core §3.1.3.7, 11
		return session{}, unbelieved("nonce", errors.New("the ID token answers another question"))
	}
	told, err := p.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err == nil && told.Subject != id.Subject { // OIDC Core §5.3.2
		err = errors.New("it tells of somebody else")
	}
	if err != nil {
		return session{}, unbelieved("userinfo", err)
	}
	// What was signed comes last, so that it wins where both say something.
	if err := errors.Join(told.Claims(&s.person), id.Claims(&s.person), told.Claims(&s.All), id.Claims(&s.All)); err != nil {
		return session{}, unbelieved("claims", err)
	}
	return s, nil
}

// identify judges the ID token that came with others, and keeps it. The library checks
// signature, issuer and end, and that we are among its audience.
func (p *provider) identify(ctx context.Context, token *oauth2.Token, s *session) (*oidc.IDToken, error) {
	s.idToken, _ = token.Extra("id_token").(string)
	id, err := p.verifier.Verify(ctx, s.idToken)
	if err == nil && len(id.Audience) != 1 { // OIDC Core §3.1.3.7, 3: we trust no others
		err = errors.New("it is for others too")
	}
	if err == nil && id.AccessTokenHash != "" {
		err = id.VerifyAccessToken(token.AccessToken)
	}
	return id, err
}

// refresh exchanges the refresh token for new tokens. A token that is used twice counts as
// stolen (RFC 9700 §4.14.2), so it is taken out of the session first: of two tabs, one gets it.
func (a *application) refresh(w http.ResponseWriter, r *http.Request, s session) {
	p, err := a.discover(r.Context())
	if err != nil {
		a.fail(w, r, err, a.Address+"/tokens")
		return
	}
	mine := ""
	a.sessions.change(s.id, func(s *session) { mine, s.refreshToken = s.refreshToken, "" })
	if mine == "" {
		http.Redirect(w, r, "/tokens", http.StatusSeeOther)
		return
	}
	// If the browser does not wait for the answer, the only token must not be lost.
	ctx := a.ask(context.WithoutCancel(r.Context()))
	token, err := p.oauth.TokenSource(ctx, &oauth2.Token{RefreshToken: mine}).Token()
	if err == nil && token.Extra("id_token") != nil {
		var id *oidc.IDToken
		if id, err = p.identify(ctx, token, &s); err == nil && id.Subject != s.Subject { // OIDC Core §12.2
			err = errors.New("the new ID token is about somebody else")
		}
	}
	var answered *oauth2.RetrieveError
	switch {
	case err == nil:
		a.sessions.change(s.id, func(kept *session) {
			kept.idToken, kept.refreshToken, kept.Expires = s.idToken, token.RefreshToken, token.Expiry
			kept.Refreshed, kept.notice = kept.Refreshed+1, "refreshed"
		})
		http.Redirect(w, r, "/tokens", http.StatusSeeOther)
	case token == nil && !(errors.As(err, &answered) && answered.ErrorCode == "invalid_grant"):
		a.sessions.change(s.id, func(s *session) { s.refreshToken = mine }) // it may still be good
		a.fail(w, r, err, a.Address+"/tokens")
	default: // the provider ended what this session rests on, or its answer is not valid
		a.sessions.take(s.id)
		a.fail(w, r, &refusal{http.StatusForbidden, "problem.ended", "refresh_refused", "", err}, a.Address+"/tokens")
	}
}
