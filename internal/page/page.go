// Package page is the kit from which every page of ours is made: who may pass, handlers that may
// fail, the form reader, rendering, assets and the headers around them. It has no pages of its own
// except for errors and for leading to another site.
//
// A handler takes a *Visitor or, where somebody must be signed in, a *Viewer; one that needs a
// user cannot be mounted where anyone may come, because that does not compile.
package page

import (
	"net/http"
	"sync"

	"parvis/internal/administration"
	"parvis/internal/edge"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// Links are the operator's own pages in the footer; an empty one is not shown.
type Links struct{ Help, Privacy, Status string }

// Settings are what a site is made from.
type Settings struct {
	*edge.Edge
	Sessions       *session.Door
	SignIn         *signin.Service
	Administration *administration.Service
	Catalogue      *i18n.Catalogue
	Links          Links
	Regions        Regions
	NoReply        string     // the address that letters come from
	Places         secret.Box // seals where pages of lists begin
	Warnings       []string   // catalogue keys of what administrators should know about this installation
}

// Site is what all pages share.
type Site struct {
	Settings

	templates *Spoken
	assets    assets
	packers   sync.Pool     // of gzip writers, each of which is large
	drawing   chan struct{} // holds one place, for the request that draws a picture
}

// New builds a site from its settings and its templates.
func New(settings Settings, templates *Spoken) (*Site, error) {
	var err error
	s := &Site{drawing: make(chan struct{}, 1), Settings: settings, templates: templates}
	s.Fail = func(w http.ResponseWriter, r *http.Request, err error) { s.visitor(w, r).fail(err) }
	if s.assets, err = loadAssets(); err != nil {
		return nil, err
	}
	s.Handle("GET /assets/{name}", "anyone", http.HandlerFunc(s.serveAsset))
	s.Protocol("/", func(*Visitor) error { return errNoPage })
	s.Anyone("POST /language", func(v *Visitor) error { return v.chooseLanguageAndReturn() })
	s.SignedIn("POST /o/{org}/language", func(v *Viewer) error { return v.chooseLanguageAndReturn() })
	return s, nil
}

var errNoPage = fault.New(fault.NotFound, "page.not_found")

// ErrQuery answers an address that none of our pages links to: with an unknown filter, or a text
// that is not a place in a list.
var ErrQuery = fault.New(fault.Malformed, "page.query_malformed")
