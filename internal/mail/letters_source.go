package mail

import "time"

// SourceParameters write the letter that informs administrators of an event about a directory that
// keeps people of their organization here.
type SourceParameters struct {
	Organization string
	Name         string // of the administrator
	What         string // one of the constants below
	Source       string // its name
	Person       string // whom it is about, if it is about a person
	Email        string
	Count        int       // of people who were shut out or deleted
	When         time.Time // when it was, or will be
	Link         string    // to the source's page in the console
}

// The values of What.
const (
	SourceShutOutMany   = "shut_out_many"   // so many within an hour that it may be a mistake
	SourceShutsOutOwner = "shuts_out_owner" // it tried, which is refused
	SourceTokenEnds     = "token_ends"      // and nothing follows it
)

func (SourceParameters) kind() string      { return "source" }
func (SourceParameters) endsAt() time.Time { return time.Time{} }

func (p SourceParameters) write(w writer) content {
	say := func(key string) string {
		return w.say("mail.source."+p.What+key, "Organization", p.Organization, "Source", p.Source,
			"Person", p.Person, "Email", w.address(p.Email), "When", own(w.Moment(p.When)), "Count", p.Count)
	}
	c := content{
		Subject:          say(".subject"),
		Greeting:         w.greeting(p.Name),
		Before:           []string{say(".what")},
		Then:             []string{say(".then")},
		Button:           w.say("mail.source.button"),
		Link:             p.Link,
		Why:              w.why("mail.why.administrator", p.Organization),
		ToAdministrators: true,
	}
	if p.What != SourceTokenEnds { // whose sentence says until when
		c.Facts = []fact{w.when(p.When)}
	}
	return c
}
