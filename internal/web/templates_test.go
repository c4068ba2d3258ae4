package web

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/net/html"

	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/fault"
	"parvis/internal/federation"
	"parvis/internal/i18n"
	"parvis/internal/op/ask"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// Texts of the samples that are in no catalogue.
var (
	sampleOrg   = directory.Organization{ID: "org_1", ShortName: "meridian", DisplayName: "Meridian Freight"}
	otherOrg    = directory.Organization{ID: "org_2", ShortName: "lumen", DisplayName: "Lumen Health"}
	sampleUser  = directory.User{OrgID: "org_1", ID: "usr_1", Email: "ana@meridian.example", Name: "Ana Duarte", Role: directory.Owner, Language: "en"}
	otherUser   = directory.User{OrgID: "org_2", ID: "usr_2", Email: "lin@lumen.example", Name: "Lin Wei", Role: directory.Member, Language: "en"}
	sampleAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36"
	noReply     = "no-reply@parvis.example"
	ownWords    = []string{
		"Collaborate / Communicate", "Messages, documents and meetings", "Architect", "Call flows and prompts", "Plans", "Wiki", "Books", "wiki.example",
		"Parvis", "Meridian Freight", "Lumen Health", "ana@meridian.example", "lin@lumen.example", "Ana Duarte", "Lin Wei",
		noReply, "https://parvis.example", "https://help.example", "/o/meridian", "/meridian", "meridian", "lumen", "AD", "req_0123456789", "203.0.113.7", "Chrome", "Linux", "UTC", "merridian",
		"English", "Français", "AAAA", "BBBB", "AAAA-BBBB", "Windows Hello", "Europe", "Americas", "Amériques",
	}
	sampleRegions = page.Regions{Here: "eu", All: []page.Region{
		{ID: "eu", Address: "https://parvis.example", Names: map[i18n.Tag]string{"en": "Europe"}},
		{ID: "us", Address: "https://us.parvis.example", Names: map[i18n.Tag]string{"en": "Americas", "fr": "Amériques"}},
	}}
)

type sample struct {
	name     string
	template string
	page     any
	faults   []*fault.Error
	inside   bool // behind the session
	plain    bool // without a form
}

