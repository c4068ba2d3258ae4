package mail

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"parvis/internal/i18n"
)

// Parameters are the values that one kind of letter needs. Each kind of letter has its own
// type. They are stored as JSON, so renaming a field leaves a gap in the letters that are
// waiting.
type Parameters interface {
	kind() string
	// endsAt is the time from which the letter is useless; zero if it never is.
	endsAt() time.Time
	write(w writer) content
}

// content holds the sentences of a letter in reading order.
type content struct {
	Subject  string
	Greeting string
	Before   []string // what the letter is about
	Facts    []fact
	Then     []string // what follows from it
	Button   string
	Link     string  // where the button leads; empty if the links are in Rows
	Rows     []place // several links, in place of the button
	After    []string
	Object   objection
	Footer   []string // small print, before what every letter says there
	Why      string   // why the recipient gets the letter

	ToAdministrators bool // and not to the people of the organization
	ToStranger       bool // who does not belong to the organization, or not yet
}

// A fact is a line that is looked up rather than read, such as when something was done.
type fact struct{ Label, Value string }

// A place is one of several links of a letter.
type place struct{ Text, Address string }

// Pieces returns the address in pieces between which a line may break.
func (p place) Pieces() []string { return strings.SplitAfter(p.Address, "/") }

// An objection is the way to say that something was not done by oneself. It never looks like
// the button of a letter, because nobody is to press it by habit.
type objection struct {
	Button, Link string
	What         []string
}

// parse reads what Put stored.
func parse(kind string, raw []byte) (Parameters, error) {
	switch kind {
	case InvitationParameters{}.kind():
		return parseAs[InvitationParameters](raw)
	case LogAlteredParameters{}.kind():
		return parseAs[LogAlteredParameters](raw)
	case BrowserCopiedParameters{}.kind():
		return parseAs[BrowserCopiedParameters](raw)
	case ResetParameters{}.kind():
		return parseAs[ResetParameters](raw)
	case ResetExplainedParameters{}.kind():
		return parseAs[ResetExplainedParameters](raw)
	case NamesParameters{}.kind():
		return parseAs[NamesParameters](raw)
	case GuessedParameters{}.kind():
		return parseAs[GuessedParameters](raw)
	case PasswordDisabledParameters{}.kind():
		return parseAs[PasswordDisabledParameters](raw)
	case PasswordChangedParameters{}.kind():
		return parseAs[PasswordChangedParameters](raw)
	case PasswordRemovedParameters{}.kind():
		return parseAs[PasswordRemovedParameters](raw)
	case NewDeviceParameters{}.kind():
		return parseAs[NewDeviceParameters](raw)
	case AuthenticatorParameters{}.kind():
		return parseAs[AuthenticatorParameters](raw)
	case RecoveryUsedParameters{}.kind():
		return parseAs[RecoveryUsedParameters](raw)
	case SecondStepGuessedParameters{}.kind():
		return parseAs[SecondStepGuessedParameters](raw)
	case SecondStepResetParameters{}.kind():
		return parseAs[SecondStepResetParameters](raw)
	case DisownedParameters{}.kind():
		return parseAs[DisownedParameters](raw)
	case HelpAskedParameters{}.kind():
		return parseAs[HelpAskedParameters](raw)
	case FederationParameters{}.kind():
		return parseAs[FederationParameters](raw)
	case ConnectionSetupParameters{}.kind():
		return parseAs[ConnectionSetupParameters](raw)
	case EmailProofParameters{}.kind():
		return parseAs[EmailProofParameters](raw)
	case EmailTakenParameters{}.kind():
		return parseAs[EmailTakenParameters](raw)
	case EmailAskedParameters{}.kind():
		return parseAs[EmailAskedParameters](raw)
	case EmailChangedParameters{}.kind():
		return parseAs[EmailChangedParameters](raw)
	case MachineRestsParameters{}.kind():
		return parseAs[MachineRestsParameters](raw)
	case SourceParameters{}.kind():
		return parseAs[SourceParameters](raw)
	case DomainParameters{}.kind():
		return parseAs[DomainParameters](raw)
	}
	return nil, fmt.Errorf("no letter is of the kind %q", kind)
}

