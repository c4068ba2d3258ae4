// Package sample is a small application whose people sign in at an OpenID Provider. It is
// written as if by somebody who knows that provider only from its documentation: it imports
// nothing of Parvis, and may be copied. The demo runs it twice, as Collaborate / Communicate
// and as Architect.
package sample

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"
)

// Options are what an application is told when it is set up.
type Options struct {
	Kind         string // names its look and its cookies, such as architect
	Name         string // as its pages show it
	Address      string // its own origin, such as http://architect.localhost:8083
	Issuer       string // the provider
	ClientID     string
	ClientSecret string
	Scopes       []string     // requested in addition to openid, profile and email
	Client       *http.Client // asks the provider; it needs a time limit
	Log          *slog.Logger // what was refused, and why
}

const (
	flowLife    = 10 * time.Minute // from leaving for the provider to coming back
	sessionLife = 12 * time.Hour   // nobody notices if the provider's is longer
	longestBody = 64 << 10
)

// application is a running application. It keeps everything in memory: after a restart people
// are led to the provider and back.
type application struct {
	Options
	origin    string // of the provider
	secure    bool
	provider  atomic.Pointer[provider]
	flows     *store[flow]     // by state
	sessions  *store[session]  // by what the cookie says
	logouts   *store[struct{}] // logout tokens that were received, by jti
	protected http.Handler
}

type place struct{ Path, Word string }

// places are made up, so that there are addresses to open directly.
var places = []place{{"/", "home"}, {"/documents/7", "document"}, {"/boards/plan", "board"}, {"/calendar", "calendar"}}

// New makes an application. It asks its provider nothing until a request comes.
func New(o Options) (http.Handler, error) {
	issuer, err1 := url.Parse(o.Issuer)
	own, err2 := url.Parse(o.Address)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if o.ClientID == "" || issuer.Host == "" || own.Host == "" || own.Path != "" {
		return nil, fmt.Errorf("an application needs a client id, an issuer and an origin, not %q, %q and %q", o.ClientID, o.Issuer, o.Address)
	}
	a := &application{
		Options: o, origin: issuer.Scheme + "://" + issuer.Host, secure: own.Scheme == "https",
		flows: newStore[flow](flowLife), sessions: newStore[session](sessionLife), logouts: newStore[struct{}](longestLogout),
	}
	mux := http.NewServeMux()
	for _, p := range places {
		pattern := "GET " + p.Path
		if p.Path == "/" {
			pattern += "{$}"
		}
		mux.HandleFunc(pattern, a.page("place", p.Word))
	}
	mux.HandleFunc("GET /tokens", a.page("tokens", "tokens"))
	mux.HandleFunc("POST /tokens", a.signedIn(a.refresh))
	mux.HandleFunc("GET /check", a.check)
	mux.HandleFunc("/login", a.login)
	mux.HandleFunc("GET /callback", a.callback)
	mux.HandleFunc("POST /sign-out", a.signOut)
	mux.HandleFunc("GET /signed-out", a.showSignedOut)
	mux.HandleFunc("POST /backchannel-logout", a.backChannelLogout)
	mux.HandleFunc("GET /frontchannel-logout", a.frontChannelLogout)
	mux.Handle("GET /sample.css", http.FileServerFS(files))
	protection := http.NewCrossOriginProtection()
	// Others send people there, also by POST (OIDC Registration §2, initiate_login_uri).
	protection.AddInsecureBypassPattern("POST /login")
	a.protected = protection.Handler(mux)
	return a, nil
}

// ServeHTTP sets the headers that every answer has.
func (a *application) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, longestBody)
	a.setPolicy(w, "'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "same-origin") // the callback's address contains a code
	w.Header().Set("Cache-Control", "no-store")
	a.protected.ServeHTTP(w, r)
}

// setPolicy lets forms lead to the provider, where signing out leads: browsers also apply
// form-action to where a form is redirected.
func (a *application) setPolicy(w http.ResponseWriter, ancestors string) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'self' "+
		a.origin+"; frame-ancestors "+ancestors)
}

// signedIn serves people who have a session, and leads all others to the provider and back to
// the same page.
func (a *application) signedIn(serve func(http.ResponseWriter, *http.Request, session)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s, ok := a.session(r); ok {
			serve(w, r, s)
			return
		}
		a.begin(w, r, a.Address+r.URL.RequestURI(), nil)
	}
}

func (a *application) page(name, title string) http.HandlerFunc {
	return a.signedIn(func(w http.ResponseWriter, r *http.Request, s session) {
		v := view{Page: name, Title: title, Session: &s, Notice: s.notice}
		if s.notice != "" {
			a.sessions.change(s.id, func(s *session) { s.notice = "" })
		}
		a.render(w, r, http.StatusOK, v)
	})
}

func (a *application) session(r *http.Request) (session, bool) {
	c, err := r.Cookie(a.cookieName("session"))
	if err != nil {
		return session{}, false
	}
	return a.sessions.get(c.Value)
}

// cookieName contains the application's kind, because cookies are sent to every port of a host,
// and with https the prefix that keeps other hosts of the domain from setting it.
func (a *application) cookieName(name string) string {
	if a.secure {
		return "__Host-" + a.Kind + "_" + name
	}
	return a.Kind + "_" + name
}

// setCookie sets a cookie, until the browser closes if life is 0, and removes it if life is
// negative.
func (a *application) setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: a.cookieName(name), Value: value, Path: "/", MaxAge: int(life.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: a.secure,
	})
}
