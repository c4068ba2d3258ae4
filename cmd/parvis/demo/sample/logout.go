package sample

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// longestLogout is how long a logout token may live, and so how long its jti is remembered.
const longestLogout = 15 * time.Minute

// signOut ends the session here and leads to the provider, so that the session ends there and
// in the person's other applications too (OIDC RP-Initiated Logout §2).
func (a *application) signOut(w http.ResponseWriter, r *http.Request) {
	s, ok := a.session(r)
	a.sessions.take(s.id)
	a.setCookie(w, "session", "", -time.Second)
	p, err := a.discover(r.Context())
	if !ok || err != nil || p.EndSession == "" {
		http.Redirect(w, r, "/signed-out", http.StatusSeeOther)
		return
	}
	q := url.Values{
		"id_token_hint": {s.idToken}, "client_id": {a.ClientID},
		"post_logout_redirect_uri": {a.Address + "/signed-out"}, "state": {a.leave(w, flow{back: "/signed-out"})},
	}
	http.Redirect(w, r, p.EndSession+"?"+q.Encode(), http.StatusSeeOther)
}

// showSignedOut says that the person was signed out at the provider too, only if the provider
// sent them back.
func (a *application) showSignedOut(w http.ResponseWriter, r *http.Request) {
	if _, ok := a.session(r); ok {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	v := view{Page: "signed-out", Title: "signed_out", Notice: "left_here"}
	if _, ok := a.returned(w, r); ok {
		v.Notice = "left_both"
	}
	a.render(w, r, http.StatusOK, v)
}

// backChannelLogout is called by the provider, without a browser, to say whose session ended.
func (a *application) backChannelLogout(w http.ResponseWriter, r *http.Request) {
	p, err := a.discover(r.Context())
	if err != nil {
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	sub, sid, err := a.judgeLogout(a.ask(r.Context()), p, r.PostFormValue("logout_token"))
	if err != nil {
		a.Log.WarnContext(r.Context(), "logout token refused", "error", err.Error())
		w.Header().Set("Content-Type", "application/json") // OIDC Back-Channel Logout §2.8
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":"invalid_request","error_description":"the logout token does not hold"}`) //nolint:errcheck // The reader has gone.
		return
	}
	// Without sid it means every session of the person.
	a.sessions.drop(func(s session) bool { return (sub == "" || s.Subject == sub) && (sid == "" || s.SID == sid) })
}

// judgeLogout returns whom a logout token is about (OIDC Back-Channel Logout §2.6). The library
// checks signature, issuer, audience, end and nonce, and that it has a jti and a sub or a sid.
func (a *application) judgeLogout(ctx context.Context, p *provider, raw string) (sub, sid string, err error) {
	token, err := p.verifier.VerifyLogout(ctx, raw)
	if err != nil {
		return "", "", err
	}
	var header struct {
		Type string `json:"typ"`
	}
	var more struct {
		Events map[string]map[string]any `json:"events"`
	}
	first, _, _ := strings.Cut(raw, ".")
	text, err := base64.RawURLEncoding.DecodeString(first)
	switch err := errors.Join(err, json.Unmarshal(text, &header), token.Claims(&more)); {
	case err != nil:
		return "", "", err
	case more.Events["http://schemas.openid.net/event/backchannel-logout"] == nil:
		return "", "", errors.New("its event is no object")
	case strings.TrimPrefix(strings.ToLower(header.Type), "application/") != "logout+jwt": // none of the provider's other tokens may be taken for one (RFC 8725 §3.11)
		return "", "", errors.New("it is of another type")
	case token.IssuedAt.After(now().Add(time.Minute)) || token.Expiry.After(token.IssuedAt.Add(longestLogout)):
		return "", "", errors.New("it was made later than now, or lives too long")
	case !a.logouts.add(token.TokenID, struct{}{}):
		return "", "", errors.New("it was used before")
	}
	return token.Subject, token.SessionID, nil
}

// frontChannelLogout is loaded in a frame of the provider's page. Browsers send it no cookie
// there, so sid says which session ended (OIDC Front-Channel Logout §2).
func (a *application) frontChannelLogout(w http.ResponseWriter, r *http.Request) {
	a.setPolicy(w, a.origin)
	q := r.URL.Query()
	sid := q.Get("sid")
	if q.Get("iss") != a.Issuer || sid == "" {
		http.Error(w, http.StatusText(http.StatusBadRequest), http.StatusBadRequest)
		return
	}
	a.sessions.drop(func(s session) bool { return s.SID == sid })
}
