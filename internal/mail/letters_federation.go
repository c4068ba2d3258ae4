package mail

import "time"

// FederationParameters write to administrators what happened to single sign-on in
// their organization.
type FederationParameters struct {
	Organization string
	Name         string // of the administrator
	What         string // one of the constants below
	Connection   string // its name; empty where it is about none
	Person       string // who did it, where somebody did
	Email        string
	When         time.Time // when it was, or will be
	Link         string    // to the page in the console where it can be looked at
}

// What can have happened.
const (
	BreakGlassUsed      = "break_glass"      // an owner came in by passkey where single sign-on is the only way
	FederationReverted  = "reverted"         // single sign-on is no longer the only way: it failed for everybody
	FederationFails     = "fails"            // and will not be in a while, unless somebody comes in by it
	CertificateEnding   = "certificate"      // a provider's certificate ends
	MetadataRenewed     = "metadata_renewed" // new signing keys were taken from the provider's own address
	MetadataRefused     = "metadata_refused" // what that address has now was not taken
	ConnectionTurnedOff = "turned_off"       // by hand
	ConnectionTurnedOn  = "turned_on"
	ConnectionWaits     = "change_waits" // what was entered for it passed its test and waits for an owner
	ConnectionChanged   = "change_taken" // and is in force
	ConnectionConfirmed = "confirmed"    // an owner confirmed what it trusts
	AccountLinked       = "linked"       // to the person: somebody of a provider comes in as them from now on
	AccountUnlinked     = "unlinked"     // and no longer
)

func (FederationParameters) kind() string      { return "federation" }
func (FederationParameters) endsAt() time.Time { return time.Time{} }

func (p FederationParameters) write(w writer) content {
	say := func(key string) string {
		return w.say("mail.federation."+p.What+key, "Organization", p.Organization, "Connection", p.Connection,
			"Person", p.Person, "Email", p.Email, "When", own(w.DateTime(p.When)))
	}
	return content{
		Subject:  say(".subject"),
		Greeting: w.greeting(p.Name),
		Before:   []string{say(".what"), say(".then")},
		Button:   w.say("mail.federation_button"),
		Link:     p.Link,
		Footer:   []string{w.say("mail.footer")},
	}
}

// ConnectionSetupParameters write the letter with the link behind which a company's
// IT sets up a connection.
type ConnectionSetupParameters struct {
	Organization string
	Inviter      string
	Connection   string
	Link         string
	Expires      time.Time
}

func (ConnectionSetupParameters) kind() string        { return "connection_setup" }
func (p ConnectionSetupParameters) endsAt() time.Time { return p.Expires }

func (p ConnectionSetupParameters) write(w writer) content {
	return content{
		Subject:  w.say("mail.connection_setup.subject", "Organization", p.Organization),
		Greeting: w.say("mail.greeting_nameless"),
		Before: []string{
			w.say("mail.connection_setup.what", "Inviter", p.Inviter, "Organization", p.Organization, "Connection", p.Connection),
			w.say("mail.connection_setup.how"),
		},
		Button: w.say("mail.connection_setup.button"),
		Link:   p.Link,
		After:  []string{w.say("mail.connection_setup.ends", "Expires", own(w.DateTime(p.Expires)))},
		Footer: []string{w.say("mail.connection_setup.unexpected"), w.say("mail.footer")},
	}
}