func samples() []sample {
	begun := session.Session{StartedAt: dbtest.Start, SeenAt: dbtest.Start}
	visits := []session.Visit{{User: sampleUser, Organization: sampleOrg, Session: begun}, {User: otherUser, Organization: otherOrg, Session: begun}}
	invitation := directory.Invitation{OrgID: "org_1", Email: "ana@meridian.example", Name: "Ana Duarte"}
	rules := firstRules(credential.Classic)
	invited := invitationPage{Invitation: invitation, Organization: sampleOrg, shownRules: rules}
	meeting := invited
	meeting.Others = visits
	refused := *credential.ErrRefused
	refused.Reasons = []fault.Reason{{Key: "credential.reason.upper_case"}, {Key: "credential.reason.too_short", Args: map[string]any{"Count": 8}}}
	account := profilePage{User: sampleUser, Organization: sampleOrg}
	here := openSession{session.Session{
		ID: "ses_1", StartedAt: dbtest.Start, SeenAt: dbtest.Start, Methods: "pwd", Network: "203.0.113.7", Agent: sampleAgent,
	}, []string{"web.method.pwd"}, true}
	there := here
	there.ID, there.Here = "ses_2", false
	doors := []door{{visits[0], here.Methods, true}, {visits[1], here.Methods, false}}
	event := audit.Stored{Event: audit.Event{Action: "signin.refused"}, At: dbtest.Start, Origin: audit.Origin{Network: "203.0.113.7", Agent: sampleAgent}}
	saved := account
	saved.Saved = true
	drawn := account
	drawn.User.Picture, drawn.User.TimeZone = "img_1", "Europe/Paris"
	helpful := sampleOrg
	helpful.Logo, helpful.Contact = "img_2", "Lin Wei, lin@lumen.example (https://help.example/meridian)."
	deadAndHelpful := invitationPage{Invitation: invitation, Organization: helpful, Dead: directory.ErrInvitationUsed.Key}
	failed := []*fault.Error{signin.ErrFailed}
	unclear := []*fault.Error{signin.ErrOrganizationUnclear.With(fault.Choices, []directory.Organization{sampleOrg, otherOrg})}
	change := directory.EmailChange{Email: "ana@meridian.example", CreatedAt: dbtest.Start, ExpiresAt: dbtest.Start.Add(directory.EmailChangeLifetime)}
	dead := func(f *fault.Error) invitationPage {
		return invitationPage{Invitation: invitation, Organization: sampleOrg, Dead: f.Key, Renewable: f == directory.ErrInvitationExpired}
	}
	who := directory.Candidate{User: sampleUser, Organization: sampleOrg}
	replacing := newPasswordPage{Candidate: who, shownRules: allRules(credential.Classic)}
	beside := replacing
	beside.Replaces = &session.Visit{User: otherUser, Organization: sampleOrg}
	ownPassword := passwordPage{User: sampleUser, Organization: sampleOrg, SetAt: dbtest.Start, shownRules: allRules(credential.Classic)}
	changedPassword, closedPassword := ownPassword, ownPassword
	changedPassword.Saved, closedPassword.Disabled = true, true
	second := func(with string) secondPage {
		return secondPage{
			Candidate: who, With: with, Path: "/sign-in/att_1", Passkeys: true, Options: `{"challenge":"AAAA"}`,
			Factors: credential.Factors{Apps: []credential.App{{Name: "Ana Duarte"}}, Passkeys: []credential.Passkey{{Name: "Meridian Freight"}}, Recovery: 3},
		}
	}
	helped, again, resetting := second(withHelp), second(withApp), second(withApp)
	helped.Helpers = []directory.User{sampleUser, otherUser}
	contacted, told := helped, helped
	contacted.Organization.Contact, told.Told = "https://help.example", true
	again.StepUp, resetting.Reset = true, true
	enrolling := enrolPage{
		Candidate: who, Passkeys: true, Path: "/sign-in/att_1", Device: "Ana Duarte", Options: `{"challenge":"AAAA"}`, Help: helpChrome,
		App: appPage{"Ana Duarte", qrCode{29, "M4 4h1v1h-1z"}, "otpauth://totp/a", []string{"AAAA", "BBBB"}},
	}
	owned := []authenticator{
		{ID: "app_1", Name: "Ana Duarte", CreatedAt: dbtest.Start, UsedAt: dbtest.Start},
		{ID: "pk_1", Name: "Ana Duarte", Passkey: true, Model: "Windows Hello", CreatedAt: dbtest.Start},
		{ID: "pk_2", Name: "Ana Duarte", Passkey: true, Synced: true, CreatedAt: dbtest.Start},
	}
	secure := securityPage{
		Devices: owned, Codes: 8, PasswordAt: dbtest.Start, Alone: true, Accepted: `{"userId":"AAAA"}`, Removed: `{"credentialId":"AAAA"}`,
	}
	did := func(what string, left int) securityPage {
		p := secure
		p.Did, p.Codes, p.Reminder, p.Accepted, p.Removed = what, left, remind(true, left), "", ""
		return p
	}
	passwordless := did("password-removed", 1)
	passwordless.PasswordAt = time.Time{}
	codes := recoveryCodesPage{Codes: []string{"AAAA-BBBB", "AAAA-BBBB"}, Next: "/o/meridian", File: "parvis-meridian.txt"}
	firstCodes := codes
	firstCodes.First = true
	addingHere := enrolling
	addingHere.Own = true
	company := []federation.Way{{ID: "con_1", Name: "Lumen Health", Provider: "generic", Shown: true}}
	byProvider := signInPage{Organization: &sampleOrg, Returning: true, Known: &sampleUser, StepUp: true, ways: ways{company, true}}
	either, invitedThere, invitedEither := byProvider, invited, invited
	either.Only, invitedThere.ways, invitedEither.ways = false, ways{company, true}, ways{company, false}
	linked := securityPage{There: true, Required: true, Links: []federation.Link{{User: sampleUser, Connection: "con_1", Provider: "Lumen Health", Email: sampleUser.Email, LinkedAt: dbtest.Start, UsedAt: dbtest.Start}}}
	// A copy of the type by which federation fills in the page.
	type confirmPage struct {
		Organization           directory.Organization
		Connection             federation.Connection
		Email, Invited, Issuer string
		Signed                 []session.Visit
		Prove                  *directory.User
		Proved                 bool
	}
	arriving := confirmPage{Organization: sampleOrg, Connection: federation.Connection{Name: "Lumen Health"}, Email: otherUser.Email, Issuer: "https://parvis.example"}
	unasked, elsewhere, proving := arriving, arriving, arriving
	unasked.Signed, elsewhere.Invited, proving.Prove = visits, sampleUser.Email, &sampleUser
	proved := proving
	proved.Proved = true
	many := manyTiles()
	foreign := invitationPage{Dead: directory.ErrInvitationUnknown.Key, Others: visits[:1]}
	return slices.Concat(askSamples(visits), []sample{
		{name: "sign-in", template: "sign-in", page: signInPage{Passkeys: true}},
		{name: "sign-in-no-passkeys", template: "sign-in", page: signInPage{}},
		{name: "organization", template: "organization-which", page: whichPage{Back: "/sign-in"}},
		{name: "organization-toward", template: "organization-which", page: whichPage{Back: "/sign-in", Toward: "Wiki"}},
		{name: "organization-unclear", template: "organization-which", page: whichPage{Back: "/sign-in"}, faults: unclear},
		{name: "sign-in-named", template: "sign-in", page: signInPage{AskOrganization: true}},
		{name: "sign-in-unclear", template: "sign-in", page: signInPage{AskOrganization: true}, faults: unclear},
		{name: "sign-in-failed", template: "sign-in", page: signInPage{AskOrganization: true}, faults: failed},
		{name: "sign-in-slowed", template: "sign-in", page: signInPage{AskOrganization: true}, faults: []*fault.Error{signin.ErrTooOften.After(90 * time.Second)}},
		{name: "sign-in-unknown", template: "sign-in", page: signInPage{AskOrganization: true}, faults: []*fault.Error{signin.ErrOrganizationUnknown}},
		{name: "sign-in-again", template: "sign-in", page: signInPage{SignedIn: visits}},
		{name: "door", template: "sign-in", page: signInPage{Organization: &sampleOrg}},
		{name: "door-failed", template: "sign-in", page: signInPage{Organization: &sampleOrg, AskOrganization: true}, faults: failed},
		{name: "door-signed-out", template: "sign-in", page: signInPage{Organization: &sampleOrg, SignedOut: true}},
		{name: "door-disowned", template: "sign-in", page: signInPage{Organization: &sampleOrg, Disowned: true}},
		{name: "door-away", template: "sign-in", page: signInPage{Organization: &sampleOrg, LoginHint: sampleUser.Email, Away: &session.Away{Email: sampleUser.Email, Idle: session.LongestIdle}}},
		{name: "door-helpful", template: "sign-in", page: signInPage{Organization: &helpful}},
		{name: "door-closed-helpful", template: "sign-in", page: signInPage{Organization: &helpful, Closed: true}, plain: true},
		{name: "confirm-helpful", template: "sign-in", page: signInPage{Organization: &helpful, Returning: true, Known: &sampleUser, StepUp: true}},
		{name: "invitation-used-helpful", template: "invitation-dead", page: deadAndHelpful, plain: true},
		{name: "profile-drawn", template: "account-profile", page: drawn, inside: true},
		{name: "door-closed", template: "sign-in", page: signInPage{Organization: &sampleOrg, Closed: true}},
		{name: "door-closed-plain", template: "sign-in", page: signInPage{Organization: &sampleOrg, Closed: true}, plain: true},
		{name: "returning", template: "sign-in", page: signInPage{Organization: &sampleOrg, Returning: true}},
		{name: "returning-failed", template: "sign-in", page: signInPage{Organization: &sampleOrg, Returning: true, AskOrganization: true}, faults: failed},
		{name: "confirm", template: "sign-in", page: signInPage{Organization: &sampleOrg, Returning: true, Known: &sampleUser, StepUp: true}},
		{name: "confirm-failed", template: "sign-in", page: signInPage{Organization: &sampleOrg, Returning: true, Known: &sampleUser, StepUp: true}, faults: failed},
		{name: "confirm-there", template: "sign-in", page: byProvider},
		{name: "confirm-either", template: "sign-in", page: either},
		{name: "going", template: "sign-in-going", page: goingPage{sampleOrg, ways{company, true}}},
		{name: "arriving-unasked", template: "federation-confirm", page: unasked},
		{name: "arriving-elsewhere", template: "federation-confirm", page: elsewhere},
		{name: "link-to-prove", template: "federation-confirm", page: proving},
		{name: "link-proved", template: "federation-confirm", page: proved},
		{name: "invitation-there", template: "invitation", page: invitedThere},
		{name: "invitation-either", template: "invitation", page: invitedEither},
		{name: "security-linked", template: "account-security", page: linked, inside: true, plain: true},
		{name: "password-too", template: "sign-in", page: signInPage{Organization: &sampleOrg, Returning: true, Known: &sampleUser}},
		{name: "second-app", template: "second-step", page: second(withApp)},
		{name: "second-app-failed", template: "second-step", page: second(withApp), faults: []*fault.Error{signin.ErrCodeFailed}},
		{name: "second-recovery", template: "second-step", page: second(withRecovery)},
		{name: "second-recovery-failed", template: "second-step", page: second(withRecovery), faults: []*fault.Error{signin.ErrRecoveryFailed}},
		{name: "second-passkey", template: "second-step", page: second(withPasskey)},
		{name: "second-passkey-refused", template: "second-step", page: second(withPasskey), faults: []*fault.Error{credential.ErrPasskeyRefused}},
		{name: "second-passkey-late", template: "second-step", page: second(withPasskey), faults: []*fault.Error{credential.ErrCeremonyOver}},
		{name: "second-passkey-no-script", template: "second-step", page: second(withPasskey), faults: []*fault.Error{errNoScript}},
		{name: "second-help", template: "second-step", page: helped},
		{name: "second-help-contact", template: "second-step", page: contacted},
		{name: "second-help-told", template: "second-step", page: told, plain: true},
		{name: "second-help-nobody", template: "second-step", page: second(withHelp), plain: true},
		{name: "second-again", template: "second-step", page: again},
		{name: "second-reset", template: "second-step", page: resetting},
		{name: "enrol", template: "enrol", page: enrolling},
		{name: "enrol-no-passkeys", template: "enrol", page: enrolPage{Candidate: who, Path: "/sign-in/att_1"}},
		{name: "enrol-app", template: "enrol-app", page: enrolling},
		{name: "enrol-app-failed", template: "enrol-app", page: enrolling, faults: []*fault.Error{credential.ErrCodeWrong}},
		{name: "enrol-passkey", template: "enrol-passkey", page: enrolling},
		{name: "enrol-known", template: "enrol", page: enrolling, faults: []*fault.Error{credential.ErrPasskeyKnown}},
		{name: "enrol-cancelled", template: "enrol", page: enrolling, faults: []*fault.Error{unanswered["cancelled"]}},
		{name: "help-passkeys", template: "help-passkeys", page: newPasskeyHelpPage(helpFirefox), plain: true},
		{name: "sign-in-passkey", template: "sign-in", page: signInPage{Passkeys: true, Removed: `{"rpId":"parvis.example"}`}, faults: []*fault.Error{credential.ErrPasskeyRefused}},
		{name: "door-passkey", template: "sign-in", page: signInPage{Organization: &sampleOrg, Passkeys: true}},
		{name: "attempt-gone", template: "attempt-gone", page: signInPage{}, plain: true},
		{name: "attempt-gone-signed-in", template: "attempt-gone", page: signInPage{SignedIn: visits}, plain: true},
		{name: "invitation", template: "invitation", page: invited},
		{name: "invitation-others", template: "invitation", page: meeting},
		{name: "invitation-refused", template: "invitation", page: invited, faults: []*fault.Error{&refused}},
		{name: "invitation-repetition", template: "invitation", page: invited, faults: []*fault.Error{signin.ErrRepetition}},
		{name: "invitation-expired", template: "invitation-dead", page: dead(directory.ErrInvitationExpired)},
		{name: "invitation-used", template: "invitation-dead", page: dead(directory.ErrInvitationUsed), plain: true},
		{name: "invitation-withdrawn", template: "invitation-dead", page: dead(directory.ErrInvitationWithdrawn), plain: true},
		{name: "invitation-replaced", template: "invitation-dead", page: dead(directory.ErrInvitationReplaced), plain: true},
		{name: "invitation-unknown", template: "invitation-dead", page: foreign, plain: true},
		{name: "invitation-renewed", template: "invitation-dead", page: invitationPage{Invitation: invitation, Renewed: true}, plain: true},
		{name: "setup", template: "setup", page: rules},
		{name: "forgot-password", template: "forgot-password", page: forgotPage{Organization: "meridian"}},
		{name: "forgot-password-unknown", template: "forgot-password", page: forgotPage{}, faults: []*fault.Error{signin.ErrOrganizationUnknown}},
		{name: "forgot-password-sent", template: "forgot-password", page: forgotPage{Sent: true, Organization: "meridian", Question: "/forgot-password"}, plain: true},
		{name: "forgot-organization", template: "forgot-organization", page: forgotPage{}},
		{name: "forgot-organization-sent", template: "forgot-organization", page: forgotPage{Sent: true, Question: "/forgot-organization"}, plain: true},
		{name: "reset", template: "reset", page: replacing},
		{name: "reset-second", template: "reset-second", page: replacing},
		{name: "reset-replaces", template: "reset", page: beside},
		{name: "reset-refused", template: "reset", page: replacing, faults: []*fault.Error{&refused}},
		{name: "reset-dead", template: "link-dead", page: deadLinkPage{Why: credential.ErrResetDead.Key, SignedIn: visits}, plain: true},
		{name: "asked", template: "asked-password", page: replacing},
		{name: "disown", template: "disown", page: disownPage{Candidate: who}},
		{name: "sign-in-to-link", template: "sign-in", page: signInPage{Organization: &sampleOrg, Returning: true, ToLink: true, LoginHint: "ana@meridian.example", Passkeys: true, ways: ways{company, false}}},
		{name: "door-disowned-there", template: "sign-in", page: signInPage{Organization: &sampleOrg, Disowned: true, ways: ways{company, true}}},
		{name: "disown-done", template: "disown", page: disownPage{Candidate: who, Done: true}, plain: true},
		{name: "disown-dead", template: "link-dead", page: deadLinkPage{Why: directory.ErrDisavowalDead.Key}, plain: true},
		{name: "home", template: "home", page: homePage{Greeting: "web.home.morning", Name: "Ana Duarte", Administration: true, Lately: sampleTiles[2:], Tiles: sampleTiles}, inside: true, plain: true},
		{name: "home-member", template: "home", page: homePage{Greeting: "web.home.afternoon", Name: "Ana Duarte", Waits: waits{Codes: reminder{true, 2}}, Tiles: sampleTiles[:1]}, inside: true, plain: true},
		{name: "home-codes-missing", template: "home", page: homePage{Greeting: "web.home.greeting", Name: "Ana Duarte", Waits: waits{Codes: reminder{true, 0}}, Tiles: sampleTiles[:3]}, inside: true, plain: true},
		{name: "home-second-step", template: "home", page: homePage{Greeting: "web.home.evening", Name: "Ana Duarte", Waits: waits{SecondStep: true, From: dbtest.Start.AddDate(0, 0, 9)}, Tiles: sampleTiles[:3]}, inside: true, plain: true},
		{name: "home-second-step-next", template: "home", page: homePage{Greeting: "web.home.night", Name: "Ana Duarte", Administration: true, Waits: waits{SecondStep: true}, Tiles: sampleTiles}, inside: true, plain: true},
		{name: "home-email", template: "home", page: homePage{Greeting: "web.home.morning", Name: "Ana Duarte", Waits: waits{Email: "lin@lumen.example"}, Tiles: sampleTiles[:1]}, inside: true, plain: true},
		{name: "home-none", template: "home", page: homePage{Greeting: "web.home.morning", Name: "Ana Duarte"}, inside: true, plain: true},
		{name: "home-many", template: "home", page: homePage{Greeting: "web.home.morning", Name: "Ana Duarte", Administration: true, Lately: many[4:7], Tiles: many, Search: true}, inside: true, plain: true},
		{name: "home-found", template: "home", page: homePage{Greeting: "web.home.morning", Name: "Ana Duarte", Tiles: sampleTiles[:1], Search: true, Query: "coll"}, inside: true, plain: true},
		{name: "home-nothing-found", template: "home", page: homePage{Greeting: "web.home.morning", Name: "Ana Duarte", Search: true, Query: "Ana Duarte"}, inside: true, plain: true},
		{name: "profile", template: "account-profile", page: account, inside: true},
		{name: "profile-saved", template: "account-profile", page: saved, inside: true},
		{name: "password", template: "account-password", page: ownPassword, inside: true},
		{name: "password-saved", template: "account-password", page: changedPassword, inside: true},
		{name: "password-wrong", template: "account-password", page: ownPassword, inside: true, faults: []*fault.Error{signin.ErrCurrentWrong}},
		{name: "password-off", template: "account-password", page: closedPassword, inside: true, plain: true},
		{name: "password-create", template: "account-password", page: passwordPage{User: sampleUser, Organization: sampleOrg, shownRules: allRules(credential.Classic)}, inside: true},
		{name: "security", template: "account-security", page: secure, inside: true, plain: true},
		{name: "security-added", template: "account-security", page: did("added", 0), inside: true, plain: true},
		{name: "security-renamed", template: "account-security", page: did("renamed", 2), inside: true, plain: true},
		{name: "security-removed", template: "account-security", page: did("removed", 3), inside: true, plain: true},
		{name: "security-passwordless", template: "account-security", page: passwordless, inside: true, plain: true},
		{name: "security-created", template: "account-security", page: did("password-created", 10), inside: true, plain: true},
		{name: "security-none", template: "account-security", page: securityPage{PasswordAt: dbtest.Start}, inside: true, plain: true},
		{name: "security-required", template: "account-security", page: securityPage{Required: true, PasswordAt: dbtest.Start}, inside: true, plain: true},
		{name: "security-add", template: "enrol", page: addingHere, inside: true},
		{name: "device-app", template: "account-device", page: authenticatorPage{authenticator: owned[0]}, inside: true},
		{name: "device-passkey", template: "account-device", page: authenticatorPage{authenticator: owned[1]}, inside: true},
		{name: "device-last", template: "account-device", page: authenticatorPage{authenticator: owned[2], Stays: signin.ErrLastAuthenticator}, inside: true},
		{name: "device-only-way", template: "account-device", page: authenticatorPage{authenticator: owned[2], Stays: signin.ErrLastWayIn}, inside: true},
		{name: "codes-none", template: "account-codes", page: recoveryCodesPage{Next: "/o/meridian", First: true}, inside: true},
		{name: "codes-some", template: "account-codes", page: recoveryCodesPage{Left: 1, Set: "rec_1", Next: "/o/meridian"}, inside: true},
		{name: "codes-made-twice", template: "account-codes", page: recoveryCodesPage{Left: 10, Set: "rec_1", Next: "/o/meridian"}, inside: true, faults: []*fault.Error{signin.ErrCodesMade}},
		{name: "codes", template: "account-codes", page: codes, inside: true, plain: true},
		{name: "codes-first", template: "account-codes", page: firstCodes, inside: true, plain: true},
		{name: "password-remove", template: "remove-password", page: true, inside: true},
		{name: "password-needed", template: "remove-password", page: false, inside: true, plain: true},
		{name: "sessions", template: "account-sessions", page: sessionsPage{Open: []openSession{here, there}, Others: true}, inside: true},
		{name: "sessions-ended", template: "account-sessions", page: sessionsPage{Open: []openSession{here}, Ended: true}, inside: true, plain: true},
		{name: "sessions-ended-others", template: "account-sessions", page: sessionsPage{Open: []openSession{here}, EndedOthers: true}, inside: true, plain: true},
		{name: "organizations", template: "account-organizations", page: organizationsPage{Doors: doors}, inside: true, plain: true},
		{name: "organizations-left", template: "account-organizations", page: organizationsPage{Doors: doors[:1], Left: true}, inside: true, plain: true},
		{name: "activity", template: "account-activity", page: activityPage{
			Rows: []activityRow{{Stored: event, Refused: true, Shown: true}, {Stored: event, By: "Lin Wei", Whom: "Ana Duarte"}}, Pages: page.Pages{Newest: "/o/meridian", Older: "/o/meridian"},
		}, inside: true, plain: true},
		{name: "activity-none", template: "account-activity", page: activityPage{}, inside: true, plain: true},
		{name: "not-me", template: "account-not-me", inside: true},
		{name: "email", template: "account-email", page: emailPage{User: sampleUser}, inside: true},
		{name: "email-refused", template: "account-email", page: emailPage{User: sampleUser}, inside: true, faults: []*fault.Error{directory.ErrAddressSame}},
		{name: "email-sent", template: "account-email", page: emailPage{User: sampleUser, Pending: &change, Own: true, Sent: true}, inside: true},
		{name: "email-by-administrator", template: "account-email", page: emailPage{User: sampleUser, Pending: &change}, inside: true},
		{name: "email-withdrawn", template: "account-email", page: emailPage{User: sampleUser, Withdrawn: true}, inside: true},
		{name: "email-proof", template: "email-proof", page: emailProofPage{Organization: sampleOrg, Email: "ana@meridian.example"}},
		{name: "email-proved", template: "email-proof", page: emailProofPage{Organization: sampleOrg, Email: "ana@meridian.example", Proved: true}, plain: true},
		{name: "sign-out", template: "sign-out", inside: true},
		{name: "leave", plain: true, template: "leave"},
		{name: "leave-found", plain: true, template: "leave", page: page.Elsewhere{Path: "/sign-in", Organization: "cobalt", Email: "ana@cobalt.example", Known: []string{"us"}}},
		{name: "elsewhere-several", plain: true, template: "elsewhere", page: page.Elsewhere{Path: "/sign-in", Organization: "cobalt", Known: []string{"eu", "us"}}},
		{name: "elsewhere-silent", plain: true, template: "elsewhere", page: page.Elsewhere{Path: "/sign-in", Organization: "cobalt", Silent: []string{"us"}}},
		{name: "elsewhere-domain", plain: true, template: "elsewhere", page: page.Elsewhere{Path: "/sign-in", Email: "ana@cobalt.example", Known: []string{"eu", "us"}}},
		{name: "problem-inside", inside: true, plain: true, template: "problem"},
		{name: "problem", plain: true, template: "problem"},
	})
}

