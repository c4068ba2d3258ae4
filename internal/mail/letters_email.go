package mail

import "time"

// EmailProofParameters write the letter to a new address with the link that
// proves it. It names nobody: the address may have been mistyped and be a
// stranger's.
type EmailProofParameters struct {
	Organization    string
	ByAdministrator bool // asked by one, not by the person
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
		After:    []string{w.say("mail.email_proof.ends", "Expires", own(w.DateTime(p.Expires)))},
		Footer:   []string{w.say("mail.email_proof.unexpected"), w.say("mail.footer")},
	}
}

// EmailTakenParameters write the letter to an address that somebody of the same
// organization asked for and that belongs to its recipient already. It has no
// link: there is nothing to do.
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
		Footer: []string{w.say("mail.footer")},
	}
}

// EmailAskedParameters write the letter to the address in force that another one
// was asked for, with the way to object before it is proved.
type EmailAskedParameters struct {
	Organization    string
	Name            string
	New             string
	ByAdministrator bool
	When            time.Time
	Network         string
	Agent           string
	NotMe           string // link: this was not me
}

func (EmailAskedParameters) kind() string      { return "email_asked" }
func (EmailAskedParameters) endsAt() time.Time { return time.Time{} }

func (p EmailAskedParameters) write(w writer) content {
	what := w.say("mail.email_asked.what", "Organization", p.Organization, "New", p.New, "When", own(w.DateTime(p.When)))
	if p.ByAdministrator {
		what = w.say("mail.email_asked.by_administrator", "Organization", p.Organization, "New", p.New, "When", own(w.DateTime(p.When)))
	}
	c := content{
		Subject:  w.say("mail.email_asked.subject", "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before:   append([]string{what}, w.where("mail.where", p.Network, p.Agent)...),
		Button:   w.say("mail.not_me.button"),
		Link:     p.NotMe,
		After:    []string{w.say("mail.not_me.what"), w.say("mail.email_asked.objected")},
		Footer:   []string{w.say("mail.footer")},
	}
	c.Before = append(c.Before, w.say("mail.email_asked.until"), w.say("mail.email_asked.mine"))
	return c
}

// EmailChangedParameters write the letter to the address of before that another
// one is in force, with the way back.
type EmailChangedParameters struct {
	Organization string
	Name         string
	New          string
	When         time.Time
	NotMe        string // link: this was not me
}

func (EmailChangedParameters) kind() string      { return "email_changed" }
func (EmailChangedParameters) endsAt() time.Time { return time.Time{} }

func (p EmailChangedParameters) write(w writer) content {
	return content{
		Subject:  w.say("mail.email_changed.subject", "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before: []string{
			w.say("mail.email_changed.what", "Organization", p.Organization, "New", p.New, "When", own(w.DateTime(p.When))),
			w.say("mail.email_asked.mine"),
		},
		Button: w.say("mail.not_me.button"),
		Link:   p.NotMe,
		After:  []string{w.say("mail.not_me.what"), w.say("mail.email_changed.objected")},
		Footer: []string{w.say("mail.footer")},
	}
}
