package mail

import "time"

// ResetParameters write the letter with the link that creates a new password.
type ResetParameters struct {
	Organization    string
	Name            string
	ByAdministrator bool // an administrator asked, not the person
	NoPassword      bool // the person has none: the link creates the first one
	Link            string
	Expires         time.Time
}

func (ResetParameters) kind() string        { return "reset" }
func (p ResetParameters) endsAt() time.Time { return p.Expires }

func (p ResetParameters) write(w writer) content {
	what, why := w.say("mail.reset.what", "Organization", p.Organization), w.why("mail.why.asked", p.Organization)
	if p.ByAdministrator {
		why = w.why("mail.why.asked_by_administrator", p.Organization)
	}
	if p.ByAdministrator && !p.NoPassword {
		what = w.say("mail.reset.by_administrator", "Organization", p.Organization)
	}
	before := []string{what}
	if p.NoPassword {
		before = append(before, w.say("mail.reset.no_password", "Organization", p.Organization))
	}
	return content{
		Subject:  w.say("mail.reset.subject", "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before:   before,
		Button:   w.say("mail.reset.button"),
		Link:     p.Link,
		After:    []string{w.say("mail.reset.ends", "Expires", own(w.Moment(p.Expires)))},
		Footer:   []string{w.say("mail.reset.unexpected")},
		Why:      why,
	}
}

// ResetExplainedParameters write the letter that explains to somebody why they have no
// password to replace.
type ResetExplainedParameters struct {
	Organization string
	Name         string
	Invited      bool // an invitation has not been accepted yet
	SignInPage   string
}

func (ResetExplainedParameters) kind() string      { return "reset_explained" }
func (ResetExplainedParameters) endsAt() time.Time { return time.Time{} }

func (p ResetExplainedParameters) write(w writer) content {
	why := w.say("mail.reset_explained.no_password", "Organization", p.Organization)
	if p.Invited {
		why = w.say("mail.reset_explained.invited", "Organization", p.Organization)
	}
	return content{
		Subject:  w.say("mail.reset_explained.subject", "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before:   []string{w.say("mail.reset_explained.asked", "Organization", p.Organization), why},
		Button:   w.say("mail.reset_explained.button"),
		Link:     p.SignInPage,
		Footer:   []string{w.say("mail.reset.unexpected")},
		Why:      w.why("mail.why.asked", p.Organization),

		ToStranger: p.Invited,
	}
}

// NamedOrganization is one line of the letter with names.
type NamedOrganization struct{ Name, ShortName, SignInPage string }

// NamesParameters write the letter that lists every organization with a user of this
// address, each with its own page to bookmark (journey 6.7).
type NamesParameters struct {
	Organizations []NamedOrganization
	SignInPage    string
}

func (NamesParameters) kind() string      { return "names" }
func (NamesParameters) endsAt() time.Time { return time.Time{} }

func (p NamesParameters) write(w writer) content {
	c := content{
		Subject:  w.say("mail.names.subject"),
		Greeting: w.say("mail.greeting_nameless"),
		Before:   []string{w.say("mail.names.what", "Count", len(p.Organizations))},
		After:    []string{w.say("mail.names.bookmark")},
		Footer:   []string{w.say("mail.names.unexpected")},
		Why:      w.why("mail.why.asked", ""),
	}
	for _, o := range p.Organizations {
		c.Rows = append(c.Rows, place{w.say("mail.names.row", "Name", o.Name, "ShortName", o.ShortName), o.SignInPage})
	}
	return c
}

// GuessedParameters write the letter saying that somebody is guessing the password of an address.
type GuessedParameters struct {
	Organization string
	Name         string
	When         time.Time
	ResetPage    string
}

func (GuessedParameters) kind() string      { return "guessed" }
func (GuessedParameters) endsAt() time.Time { return time.Time{} }

func (p GuessedParameters) write(w writer) content {
	return content{
		Subject:  w.say("mail.guessed.subject", "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before:   []string{w.say("mail.guessed.what", "Organization", p.Organization)},
		Facts:    []fact{{w.say("mail.guessed.last"), w.Moment(p.When)}},
		Then:     []string{w.say("mail.guessed.slowed"), w.say("mail.guessed.yours")},
		Button:   w.say("mail.guessed.button"),
		Link:     p.ResetPage,
		Why:      w.why("mail.why.member", p.Organization),
	}
}

// PasswordDisabledParameters write the letter saying that the password was turned off
// after too many wrong ones in a row.
type PasswordDisabledParameters struct {
	Organization string
	Name         string
	Failures     int
	ResetPage    string
}

func (PasswordDisabledParameters) kind() string      { return "password_disabled" }
func (PasswordDisabledParameters) endsAt() time.Time { return time.Time{} }

func (p PasswordDisabledParameters) write(w writer) content {
	return content{
		Subject:  w.say("mail.password_disabled.subject", "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before: []string{
			w.say("mail.password_disabled.what", "Organization", p.Organization, "Count", p.Failures),
			w.say("mail.password_disabled.then"),
		},
		Button: w.say("mail.password_disabled.button"),
		Link:   p.ResetPage,
		Why:    w.why("mail.why.member", p.Organization),
	}
}

// DisownedParameters write the letter to administrators saying that a person chose 'this
// was not me'.
type DisownedParameters struct {
	Organization string
	Name         string // of the administrator
	Person       string
	Email        string // of the person
	When         time.Time
	Link         string // to the person's page in the console
	Federated    bool   // single sign-on is the only way in, so that no password is created
}

func (DisownedParameters) kind() string      { return "disowned" }
func (DisownedParameters) endsAt() time.Time { return time.Time{} }

func (p DisownedParameters) write(w writer) content {
	done := w.say("mail.disowned.done")
	if p.Federated {
		done = w.say("mail.disowned.done_there")
	}
	return content{
		Subject:  w.say("mail.disowned.subject", "Person", p.Person, "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before:   []string{w.say("mail.disowned.what", "Person", p.Person, "Email", w.address(p.Email))},
		Facts:    []fact{w.when(p.When)},
		Then:     []string{done, w.say("mail.disowned.then")},
		Button:   w.say("mail.disowned.button"),
		Link:     p.Link,
		Why:      w.why("mail.why.administrator", p.Organization),

		ToAdministrators: true,
	}
}

// HelpAskedParameters write the letter to administrators saying that a person can use none
// of their second steps (journeys 5.7).
type HelpAskedParameters struct {
	Organization string
	Name         string // of the administrator
	Person       string
	Email        string // of the person
	When         time.Time
	Network      string // the network that it was asked from, and the browser;
	Agent        string // the letter mentions neither if both are empty
	Link         string // to the person's page in the console
}

func (HelpAskedParameters) kind() string      { return "help_asked" }
func (HelpAskedParameters) endsAt() time.Time { return time.Time{} }

func (p HelpAskedParameters) write(w writer) content {
	return content{
		Subject:  w.say("mail.help_asked.subject", "Person", p.Person, "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before:   []string{w.say("mail.help_asked.what", "Person", p.Person, "Email", w.address(p.Email))},
		Facts:    append([]fact{w.when(p.When)}, w.where("mail.fact.browser", "mail.fact.network", p.Network, p.Agent)...),
		Then:     []string{w.say("mail.help_asked.check", "Person", p.Person)},
		Button:   w.say("mail.help_asked.button"),
		Link:     p.Link,
		After:    []string{w.say("mail.help_asked.then"), w.say("mail.help_asked.not_them")},
		Why:      w.why("mail.why.administrator", p.Organization),

		ToAdministrators: true,
	}
}
