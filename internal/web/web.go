// Package web has the pages for people who sign in and for people who are signed in: the first
// link, the invitation, sign-in, a forgotten password or organization, the links in letters,
// home and a user's own account.
package web

import (
	"embed"
	"io/fs"

	"parvis/internal/federation"
	"parvis/internal/op/ask"
	"parvis/internal/page"
	"parvis/internal/signin"
)

//go:embed templates/*.html
var templates embed.FS

// Templates returns the pages of this package, for page.New.
func Templates() fs.FS {
	files, err := fs.Sub(templates, "templates")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return files
}

// Server answers the requests for these pages.
type Server struct {
	site   *page.Site
	signIn *signin.Service
	hub    *federation.Hub
	ask    *ask.Pages
}

// Mount adds the pages to the site. The first word of each line says who may pass.
func Mount(site *page.Site, hub *federation.Hub, pages *ask.Pages) {
	s := &Server{site, site.SignIn, hub, pages}

	site.Anyone("GET /{$}", s.front)
	site.AnyoneForm("/setup/{token}", foundingFields, s.showSetup, s.setup)
	site.AnyoneForm("/invitation/{token}", invitationFields, s.showInvitation, s.acceptInvitation)
	site.AnyoneForm("/sign-in", signInFields, s.showSignIn, s.proveIn)
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

	site.SignedIn("GET /o/{org}/home", s.home)
	site.SignedIn("GET /o/{org}/picture/{id}", s.picture)
	site.SignedInForm("/o/{org}/account", profileFields, s.showProfile, s.saveProfile)
	site.ProvedForm("/o/{org}/account/email", emailFields, s.showEmail, s.changeEmail)
	site.SignedInForm("/o/{org}/account/password", changePasswordFields, s.showPassword, s.changePassword)
	site.ProvedForm("/o/{org}/account/password/remove", nil, s.showRemovePassword, s.removePassword)
	site.SignedIn("GET /o/{org}/account/security", s.showSecurity)
	site.SignedInForm("/o/{org}/account/security/add", addFields, s.showAdd, s.add)
	site.ProvedForm("/o/{org}/account/security/codes", recoveryCodesFields, s.showRecoveryCodes, s.makeRecoveryCodes)
	site.ProvedForm("/o/{org}/account/security/links", linkFields, s.showSecurity, s.undoLink)
	site.ProvedForm("/o/{org}/account/security/{device}", deviceFields, s.showDevice, s.changeDevice)
	site.SignedInForm("/o/{org}/account/picture", pictureFields, s.showProfile, s.savePicture)
	site.ProvedForm("/o/{org}/account/sessions", sessionsFields, s.showSessions, s.endSessions)
	site.SignedIn("GET /o/{org}/account/organizations", s.showOrganizations)
	site.SignedIn("GET /o/{org}/account/activity", s.showActivity)
	site.SignedInForm("/o/{org}/account/not-me", nil, s.showNotMe, s.notMe)
	site.SignedInForm("/o/{org}/sign-out", signOutFields, s.showSignOut, s.signOut)
	site.SignedIn("POST /o/{org}/stay", s.stay)
	site.SignedIn("POST /o/{org}/switch", s.switchTo)
	site.SignedInForm("/o/{org}/account/applications", applicationsFields, s.showApplications, s.withdraw)
}
