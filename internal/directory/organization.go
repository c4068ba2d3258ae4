package directory

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/limit"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// How long an invitation's link works: each organization chooses, within these bounds.
const (
	InvitationLifetime         = 7 * 24 * time.Hour
	ShortestInvitationLifetime = time.Hour
	LongestInvitationLifetime  = 30 * 24 * time.Hour
)

// The faults of organizations.
var (
	ErrShortNameTaken   = fault.Field("short_name", "directory.short_name_taken")
	ErrDisplayNameTaken = fault.Field("organization", "directory.organization_taken")
	ErrLifetime         = fault.Field("invitation_lifetime", "directory.invitation_lifetime")
	ErrSuspended        = fault.New(fault.Conflict, "directory.already_suspended")
	ErrNotSuspended     = fault.New(fault.Conflict, "directory.not_suspended")
)

// NewOrganization is what CreateOrganization needs.
type NewOrganization struct {
	ID                 OrgID // a new one if empty
	DisplayName        string
	ShortName          string
	Language           i18n.Tag
	InvitationLifetime time.Duration // the default InvitationLifetime if zero
}

// PerOrganizationHosts limits how often an organization's administrators have us ask or look up a
// host, by typing the address of an identity provider or of an application.
var PerOrganizationHosts = limit.Policy{Name: "host-organization", Free: 60, First: 10 * time.Second, Most: 10 * time.Minute, Forget: time.Hour}

// Policies are the limiters of this package.
var Policies = []limit.Policy{PerOrganizationHosts}

// ErrPeopleLanguage answers an unknown language for the people of an organization.
var ErrPeopleLanguage = fault.Field("people_language", "directory.language_unknown")

func checkLanguage(tag i18n.Tag) error {
	if !i18n.Known(tag) {
		return ErrPeopleLanguage
	}
	return nil
}

// NewOrgID makes the id of a new organization.
func NewOrgID() OrgID { return OrgID(secret.NewID("org")) }

// CreateOrganization makes an organization without people. It refuses names that look like those
// of another organization (R-INP-06).
func CreateOrganization(ctx context.Context, tx *db.Tx, actor Actor, n NewOrganization) (Organization, error) {
	if err := actor.MayRun(ctx, tx); err != nil {
		return Organization{}, err
	}
	if n.InvitationLifetime == 0 {
		n.InvitationLifetime = InvitationLifetime
	}
	if n.ID == "" {
		n.ID = NewOrgID()
	}
	names, err := freeNames(ctx, tx, n.ID, n.DisplayName, n.ShortName)
	if err := errors.Join(err, checkLanguage(n.Language), checkLifetime(n.InvitationLifetime)); err != nil {
		return Organization{}, err
	}
	o := Organization{
		ID: n.ID, ShortName: names.short.Text, DisplayName: names.display,
		Language: n.Language, InvitationLifetime: n.InvitationLifetime, CreatedAt: tx.Now(),
	}
	if err := freeShortName(ctx, tx, names.short); err != nil {
		return Organization{}, err
	}
	_, err = tx.Exec(ctx, `
		insert into organizations (id, short_name, short_name_key, short_name_skeleton, display_name,
			display_name_skeleton, language, contact, invitation_lifetime, created_at)
		values ($1, $2, $3, $4, $5, $6, $7, '', $8, $9)`,
		string(o.ID), o.ShortName, names.short.Key, names.short.Skeleton, o.DisplayName,
		names.displaySkeleton, string(o.Language), o.InvitationLifetime.Microseconds(), db.Time(o.CreatedAt))
	if err != nil {
		return Organization{}, fmt.Errorf("inserting organization %s: %w", o.ID, err)
	}
	e := actor.Event(o.ID, "organization.created")
	e.Target, e.TargetName = string(o.ID), o.DisplayName
	e.After = audit.Fields{"name": o.DisplayName, "short_name": o.ShortName, "language": o.Language}
	return o, audit.Record(ctx, tx, e)
}

// names are the names of an organization, as they are stored.
type names struct {
	display, displaySkeleton string
	short                    naming.ShortName
}