var allTemplates = page.Templates(federation.Templates, ask.Templates, Templates)

// A page is the same, byte for byte, whether its templates were spoken before or not.
func TestSpokenTemplatesWriteTheSamePages(t *testing.T) {
	t.Parallel()
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range catalogue.Languages() {
		spoken, _ := render(t, catalogue, string(language.Tag), allTemplates)
		plain, _ := render(t, catalogue, string(language.Tag), allTemplates.Unspoken())
		for name, want := range plain {
			if got := spoken[name]; reference.ReplaceAllString(got, "") != reference.ReplaceAllString(want, "") {
				t.Errorf("%s in %s is\n%s\nwant\n%s", name, language.Tag, got, want)
			}
		}
	}
}

// reference is what differs from request to request: references, and ids of the two databases.
var reference = regexp.MustCompile(`[a-z]{3}_[a-z2-7]{10,26}`)

// render shows every sample in one language, through the real site.
func render(t *testing.T, catalogue *i18n.Catalogue, language string, templates *page.Spoken) (pages map[string]string, asset func(string) []byte) {
	t.Helper()
	d, _ := dbtest.Open(t)
	door := &session.Door{}
	site, err := page.New(page.Settings{
		Edge:     edge.New(edge.Settings{DB: d, Base: &url.URL{Scheme: "https", Host: "parvis.example"}, Log: slog.New(slog.DiscardHandler)}),
		Sessions: door, Catalogue: catalogue, NoReply: noReply,
		Links: page.Links{Help: "https://help.example", Privacy: "https://privacy.example", Status: "https://status.example"}, Regions: sampleRegions,
	}, templates)
	if err != nil {
		t.Fatal(err)
	}
	cookie := signedIn(t, d, door, i18n.Tag(language))
	get := func(path string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://parvis.example"+path, nil)
		r.Header.Set("Accept-Language", language)
		r.AddCookie(&http.Cookie{Name: "__Host-parvis", Value: cookie})
		w := httptest.NewRecorder()
		site.ServeHTTP(w, r)
		return w
	}
	pages = map[string]string{}
	for _, s := range samples() {
		show := func(v *page.Visitor) error {
			if s.template == "problem" {
				return fault.New(fault.Malformed, "page.form_malformed")
			}
			if e, elsewhere := s.page.(page.Elsewhere); elsewhere {
				return v.LeadElsewhere(e)
			}
			if s.template == "leave" {
				return v.Leave(sampleRegions.All[1], "/sign-in", "meridian", "ana@meridian.example")
			}
			for _, f := range s.faults {
				name, value := "email", "ana@meridian.example"
				if f == signin.ErrOrganizationUnknown {
					name, value = "organization", "merridian"
				}
				v.Form.Refuse(name, value, f)
			}
			if s.plain {
				v.NoForm()
			}
			return v.Render(s.template, s.page)
		}
		path := "/sample/" + s.name
		if s.inside {
			path = "/o/meridian/sample/" + s.name
			site.SignedInForm("/o/{org}/sample/"+s.name, nil, func(v *page.Viewer) error { return show(v.Visitor) }, nil)
		} else {
			site.AnyoneForm(path, nil, show, nil)
		}
		w := get(path)
		if w.Code != http.StatusOK && s.template != "problem" {
			t.Fatalf("%s answers %d: %s", s.name, w.Code, w.Body)
		}
		pages[s.name] = w.Body.String()
	}
	return pages, func(path string) []byte { return get(path).Body.Bytes() }
}

