package mail

import "time"

// LogAlteredParameters write the letter to the operator saying that an audit log is not what this
// server sealed, and is stopped.
type LogAlteredParameters struct {
	Organization string // whose log it is; empty for that of the installation
	ID           string // of the organization
	Host         string // of the installation
}

func (LogAlteredParameters) kind() string      { return "log_altered" }
func (LogAlteredParameters) endsAt() time.Time { return time.Time{} }

func (p LogAlteredParameters) write(w writer) content {
	whose := w.say("mail.log_altered.installation")
	if p.Organization != "" {
		whose = w.say("mail.log_altered.organization", "Organization", p.Organization, "ID", p.ID)
	}
	return content{
		Subject:  w.say("mail.log_altered.subject", "Host", own(p.Host)),
		Greeting: w.greeting(""),
		Before:   []string{whose, w.say("mail.log_altered.stopped")},
		Then:     []string{w.say("mail.log_altered.then")},
		Why:      w.say("mail.why.operator", "Host", own(p.Host), "Recipient", own(w.recipient)),

		ToStranger: true,
	}
}
