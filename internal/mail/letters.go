package mail

import (
	"encoding/json"
	"fmt"
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
	Before   []string // paragraphs above the button
	Button   string
	Link     string  // where the button leads; empty if the links are in Rows
	Rows     []place // several links, in place of the button
	After    []string
	Footer   []string // small print
}

// A place is one of several links of a letter.
type place struct{ Text, Address string }

// parse reads what Put stored.
func parse(kind string, raw []byte) (Parameters, error) {
	switch kind {
	case InvitationParameters{}.kind():
		return parseAs[InvitationParameters](raw)
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

// A writer writes in the recipient's language.
type writer struct{ i18n.Localizer }

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

func (w writer) greeting(name string) string {
	if plain(name) == "" {
		return w.say("mail.greeting_nameless")
	}
	return w.say("mail.greeting", "Name", name)
}

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
			w.say("mail.invitation.ends", "Expires", own(w.DateTime(p.Expires))),
			w.say("mail.invitation.bookmark", "Page", own(p.SignInPage)),
		},
		Footer: []string{w.say("mail.invitation.unexpected"), w.say("mail.footer")},
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
	c := content{
		Subject:  w.say("mail.browser_copied.subject", "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before:   []string{w.say("mail.browser_copied.what", "Organization", p.Organization, "When", own(w.DateTime(p.When)))},
		Button:   w.say("mail.browser_copied.button"),
		Link:     p.SignInPage,
		Footer:   []string{w.say("mail.footer")},
	}
	c.Before = append(c.Before, w.where("mail.browser_copied.where", p.Network, p.Agent)...)
	c.Before = append(c.Before, w.say("mail.browser_copied.why"), w.say("mail.browser_copied.then"))
	return c
}