func signedIn(t *testing.T, d *db.DB, door *session.Door, language i18n.Tag) string {
	t.Helper()
	var token secret.Token
	err := d.Update(t.Context(), func(tx *db.Tx) error {
		org, err := directory.CreateOrganization(t.Context(), tx, directory.Operator(), directory.NewOrganization{
			DisplayName: "Meridian Freight", ShortName: "meridian", Language: "en",
		})
		if err != nil {
			return err
		}
		u := sampleUser
		u.OrgID, u.ID, u.Language = org.ID, directory.NewUserID(), language
		if u, err = directory.CreateFirstOwner(t.Context(), tx, u); err != nil {
			return err
		}
		_, token, err = door.Issue(t.Context(), tx, session.Browser{}, u, session.Proof{Methods: []string{"pwd"}})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return token.Reveal()
}

func TestEveryPageIsSoundInEveryLanguage(t *testing.T) {
	t.Parallel()
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range catalogue.Languages() {
		pages, asset := render(t, catalogue, string(language.Tag), allTemplates)
		for name, text := range pages {
			if want := fmt.Sprintf(`<html lang="%s" dir="ltr">`, language.Tag); !strings.Contains(text, want) {
				t.Errorf("%s has no %s", name, want)
			}
			if i := strings.Index(text, "["); i >= 0 {
				t.Errorf("%s in %s has a gap: %.60s", name, language.Tag, text[i:])
			}
			for _, fault := range unsound(text) {
				t.Errorf("%s in %s: %s", name, language.Tag, fault)
			}
		}
		if folder := os.Getenv("PARVIS_PAGES"); folder != "" {
			keep(t, filepath.Join(folder, string(language.Tag)), pages, asset)
		}
	}
}

// keep writes the pages to a folder, for people to look at.
func keep(t *testing.T, folder string, pages map[string]string, asset func(string) []byte) {
	t.Helper()
	write := func(name string, content []byte) {
		file := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range pages {
		write(name+".html", []byte(text))
	}
	for _, m := range regexp.MustCompile(`"(/assets/[^"]+)"`).FindAllStringSubmatch(pages["sign-in"], -1) {
		write(m[1], asset(m[1]))
	}
}

// In the pseudo-language every sentence of a catalogue stands in brackets; any other text with
// letters must be the sample's own.
func TestNoSentenceStandsInATemplate(t *testing.T) {
	t.Parallel()
	bracketed := regexp.MustCompile(`\[!! [^\[\]]* !!\]`)
	pages, _ := render(t, i18n.Pseudo(), "en", allTemplates)
	zones := zoneNames()
	for name, text := range pages {
		for _, words := range readable(strings.ReplaceAll(text, "<wbr>", "")) {
			rest := words
			if sampleInitials.MatchString(strings.TrimSpace(words)) {
				continue
			}
			for _, title := range sampleTitles {
				rest = strings.ReplaceAll(rest, title, "")
			}
			for bracketed.MatchString(rest) {
				rest = bracketed.ReplaceAllString(rest, "")
			}
			for _, own := range ownWords {
				rest = strings.ReplaceAll(rest, own, "")
			}
			if slices.Contains(zones, strings.TrimSpace(rest)) {
				continue // IANA's names, the same in every language
			}
			rest = regexp.MustCompile(`\breq_[a-z0-9]+`).ReplaceAllString(rest, "")
			if strings.ContainsFunc(rest, unicode.IsLetter) {
				t.Errorf("%s says %q, of which no catalogue has %q", name, words, strings.TrimSpace(rest))
			}
		}
	}
}

func zoneNames() (all []string) {
	for _, area := range i18n.Zones() {
		all = append(all, area.Name)
		for _, z := range area.Zones {
			all = append(all, z.Place)
		}
	}
	return all
}

// readable returns the texts and attributes of a page that a person reads or hears.
func readable(text string) []string {
	var all []string
	z := html.NewTokenizer(strings.NewReader(text))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return all
		case html.TextToken:
			all = append(all, string(z.Text()))
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			for _, a := range token.Attr {
				if slices.Contains([]string{"title", "alt", "label", "placeholder", "aria-label", "data-label", "data-all-of", "data-show", "data-hide", "data-text", "data-warning", "data-final", "data-over", "data-cancelled", "data-unable", "data-done", "data-title"}, a.Key) {
					all = append(all, a.Val)
				}
			}
		default: // nothing to read
		}
	}
}

// unsound lists what is wrong with the markup of a page.
func unsound(text string) (faults []string) {
	wrong := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	void := []string{"meta", "link", "input", "br", "wbr", "img"}
	optional := []string{"path", "circle"} // drawn as self-closing
	var open []string
	ids, needed, count := map[string]bool{}, map[string]string{}, map[string]int{}
	labelled := map[string]bool{}
	var inputs []html.Token
	z := html.NewTokenizer(strings.NewReader(text))
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			if !errors.Is(z.Err(), io.EOF) {
				wrong("%v", z.Err())
			}
			break
		}
		token := z.Token()
		switch kind {
		case html.StartTagToken, html.SelfClosingTagToken:
			count[token.Data]++
			if kind == html.StartTagToken && !slices.Contains(void, token.Data) {
				open = append(open, token.Data)
			}
			if kind == html.SelfClosingTagToken && !slices.Contains(optional, token.Data) {
				wrong("<%s/> closes itself", token.Data)
			}
			attributes := map[string]string{}
			for _, a := range token.Attr {
				if _, twice := attributes[a.Key]; twice {
					wrong("<%s> has %s twice", token.Data, a.Key)
				}
				attributes[a.Key] = a.Val
				switch {
				case a.Key == "style", strings.HasPrefix(a.Key, "on"):
					wrong("<%s> has %s", token.Data, a.Key)
				case a.Key == "id":
					if ids[a.Val] {
						wrong("the id %s stands twice", a.Val)
					}
					ids[a.Val] = true
				case slices.Contains([]string{"for", "form", "aria-describedby", "aria-labelledby", "aria-controls", "popovertarget", "data-rules-of"}, a.Key):
					for _, id := range strings.Fields(a.Val) {
						needed[id] = a.Key
					}
				case token.Data == "img" && a.Key == "src" && !strings.HasPrefix(a.Val, "/o/meridian/") && !strings.HasPrefix(a.Val, "/assets/provider-"):
					wrong("a picture comes from %s", a.Val)
				case a.Key == "href" || a.Key == "src" || a.Key == "action":
					if strings.HasPrefix(a.Val, "javascript:") || strings.Contains(a.Val, "ZgotmplZ") || a.Val == "" {
						wrong("<%s> leads to %q", token.Data, a.Val)
					}
				}
			}
			switch token.Data {
			case "style":
				wrong("a style stands in the page")
			case "script":
				if attributes["src"] == "" {
					wrong("a script stands in the page")
				}
			case "label":
				labelled[attributes["for"]] = true
			case "input", "select", "textarea":
				if attributes["type"] != "hidden" {
					inputs = append(inputs, token)
				}
				if attributes["type"] == "password" && !slices.Contains([]string{"current-password", "new-password", "one-time-code"}, attributes["autocomplete"]) {
					wrong("a password manager does not know what %s is for", token)
				}
			case "form":
				if attributes["method"] != "post" && attributes["role"] != "search" {
					wrong("a form is sent by %q", attributes["method"])
				}
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != token.Data {
				wrong("</%s> inside %v", token.Data, open)
				return faults
			}
			open = open[:len(open)-1]
		default: // no markup
		}
	}
	if len(open) > 0 {
		wrong("never closed: %v", open)
	}
	for id, attribute := range needed {
		if !ids[id] {
			wrong("%s names %s, which is not there", attribute, id)
		}
	}
	for _, in := range inputs {
		id := ""
		for _, a := range in.Attr {
			if a.Key == "id" {
				id = a.Val
			}
		}
		if !labelled[id] {
			wrong("no label for %s", in)
		}
	}
	for _, once := range []string{"h1", "main", "title", "body", "html", "footer"} {
		if count[once] != 1 {
			wrong("<%s> stands %d times", once, count[once])
		}
	}
	if count["table"] != count["caption"] {
		wrong("%d tables have %d captions", count["table"], count["caption"])
	}
	links := 2 // the icon, and the style sheet
	if strings.Contains(text, `<main class="hall`) {
		links = 3 // what only pages behind the session need has a style sheet of its own
	}
	if count["script"] != 1 || count["link"] != links {
		wrong("it loads %d scripts and %d style sheets and icons", count["script"], count["link"])
	}
	return faults
}

