// Package idptest runs the whole server in one process, on a real database with a clock that is
// moved by hand, with a real mail server that receives its letters and browsers that read its
// pages: journeys without a screen.
package idptest

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"parvis/internal/app"
	"parvis/internal/authenticator"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/mail"
	"parvis/internal/mailbox"
	"parvis/internal/provisioning"
	"parvis/internal/secret"
	"parvis/internal/signin"
)

// Password satisfies the rules of both presets.
const Password = "Seven zebras ride 9 trams!"

// CheapHash makes a password hash cost next to nothing. Tests that measure or
// bound the real cost start a server without it.
var CheapHash = credential.Cost{Memory: 64, Passes: 1, Lanes: 1}

// Server is a running Parvis.
type Server struct {
	*app.App
	DB    *db.DB
	Clock *dbtest.Clock
	Mail  *mailbox.Mailbox
	URL   string // public address: https on loopback, so that cookies are those of production
	Log   *Log
	Keys  secret.Keys

	http  *httptest.Server
	front *front
}

// NoReply is the address that letters come from.
const NoReply = "no-reply@parvis.example"

// Named gives the server a host name in place of its IP address, because passkeys need one: the
// clients of net/http/httptest find every example.com at their own server.
func Named(s *app.Settings) {
	s.Base = &url.URL{Scheme: "https", Host: "example.com"}
}

// Authenticator returns a browser with an authenticator, on the server's own pages.
func (s *Server) Authenticator() *authenticator.Authenticator {
	return authenticator.New(s.URL, s.Site.Base.Hostname())
}

// Start runs a server with a database of its own; each change alters its settings.
func Start(t testing.TB, change ...func(*app.Settings)) *Server {
	t.Helper()
	d, clock := dbtest.Open(t)
	return StartOn(t, d, clock, secret.NewKeys(), change...)
}

// StartOn runs a server on a database that exists: a second node, or a restart.
func StartOn(t testing.TB, d *db.DB, clock *dbtest.Clock, keys secret.Keys, change ...func(*app.Settings)) *Server {
	t.Helper()
	return newFront(t).serve(t, d, clock, keys, change...)
}

// front is an address that is known before the program behind it is built.
type front struct {
	http    *httptest.Server
	handler http.Handler
}

func newFront(t testing.TB) *front {
	f := &front{}
	f.http = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.handler.ServeHTTP(w, r) }))
	f.http.EnableHTTP2 = true
	f.http.StartTLS()
	t.Cleanup(f.http.Close)
	return f
}

func (f *front) serve(t testing.TB, d *db.DB, clock *dbtest.Clock, keys secret.Keys, change ...func(*app.Settings)) *Server {
	t.Helper()
	box, err := mailbox.Start(context.Background(), "127.0.0.1:0", mailbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(box.Close)
	base, err := url.Parse(f.http.URL)
	if err != nil {
		t.Fatal(err)
	}
	log := &Log{}
	settings := app.Settings{
		DB: d, Keys: keys, Base: base, From: NoReply,
		SMTP:      &mail.SMTP{Address: box.Address(), TLS: mail.NoTLS},
		Passwords: credential.Options{Cost: CheapHash},
		Log:       slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&settings)
	}
	a, err := app.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	f.handler = a.Site
	t.Cleanup(func() { judgeEvents(t, d) })
	return &Server{App: a, DB: d, Clock: clock, Mail: box, URL: settings.Base.String(), Log: log, Keys: keys, http: f.http, front: f}
}

// Log keeps what the server logged.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Update changes the database by hand.
func (s *Server) Update(t testing.TB, fn func(ctx context.Context, tx *db.Tx) error) {
	t.Helper()
	if err := s.DB.Update(t.Context(), func(tx *db.Tx) error { return fn(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

// Organization makes an organization as the operator does, and leaves the second step to each
// of its people: tests that need one required call SecondStep.
func (s *Server) Organization(t testing.TB, name, shortName string) directory.Organization {
	t.Helper()
	var o directory.Organization
	s.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		o, err = directory.CreateOrganization(ctx, tx, directory.Operator(), directory.NewOrganization{
			DisplayName: name, ShortName: shortName, Language: "en",
		})
		if err != nil {
			return err
		}
		return signin.SetSecondStepRules(ctx, tx, directory.Operator(), o.ID, signin.SecondStepRules{Tolerance: 1, Passwordless: true})
	})
	return o
}

// SecondStep sets who needs a second step in an organization.
func (s *Server) SecondStep(t testing.TB, org directory.Organization, rules signin.SecondStepRules) {
	t.Helper()
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return signin.SetSecondStepRules(ctx, tx, directory.Operator(), org.ID, rules)
	})
}

