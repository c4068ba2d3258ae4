package directory

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/i18n"
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

// NewOrgID makes the id of an organization to be.
func NewOrgID() OrgID { return OrgID(secret.NewID("org")) }

// CreateOrganization makes an organization without people. Names that look like
// those of another organization are refused (R-INP-06).
func CreateOrganization(ctx context.Context, tx *db.Tx, actor Actor, n NewOrganization) (Organization, error) {
	if actor.UserID != audit.Operator {
		return Organization{}, ErrDenied
	}
	display, err := CleanName(n.DisplayName, "organization")
	if err != nil {
		return Organization{}, err
	}
	short, err := ParseShortName(n.ShortName)
	if err != nil {
		return Organization{}, err
	}
	if n.InvitationLifetime == 0 {
		n.InvitationLifetime = InvitationLifetime
	}
	if n.InvitationLifetime < ShortestInvitationLifetime || n.InvitationLifetime > LongestInvitationLifetime {
		return Organization{}, ErrLifetime
	}
	if n.ID == "" {
		n.ID = NewOrgID()
	}
	o := Organization{
		ID: n.ID, ShortName: short.Text, DisplayName: display,
		Language: n.Language, InvitationLifetime: n.InvitationLifetime, CreatedAt: tx.Now(),
	}
	skeleton := DisplaySkeleton(display)
	var key string
	if taken, err := tx.One(ctx, db.Into(&key), `
		select short_name_key from organizations
		where short_name_key = $1 or short_name_skeleton = $2`, short.Key, short.Skeleton); err != nil || taken {
		return Organization{}, orFault(err, ErrShortNameTaken)
	}
	if taken, err := tx.One(ctx, db.Into(&key), `
		select short_name_key from organizations
		where display_name_skeleton = $1`, skeleton); err != nil || taken {
		return Organization{}, orFault(err, ErrDisplayNameTaken)
	}
	_, err = tx.Exec(ctx, `
		insert into organizations (id, short_name, short_name_key, short_name_skeleton, display_name,
			display_name_skeleton, language, contact, invitation_lifetime, created_at)
		values ($1, $2, $3, $4, $5, $6, $7, '', $8, $9)`,
		string(o.ID), o.ShortName, short.Key, short.Skeleton, o.DisplayName,
		skeleton, string(o.Language), o.InvitationLifetime.Microseconds(), db.Time(o.CreatedAt))
	if err != nil {
		return Organization{}, fmt.Errorf("inserting organization %s: %w", o.ID, err)
	}
	e := actor.event(o.ID, "organization.created")
	e.Target, e.TargetName = string(o.ID), o.DisplayName
	e.After = audit.Fields{"name": o.DisplayName, "short_name": o.ShortName, "language": o.Language}
	return o, audit.Record(ctx, tx, e)
}

func orFault(err error, f *fault.Error) error {
	if err != nil {
		return err
	}
	return f
}

// OrganizationColumns are the columns of organizations as o that
// Organization.Targets scans, for packages whose reads join them.
const OrganizationColumns = `o.id, o.short_name, o.display_name, o.language, o.contact, o.logo, o.invitation_lifetime, o.created_at, o.suspended_at`

// Targets are where OrganizationColumns go.
func (o *Organization) Targets() []any {
	return db.Into(&o.ID, &o.ShortName, &o.DisplayName, &o.Language, &o.Contact, (*db.Text)(&o.Logo), (*micros)(&o.InvitationLifetime),
		(*db.Time)(&o.CreatedAt), (*db.Time)(&o.SuspendedAt))
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

// OrganizationByName finds the organization that a person named, in any case
// and Unicode form; ErrNotFound where there is none.
func OrganizationByName(ctx context.Context, r db.Reader, typed string) (Organization, error) {
	return oneOrganization(ctx, r, `where o.short_name_key = $1`, OrganizationKey(typed))
}

// OrganizationByID returns an organization; ErrNotFound where there is none.
func OrganizationByID(ctx context.Context, r db.Reader, id OrgID) (Organization, error) {
	return oneOrganization(ctx, r, `where o.id = $1`, string(id))
}

func oneOrganization(ctx context.Context, r db.Reader, where, arg string) (Organization, error) {
	var o Organization
	found, err := r.One(ctx, o.Targets(), `select `+OrganizationColumns+` from organizations o `+where, arg)
	if err == nil && !found {
		err = ErrNotFound
	}
	return o, err
}

// Organizations lists all of the installation, for its operator, oldest first.
func Organizations(ctx context.Context, r db.Reader) ([]Organization, error) {
	var all []Organization
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var o Organization
		err := scan(o.Targets()...)
		all = append(all, o)
		return err
	}, `select `+OrganizationColumns+` from organizations o order by o.created_at, o.id`)
	return all, err
}

// SetInvitationLifetime sets how long links of invitations live from now on;
// those that were sent keep their end.
func SetInvitationLifetime(ctx context.Context, tx *db.Tx, actor Actor, id OrgID, lifetime time.Duration) error {
	if err := actor.MaySetRules(id); err != nil {
		return err
	}
	org, err := OrganizationByID(ctx, tx, id)
	if err != nil {
		return err
	}
	if lifetime < ShortestInvitationLifetime || lifetime > LongestInvitationLifetime {
		return ErrLifetime
	}
	if lifetime == org.InvitationLifetime {
		return nil
	}
	if _, err := tx.Exec(ctx, `update organizations set invitation_lifetime = $1 where id = $2`, lifetime.Microseconds(), string(org.ID)); err != nil {
		return fmt.Errorf("setting the invitation lifetime of %s: %w", org.ID, err)
	}
	e := actor.event(org.ID, "organization.invitation_lifetime_changed")
	e.Target, e.TargetName = string(org.ID), org.DisplayName
	e.Before = audit.Fields{"invitation_lifetime": org.InvitationLifetime.String()}
	e.After = audit.Fields{"invitation_lifetime": lifetime.String()}
	return audit.Record(ctx, tx, e)
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
	if actor.UserID != audit.Operator {
		return ErrDenied
	}
	n, err := tx.Exec(ctx, `
		update organizations set suspended_at = $1
		where id = $2 and (suspended_at is null) = $3`, db.Time(at), string(id), !at.IsZero())
	if err != nil || n == 0 {
		return orFault(err, already)
	}
	e := actor.event(id, action)
	e.Target = string(id)
	return audit.Record(ctx, tx, e)
}

// Path is where the organization's pages are: /o/SHORT-NAME is its sign-in page,
// and the parts lead below it.
func (o Organization) Path(parts ...string) string {
	return strings.Join(append([]string{"/o", url.PathEscape(o.ShortName)}, parts...), "/")
}
