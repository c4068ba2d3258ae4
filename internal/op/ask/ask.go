// Package ask is what a person's browser meets of the OpenID Provider: it comes from an
// application, is led to sign in, to choose, to agree, and back with an answer; it opens
// applications from tiles, lets devices in, and signs out. What is asked and issued is kept
// and judged by package op; application.Decide says what comes next.
//
//	/authorize ── Decide ─┬─ sign-in, then /authorize/resume ── Decide again
//	                      ├─ /authorize/choose, /authorize/consent ── resume
//	                      ├─ a page: the application is not for this person
//	                      └─ back to the application: a code, or why there is none
//	/device               a code that a device shows, then who lets it in
//	/end-session          signs out, by /end-session/confirm where it is unclear who
//	/o/ORG/open/CLIENT    from a tile to its application
package ask

import (
	"embed"

	"parvis/internal/op"
	"parvis/internal/page"
	"parvis/internal/session"
)

// Pages are those of the Provider.
type Pages struct {
	*op.Provider
	signOutThere SignOut
}

// SignOut goes on, after a session ended here, to the identity provider that had vouched
// for it and from there to an address, where one is wanted; it reports whether it answered.
// Protocols do not know each other.
type SignOut func(v *page.Visitor, ended session.Session, then string) (bool, error)

// Templates are the pages of this package, for page.Templates.
//
//go:embed templates/*.html
var Templates embed.FS

// Where browsers come back to.
const (
	resumePath  = op.AuthorizePath + "/resume"
	consentPath = op.AuthorizePath + "/consent"
	choosePath  = op.AuthorizePath + "/choose"
	confirmPath = op.EndSessionPath + "/confirm"
)

// Mount adds the addresses to which applications send browsers.
func Mount(site *page.Site, provider *op.Provider, signOut SignOut) *Pages {
	p := &Pages{provider, signOut}
	site.Protocol("GET "+op.AuthorizePath, p.authorize)
	site.CrossSite("POST "+op.AuthorizePath, p.postAuthorize)
	site.Anyone("GET "+resumePath, p.resume)
	site.AnyoneForm(consentPath, consentFields, p.showConsent, p.answerConsent)
	site.AnyoneForm(choosePath, chooseFields, p.showChoice, p.answerChoice)
	site.AnyoneForm(op.DevicePath, deviceFields, p.showDevice, p.answerDevice)
	site.Protocol("GET "+op.EndSessionPath, p.endSession)
	site.CrossSite("POST "+op.EndSessionPath, p.postEndSession)
	site.AnyoneForm(confirmPath, confirmFields, p.showConfirm, p.confirm)

	site.SignedIn("GET /o/{org}/open/{client}", p.open)
	site.SignedIn("POST /o/{org}/open/{client}", p.switchAndOpen)
	site.SignedIn("GET /o/{org}/application/{client}/logo/{version}", p.showLogo)
	return p
}
