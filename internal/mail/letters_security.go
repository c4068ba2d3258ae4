package mail

import (
	"net/netip"
	"time"
)

// ResetParameters write the letter with the link that creates a new password.
type ResetParameters struct {
	Organization    string
	Name            string
	ByAdministrator bool // asked by one, not by the person
	NoPassword      bool // there is none to replace: the link creates one
	Link            string
	Expires         time.Time
}

func (ResetParameters) kind() string        { return "reset" }
func (p ResetParameters) endsAt() time.Time { return p.Expires }

func (p ResetParameters) write(w writer) content {
	what := w.say("mail.reset.what", "Organization", p.Organization)
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
		After:    []string{w.say("mail.reset.ends", "Expires", own(w.DateTime(p.Expires)))},
		Footer:   []string{w.say("mail.reset.unexpected"), w.say("mail.footer")},
	}
}

// ResetExplainedParameters write the letter to somebody who has no password that
// could be replaced.
type ResetExplainedParameters struct {
	Organization string
	Name         string
	Invited      bool // and has not accepted yet
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
		Footer:   []string{w.say("mail.reset.unexpected"), w.say("mail.footer")},
	}
}

// NamedOrganization is one line of the letter with names.
type NamedOrganization struct{ Name, ShortName, SignInPage string }

// NamesParameters write the letter that names every organization which knows an
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
		Footer:   []string{w.say("mail.names.unexpected"), w.say("mail.footer")},
	}
	for _, o := range p.Organizations {
		c.Rows = append(c.Rows, place{w.say("mail.names.row", "Name", o.Name, "ShortName", o.ShortName), o.SignInPage})
	}
	return c
}

// GuessedParameters write the letter that somebody tries passwords for an address.
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
		Before: []string{
			w.say("mail.guessed.what", "Organization", p.Organization, "When", own(w.DateTime(p.When))),
			w.say("mail.guessed.slowed"),
		},
		Button: w.say("mail.guessed.button"),
		Link:   p.ResetPage,
		After:  []string{w.say("mail.guessed.yours")},
		Footer: []string{w.say("mail.footer")},
	}
}

// PasswordDisabledParameters write the letter that the password was turned off
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
		Footer: []string{w.say("mail.footer")},
	}
}

// PasswordChangedParameters write the letter that a password was changed, with
// the way to object.
type PasswordChangedParameters struct {
	Organization string
	Name         string
	When         time.Time
	Network      string
	Agent        string
	NotMe        string // link: this was not me
}

func (PasswordChangedParameters) kind() string      { return "password_changed" }
func (PasswordChangedParameters) endsAt() time.Time { return time.Time{} }

