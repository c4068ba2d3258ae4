// Package company is the sign-in server of a made-up company, as a customer of Parvis runs one:
// an OpenID Provider and a SAML identity provider for three people, without passwords. It is
// written as if by somebody who knows Parvis only from its documentation, imports nothing of
// it, and is useful only in the demo: anybody who reaches it may sign in as any of the people
// it knows.
package company

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Person is somebody who works at the company.
type Person struct {
	Subject string // never changes, and never belongs to anybody else
	Name    string
	Email   string
	Groups  []string
}

// Options are what the company's administrator sets up.
type Options struct {
	Name    string // the company's name, as its pages show it
	Address string // its own origin, such as http://company.localhost:8040
	People  []Person

	// ClientID and ClientSecret belong to the one OpenID Connect client. RedirectURI is where
	// answers are sent, PostLogoutURI where browsers go after signing out.
	ClientID, ClientSecret, RedirectURI, PostLogoutURI string

	// Trusted is the origin whose SAML service providers are accepted, each named by the
	// address of its metadata.
	Trusted string
	Client  *http.Client // fetches that metadata; it needs a time limit
	Log     *slog.Logger // what was refused, and why
}

const (
	sessionLife = 12 * time.Hour
	ticketLife  = time.Minute // from choosing who one is to the answer
	codeLife    = time.Minute
	tokenLife   = 5 * time.Minute
	longestBody = 64 << 10
	mostKept    = 1000 // how much strangers can make it remember
)

// server is a running server. It keeps everything in memory.
type server struct {
	Options
	secure    bool
	sessions  *store[session] // by what the cookie says
	tickets   *store[ticket]
	codes     *store[grant]
	tokens    *store[grant]
	oidc      keys
	protected http.Handler
}

// session is one browser in which somebody said who they are.
type session struct {
	person Person
	since  time.Time
}

// ticket says that somebody chose who they are for the one request at next, which may ask for
// more than the existing session gives.
type ticket struct {
	session session
	next    string
}

// New makes the server. It asks other hosts nothing until a request comes.
func New(o Options) (http.Handler, error) {
	own, err := url.Parse(o.Address)
	if err != nil {
		return nil, err
	}
	if own.Host == "" || own.Path != "" || o.ClientID == "" || o.Trusted == "" || len(o.People) == 0 {
		return nil, fmt.Errorf("a company needs an origin, a client, a service provider and people, not %q, %q, %q and %d", o.Address, o.ClientID, o.Trusted, len(o.People))
	}
	s := &server{
		Options: o, secure: own.Scheme == "https",
		sessions: newStore[session](sessionLife), tickets: newStore[ticket](ticketLife),
		codes: newStore[grant](codeLife), tokens: newStore[grant](tokenLife),
	}
	if s.oidc, err = newKeys(); err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /choose", s.choose)
	mux.HandleFunc("POST /sign-out", s.signOut)
	mux.HandleFunc("GET /company.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "company.css") })
	mux.HandleFunc("GET /.well-known/openid-configuration", s.discovery)
	mux.HandleFunc("GET /keys", s.keySet)
	mux.HandleFunc("GET /authorize", s.authorize)
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("GET /userinfo", s.userInfo)
	mux.HandleFunc("GET /end-session", s.endSession)
	provider := sync.OnceValues(s.samlProvider) // its key takes a while to make
	mux.HandleFunc("GET /saml/metadata", saml(provider, (*samlServer).metadata))
	mux.HandleFunc("GET /saml/sso", saml(provider, (*samlServer).signIn))
	// Another site's page must not choose who somebody is. The token endpoint is called by
	// servers, which send none of the headers that this looks at.
	s.protected = http.NewCrossOriginProtection().Handler(mux)
	return s, nil
}

// ServeHTTP sets the headers that every answer has.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, longestBody)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "same-origin") // the address of an answer contains a code
	w.Header().Set("Cache-Control", "no-store")
	s.protected.ServeHTTP(w, r)
}

