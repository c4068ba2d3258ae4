// Package console has the pages of the administration: people, their groups and their
// invitations, the rules of sign-in, domains, applications, the organization, and the audit
// log.
//
// Every handler asks only for rows of the viewer's own organization, which the session names
// and a request cannot change. The directory's functions decide who may change whom; a page
// only leaves out the buttons that they would refuse.
package console

import (
	"embed"
	"sync"

	"parvis/internal/administration/sheet"
	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/federation"
	"parvis/internal/op"
	"parvis/internal/page"
	"parvis/internal/provisioning"
	"parvis/internal/region"
	"parvis/internal/webhook"
)

// Templates are the pages of this package, for page.Templates.
//
//go:embed templates/*.html
var Templates embed.FS

// Parts are what the pages are made from.
type Parts struct {
	Invitations *directory.Invitations
	Domains     *domain.Prover
	Resets      *credential.Resets
	Hub         *federation.Hub
	Provider    *op.Provider
	Sources     *provisioning.Service
	Webhooks    *webhook.Sender
	Regions     *region.Service
}

// Server answers the requests for these pages.
type Server struct {
	Parts

	site  *page.Site
	words func() sheet.Words // of files of people
	dead  *audit.Sparing     // setup links
}

// The roles that may read a page, and those that may change it.
var (
	reads      = directory.Role.ReadsConsole
	readsAudit = directory.Role.ReadsAudit
	rules      = directory.Role.SetsRules
	invites    = directory.Role.LooksAfterPeople
)

// owns is the right of an owner alone.
func owns(r directory.Role) bool { return r == directory.Owner }

// Mount adds the pages to the site. The first word of each line says who may pass.
func Mount(site *page.Site, parts Parts) {
	s := &Server{parts, site, sync.OnceValue(func() sheet.Words { return wordsOf(site.Catalogue) }), new(audit.Sparing)}
	ask := asks{s}
	site.Console(reads, "GET /o/{org}/admin", s.overview)
	site.Console(reads, "GET /o/{org}/admin/people", s.people)
	site.Console(reads, "GET /o/{org}/admin/people/{id}", s.person)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/people/{id}/links", linksFields, s.person, s.undoLink, ask.unlink(personInPath))
	site.ConsoleForm(invites, invites, "/o/{org}/admin/people/{id}/email", emailFields, s.showEmail, s.changeEmail, ask.email)
	site.ConsoleForm(rules, rules, "/o/{org}/admin/people/{id}/export", nil, personExport{s}.show, personExport{s}.export)
	site.ConsoleForm(invites, invites, "/o/{org}/admin/people/{id}/second-step", secondStepFields, s.showSecondStep, s.resetSecondStep, ask.secondStep)
	site.ConsoleForm(invites, invites, "/o/{org}/admin/people/invite", inviteFields, s.showInvite, s.invite)
	site.ConsoleForm(invites, invites, "/o/{org}/admin/people/invite/many", manyFields, s.showMany, s.inviteMany)
	site.Console(invites, "GET /o/{org}/admin/people/invite/sample", sample)
	site.ReadingForm(reads, "/o/{org}/admin/people/export", exportFields, s.showExport, s.export)
	site.ConsoleForm(invites, invites, "/o/{org}/admin/people/change", changeFields, s.showChange, s.changePeople, ask.change)
	site.ConsoleForm(reads, invites, "/o/{org}/admin/invitations/{id}", nil, s.showInvitation, s.changeInvitation, ask.invitation)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/groups", groupsFields, s.showGroups, s.createGroup)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/groups/{id}", groupFields, s.showGroup, s.changeGroup, ask.group)
	site.ConsoleForm(rules, rules, "/o/{org}/admin/groups/{id}/add", addMembersFields, s.showAddMembers, s.addMembers)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/organization", organizationFields, s.showOrganization, s.saveOrganization)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/organization/logo", logoFields, s.showOrganization, s.saveLogo)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/domains", domainsFields, s.showDomains, s.addDomain)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/domains/{id}", nil, s.showDomain, s.changeDomain, ask.domain)
	s.mountConnections(ask)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/rules/password", passwordRulesFields, s.showPasswordRules, s.changePasswordRules, ask.passwordRules)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/rules/second-step", secondStepRulesFields, s.showSecondStepRules, s.changeSecondStepRules, ask.secondStepRules)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/rules/sessions", sessionRulesFields, s.showSessionRules, s.changeSessionRules, ask.sessionRules)
	site.Console(reads, "GET /o/{org}/admin/applications", s.applications)
	site.ConsoleForm(rules, rules, "/o/{org}/admin/applications/add", addApplicationFields, s.showAddApplication, s.addApplication)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/applications/{id}", tileFields, s.showApplication, s.changeApplication, ask.application)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/applications/{id}/logo", logoFields, s.showApplication, s.saveApplicationLogo)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/applications/{id}/place", placeFields, s.showApplication, s.placeApplication, ask.place)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/applications/{id}/sign-in", signInFields, s.showApplication, s.changeSettings(application.SignInPart))
	site.ConsoleForm(reads, rules, "/o/{org}/admin/applications/{id}/tokens", tokensFields, s.showApplication, s.changeSettings(application.TokensPart))
	site.ConsoleForm(reads, rules, "/o/{org}/admin/applications/{id}/claims", claimsFields, s.showApplication, s.changeSettings(application.ClaimsPart))
	site.ConsoleForm(reads, rules, "/o/{org}/admin/applications/{id}/secrets", secretsFields, s.showApplication, s.changeSecrets, ask.secrets)
	site.Console(reads, "GET /o/{org}/admin/applications/{id}/test", s.testApplication)
	callers{s}.mount()
	sources{s}.mount()
	hooks{s}.mount()
	journal{s}.mount(ask)
}

