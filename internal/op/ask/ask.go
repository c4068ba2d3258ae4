// Package ask serves the pages of the OpenID Provider that a person's browser visits. The
// browser comes from an application, is led to sign in, to choose and to agree, and returns
// with an answer; it also opens applications from tiles, lets devices in, and signs out.
// Package op checks and stores requests and issues codes; application.Decide says what comes
// next.
//
//	/authorize ── Decide ─┬─ sign-in, then /authorize/resume ── Decide again
//	                      ├─ /authorize/choose, /authorize/consent ── resume
//	                      ├─ a page: the application is not for this person
//	                      └─ back to the application: with a code or an error
//	/device               the person types a device's code, then allows or denies it
//	/end-session          signs out, by /end-session/confirm if it is unclear who
//	/o/ORG/open/CLIENT    from a tile to its application
package ask

import (
	"embed"

	"parvis/internal/op"
	"parvis/internal/page"
	"parvis/internal/session"
)

// Pages are the pages of the Provider.
type Pages struct {
	*op.Provider
	signOutThere SignOut
}

// SignOut signs a person out at the identity provider that vouched for a session that has
// ended here, and leads from there to the address then, if it is not empty. It reports whether
// it answered the request. It is a function because protocols may not import each other.
type SignOut func(v *page.Visitor, ended session.Session, then string) (bool, error)

// Templates are the pages of this package, for page.Templates.
//
//go:embed templates/*.html
var Templates embed.FS

// The paths of our own pages.
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