// home shows who is signed in, or who may sign in.
func (s *server) home(w http.ResponseWriter, r *http.Request) {
	v := view{Page: "home", Title: "home"}
	if here, ok := s.session(r); ok {
		v.Person = &here.person
	}
	s.render(w, r, http.StatusOK, v)
}

// who returns the person for whom a request of the page at r is answered: the one who chose
// themselves for it, or who is signed in and need not say so again. If there is nobody, it
// answers with the choice.
func (s *server) who(w http.ResponseWriter, r *http.Request, anew bool, hint string) (session, bool) {
	next := *r.URL
	q := next.Query()
	chosen := q.Get("ticket")
	q.Del("ticket")
	next.RawQuery = q.Encode()
	if t, ok := s.tickets.take(chosen); ok && t.next == next.RequestURI() {
		return t.session, true
	}
	if here, ok := s.session(r); ok && !anew {
		return here, true
	}
	s.render(w, r, http.StatusOK, view{Page: "choose", Title: "choose", Next: next.RequestURI(), Hint: hint})
	return session{}, false
}

// choose stores who somebody says they are: no password is asked for.
func (s *server) choose(w http.ResponseWriter, r *http.Request) {
	for _, p := range s.People {
		if p.Subject != r.PostFormValue("person") {
			continue
		}
		here := session{p, now()}
		name := rand.Text()
		s.sessions.add(name, here)
		s.setCookie(w, name, sessionLife)
		next, err := url.Parse(r.PostFormValue("next"))
		if err != nil || next.IsAbs() || next.Host != "" || next.Path != "/authorize" && next.Path != "/saml/sso" {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			return
		}
		q := next.Query()
		next.RawQuery = q.Encode()
		chosen := rand.Text()
		s.tickets.add(chosen, ticket{here, next.RequestURI()})
		q.Set("ticket", chosen)
		next.RawQuery = q.Encode()
		http.Redirect(w, r, next.RequestURI(), http.StatusSeeOther)
		return
	}
	s.refuse(w, r, http.StatusUnprocessableEntity, "nobody", errors.New("nobody was chosen"))
}

func (s *server) signOut(w http.ResponseWriter, r *http.Request) {
	s.forget(w, r)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// forget ends the session of a browser.
func (s *server) forget(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(s.cookieName()); err == nil {
		s.sessions.take(c.Value)
	}
	s.setCookie(w, "", -time.Second)
}

func (s *server) session(r *http.Request) (session, bool) {
	c, err := r.Cookie(s.cookieName())
	if err != nil {
		return session{}, false
	}
	return s.sessions.get(c.Value)
}

func (s *server) cookieName() string {
	if s.secure {
		return "__Host-company"
	}
	return "company"
}

func (s *server) setCookie(w http.ResponseWriter, value string, life time.Duration) {
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(), Value: value, Path: "/", MaxAge: int(life.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: s.secure,
	})
}

func now() time.Time {
	return time.Now() //nolint:forbidigo // This is a program of its own, with its own clock.
}

// store keeps things under names that cannot be guessed, all for the same time.
type store[V any] struct {
	life time.Duration
	mu   sync.Mutex
	kept map[string]entry[V]
}

type entry[V any] struct {
	value V
	until time.Time
}

func newStore[V any](life time.Duration) *store[V] {
	return &store[V]{life: life, kept: map[string]entry[V]{}}
}

// add keeps a thing. If there are too many, an arbitrary other one is dropped and has to begin
// again.
func (s *store[V]) add(name string, value V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for other, e := range s.kept {
		if len(s.kept) >= mostKept || !now().Before(e.until) {
			delete(s.kept, other)
		}
	}
	s.kept[name] = entry[V]{value, now().Add(s.life)}
}

func (s *store[V]) get(name string) (value V, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.kept[name]
	if !ok || !now().Before(e.until) {
		return value, false
	}
	return e.value, true
}

// take returns a thing and forgets it: of two callers, one gets it.
func (s *store[V]) take(name string) (value V, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.kept[name]
	delete(s.kept, name)
	if !ok || !now().Before(e.until) {
		return value, false
	}
	return e.value, true
}