func parseAs[P Parameters](raw []byte) (Parameters, error) {
	var p P
	err := json.Unmarshal(raw, &p)
	return p, err
}

// A writer writes to one person, in that person's language.
type writer struct {
	i18n.Localizer
	recipient string
}

// own is a text that this program made, such as a web address or a date. say inserts it
// unchanged.
type own string

// say returns a message with its placeholders filled. Any value that is not marked as own
// was typed by somebody, so it goes through plain first.
func (w writer) say(key string, pairs ...any) string {
	for i, v := range pairs {
		if s, ok := v.(string); ok && i%2 == 1 {
			pairs[i] = plain(s)
		}
	}
	return w.Text(key, pairs...)
}

// longestAddress is how long the address of a mailbox may be (RFC 5321 §4.5.3.1.3).
const longestAddress = 254

// address is an address that somebody typed, which is never cut: its end says whose it is.
func (w writer) address(s string) own { return own(unlinked(clean(s, longestAddress))) }

func (w writer) greeting(name string) string {
	if plain(name) == "" {
		return w.say("mail.greeting_nameless")
	}
	return w.say("mail.greeting", "Name", name)
}

// why says why the recipient gets a letter. The address is shown, since many people read
// several mailboxes in one place.
func (w writer) why(key, organization string) string {
	return w.say(key, "Organization", organization, "Recipient", own(w.recipient))
}

// when is the fact of when something was done.
func (w writer) when(t time.Time) fact { return fact{w.say("mail.fact.when"), w.Moment(t)} }

// InvitationParameters write the letter that invites somebody. It says what it is for, who
// invites, when it ends and what to bookmark, and has one link (journey 1.1).
type InvitationParameters struct {
	Organization string
	Name         string // of the person invited; may be empty
	Inviter      string // empty when the operator invites
	Link         string
	Expires      time.Time
	SignInPage   string
	Federated    bool // single sign-on is the only way in
}

func (InvitationParameters) kind() string        { return "invitation" }
func (p InvitationParameters) endsAt() time.Time { return p.Expires }

func (p InvitationParameters) write(w writer) content {
	by := w.say("mail.invitation.by_nobody", "Organization", p.Organization)
	if p.Inviter != "" {
		by = w.say("mail.invitation.by", "Inviter", p.Inviter, "Organization", p.Organization)
	}
	purpose := w.say("mail.invitation.purpose")
	if p.Federated {
		purpose = w.say("mail.invitation.purpose_federated")
	}
	return content{
		Subject:  w.say("mail.invitation.subject", "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before:   []string{by, purpose},
		Button:   w.say("mail.invitation.button"),
		Link:     p.Link,
		After: []string{
			w.say("mail.invitation.ends", "Expires", own(w.Moment(p.Expires))),
			w.say("mail.invitation.bookmark", "Page", own(p.SignInPage)),
		},
		Footer:     []string{w.say("mail.invitation.unexpected")},
		Why:        w.why("mail.why.invited", p.Organization),
		ToStranger: true,
	}
}

// BrowserCopiedParameters write the letter that tells somebody that their
// session was ended because its cookie was used in two places (decision 0002).
type BrowserCopiedParameters struct {
	Organization string
	Name         string
	When         time.Time
	Network      string // the address from which the cookie was used the second time
	Agent        string // and the browser; the letter mentions neither if both are empty
	SignInPage   string
}

func (BrowserCopiedParameters) kind() string      { return "browser_copied" }
func (BrowserCopiedParameters) endsAt() time.Time { return time.Time{} }

func (p BrowserCopiedParameters) write(w writer) content {
	return content{
		Subject:  w.say("mail.browser_copied.subject", "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before:   []string{w.say("mail.browser_copied.what", "Organization", p.Organization)},
		Facts: append([]fact{w.when(p.When)},
			w.where("mail.browser_copied.browser", "mail.browser_copied.network", p.Network, p.Agent)...),
		Then:   []string{w.say("mail.browser_copied.why"), w.say("mail.browser_copied.then")},
		Button: w.say("mail.browser_copied.button"),
		Link:   p.SignInPage,
		Why:    w.why("mail.why.member", p.Organization),
	}
}
