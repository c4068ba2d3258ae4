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

	"parvis/internal/application"
	"parvis/internal/credential"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/federation"
	"parvis/internal/op"
	"parvis/internal/page"
)

// Templates are the pages of this package, for page.Templates.
//
//go:embed templates/*.html
var Templates embed.FS

// Server answers the requests for these pages.
type Server struct {
	site        *page.Site
	invitations *directory.Invitations
	domains     *domain.Prover
	resets      *credential.Resets
	hub         *federation.Hub
	provider    *op.Provider
}

// The roles that may read a page, and those that may change it.
var (
	reads      = directory.Role.ReadsConsole
	readsAudit = directory.Role.ReadsAudit
	rules      = directory.Role.SetsRules
	invites    = directory.Role.LooksAfterPeople
)

// Mount adds the pages to the site. The first word of each line says who may pass.
func Mount(site *page.Site, invitations *directory.Invitations, domains *domain.Prover, resets *credential.Resets, hub *federation.Hub, provider *op.Provider) {
	s := &Server{site, invitations, domains, resets, hub, provider}

	site.Console(reads, "GET /o/{org}/admin", s.front)
	site.Console(reads, "GET /o/{org}/admin/people", s.people)
	site.Console(reads, "GET /o/{org}/admin/people/{id}", s.person)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/people/{id}/links", linksFields, s.person, s.undoLink)
	site.ConsoleForm(invites, invites, "/o/{org}/admin/people/{id}/email", emailFields, s.showEmail, s.changeEmail)
	site.ConsoleForm(invites, invites, "/o/{org}/admin/people/{id}/second-step", secondStepFields, s.showSecondStep, s.resetSecondStep)
	site.ConsoleForm(invites, invites, "/o/{org}/admin/people/invite", inviteFields, s.showInvite, s.invite)
	site.ConsoleForm(invites, invites, "/o/{org}/admin/people/change", changeFields, s.showChange, s.changePeople)
	site.ConsoleForm(reads, invites, "/o/{org}/admin/invitations/{id}", invitationFields, s.showInvitation, s.changeInvitation)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/groups", groupsFields, s.showGroups, s.createGroup)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/groups/{id}", groupFields, s.showGroup, s.changeGroup)
	site.ConsoleForm(rules, rules, "/o/{org}/admin/groups/{id}/add", addMembersFields, s.showAddMembers, s.addMembers)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/organization", organizationFields, s.showOrganization, s.saveOrganization)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/organization/logo", logoFields, s.showOrganization, s.saveLogo)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/domains", domainsFields, s.showDomains, s.addDomain)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/domains/{id}", domainFields, s.showDomain, s.changeDomain)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/single-sign-on", connectionsFields, s.showConnections, s.arrangeConnections)
	site.ConsoleForm(rules, rules, "/o/{org}/admin/single-sign-on/add", addConnectionFields, s.showAddConnection, s.addConnection)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/single-sign-on/only", onlyFields, s.showOnly, s.changeOnly)
	site.Console(reads, "GET /o/{org}/admin/single-sign-on/attempts", s.attempts)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/single-sign-on/attempts/{id}", nil, s.attempt, s.approveLink)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}", presentFields, s.atConsole(s.showConnection), s.changeConnection)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/logo", logoFields, s.atConsole(s.showConnection), s.saveConnectionLogo)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/link", linkFields, s.atConsole(s.showConnection), s.changeLink)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/links", linksFields, s.atConsole(s.showConnection), s.undoLinkAtConnection)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/people", admissionFields, s.atConsole(s.showConnection), s.atConsole(s.saveAdmission))
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/metadata", metadataFields, s.atConsole(s.showConnection), s.atConsole(s.saveMetadata))
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/client", clientFields, s.atConsole(s.showConnection), s.atConsole(s.saveClient))
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/certificates", certificateFields, s.atConsole(s.showConnection), s.atConsole(s.saveCertificates))
	site.ConsoleForm(reads, rules, "/o/{org}/admin/connections/{id}/details", detailsFields, s.atConsole(s.showConnection), s.atConsole(s.saveDetails))
	site.AnyoneForm("/connection-setup/metadata/{token}", metadataFields, s.behindLink(s.showConnection), s.sent(s.saveMetadata))
	site.AnyoneForm("/connection-setup/client/{token}", clientFields, s.behindLink(s.showConnection), s.sent(s.saveClient))
	site.AnyoneForm("/connection-setup/certificates/{token}", certificateFields, s.behindLink(s.showConnection), s.sent(s.saveCertificates))
	site.AnyoneForm("/connection-setup/details/{token}", detailsFields, s.behindLink(s.showConnection), s.sent(s.saveDetails))
	site.AnyoneForm("/connection-setup/{token}", nil, s.behindLink(s.showConnection), s.sent(s.test))
	site.Anyone("GET /connection-setup/tested/{reference}", s.setupTested)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/rules/password", passwordRulesFields, s.showPasswordRules, s.changePasswordRules)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/rules/second-step", secondStepRulesFields, s.showSecondStepRules, s.changeSecondStepRules)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/rules/sessions", sessionRulesFields, s.showSessionRules, s.changeSessionRules)
	site.Console(reads, "GET /o/{org}/admin/applications", s.applications)
	site.ConsoleForm(rules, rules, "/o/{org}/admin/applications/add", addApplicationFields, s.showAddApplication, s.addApplication)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/applications/{id}", tileFields, s.showApplication, s.changeApplication)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/applications/{id}/logo", logoFields, s.showApplication, s.saveApplicationLogo)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/applications/{id}/place", placeFields, s.showApplication, s.placeApplication)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/applications/{id}/sign-in", signInFields, s.showApplication, s.changeSettings(application.SignInPart))
	site.ConsoleForm(reads, rules, "/o/{org}/admin/applications/{id}/tokens", tokensFields, s.showApplication, s.changeSettings(application.TokensPart))
	site.ConsoleForm(reads, rules, "/o/{org}/admin/applications/{id}/claims", claimsFields, s.showApplication, s.changeSettings(application.ClaimsPart))
	site.ConsoleForm(reads, rules, "/o/{org}/admin/applications/{id}/secrets", secretsFields, s.showApplication, s.changeSecrets)
	site.Console(reads, "GET /o/{org}/admin/applications/{id}/test", s.testApplication)
	site.Console(readsAudit, "GET /o/{org}/admin/audit", s.auditLog)
	site.Console(readsAudit, "GET /o/{org}/admin/audit/{id}", s.auditEntry)
}

func (s *Server) front(v *page.Viewer) error { return v.Redirect(v.Path("admin/people")) }

// chip is a small label: a catalogue key and a colour of the style sheet.
type chip struct{ Key, Colour string }
