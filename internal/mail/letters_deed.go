package mail

import (
	"net/netip"
	"time"
)

// A Deed describes something that was done in somebody's name. The letter about it says
// how to object.
type Deed struct {
	Organization string
	Name         string // of the person
	When         time.Time
	Network      string // the network that it was done from, and the browser;
	Agent        string // the letter mentions neither if both are empty
	NotMe        string // the link "this was not me"
	ID           string // of the letter; the row of that link refers to it
}

func (d Deed) letterID() string { return d.ID }

func (Deed) endsAt() time.Time { return time.Time{} }

// say fills in a message that may name the organization of d.
func (d Deed) say(w writer, key string, pairs ...any) string {
	return w.say(key, append([]any{"Organization", d.Organization}, pairs...)...)
}

// letter says what was done, when and from where, and what follows from it, and then how to
// object.
func (d Deed) letter(w writer, subject, what string, then ...string) content {
	return content{
		Subject:  w.say(subject, "Organization", d.Organization),
		Greeting: w.greeting(d.Name),
		Before:   []string{what},
		Facts:    append([]fact{w.when(d.When)}, w.where("mail.fact.browser", "mail.fact.network", d.Network, d.Agent)...),
		Then:     then,
		Object:   objection{Button: w.say("mail.not_me.button"), Link: d.NotMe, What: []string{w.say("mail.not_me.what")}},
		Why:      w.why("mail.why.member", d.Organization),
	}
}

// where returns the facts of where something was done from, under the labels of two keys, as
// far as they are known.
func (w writer) where(browserKey, networkKey, network, agent string) []fact {
	at, err := netip.ParseAddr(network)
	if err != nil || agent == "" {
		return nil
	}
	return []fact{{w.say(browserKey), plain(w.Browser(agent))}, {w.say(networkKey), at.String()}}
}

// mine says that a person who did it themselves need do nothing.
func (w writer) mine() string { return w.say("mail.not_me.mine") }

// PasswordChangedParameters write the letter saying that a password was changed.
type PasswordChangedParameters struct{ Deed }

func (PasswordChangedParameters) kind() string { return "password_changed" }

func (p PasswordChangedParameters) write(w writer) content {
	return p.letter(w, "mail.password_changed.subject", p.say(w, "mail.password_changed.what"),
		w.say("mail.password_changed.sessions"), w.mine())
}

// PasswordRemovedParameters write the letter saying that somebody chose to sign in with
// passkeys only.
type PasswordRemovedParameters struct{ Deed }

func (PasswordRemovedParameters) kind() string { return "password_removed" }

func (p PasswordRemovedParameters) write(w writer) content {
	return p.letter(w, "mail.password_removed.subject", p.say(w, "mail.password_removed.what"),
		w.say("mail.password_removed.then"), w.mine())
}

// NewDeviceParameters write the letter saying that somebody signed in with a browser
// that had not been used before.
type NewDeviceParameters struct{ Deed }

func (NewDeviceParameters) kind() string { return "new_device" }

func (p NewDeviceParameters) write(w writer) content {
	return p.letter(w, "mail.new_device.subject", p.say(w, "mail.new_device.what"), w.mine())
}

// AuthenticatorParameters write the letter saying that a second step was added or removed, or that
// recovery codes were replaced.
type AuthenticatorParameters struct {
	Deed
	What   string // device.added, device.removed or recovery_codes.made
	Device string // its name; empty for recovery codes
}

func (AuthenticatorParameters) kind() string { return "device" }

func (p AuthenticatorParameters) write(w writer) content {
	switch p.What {
	case "device.removed":
		return p.letter(w, "mail.device.removed_subject", p.say(w, "mail.device.removed", "Device", p.Device),
			w.say("mail.device.removed_sessions"), w.mine())
	case "recovery_codes.made":
		c := p.letter(w, "mail.device.recovery_subject", p.say(w, "mail.device.recovery"), w.mine())
		c.Object.What = append(c.Object.What, w.say("mail.device.recovery_back"))
		return c
	}
	c := p.letter(w, "mail.device.added_subject", p.say(w, "mail.device.added", "Device", p.Device), w.mine())
	c.Object.What = append(c.Object.What, w.say("mail.device.back"))
	return c
}

// RecoveryUsedParameters write the letter saying that a recovery code was used.
type RecoveryUsedParameters struct {
	Deed
	Left int
}

func (RecoveryUsedParameters) kind() string { return "recovery_used" }

func (p RecoveryUsedParameters) write(w writer) content {
	return p.letter(w, "mail.recovery_used.subject", p.say(w, "mail.recovery_used.what"),
		w.say("mail.recovery_used.left", "Count", p.Left), w.mine())
}

// SecondStepGuessedParameters write the letter saying that somebody who knows the password
// is guessing second steps.
type SecondStepGuessedParameters struct {
	Deed
	Count int
}

func (SecondStepGuessedParameters) kind() string { return "second_step_guessed" }

func (p SecondStepGuessedParameters) write(w writer) content {
	return p.letter(w, "mail.second_step_guessed.subject", p.say(w, "mail.second_step_guessed.what", "Count", p.Count), w.mine())
}

// SecondStepResetParameters write the letter saying that an administrator removed a
// person's second steps. It does not say where the administrator was.
type SecondStepResetParameters struct {
	Deed
	Administrator string // empty when the operator did
	NoPassword    bool   // so that another letter brings a link that creates one
	Federated     bool   // single sign-on is the only way in
}

func (SecondStepResetParameters) kind() string { return "second_step_reset" }

func (p SecondStepResetParameters) write(w writer) content {
	what, then := p.say(w, "mail.second_step_reset.what_operator"), w.say("mail.second_step_reset.then")
	if p.Administrator != "" {
		what = p.say(w, "mail.second_step_reset.what", "Administrator", p.Administrator)
	}
	switch {
	case p.Federated:
		then = w.say("mail.second_step_reset.federated")
	case p.NoPassword:
		then = w.say("mail.second_step_reset.no_password")
	}
	return p.letter(w, "mail.second_step_reset.subject", what, then, w.say("mail.email_asked.mine"))
}