// mountConnections adds the pages about single sign-on, and those behind the link of a company's IT.
func (s *Server) mountConnections(ask asks) {
	site := s.site
	site.ConsoleForm(reads, rules, "/o/{org}/admin/single-sign-on", connectionsFields, s.showConnections, s.arrangeConnections, ask.arrange)
	site.ConsoleForm(rules, rules, "/o/{org}/admin/single-sign-on/add", addConnectionFields, s.showAddConnection, s.addConnection)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/single-sign-on/only", onlyFields, s.showOnly, s.changeOnly, ask.only)
	site.Console(reads, "GET /o/{org}/admin/single-sign-on/only/people", s.outside)
	site.Console(reads, "GET /o/{org}/admin/single-sign-on/attempts", s.attempts)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/single-sign-on/attempts/{id}", nil, s.attempt, s.approveLink, ask.approve)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}", presentFields, s.atConsole(s.showConnection), s.changeConnection, ask.connection)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/logo", logoFields, s.atConsole(s.showConnection), s.saveConnectionLogo)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/link", linkFields, s.atConsole(s.showConnection), s.changeLink, ask.setupLink)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/links", linksFields, s.atConsole(s.showConnection), s.undoLinkAtConnection, ask.unlink(personInForm))
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/people", admissionFields, s.atConsole(s.showConnection), s.atConsole(s.saveAdmission))
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/metadata", metadataFields, s.atConsole(s.showConnection), s.atConsole(s.saveMetadata))
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/client", clientFields, s.atConsole(s.showConnection), s.atConsole(s.saveClient))
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/certificates", certificateFields, s.atConsole(s.showConnection), s.atConsole(s.saveCertificates), ask.certificate)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/details", detailsFields, s.atConsole(s.showConnection), s.atConsole(s.saveDetails))
	site.AnyoneForm("/connection-setup/metadata/{token}", metadataFields, s.behindLink(s.showConnection), s.sent(s.saveMetadata))
	site.AnyoneForm("/connection-setup/client/{token}", clientFields, s.behindLink(s.showConnection), s.sent(s.saveClient))
	site.AnyoneForm("/connection-setup/certificates/{token}", certificateFields, s.behindLink(s.showConnection), s.sent(s.saveCertificates))
	site.AnyoneForm("/connection-setup/details/{token}", detailsFields, s.behindLink(s.showConnection), s.sent(s.saveDetails))
	site.AnyoneForm("/connection-setup/{token}", nil, s.behindLink(s.showConnection), s.sent(s.test))
	site.Anyone("GET /connection-setup/tested/{reference}", s.setupTested)
}

// chip is a small label: a catalogue key and a colour of the style sheet.
type chip struct{ Key, Colour string }
