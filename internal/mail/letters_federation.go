package mail

import "time"

// FederationParameters write the letter that informs administrators of an event about
// single sign-on in their organization.
type FederationParameters struct {
	Organization string
	Name         string // of the administrator
	What         string // one of the constants below
	Connection   string // its name; empty if the letter is not about one
	Person       string // who did it, if a person did
	Email        string
	When         time.Time // when it was, or will be
	Link         string    // to the page in the console where it can be looked at
}

// The values of What.
const (
	BreakGlassUsed      = "break_glass"      // an owner came in by passkey where single sign-on is the only way
	FederationReverted  = "reverted"         // single sign-on is no longer the only way in: people failed with it
	FederationFails     = "fails"            // it will soon no longer be, unless somebody signs in with it
	CertificateEnding   = "certificate"      // a provider's certificate ends
	MetadataRenewed     = "metadata_renewed" // new signing keys were taken from the provider's own address
	MetadataRefused     = "metadata_refused" // the new content of that address was not accepted
	ConnectionTurnedOff = "turned_off"       // by hand
	ConnectionTurnedOn  = "turned_on"
	ConnectionWaits     = "change_waits" // a change of it passed its test and waits for an owner
	ConnectionChanged   = "change_taken" // that change is in force
	ConnectionConfirmed = "confirmed"    // an owner confirmed what it trusts
	AccountLinked       = "linked"       // to the person: an account of a provider can sign in as them from now on
	AccountUnlinked     = "unlinked"     // to the person: and no longer can
)

func (FederationParameters) kind() string      { return "federation" }
func (FederationParameters) endsAt() time.Time { return time.Time{} }

func (p FederationParameters) write(w writer) content {
	say := func(key string) string {
		return w.say("mail.federation."+p.What+key, "Organization", p.Organization, "Connection", p.Connection,
			"Person", p.Person, "Email", w.address(p.Email), "When", own(w.Moment(p.When)))
	}
	c := content{
		Subject:          say(".subject"),
		Greeting:         w.greeting(p.Name),
		Before:           []string{say(".what")},
		Then:             []string{say(".then")},
		Button:           w.say("mail.federation_button"),
		Link:             p.Link,
		Why:              w.why("mail.why.administrator", p.Organization),
		ToAdministrators: true,
	}
	switch p.What {
	case FederationFails, CertificateEnding: // their sentences say until when
	case AccountLinked, AccountUnlinked:
		c.Why, c.ToAdministrators = w.why("mail.why.member", p.Organization), false
		fallthrough
	default:
		c.Facts = []fact{w.when(p.When)}
	}
	return c
}

// ConnectionSetupParameters write the letter with the link that a company's IT department
// sets up a connection with.
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
		After:  []string{w.say("mail.connection_setup.ends", "Expires", own(w.Moment(p.Expires)))},
		Footer: []string{w.say("mail.connection_setup.unexpected")},
		Why:    w.why("mail.why.setup", p.Organization),

		ToStranger: true,
	}
}
