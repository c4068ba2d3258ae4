// Package staff is the staff directory of a made-up company, as a customer of Parvis has one: a
// page of people with switches, which tells Parvis by SCIM who works there. It is written as if by
// somebody who knows Parvis only from its documentation, imports nothing of it, and is useful
// only in the demo: anybody who reaches it may hire and let go.
package staff

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// Person is somebody whom the company knows.
type Person struct {
	ID                string // never changes, and never belongs to anybody else
	Given, Family     string
	Email, Department string
}

// Name returns the whole name.
func (p Person) Name() string { return p.Given + " " + p.Family }

// Options are what the company's administrator sets up.
type Options struct {
	Company     string // its name, as the page shows it
	Address     string // the page's own origin, such as http://directory.localhost:8050
	People      []Person
	Departments []string // each is a group

	SCIM  string // the address of the source, as Parvis shows it
	Token string // the source's token; it is kept here and nowhere else
	Guide string // where Parvis shows what came of the calls

	Client *http.Client // calls Parvis; it needs a time limit
	Log    *slog.Logger
}

const (
	longestBody = 64 << 10
	longestName = 60
	mostDeeds   = 12 // how many are shown
)

// server is a running directory. It keeps everything in memory.
type server struct {
	Options
	host      string
	protected http.Handler

	mu     sync.Mutex // one deed at a time, with its calls
	people []*employee
	groups map[string]string // ids that Parvis gave, by department
	okta   bool
	deeds  []deed // the newest first
}

// employee is a person with what Parvis knows about them.
type employee struct {
	Person
	Hired  bool
	Left   bool // was hired before
	Behind bool // Parvis has not taken what is true here

	remote string // the id that Parvis gave; empty if there is none
	told   told
}

// told is what Parvis has taken of a person.
type told struct {
	given, family string
	active        bool
	department    string
}

// deed is what was done on the page, and what followed.
type deed struct {
	What   string // a word
	Name   string
	Calls  []call
	Behind bool
}

// New makes the directory. It calls nobody until somebody is hired.
func New(o Options) (http.Handler, error) {
	own, err := url.Parse(o.Address)
	if err != nil {
		return nil, err
	}
	if own.Host == "" || own.Path != "" || o.SCIM == "" || o.Token == "" || len(o.People) == 0 || len(o.Departments) == 0 {
		return nil, fmt.Errorf("a directory needs an origin, a source with a token, people and departments, not %q, %q, %d and %d", o.Address, o.SCIM, len(o.People), len(o.Departments))
	}
	client := *o.Client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the token goes nowhere else
	o.Client = &client
	s := &server{Options: o, host: own.Host, groups: map[string]string{}}
	for _, p := range o.People {
		s.people = append(s.people, &employee{Person: p})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("POST /switch", s.hireOrLetGo)
	mux.HandleFunc("POST /change", s.change)
	mux.HandleFunc("POST /send", s.sendAgain)
	mux.HandleFunc("POST /habits", s.habits)
	mux.HandleFunc("GET /staff.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "staff.css") })
	// Another site's page must not hire anybody.
	s.protected = http.NewCrossOriginProtection().Handler(mux)
	return s, nil
}

// ServeHTTP answers under one name only, so that a page elsewhere whose name was made to point to
// this machine can do nothing, and sets the headers that every answer has.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Host == s.host:
	case r.Method == http.MethodGet:
		http.Redirect(w, r, s.Address, http.StatusTemporaryRedirect)
		return
	default:
		http.Error(w, http.StatusText(http.StatusMisdirectedRequest), http.StatusMisdirectedRequest)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, longestBody)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "same-origin")
	w.Header().Set("Cache-Control", "no-store")
	s.protected.ServeHTTP(w, r)
}

func (s *server) home(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.render(w, r, http.StatusOK, view{})
}

// hireOrLetGo turns somebody's switch. The form says to which side, so that a form sent twice does
// the same as one sent once.
func (s *server) hireOrLetGo(w http.ResponseWriter, r *http.Request) {
	s.do(w, r, func(p *employee) string {
		to := r.PostFormValue("hired") == "true"
		if to == p.Hired {
			return ""
		}
		what := "let_go"
		if to && p.Left {
			what = "hire_again"
		} else if to {
			what = "hire"
		}
		p.Hired, p.Left = to, !to
		return what
	})
}

// sendAgain sends what Parvis did not take.
func (s *server) sendAgain(w http.ResponseWriter, r *http.Request) {
	s.do(w, r, func(p *employee) string {
		if !p.Behind {
			return ""
		}
		return "send_again"
	})
}

// do does something to the person whom a form names, and lets Parvis follow. A deed that changes
// nothing has no name.
func (s *server) do(w http.ResponseWriter, r *http.Request, do func(*employee) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.person(w, r)
	if p == nil {
		return
	}
	if what := do(p); what != "" {
		s.follow(r, p, what)
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// person returns whom a form names, or answers that it names nobody.
func (s *server) person(w http.ResponseWriter, r *http.Request) *employee {
	for _, p := range s.people {
		if p.ID == r.PostFormValue("person") {
			return p
		}
	}
	s.refuse(w, r, view{Problem: "nobody"}, errors.New("nobody was chosen"))
	return nil
}

// follow tells Parvis what is true of a person now.
func (s *server) follow(r *http.Request, p *employee, what string) {
	t := &talk{server: s, ctx: r.Context(), language: languageOf(r)}
	p.Behind = !t.follow(p)
	s.deeds = slices.Insert(s.deeds, 0, deed{what, p.Name(), t.calls, p.Behind})
	s.deeds = s.deeds[:min(len(s.deeds), mostDeeds)]
}

// change renames somebody, or moves them to another department.
func (s *server) change(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.person(w, r)
	if p == nil {
		return
	}
	typed := p.Person
	typed.Given, typed.Family = strings.TrimSpace(r.PostFormValue("given")), strings.TrimSpace(r.PostFormValue("family"))
	typed.Department = r.PostFormValue("department")
	v := view{Typed: &typed}
	switch {
	case wrongName(typed.Given):
		v.Problem, v.Field = "given_wrong", "given"
	case wrongName(typed.Family):
		v.Problem, v.Field = "family_wrong", "family"
	case !slices.Contains(s.Departments, typed.Department):
		v.Problem, v.Field = "department_wrong", "department"
	}
	if v.Problem != "" {
		s.refuse(w, r, v, errors.New("a field was wrong: "+v.Field))
		return
	}
	what, moved := "", typed.Department != p.Department
	switch renamed := typed.Name() != p.Name() || typed.Given != p.Given; {
	case renamed && moved:
		what = "rename_and_move"
	case renamed:
		what = "rename"
	case moved:
		what = "move"
	}
	if p.Person = typed; what != "" {
		s.follow(r, p, what)
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func wrongName(name string) bool {
	return name == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > longestName
}

// habits chooses whose way of calling is followed from now on.
func (s *server) habits(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.okta = r.PostFormValue("okta") == "true"
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
