package main

import (
	"errors"
	"maps"
	"slices"
	"time"

	"parvis/internal/application"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/op"
)

// owner says how an installation without an owner gets its first one.
func (d *doctor) owner(open *db.DB) {
	const check = "owner"
	if open == nil {
		return
	}
	switch until, err := directory.BootstrapWaits(d.ctx, open); {
	case errors.Is(err, directory.ErrHasOwner):
		d.ownerless(open)
	case err != nil:
		d.fail(check, "whether there is one cannot be read: %v.", err)
	case until.IsZero():
		d.note(check, "nobody owns an organization yet, and no set-up link works: 'parvis setup-link' prints one.")
	default:
		d.note(check, "nobody owns an organization yet. A set-up link works until %s; if it is lost, 'parvis setup-link' prints another.", until.Format(time.DateTime+" MST"))
	}
}

// invitedFor is how long an owner who was invited may take, before doctor asks who it is.
const invitedFor = 14 * 24 * time.Hour

// ownerless lists organizations whose owner was invited and never came: nobody can mend that inside.
func (d *doctor) ownerless(open *db.DB) {
	const check = "owner"
	all, err := directory.Ownerless(d.ctx, open, open.Now().Add(-invitedFor))
	if err != nil {
		d.fail(check, "which organizations have one cannot be read: %v.", err)
		return
	}
	for _, o := range all {
		d.note(check, "%s has no owner who can sign in. The owner who was invited opens the link of the old letter and gets a new one; "+
			"to make somebody else the owner: parvis import FILE --from csv --organization %s --owner ADDRESS", o.ShortName, o.ShortName)
	}
}

// passkeys lists people whose passkeys no longer work: only they can make others.
func (d *doctor) passkeys(open *db.DB) {
	if open == nil {
		return
	}
	weak, err := credential.WeakPasskeys(d.ctx, open)
	if err != nil {
		d.fail("passkeys", "%v", err)
		return
	}
	for _, k := range weak {
		d.note("passkeys", "a passkey of %s in %s is refused: others could sign for its key. They remove it under Security and make another; "+
			"'parvis user reset-second-step' helps people who have nothing else.", k.Email, k.Organization)
	}
}

// applications looks at the installation's applications, because an organization sees its own.
// It lists those of anybody that could not be registered today.
func (d *doctor) applications(open *db.DB) {
	const check = "applications"
	if open == nil {
		return
	}
	all, err := application.Of(d.ctx, open, directory.Operator(), "")
	if err != nil {
		d.fail(check, "they cannot be read: %v.", err)
		return
	}
	for _, a := range all {
		switch {
		case a.Kind != application.Machine && a.Target() == "" && len(a.Settings.RedirectURIs) > 0:
			d.note(check, "%s has no tile, since it has no address yet: parvis application set %s --address URL", a.Settings.Name, a.ID)
		case a.Kind != application.Machine && a.Target() == "":
			d.note(check, "%s has no address yet: parvis application set %s --redirect-uri URL --address URL", a.Settings.Name, a.ID)
		case !a.FailedAt.IsZero():
			d.fail(check, "nobody answers at %s, the address of %s, since %s. Is it running, and reached from this machine?",
				a.Target(), a.Settings.Name, a.FailedAt.Format(time.DateTime))
		}
	}
	channels, err := op.Channels(d.ctx, open)
	if err != nil {
		d.fail(check, "what they answered cannot be read: %v.", err)
		return
	}
	for _, id := range slices.Sorted(maps.Keys(channels)) {
		if t := channels[id]; t.Failing() {
			d.fail(check, "%s does not accept messages about ended sessions: %s. 'parvis application show %s' has its address.", id, channelOf(t), id)
		}
	}
	old, err := application.FindOutdated(d.ctx, open, d.plan.issuer)
	if err != nil {
		d.fail(check, "they cannot be read: %v.", err)
		return
	}
	for _, a := range old {
		d.note(check, "%s (%s) works as it was registered, but would be refused today: %s", a.Settings.Name, a.ID, inEnglish(a.Fault))
	}
}

// connections lists what only a person can settle about the customers' providers.
func (d *doctor) connections(open *db.DB) {
	const check = "single sign-on"
	if open == nil {
		return
	}
	organizations, err := directory.Organizations(d.ctx, open)
	for _, o := range organizations {
		var all []federation.Connection
		if err == nil {
			all, err = federation.ConnectionsOf(d.ctx, open, directory.Operator(), o.ID)
		}
		for _, c := range all {
			var owners bool
			if err == nil {
				owners, err = federation.OwnersComeIn(d.ctx, open, c)
			}
			switch {
			case c.State != federation.On:
			case !c.Tested():
				d.note(check, "%s of %s was changed after its last test: its administrators look at it and test it again.", c.Name, o.ShortName)
			case owners && c.ConfirmedAt.IsZero():
				d.note(check, "owners of %s cannot sign in with %s until an owner confirms it on its page.", o.ShortName, c.Name)
			}
		}
	}
	if err != nil {
		d.fail(check, "the connections cannot be read: %v.", err)
		return
	}
	for _, o := range organizations {
		d.troubles(open, o)
	}
}

// troubles lists connections by which soon nobody will come in, or nobody does now.
func (d *doctor) troubles(open *db.DB, o directory.Organization) {
	const check = "single sign-on"
	all, err := federation.Troubles(d.ctx, open, directory.Operator(), o.ID)
	if err != nil {
		d.fail(check, "what is wrong with the connections of %s cannot be read: %v.", o.ShortName, err)
	}
	for _, t := range all {
		if !t.Ends.IsZero() {
			d.note(check, "the last certificate of %s of %s ends on %s, and then nobody comes in by it: its administrators add the next one on its page.",
				t.Connection.Name, o.ShortName, t.Ends.UTC().Format(time.DateOnly))
		}
		if t.Refused {
			d.note(check, "none of the last sign-ins by %s of %s was believed: its administrators see why on its page, under the last sign-ins.", t.Connection.Name, o.ShortName)
		}
	}
}
