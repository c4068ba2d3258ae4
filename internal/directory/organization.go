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

// How long an invitation's link lives: per organization, within these bounds.
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

// NewOrganization is what makes one.
type NewOrganization struct {
	ID                 OrgID // made where empty
	DisplayName        string
	ShortName          string
	Language           i18n.Tag
	InvitationLifetime time.Duration // InvitationLifetime where zero
}

// PerOrganizationHosts counts the hosts that an organization's administrators have asked
// or looked up: when they type the address of an identity provider or of an application.
var PerOrganizationHosts = limit.Policy{Name: "host-organization", Free: 60, First: 10 * time.Second, Most: 10 * time.Minute, Forget: time.Hour}

// Policies are the limiters of this package.
var Policies = []limit.Policy{PerOrganizationHosts}

// ErrPeopleLanguage answers a language that there is not, for the people of an organization.
var ErrPeopleLanguage = fault.Field("people_language", "directory.language_unknown")

func checkLanguage(tag i18n.Tag) error {
	if !i18n.Known(tag) {
		return ErrPeopleLanguage
	}
	return nil
}

// NewOrgID makes the id of an organization to be.
func NewOrgID() OrgID { return OrgID(secret.NewID("org")) }

// CreateOrganization makes an organization without people. Names that look like
// those of another organization are refused (R-INP-06).
func CreateOrganization(ctx context.Context, tx *db.Tx, actor Actor, n NewOrganization) (Organization, error) {
	if err := actor.mayRun(); err != nil {
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

// names are those of an organization, as they are stored.
type names struct {
	display, displaySkeleton string
	short                    naming.ShortName
}

// freeNames reads names that an organization wants and asks whether they are
// free: no other one has, or had within FormerShortName, a name that looks
// like it (R-INP-06).
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

// checkLifetime refuses what no link of an invitation may live for.
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

// OrganizationColumns are the columns of organizations as o that
// Organization.Targets scans, for packages whose reads join them.
const OrganizationColumns = `o.id, o.short_name, o.display_name, o.language, o.contact, o.logo, o.invitation_lifetime, o.created_at, o.suspended_at, o.federated_since`

// Targets are where OrganizationColumns go.
func (o *Organization) Targets() []any {
	return db.Into(&o.ID, &o.ShortName, &o.DisplayName, &o.Language, &o.Contact, (*db.Text)(&o.Logo), (*micros)(&o.InvitationLifetime),
		(*db.Time)(&o.CreatedAt), (*db.Time)(&o.SuspendedAt), (*db.Time)(&o.FederatedSince))
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

// OrganizationByName finds an organization by its short name, as paths and commands
// have it, in any case and Unicode form, or by the one that it had a while ago;
// ErrNotFound where there is none. What people type into a field may be its display
// name as well: OrganizationsNamed.
func OrganizationByName(ctx context.Context, r db.Reader, typed string) (Organization, error) {
	return oneOrganization(ctx, r, `
		where o.short_name_key = $1
			or o.id = (select f.org_id from former_short_names f where f.short_name_key = $1 and f.ends_at > $2)`,
		naming.OrganizationKey(typed), db.Time(r.Now()))
}

// OrganizationsNamed finds the organizations that somebody may mean by a name: those
// that have it as display name or short name, in any case and Unicode form, or had it
// as short name a while ago. Two can have one: what one is called may be the short name
// of another. Each has a Distinct name, by which it alone is found. An organization
// is public, so that who asks learns nothing about its people.
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
		default: // only looks alike
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

// NameFor is what a form fills in for an organization: its short name or, where that
// could mean another too, its Distinct name.
func NameFor(ctx context.Context, r db.Reader, o Organization) (string, error) {
	all, err := OrganizationsNamed(ctx, r, o.ShortName)
	if len(all) > 1 {
		return o.Distinct(), err
	}
	return o.ShortName, err
}

// Distinct is a name that no other organization has: the display name with the short
// name behind it.
func (o Organization) Distinct() string { return o.DisplayName + " (" + o.ShortName + ")" }

// shortNameIn is the key of the short name in the key of a Distinct name, or empty.
func shortNameIn(key string) string {
	inside, ends := strings.CutSuffix(key, ")")
	begins := strings.LastIndex(inside, "(")
	if !ends || begins < 0 {
		return ""
	}
	return inside[begins+1:]
}

// OrganizationByID returns an organization; ErrNotFound where there is none.
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

// Organizations lists all of the installation, for its operator, oldest first.
func Organizations(ctx context.Context, r db.Reader) ([]Organization, error) {
	return db.List(ctx, r, (*Organization).Targets, `select `+OrganizationColumns+` from organizations o order by o.created_at, o.id`)
}

// Suspend closes an organization: from the next request on nobody is signed in
// to it, on any node, because every look-up of a session joins its row.
func Suspend(ctx context.Context, tx *db.Tx, actor Actor, id OrgID) error {
	return setSuspended(ctx, tx, actor, id, tx.Now(), "organization.suspended", ErrSuspended)
}

// Resume opens a suspended organization again.
func Resume(ctx context.Context, tx *db.Tx, actor Actor, id OrgID) error {
	return setSuspended(ctx, tx, actor, id, time.Time{}, "organization.resumed", ErrNotSuspended)
}

// setSuspended sets when an organization was suspended, or that it is not, and
// answers already where it is so.
func setSuspended(ctx context.Context, tx *db.Tx, actor Actor, id OrgID, at time.Time, action audit.Action, already *fault.Error) error {
	if err := actor.mayRun(); err != nil {
		return err
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

// Called tells whether a name that somebody typed is the organization's own, and
// not one that it gave up.
func (o Organization) Called(typed string) bool {
	return naming.OrganizationKey(typed) == naming.OrganizationKey(o.ShortName)
}

// Path is where the organization's pages are: /o/SHORT-NAME is its sign-in page,
// and the parts lead below it.
func (o Organization) Path(parts ...string) string {
	return strings.Join(append([]string{"/o", url.PathEscape(o.ShortName)}, parts...), "/")
}
