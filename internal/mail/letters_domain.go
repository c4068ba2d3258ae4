package mail

import "time"

// DomainParameters write the letter to administrators saying that the record that proves a
// domain is missing, or has been missing for so long that the domain lapsed.
type DomainParameters struct {
	Organization  string
	Name          string // of the administrator
	Domain        string
	Record, Value string    // of the TXT record that is missing
	Lapses        time.Time // when the domain lapses; zero if it has lapsed
	Link          string    // to the domain's page in the console
}

func (DomainParameters) kind() string      { return "domain" }
func (DomainParameters) endsAt() time.Time { return time.Time{} }

func (p DomainParameters) write(w writer) content {
	c := content{
		Subject:  w.say("mail.domain.lapsed_subject", "Domain", own(p.Domain), "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before: []string{
			w.say("mail.domain.lapsed", "Domain", own(p.Domain), "Organization", p.Organization),
			w.say("mail.domain.lapsed_then"),
		},
		Facts: []fact{
			{w.say("mail.domain.record"), p.Record},
			{w.say("mail.domain.value"), p.Value},
		},
		Button: w.say("mail.domain.button"),
		Link:   p.Link,
		Why:    w.why("mail.why.administrator", p.Organization),

		ToAdministrators: true,
	}
	if !p.Lapses.IsZero() {
		c.Subject = w.say("mail.domain.missing_subject", "Domain", own(p.Domain), "Organization", p.Organization)
		c.Before = []string{
			w.say("mail.domain.missing", "Domain", own(p.Domain), "Organization", p.Organization),
			w.say("mail.domain.missing_then", "When", own(w.Moment(p.Lapses))),
		}
	}
	return c
}
