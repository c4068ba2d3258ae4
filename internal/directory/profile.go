package directory

import (
	"context"
	"errors"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/naming"
)

// FormerShortName is how long a former short name leads to the new one and is kept from others.
const FormerShortName = 90 * 24 * time.Hour

// OrganizationProfile is what an organization says about itself.
type OrganizationProfile struct {
	DisplayName        string
	ShortName          string
	Language           i18n.Tag      // in which new people are first addressed
	Contact            string        // where its people ask for help; may be empty
	InvitationLifetime time.Duration // of links sent from now on
}

// Profile returns what o says about itself.
func (o Organization) Profile() OrganizationProfile {
	return OrganizationProfile{o.DisplayName, o.ShortName, o.Language, o.Contact, o.InvitationLifetime}
}

// ChangeOrganization changes what an organization says about itself and records it, or returns a
// fault for every value that is wrong. A former short name stays the organization's for a while.
func ChangeOrganization(ctx context.Context, tx *db.Tx, actor Actor, id OrgID, p OrganizationProfile) (Organization, error) {
	if err := actor.MaySetRules(ctx, tx, id); err != nil {
		return Organization{}, err
	}
	org, err := OrganizationByID(ctx, tx, id)
	if err != nil {
		return Organization{}, err
	}
	names, wrongNames := freeNames(ctx, tx, org.ID, p.DisplayName, p.ShortName)
	if wrongNames == nil && actor.Kind != KindOperator {
		wrongNames = leaveOthers(ctx, tx, org, names)
	}
	contact, wrongContact := naming.CleanContact(p.Contact)
	if err := errors.Join(wrongNames, wrongContact, checkLanguage(p.Language), checkLifetime(p.InvitationLifetime)); err != nil {
		return Organization{}, err
	}
	p.DisplayName, p.ShortName, p.Contact = names.display, names.short.Text, contact
	before := org.Profile()
	if p == before {
		return org, nil
	}
	if !org.Called(p.ShortName) {
		if err := exchangeShortName(ctx, tx, org.ID, names.short); err != nil {
			return Organization{}, fmt.Errorf("exchanging the short name of %s: %w", org.ID, err)
		}
	}
	if _, err := tx.Exec(ctx, `
		update organizations set short_name = $1, short_name_key = $2, short_name_skeleton = $3, display_name = $4,
			display_name_skeleton = $5, language = $6, contact = $7, invitation_lifetime = $8
		where id = $9`,
		p.ShortName, names.short.Key, names.short.Skeleton, p.DisplayName,
		names.displaySkeleton, string(p.Language), p.Contact, p.InvitationLifetime.Microseconds(), string(org.ID)); err != nil {
		return Organization{}, fmt.Errorf("changing organization %s: %w", org.ID, err)
	}
	org.DisplayName, org.ShortName, org.Language = p.DisplayName, p.ShortName, p.Language
	org.Contact, org.InvitationLifetime = p.Contact, p.InvitationLifetime
	e := actor.Event(org.ID, "organization.changed")
	e.Target, e.TargetName = string(org.ID), org.DisplayName
	e.Before, e.After = before.fields(p), p.fields(before)
	return org, audit.Record(ctx, tx, e)
}

// leaveOthers keeps an organization from taking as one of its names what looks like the other name
// of another organization. People who type that name are asked which one they mean, and might
// choose the wrong one (decision 0038). The operator may still give it, and an organization keeps
// the names that it has.
func leaveOthers(ctx context.Context, r db.Reader, org Organization, n names) error {
	var display, short bool
	if _, err := r.One(ctx, db.Into(&display, &short), `
		select exists (select 1 from organizations where short_name_skeleton = $1 and id <> $2),
			exists (select 1 from organizations where display_name_skeleton = $3 and id <> $2)`,
		n.displaySkeleton, string(org.ID), n.short.Skeleton); err != nil {
		return err
	}
	var wrong error
	if display && n.display != org.DisplayName {
		wrong = ErrDisplayNameTaken
	}
	if short && !org.Called(n.short.Text) {
		wrong = errors.Join(wrong, ErrShortNameTaken)
	}
	return wrong
}

// mostFormerNames is how many former names an organization may keep from others.
const mostFormerNames = 5

// ErrTooManyNames says that an organization has mostFormerNames already.
var ErrTooManyNames = fault.Field("short_name", "directory.too_many_names")

// exchangeShortName keeps the present short name as a former one for FormerShortName. It first
// frees the name to be taken, which may be a former name of the organization's own, or one whose
// time is over.
func exchangeShortName(ctx context.Context, tx *db.Tx, id OrgID, taken naming.ShortName) error {
	if err := freeShortName(ctx, tx, taken); err != nil {
		return err
	}
	var kept int
	if _, err := tx.One(ctx, db.Into(&kept), `
		select count(*) from former_short_names
		where org_id = $1 and ends_at > $2`, string(id), db.Time(tx.Now())); err != nil {
		return err
	}
	if kept >= mostFormerNames {
		return ErrTooManyNames
	}
	_, err := tx.Exec(ctx, `
		insert into former_short_names (short_name_key, short_name_skeleton, org_id, ends_at)
		select short_name_key, short_name_skeleton, id, cast($1 as bigint)
		from organizations
		where id = $2
		on conflict (short_name_key) do update set org_id = excluded.org_id, ends_at = excluded.ends_at`,
		db.Time(tx.Now().Add(FormerShortName)), string(id))
	return err
}

// freeShortName deletes a name from the former ones. freeNames has checked that it is not kept for
// another organization.
func freeShortName(ctx context.Context, tx *db.Tx, taken naming.ShortName) error {
	_, err := tx.Exec(ctx, `delete from former_short_names where short_name_key = $1`, taken.Key)
	return err
}

// fields returns what differs from another profile, for the audit log.
func (p OrganizationProfile) fields(other OrganizationProfile) audit.Fields {
	f := audit.Fields{}
	if p.DisplayName != other.DisplayName {
		f["name"] = p.DisplayName
	}
	if p.ShortName != other.ShortName {
		f["short_name"] = p.ShortName
	}
	if p.Language != other.Language {
		f["language"] = p.Language
	}
	if p.Contact != other.Contact {
		f["contact"] = p.Contact
	}
	if p.InvitationLifetime != other.InvitationLifetime {
		f["invitation_lifetime"] = p.InvitationLifetime.String()
	}
	return f
}