func (p PasswordChangedParameters) write(w writer) content {
	c := content{
		Subject:  w.say("mail.password_changed.subject", "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before:   []string{w.say("mail.password_changed.what", "Organization", p.Organization, "When", own(w.DateTime(p.When)))},
		Button:   w.say("mail.not_me.button"),
		Link:     p.NotMe,
		After:    []string{w.say("mail.not_me.what")},
		Footer:   []string{w.say("mail.footer")},
	}
	c.Before = append(c.Before, w.where("mail.where", p.Network, p.Agent)...)
	c.Before = append(c.Before, w.say("mail.password_changed.sessions"), w.say("mail.not_me.mine"))
	return c
}

// PasswordRemovedParameters write the letter that somebody chose to sign in with
// passkeys only, with the way to object.
type PasswordRemovedParameters struct {
	Organization string
	Name         string
	When         time.Time
	Network      string
	Agent        string
	NotMe        string // link: this was not me
}

func (PasswordRemovedParameters) kind() string      { return "password_removed" }
func (PasswordRemovedParameters) endsAt() time.Time { return time.Time{} }

func (p PasswordRemovedParameters) write(w writer) content {
	c := w.notMe(p.Name, p.NotMe)
	c.Subject = w.say("mail.password_removed.subject", "Organization", p.Organization)
	before := append([]string{w.say("mail.password_removed.what", "Organization", p.Organization, "When", own(w.DateTime(p.When)))},
		w.where("mail.where", p.Network, p.Agent)...)
	c.Before = append(append(before, w.say("mail.password_removed.then")), c.Before...)
	return c
}

// where says, in the sentence of a key, from where something was done, as far as
// that is known.
func (w writer) where(key, network, agent string) []string {
	at, err := netip.ParseAddr(network)
	if err != nil || agent == "" {
		return nil
	}
	return []string{w.say(key, "Network", own(at.String()), "Agent", w.Browser(agent))}
}

// NewDeviceParameters write the letter that somebody signed in with a browser
// that had not been used before.
type NewDeviceParameters struct {
	Organization string
	Name         string
	When         time.Time
	Network      string
	Agent        string
	NotMe        string // link: this was not me
}

func (NewDeviceParameters) kind() string      { return "new_device" }
func (NewDeviceParameters) endsAt() time.Time { return time.Time{} }

func (p NewDeviceParameters) write(w writer) content {
	c := content{
		Subject:  w.say("mail.new_device.subject", "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before:   []string{w.say("mail.new_device.what", "Organization", p.Organization, "When", own(w.DateTime(p.When)))},
		Button:   w.say("mail.not_me.button"),
		Link:     p.NotMe,
		After:    []string{w.say("mail.not_me.what")},
		Footer:   []string{w.say("mail.footer")},
	}
	c.Before = append(c.Before, w.where("mail.where", p.Network, p.Agent)...)
	c.Before = append(c.Before, w.say("mail.not_me.mine"))
	return c
}

// DisownedParameters write the letter to administrators: a person said 'this was
// not me'.
type DisownedParameters struct {
	Organization string
	Name         string // of the administrator
	Person       string
	Email        string // of the person
	When         time.Time
	Link         string // to the person's page in the console
}

func (DisownedParameters) kind() string      { return "disowned" }
func (DisownedParameters) endsAt() time.Time { return time.Time{} }

func (p DisownedParameters) write(w writer) content {
	return content{
		Subject:  w.say("mail.disowned.subject", "Person", p.Person, "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before: []string{
			w.say("mail.disowned.what", "Person", p.Person, "Email", p.Email, "When", own(w.DateTime(p.When))),
			w.say("mail.disowned.done"),
		},
		Button: w.say("mail.disowned.button"),
		Link:   p.Link,
		After:  []string{w.say("mail.disowned.then")},
		Footer: []string{w.say("mail.footer")},
	}
}

// DeviceParameters write the letter that a second step was added, removed or made
// anew.
type DeviceParameters struct {
	Organization string
	Name         string
	When         time.Time
	What         string // device.added, device.removed or recovery_codes.made
	Device       string // its name; empty for recovery codes
	Network      string
	Agent        string
	NotMe        string // link: this was not me
}

func (DeviceParameters) kind() string      { return "device" }
func (DeviceParameters) endsAt() time.Time { return time.Time{} }

func (p DeviceParameters) write(w writer) content {
	subject, what := "mail.device.added_subject", "mail.device.added"
	switch p.What {
	case "device.removed":
		subject, what = "mail.device.removed_subject", "mail.device.removed"
	case "recovery_codes.made":
		subject, what = "mail.device.recovery_subject", "mail.device.recovery"
	}
	c := w.notMe(p.Name, p.NotMe)
	c.Subject = w.say(subject, "Organization", p.Organization)
	before := append([]string{w.say(what, "Organization", p.Organization, "Device", p.Device, "When", own(w.DateTime(p.When)))},
		w.where("mail.where", p.Network, p.Agent)...)
	if p.What == "device.removed" {
		before = append(before, w.say("mail.device.removed_sessions"))
	}
	c.Before = append(before, c.Before...)
	return c
}

// notMe begins a letter that tells what was done, with the way to object.
func (w writer) notMe(name, link string) content {
	return content{
		Greeting: w.greeting(name),
		Before:   []string{w.say("mail.not_me.mine")},
		Button:   w.say("mail.not_me.button"),
		Link:     link,
		After:    []string{w.say("mail.not_me.what")},
		Footer:   []string{w.say("mail.footer")},
	}
}

// RecoveryUsedParameters write the letter that a recovery code was used.
type RecoveryUsedParameters struct {
	Organization string
	Name         string
	When         time.Time
	Left         int
	Network      string
	Agent        string
	NotMe        string // link: this was not me
}

func (RecoveryUsedParameters) kind() string      { return "recovery_used" }
func (RecoveryUsedParameters) endsAt() time.Time { return time.Time{} }

func (p RecoveryUsedParameters) write(w writer) content {
	c := w.notMe(p.Name, p.NotMe)
	c.Subject = w.say("mail.recovery_used.subject", "Organization", p.Organization)
	c.Before = append([]string{
		w.say("mail.recovery_used.what", "Organization", p.Organization, "When", own(w.DateTime(p.When))),
		w.say("mail.recovery_used.left", "Count", p.Left),
	}, append(w.where("mail.where", p.Network, p.Agent), c.Before...)...)
	return c
}

// SecondStepGuessedParameters write the letter that somebody who has the password
// tries second steps.
type SecondStepGuessedParameters struct {
	Organization string
	Name         string
	When         time.Time
	Count        int
	Network      string
	Agent        string
	NotMe        string // link: this was not me
}

func (SecondStepGuessedParameters) kind() string      { return "second_step_guessed" }
func (SecondStepGuessedParameters) endsAt() time.Time { return time.Time{} }

func (p SecondStepGuessedParameters) write(w writer) content {
	c := w.notMe(p.Name, p.NotMe)
	c.Subject = w.say("mail.second_step_guessed.subject", "Organization", p.Organization)
	c.Before = append([]string{
		w.say("mail.second_step_guessed.what", "Organization", p.Organization, "Count", p.Count, "When", own(w.DateTime(p.When))),
	}, append(w.where("mail.where", p.Network, p.Agent), c.Before...)...)
	return c
}

// SecondStepResetParameters write the letter that an administrator removed a
// person's second steps.
type SecondStepResetParameters struct {
	Organization  string
	Name          string
	When          time.Time
	Administrator string // empty when the operator did
	NoPassword    bool   // so that another letter brings a link that creates one
	NotMe         string // link: this was not me
}

func (SecondStepResetParameters) kind() string      { return "second_step_reset" }
func (SecondStepResetParameters) endsAt() time.Time { return time.Time{} }

func (p SecondStepResetParameters) write(w writer) content {
	c := w.notMe(p.Name, p.NotMe)
	c.Subject = w.say("mail.second_step_reset.subject", "Organization", p.Organization)
	what := w.say("mail.second_step_reset.what_operator", "Organization", p.Organization, "When", own(w.DateTime(p.When)))
	if p.Administrator != "" {
		what = w.say("mail.second_step_reset.what", "Organization", p.Organization, "Administrator", p.Administrator, "When", own(w.DateTime(p.When)))
	}
	then := w.say("mail.second_step_reset.then")
	if p.NoPassword {
		then = w.say("mail.second_step_reset.no_password")
	}
	c.Before = append([]string{
		what,
		then,
	}, c.Before...)
	return c
}
