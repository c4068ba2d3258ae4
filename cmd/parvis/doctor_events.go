package main

import (
	"fmt"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/provisioning"
	"parvis/internal/webhook"
)

// silentAfter is how long a directory that is on may be without a call. Some providers call only
// when something changes.
const silentAfter = 7 * 24 * time.Hour

// events lists webhooks whose receivers take nothing. The installation's are the operator's own.
func (d *doctor) events(open *db.DB) {
	const check = "webhooks"
	if open == nil {
		return
	}
	organizations, err := directory.Organizations(d.ctx, open)
	for _, o := range append([]directory.Organization{{}}, organizations...) {
		var all []webhook.Webhook
		if err == nil {
			all, err = webhook.Of(d.ctx, open, directory.Operator(), o.ID)
		}
		say, whose, remedy := d.note, "of "+o.ShortName, "its administrators look at Administration › Webhooks."
		if o.ID == "" {
			say, whose, remedy = d.fail, "of yours", "look at the receiver, then 'parvis webhook test NAME'."
		}
		for _, w := range all {
			var last []webhook.Attempt
			if err == nil {
				last, err = webhook.Attempts(d.ctx, open, directory.Operator(), w, webhook.Query{Failed: true, Limit: 1})
			}
			switch {
			case w.Parked():
				say(check, "%s %s (%s) took nothing since %s%s; on %s it is turned off: %s",
					w.Name, whose, w.Address, w.ParkedAt.Format(time.DateTime), saidLast(last), w.EndsAt().Format(time.DateTime), remedy)
			case !w.On && w.Why != webhook.ByHand:
				say(check, "%s %s (%s) was turned off because nothing was taken%s. Turned on again, it goes on where it stopped: %s", w.Name, whose, w.Address, saidLast(last), remedy)
			}
		}
	}
	if err != nil {
		d.fail(check, "they cannot be read: %v.", err)
	}
}

// saidLast says what a receiver answered last.
func saidLast(last []webhook.Attempt) string {
	switch {
	case len(last) == 0:
		return ""
	case last[0].Status != 0:
		return fmt.Sprintf(" (it answered %d)", last[0].Status)
	}
	return fmt.Sprintf(" (%s)", last[0].Why)
}

// sources lists the customers' directories that are silent, or wait for a person.
func (d *doctor) sources(open *db.DB) {
	const check = "provisioning"
	if open == nil {
		return
	}
	organizations, err := directory.Organizations(d.ctx, open)
	for _, o := range organizations {
		var all []provisioning.Source
		var waiting map[string]int
		if err == nil {
			all, err = provisioning.Sources(d.ctx, open, directory.Operator(), o.ID)
		}
		if err == nil {
			waiting, err = provisioning.CountWaiting(d.ctx, open, directory.Operator(), o.ID)
		}
		for _, s := range all {
			last, never := s.UsedAt, s.UsedAt.IsZero()
			if never {
				last = s.CreatedAt
			}
			switch {
			case s.State == provisioning.Stopped || open.Now().Sub(last) < silentAfter:
			case never:
				d.note(check, "%s of %s never called since it was added on %s: its address and token are entered at the provider, as Administration › Provisioning says.",
					s.Name, o.ShortName, last.Format(time.DateOnly))
			default:
				d.note(check, "%s of %s has not called since %s: does it still run at the provider, and has its token ended? Administration › Provisioning shows its calls and makes another token.",
					s.Name, o.ShortName, last.Format(time.DateTime))
			}
			if n := waiting[s.ID]; n > 0 {
				d.note(check, "%s of %s has %d waiting for an administrator, under Administration › Provisioning.", s.Name, o.ShortName, n)
			}
		}
	}
	if err != nil {
		d.fail(check, "the directories cannot be read: %v.", err)
	}
}