// freeNames cleans the names that an organization wants, and requires that they are free: no other
// organization has a name that looks like one of them, or had it within FormerShortName (R-INP-06).
func freeNames(ctx context.Context, r db.Reader, id OrgID, display, short string) (names, error) {
	var n names
	var wrongDisplay, wrongShort error
	if n.display, wrongDisplay = naming.CleanName(display, "organization"); wrongDisplay == nil {
		n.displaySkeleton = naming.DisplaySkeleton(n.display)
		taken, err := r.One(ctx, db.Into(new(string)), `
			select id from organizations
			where display_name_skeleton = $1 and id <> $2`, n.displaySkeleton, string(id))
		if err != nil {
			return names{}, err
		}
		if taken {
			wrongDisplay = ErrDisplayNameTaken
		}
	}
	if n.short, wrongShort = naming.ParseShortName(short); wrongShort == nil {
		taken, err := r.One(ctx, db.Into(new(string)), `
			select id from organizations
			where (short_name_key = $1 or short_name_skeleton = $2) and id <> $3
			union all
			select org_id from former_short_names
			where (short_name_key = $1 or short_name_skeleton = $2) and org_id <> $3 and ends_at > $4`,
			n.short.Key, n.short.Skeleton, string(id), db.Time(r.Now()))
		if err != nil {
			return names{}, err
		}
		if taken {
			wrongShort = ErrShortNameTaken
		}
	}
	return n, errors.Join(wrongDisplay, wrongShort)
}

// checkLifetime refuses a lifetime outside the bounds.
func checkLifetime(d time.Duration) error {
	if d < ShortestInvitationLifetime || d > LongestInvitationLifetime {
		return ErrLifetime
	}
	return nil
}

func orFault(err error, f *fault.Error) error {
	if err != nil {
		return err
	}
	return f
}

// OrganizationColumns are the columns of organizations, as o, that Organization.Targets scans. Other
// packages use them in joins.
const OrganizationColumns = `o.id, o.short_name, o.display_name, o.language, o.contact, o.logo, o.invitation_lifetime, o.created_at, o.suspended_at, o.deleted_at, o.federated_since`

// Targets scans OrganizationColumns.
func (o *Organization) Targets() []any {
	return db.Into(&o.ID, &o.ShortName, &o.DisplayName, &o.Language, &o.Contact, (*db.Text)(&o.Logo), (*micros)(&o.InvitationLifetime),
		(*db.Time)(&o.CreatedAt), (*db.Time)(&o.SuspendedAt), (*db.Time)(&o.DeletedAt), (*db.Time)(&o.FederatedSince))
}

// micros scans a duration stored in microseconds.
type micros time.Duration

// Scan implements sql.Scanner.
func (m *micros) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("a duration is stored as microseconds, not as %T", v)
	}
	*m = micros(time.Duration(n) * time.Microsecond)
	return nil
}

// OrganizationByName finds an organization by its short name, as in paths and commands, in any case
// and Unicode form, or by a former one that is still kept for it; otherwise it returns ErrNotFound.
// For what people type into a field, which may be a display name, see OrganizationsNamed.
func OrganizationByName(ctx context.Context, r db.Reader, typed string) (Organization, error) {
	return oneOrganization(ctx, r, `
		where o.short_name_key = $1
			or o.id = (select f.org_id from former_short_names f where f.short_name_key = $1 and f.ends_at > $2)`,
		naming.OrganizationKey(typed), db.Time(r.Now()))
}

// OrganizationsNamed finds the organizations that somebody may mean by a name: those that have it
// as display name or short name, in any case and Unicode form, or as a former short name. There can
// be two, because the display name of one may be the short name of another. A Distinct name finds
// only its own. Organizations are public, so the answer says nothing about their people.
func OrganizationsNamed(ctx context.Context, r db.Reader, typed string) ([]Organization, error) {
	key := naming.OrganizationKey(typed)
	if key == "" {
		return nil, nil
	}
	var all []Organization
	var distinct *Organization
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var o Organization
		var former bool
		if err := scan(append(o.Targets(), &former)...); err != nil {
			return err
		}
		switch key {
		case naming.OrganizationKey(o.Distinct()):
			distinct = &o
		case naming.OrganizationKey(o.ShortName), naming.OrganizationKey(o.DisplayName):
			all = append(all, o)
		default: // the name only looks alike
			if former {
				all = append(all, o)
			}
		}
		return nil
	}, `
		select `+OrganizationColumns+`, coalesce(o.id = (
			select f.org_id from former_short_names f where f.short_name_key = $1 and f.ends_at > $2), false)
		from organizations o
		where o.short_name_key in ($1, $3) or o.display_name_skeleton = $4
			or o.id = (select f.org_id from former_short_names f where f.short_name_key = $1 and f.ends_at > $2)
		order by o.short_name_key`,
		key, db.Time(r.Now()), shortNameIn(key), naming.DisplaySkeleton(typed))
	if distinct != nil {
		all = []Organization{*distinct}
	}
	return all, err
}

