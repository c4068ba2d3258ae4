// Package web has the pages for people who sign in and for people who are signed in: the first
// link, the invitation, sign-in, a forgotten password or organization, the links in letters,
// home and a user's own account.
package web

import (
	"embed"

	"parvis/internal/federation"
	"parvis/internal/op/ask"
	"parvis/internal/page"
	"parvis/internal/region"
	"parvis/internal/signin"
)

// Templates are the pages of this package, for page.Templates.
//
//go:embed templates/*.html
var Templates embed.FS

// Server answers the requests for these pages.
type Server struct {
	site    *page.Site
	signIn  *signin.Service
	hub     *federation.Hub
	ask     *ask.Pages
	regions *region.Service
}

// account has the pages of somebody who is signed in: home, and the user's own account.
type account struct{ *Server }

// Mount adds the pages to the site. The first word of each line says who may pass.
func Mount(site *page.Site, hub *federation.Hub, pages *ask.Pages, regions *region.Service) {
	s := &Server{site, site.SignIn, hub, pages, regions}
	own := account{s}

	site.Anyone("GET /{$}", s.front)
	site.AnyoneForm("/setup/{token}", foundingFields, s.showSetup, s.setup)
	site.AnyoneForm("/invitation/{token}", invitationFields, s.showInvitation, s.acceptInvitation)
	site.AnyoneForm("/sign-in", signInFields, s.showSignIn, s.proveAnybody)
	site.AnyoneForm("/organization", organizationFields, s.showOrganization, s.findOrganization)
	site.AnyoneForm("/sign-in/{attempt}", attemptFields, s.showAttempt, s.submitAttempt)
	site.Anyone("POST /sign-in/passkey", s.passkeyOptions)
	site.Anyone("GET /help/passkeys", s.helpPasskeys)
	site.AnyoneForm("/forgot-password", forgotPasswordFields, s.showForgotPassword, s.askForPassword)
	site.AnyoneForm("/forgot-organization", forgotOrganizationFields, s.showForgotOrganization, s.askForOrganization)
	site.AnyoneForm("/reset/{token}", newPasswordFields, s.showReset, s.resetPassword)
	site.AnyoneForm("/email/{token}", nil, s.showEmailProof, s.proveEmail)
	site.AnyoneForm("/not-me/{token}", nil, s.showDisown, s.disown)
	site.Anyone("GET /.well-known/change-password", s.findPassword)
	site.AnyoneForm("/o/{org}", signInFields, s.showDoor, s.proveAtDoor)
	site.Anyone("GET /o/{org}/logo/{id}", s.logo)

	site.SignedIn("GET /o/{org}/home", own.home)
	site.SignedIn("GET /o/{org}/picture/{id}", own.picture)
	site.SignedInForm("/o/{org}/account", profileFields, own.showProfile, own.saveProfile)
	site.ProvedForm("/o/{org}/account/email", emailFields, own.showEmail, own.changeEmail)
	site.SignedInForm("/o/{org}/account/password", changePasswordFields, own.showPassword, own.changePassword)
	site.ProvedForm("/o/{org}/account/password/remove", nil, own.showRemovePassword, own.removePassword)
	site.SignedIn("GET /o/{org}/account/security", own.showSecurity)
	site.SignedInForm("/o/{org}/account/security/add", addFields, own.showAdd, own.add)
	site.ProvedForm("/o/{org}/account/security/codes", recoveryCodesFields, own.showRecoveryCodes, own.makeRecoveryCodes)
	site.ProvedForm("/o/{org}/account/security/links", linkFields, own.showSecurity, own.undoLink)
	site.ProvedForm("/o/{org}/account/security/{device}", authenticatorFields, own.showAuthenticator, own.changeAuthenticator)
	site.SignedInForm("/o/{org}/account/picture", pictureFields, own.showProfile, own.savePicture)
	site.ProvedForm("/o/{org}/account/sessions", sessionsFields, own.showSessions, own.endSessions)
	site.SignedIn("GET /o/{org}/account/organizations", own.showOrganizations)
	site.SignedIn("GET /o/{org}/account/activity", own.showActivity)
	site.ProvedForm("/o/{org}/account/export", nil, own.showExport, own.export)
	site.SignedInForm("/o/{org}/account/not-me", nil, own.showNotMe, own.notMe)
	site.SignedInForm("/o/{org}/sign-out", signOutFields, own.showSignOut, own.signOut)
	site.SignedIn("POST /o/{org}/stay", own.stay)
	site.SignedIn("POST /o/{org}/switch", own.switchTo)
	site.SignedInForm("/o/{org}/account/applications", applicationsFields, own.showApplications, own.withdraw)
}