// Invite invites an address as the operator does and returns the path of the
// link in the letter that arrived.
func (s *Server) Invite(t testing.TB, org directory.Organization, email, name string, role directory.Role) string {
	t.Helper()
	before := len(s.lettersTo(email))
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := s.Invitations.Send(ctx, tx, directory.Operator(), org, directory.NewInvitation{
			Email: email, Name: name, Role: role, Language: "en",
		})
		return err
	})
	return s.LinkTo(t, email, before)
}

// LinkTo sweeps and returns the path of the invitation link in the newest letter to an address,
// of which there must be more than before.
func (s *Server) LinkTo(t testing.TB, email string, before int) string {
	t.Helper()
	if err := s.Outbox.Sweep(t.Context(), s.DB); err != nil {
		t.Fatal(err)
	}
	letters := s.lettersTo(email)
	if len(letters) <= before {
		t.Fatalf("no letter to %s arrived", email)
	}
	path := s.linkIn(letters[:len(letters)-before], "/invitation/")
	if path == "" {
		t.Fatalf("no invitation link of %s in the letters to %s", s.URL, email)
	}
	return path
}

// linkIn returns the path of the first link in letters that begins with prefix; empty if none does.
func (s *Server) linkIn(letters []mailbox.Received, prefix string) string {
	for _, l := range letters {
		for _, link := range l.Links {
			if path, ok := strings.CutPrefix(link, s.URL); ok && strings.HasPrefix(path, prefix) {
				return path
			}
		}
	}
	return ""
}

// Link sweeps and returns the path of the newest link in a letter to an address that begins
// with prefix, such as /reset/.
func (s *Server) Link(t testing.TB, email, prefix string) string {
	t.Helper()
	path := s.linkIn(s.LettersTo(t, email), prefix)
	if path == "" {
		t.Fatalf("no link %s… of %s in a letter to %s", prefix, s.URL, email)
	}
	return path
}

// NotMe sweeps and returns the path of the link 'this was not me' in the letter to an address that
// says a text. Letters of one moment leave in any order, so the newest may be about something else.
func (s *Server) NotMe(t testing.TB, email, says string) string {
	t.Helper()
	letters := slices.DeleteFunc(s.LettersTo(t, email), func(l mailbox.Received) bool { return !strings.Contains(l.Subject+l.Text, says) })
	path := s.linkIn(letters, "/not-me/")
	if path == "" {
		t.Fatalf("no letter to %s says %q and has the link", email, says)
	}
	return path
}

// LettersTo sweeps and returns the letters that an address got, newest first.
func (s *Server) LettersTo(t testing.TB, email string) []mailbox.Received {
	t.Helper()
	if err := s.Resets.Sweep(t.Context(), s.DB); err != nil {
		t.Fatal(err)
	}
	if err := s.Outbox.Sweep(t.Context(), s.DB); err != nil {
		t.Fatal(err)
	}
	return s.lettersTo(email)
}

func (s *Server) lettersTo(email string) []mailbox.Received {
	var all []mailbox.Received
	for _, l := range s.Mail.Letters() {
		if l.To == email {
			all = append(all, l)
		}
	}
	return all
}

// Directory returns the customer's directory that provisions people of an organization, as the one who
// acts: the first one, which is made where there is none, is on, and invites people.
func (s *Server) Directory(t testing.TB, org directory.Organization) directory.Actor {
	t.Helper()
	var source provisioning.Source
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		all, err := provisioning.Sources(ctx, tx, directory.Operator(), org.ID)
		if err == nil && len(all) > 0 {
			source = all[0]
			return nil
		}
		if err == nil {
			source, err = s.Sources.Create(ctx, tx, directory.Operator(), org.ID, provisioning.Settings{Name: "Staff list", Provider: "entra", Invites: true}, true)
		}
		if err == nil {
			err = s.Sources.Turn(ctx, tx, directory.Operator(), org.ID, source.ID, provisioning.On)
		}
		return err
	})
	return source.Actor()
}

// Provision makes a person whom the directory of the organization names, and who has no way in.
func (s *Server) Provision(t testing.TB, org directory.Organization, email, name string) directory.User {
	t.Helper()
	actor := s.Directory(t, org)
	var u directory.User
	s.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		u, err = directory.Provision(ctx, tx, actor, directory.User{OrgID: org.ID, Email: email, Name: name, Language: org.Language})
		return err
	})
	return u
}

// Join invites a person, accepts in a browser of its own and returns that browser on the home
// page.
func (s *Server) Join(t testing.TB, org directory.Organization, email, name string, role directory.Role) *Browser {
	t.Helper()
	b := s.Browser(t)
	p := b.Get(s.Invite(t, org, email, name, role)).Form("main").
		Fill("name", name).Fill("password", Password).Fill("repetition", Password).Submit("")
	if !strings.HasSuffix(p.URL.Path, "/home") {
		t.Fatalf("%s did not arrive at home but at %s (%d): %s", email, p.URL.Path, p.Status, p.Text())
	}
	return b
}