// NameFor returns what a form fills in for an organization: its short name or, if that could mean
// another one too, its Distinct name.
func NameFor(ctx context.Context, r db.Reader, o Organization) (string, error) {
	all, err := OrganizationsNamed(ctx, r, o.ShortName)
	if len(all) > 1 {
		return o.Distinct(), err
	}
	return o.ShortName, err
}

// Distinct returns a name that no other organization has: the display name followed by the short
// name.
func (o Organization) Distinct() string { return o.DisplayName + " (" + o.ShortName + ")" }

// shortNameIn returns the key of the short name in the key of a Distinct name, or "".
func shortNameIn(key string) string {
	inside, ends := strings.CutSuffix(key, ")")
	begins := strings.LastIndex(inside, "(")
	if !ends || begins < 0 {
		return ""
	}
	return inside[begins+1:]
}

// OrganizationByID returns an organization, or ErrNotFound.
func OrganizationByID(ctx context.Context, r db.Reader, id OrgID) (Organization, error) {
	return oneOrganization(ctx, r, `where o.id = $1`, string(id))
}

func oneOrganization(ctx context.Context, r db.Reader, where string, args ...any) (Organization, error) {
	var o Organization
	found, err := r.One(ctx, o.Targets(), `select `+OrganizationColumns+` from organizations o `+where, args...)
	if err == nil && !found {
		err = ErrNotFound
	}
	return o, err
}

// Organizations lists all organizations for the operator, oldest first.
func Organizations(ctx context.Context, r db.Reader) ([]Organization, error) {
	return db.List(ctx, r, (*Organization).Targets, `select `+OrganizationColumns+` from organizations o order by o.created_at, o.id`)
}

// Ownerless lists, for the operator, the organizations from before a time that have no owner who may sign
// in: those who were invited never came. One that is suspended is left out.
func Ownerless(ctx context.Context, r db.Reader, before time.Time) ([]Organization, error) {
	return db.List(ctx, r, (*Organization).Targets, `
		select `+OrganizationColumns+`
		from organizations o
		where o.suspended_at is null and o.created_at < $1 and not exists (
			select 1 from users u where u.org_id = o.id and u.role = $2 and u.deactivated_at is null and u.deleted_at is null)
		order by o.created_at, o.id`, db.Time(before), string(Owner))
}

// OrganizationsAfter lists some of all organizations for the operator, in the order of their ids.
func OrganizationsAfter(ctx context.Context, r db.Reader, after OrgID, most int) ([]Organization, error) {
	return db.List(ctx, r, (*Organization).Targets, `select `+OrganizationColumns+` from organizations o where o.id > $1 order by o.id limit $2`, string(after), most)
}

// Suspend closes an organization. From the next request on nobody is signed in to it, on any node,
// because every look-up of a session joins the organization's row.
func Suspend(ctx context.Context, tx *db.Tx, actor Actor, id OrgID) error {
	return setSuspended(ctx, tx, actor, id, tx.Now(), "organization.suspended", ErrSuspended)
}

// Resume opens a suspended organization again.
func Resume(ctx context.Context, tx *db.Tx, actor Actor, id OrgID) error {
	return setSuspended(ctx, tx, actor, id, time.Time{}, "organization.resumed", ErrNotSuspended)
}

// setSuspended sets or clears when an organization was suspended. If that changes nothing it
// returns already.
func setSuspended(ctx context.Context, tx *db.Tx, actor Actor, id OrgID, at time.Time, action audit.Action, already *fault.Error) error {
	if err := actor.MayRun(ctx, tx); err != nil {
		return err
	}
	switch o, err := OrganizationByID(ctx, tx, id); {
	case err != nil:
		return err
	case !o.DeletedAt.IsZero():
		return ErrOrganizationDeleted
	}
	n, err := tx.Exec(ctx, `
		update organizations set suspended_at = $1
		where id = $2 and (suspended_at is null) = $3`, db.Time(at), string(id), !at.IsZero())
	if err != nil || n == 0 {
		return orFault(err, already)
	}
	e := actor.Event(id, action)
	e.Target = string(id)
	return audit.Record(ctx, tx, e)
}

// Called reports whether a typed name is the organization's present short name, and not a former
// one.
func (o Organization) Called(typed string) bool {
	return naming.OrganizationKey(typed) == naming.OrganizationKey(o.ShortName)
}

// Path returns the path of one of the organization's pages: /o/SHORT-NAME is its sign-in page, and
// parts lead below it.
func (o Organization) Path(parts ...string) string {
	return strings.Join(append([]string{"/o", url.PathEscape(o.ShortName)}, parts...), "/")
}
