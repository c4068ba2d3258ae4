package mail

import "time"

// MachineRestsParameters write the letter to administrators saying that a machine only reads until
// one of them confirms its rights, because the person who gave them can no longer give them.
type MachineRestsParameters struct {
	Organization string
	Name         string // of the administrator
	Machine      string
	Giver        string // who gave the rights; empty once erased
	Link         string // to the machine's page in the console
}

func (MachineRestsParameters) kind() string      { return "machine_rests" }
func (MachineRestsParameters) endsAt() time.Time { return time.Time{} }

func (p MachineRestsParameters) write(w writer) content {
	who := w.say("mail.machine.erased", "Machine", p.Machine)
	if p.Giver != "" {
		who = w.say("mail.machine.given", "Machine", p.Machine, "Person", p.Giver)
	}
	return content{
		Subject:  w.say("mail.machine.subject", "Machine", p.Machine, "Organization", p.Organization),
		Greeting: w.greeting(p.Name),
		Before:   []string{who, w.say("mail.machine.then")},
		Button:   w.say("mail.machine.button"),
		Link:     p.Link,
		Why:      w.why("mail.why.administrator", p.Organization),

		ToAdministrators: true,
	}
}
