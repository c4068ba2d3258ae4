package mail

import "time"

// EmailProofParameters write the letter to a new address with the link that
// proves it. It names nobody, because a mistyped address may belong to a
// stranger.
type EmailProofParameters struct {
	Organization    string
	ByAdministrator bool // an administrator asked, not the person
	Link            string
	Expires         time.Time
}

func (EmailProofParameters) kind() string        { return "email_proof" }
func (p EmailProofParameters) endsAt() time.Time { return p.Expires }

func (p EmailProofParameters) write(w writer) content {
	what := w.say("mail.email_proof.what", "Organization", p.Organization)
	if p.ByAdministrator {
		what = w.say("mail.email_proof.by_administrator", "Organization", p.Organization)
	}
	return content{
		Subject:  w.say("mail.email_proof.subject", "Organization", p.Organization),
		Greeting: w.say("mail.greeting_nameless"),
		Before:   []string{what, w.say("mail.email_proof.until")},
		Button:   w.say("mail.email_proof.button"),
		Link:     p.Link,
		After:    []string{w.say("mail.email_proof.ends", "Expires", own(w.Moment(p.Expires)))},
		Footer:   []string{w.say("mail.email_proof.unexpected")},
		Why:      w.why("mail.why.new_address", p.Organization),

		ToStranger: true, // until it is proved
	}
}

// EmailTakenParameters write the letter to the owner of an address that somebody else in the
// same organization tried to change to. It has no link, because there is nothing to do.
type EmailTakenParameters struct {
	Organization string
	Name         string // of the recipient
}

func (EmailTakenParameters) kind() string      { return "email_taken" }
func (EmailTakenParameters) endsAt() time.Time { return time.Time{} }

func (p EmailTakenParameters) write(w writer) content {
	return content{
		Subject:  w.say("mail.email_taken.subject", "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before: []string{
			w.say("mail.email_taken.what", "Organization", p.Organization),
			w.say("mail.email_taken.then"),
		},
		Why: w.why("mail.why.member", p.Organization),
	}
}

// EmailAskedParameters write the letter to the current address saying that a change to
// another one was asked for, with the way to object before the new one is proved.
type EmailAskedParameters struct {
	Deed
	New             string
	ByAdministrator bool
}

func (EmailAskedParameters) kind() string { return "email_asked" }

func (p EmailAskedParameters) write(w writer) content {
	key := "mail.email_asked.what"
	if p.ByAdministrator {
		key = "mail.email_asked.by_administrator"
	}
	c := p.letter(w, "mail.email_asked.subject", p.say(w, key, "New", w.address(p.New)), w.say("mail.email_asked.until"), w.say("mail.email_asked.mine"))
	c.Object.What = append(c.Object.What, w.say("mail.email_asked.objected"))
	return c
}

// EmailChangedParameters write the letter to the previous address saying that it was
// replaced by another one, with the way back.
type EmailChangedParameters struct {
	Deed
	New string
}

func (EmailChangedParameters) kind() string { return "email_changed" }

func (p EmailChangedParameters) write(w writer) content {
	c := p.letter(w, "mail.email_changed.subject", p.say(w, "mail.email_changed.what", "New", w.address(p.New)), w.say("mail.email_asked.mine"))
	c.Object.What = append(c.Object.What, w.say("mail.email_changed.objected"))
	c.Why = w.why("mail.why.old_address", p.Organization)
	return c
}
