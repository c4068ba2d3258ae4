package mail

import "time"

// WebhookParameters write the letter to administrators saying what became of a webhook whose
// receiver does not take events.
type WebhookParameters struct {
	Organization string
	Name         string // of the administrator
	Webhook      string
	What         string    // one of the constants below
	Since        time.Time // when it was parked; zero if it was not
	Ends         time.Time // when a parked one is turned off
	Link         string    // to its page in the console
}

// The values of What.
const (
	WebhookParked  = "parked"  // nothing was taken for an hour
	WebhookGone    = "gone"    // it was turned off: its receiver answered 410
	WebhookFailing = "failing" // it was turned off: nothing was taken for days
)

func (WebhookParameters) kind() string      { return "webhook" }
func (WebhookParameters) endsAt() time.Time { return time.Time{} }

func (p WebhookParameters) write(w writer) content {
	say := func(key string) string {
		return w.say("mail.webhook."+p.What+key, "Webhook", p.Webhook, "Organization", p.Organization, "Since", own(w.Moment(p.Since)), "Ends", own(w.Moment(p.Ends)))
	}
	return content{
		Subject:  say(".subject"),
		Greeting: w.greeting(p.Name),
		Before:   []string{say(".what")},
		Then:     []string{w.say("mail.webhook.kept"), say(".then")},
		Button:   w.say("mail.webhook.button"),
		Link:     p.Link,
		Why:      w.why("mail.why.administrator", p.Organization),

		ToAdministrators: true,
	}
}