var sampleTiles = []ask.Tile{
	{ID: "collaborate", Title: "Collaborate / Communicate", Description: "Messages, documents and meetings", Connected: true},
	{ID: "architect", Title: "Architect", Description: "Call flows and prompts", Connected: false},
	{ID: "app_wiki", Title: "Wiki", Address: "wiki.example", Connected: true, Link: true},
	{ID: "app_books", Title: "Books", Connected: true, Failed: true, HasLogo: true, Version: "a"},
}

// manyTiles are 40 applications.
func manyTiles() []ask.Tile {
	all := slices.Clone(sampleTiles)
	for i, title := range sampleTitles {
		all = append(all, ask.Tile{ID: application.ID(fmt.Sprintf("app_%d", i)), Title: title, Description: []string{"", "Messages, documents and meetings"}[i%2], Connected: true})
	}
	return all
}

// The titles of manyTiles, and all that stands for a title where an application has no logo.
var (
	sampleTitles = []string{
		"Timetable", "Payroll", "Fleet Control", "Customs Declarations and Transit Documents for Northern Europe", "Expenses", "Holidays", "Training", "Help Desk", "Visitor Log", "Parking",
		"Canteen", "Safety Reports", "Crew Planning", "Container Tracking", "Invoices", "Contracts", "Purchasing", "Suppliers", "Warehouse", "Maintenance", "Fuel Cards", "Insurance", "Claims",
		"Travel", "Recruiting", "Onboarding", "Appraisals", "Surveys", "Newsroom", "Photo Library", "Print Shop", "Translations", "Weather", "Port Calls", "Tide Tables", "Donaudampfschifffahrtsgesellschaft",
	}
	sampleInitials = regexp.MustCompile(`^[A-Z]{1,2}$`)
)
