// Package page is the kit that every page of ours is made with: who may pass, handlers that may
// fail, the form reader, rendering, assets and the headers around them. It knows no page except
// the one that says what went wrong.
//
// A handler takes a *Visitor or, where somebody must be signed in, a *Viewer; one that needs a
// user cannot be mounted where anyone may come, because that does not compile.
package page

import (
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"

	"parvis/internal/administration"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// Links are the operator's own pages in the footer; an empty one is not shown.
type Links struct{ Help, Privacy, Status string }

// Settings are what a site is made from.
type Settings struct {
	DB             *db.DB
	Sessions       *session.Door
	SignIn         *signin.Service
	Administration *administration.Service
	Catalogue      *i18n.Catalogue
	Base           *url.URL // the configured public address; nothing is built from a request's host
	Links          Links
	Regions        Regions
	NoReply        string         // the address that letters come from
	Proxies        []netip.Prefix // peers whose X-Forwarded-* headers are trusted
	Warnings       []string       // catalogue keys of what administrators should know about this installation
	Log            *slog.Logger
}

// Site is what all pages share.
type Site struct {
	Settings

	templates *template.Template
	assets    map[string]asset
	names     map[string]string // asset as named in templates → path with its hash
	mux       *http.ServeMux
	routes    []Route
	foreign   map[string]bool // patterns that other sites may post to
	reported  atomic.Int64    // the second in which the last policy report was logged
	packers   sync.Pool       // of gzip writers, each of which is large
	seen      seenSources
	drawing   chan struct{} // holds one place, for the request that draws a picture
}

// seenSources remembers which forwarding headers were seen, for the log.
type seenSources struct {
	ignored    atomic.Bool
	unreadable atomic.Int64 // requests
	minute     atomic.Int64 // of the last line about them
}

// Route is one line of the route table, for the inventory test and for readers.
type Route struct{ Pattern, Access string }

// New builds a site from its settings and the templates of its surfaces, each a file system
// with *.html at its root.
func New(settings Settings, surfaces ...fs.FS) (*Site, error) {
	var err error
	s := &Site{Settings: settings, mux: http.NewServeMux(), drawing: make(chan struct{}, 1), foreign: map[string]bool{}}
	if s.assets, s.names, err = loadAssets(); err != nil {
		return nil, err
	}
	s.templates = template.New("").Option("missingkey=error")
	for _, files := range append([]fs.FS{templateFiles()}, surfaces...) {
		if s.templates, err = s.templates.ParseFS(files, "*.html"); err != nil {
			return nil, fmt.Errorf("parsing templates: %w", err)
		}
	}
	s.handle("GET /assets/{name}", "anyone", http.HandlerFunc(s.serveAsset))
	s.handle("POST /csp-report", "anyone", http.HandlerFunc(s.cspReport))
	s.Protocol("/", func(*Visitor) error { return errNoPage })
	s.Anyone("POST /language", func(v *Visitor) error { return v.chooseLanguageAndReturn() })
	s.SignedIn("POST /o/{org}/language", func(v *Viewer) error { return v.chooseLanguageAndReturn() })
	return s, nil
}

// Routes lists what is mounted, in the order of mounting.
func (s *Site) Routes() []Route { return s.routes }

func (s *Site) handle(pattern, access string, h http.Handler) {
	s.routes = append(s.routes, Route{pattern, access})
	s.mux.Handle(pattern, h)
}

// secure reports whether cookies carry Secure and the __Host- prefix. Only a public address
// that is plain http on loopback goes without, because Safari refuses them there.
func (s *Site) secure() bool { return s.Base.Scheme == "https" }

var errNoPage = errors.New("no page here")

// ErrQuery answers an address that no page of ours links to: an unknown filter, or something
// that is no place in a list.
var ErrQuery = fault.New(fault.Malformed, "page.query_malformed")
