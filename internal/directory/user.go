package directory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// UserColumns are the columns of users, as u, that User.Targets scans. Other packages use them in
// joins.
const UserColumns = `u.org_id, u.id, u.email, u.email_since, u.display_name, u.role, u.language, u.time_zone, u.picture,
	u.created_at, u.last_sign_in_at, u.deactivated_at, u.deleted_at, u.generation, u.disowned_at, u.break_glass_since, u.profile_since,
	u.second_step, u.has_password, u.linked, u.changed_at, u.given_name, u.family_name, u.source_id, u.external_id, u.shut_out_by`

// Targets scans UserColumns.
func (u *User) Targets() []any {
	return db.Into(&u.OrgID, &u.ID, &u.Email, (*db.Time)(&u.EmailSince), &u.Name, &u.Role, &u.Language, &u.TimeZone, (*db.Text)(&u.Picture),
		(*db.Time)(&u.CreatedAt), (*db.Time)(&u.LastSignInAt), (*db.Time)(&u.DeactivatedAt), (*db.Time)(&u.DeletedAt),
		&u.Generation, (*db.Time)(&u.DisownedAt), (*db.Time)(&u.BreakGlassSince), (*db.Time)(&u.ProfileSince),
		&u.SecondStep, &u.HasPassword, &u.Linked, (*db.Time)(&u.ChangedAt),
		&u.GivenName, &u.FamilyName, (*db.Text)(&u.SourceID), (*db.Text)(&u.ExternalID), (*db.Text)(&u.ShutOutBy))
}

// UserByID returns a user of an organization, or ErrNotFound.
func UserByID(ctx context.Context, r db.Reader, org OrgID, id UserID) (User, error) {
	var u User
	found, err := r.One(ctx, u.Targets(), `
		select `+UserColumns+`
		from users u
		where u.org_id = $1 and u.id = $2`, string(org), string(id))
	if err == nil && !found {
		err = ErrNotFound
	}
	return u, err
}

// UsersByID returns those users of an organization who have one of some ids.
func UsersByID(ctx context.Context, r db.Reader, org OrgID, ids []UserID) (map[UserID]User, error) {
	found := map[UserID]User{}
	if len(ids) == 0 {
		return found, nil
	}
	places, args := db.AnyOf(2, ids)
	all, err := db.List(ctx, r, func(u *User) []any { return u.Targets() }, `
		select `+UserColumns+`
		from users u
		where u.org_id = $1 and u.id in (`+places+`)`, slices.Concat([]any{string(org)}, args)...)
	for _, u := range all {
		found[u.ID] = u
	}
	return found, err
}

// NewUserID makes the id of a new user.
func NewUserID() UserID { return UserID(secret.NewID("usr")) }

// NewUserIDs makes the ids of users who are inserted together.
func NewUserIDs(n int) []UserID {
	all := make([]UserID, n)
	for i, id := range secret.NewIDs("usr", n) {
		all[i] = UserID(id)
	}
	return all
}

// CreateFirstOwner makes the owner that a bootstrap link brought. Everybody else joins by an
// invitation or a connection.
func CreateFirstOwner(ctx context.Context, tx *db.Tx, u User) (User, error) {
	u.Role = Owner
	u, err := insertUser(ctx, tx, u)
	if err != nil {
		return User{}, err
	}
	e := Operator().Event(u.OrgID, "user.created")
	e.Target, e.TargetName = string(u.ID), u.Name
	e.After = audit.Fields{"email": u.Email, "role": u.Role}
	return u, audit.Record(ctx, tx, e)
}

// insertUser checks address and name, and inserts the user. The address must be free in the
// organization: the caller has claimed what makes it so.
func insertUser(ctx context.Context, tx *db.Tx, u User) (User, error) {
	address, err := naming.ParseAddress(u.Email)
	if err != nil {
		return User{}, err
	}
	p, err := u.Profile().clean()
	if err != nil {
		return User{}, err
	}
	u.Name, u.GivenName, u.FamilyName = p.Name, p.GivenName, p.FamilyName
	u.Email, u.CreatedAt, u.ChangedAt, u.Generation = address.Text, tx.Now(), tx.Now(), 1
	_, err = tx.Exec(ctx, `
		insert into users (org_id, id, email, email_key, display_name, search_key, role, language, time_zone, created_at, changed_at, generation,
			given_name, family_name, source_id, external_id)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, 1, $11, $12, $13, $14)`,
		string(u.OrgID), string(u.ID), u.Email, address.Key, u.Name, listKey(u.Name, u.Email),
		string(u.Role), string(u.Language), u.TimeZone, db.Time(u.CreatedAt),
		u.GivenName, u.FamilyName, db.Text(u.SourceID), db.Text(u.ExternalID))
	return u, err
}

// ownerOf finds the user of an organization who has an address. A deleted user's address is free.
func ownerOf(ctx context.Context, r db.Reader, org OrgID, address naming.Address) (User, bool, error) {
	var u User
	found, err := r.One(ctx, u.Targets(), `
		select `+UserColumns+`
		from users u
		where u.org_id = $1 and u.email_key = $2 and u.deleted_at is null`, string(org), address.Key)
	return u, found, err
}

// Addressed returns the users of an organization who have one of some addresses, in the order of
// the addresses.
func Addressed(ctx context.Context, r db.Reader, org OrgID, addresses []string) ([]User, error) {
	var keys []string
	for _, text := range addresses {
		if address, err := naming.ParseAddress(text); err == nil { // nobody has another
			keys = append(keys, address.Key)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	places, args := db.AnyOf(2, keys)
	all, err := db.List(ctx, r, func(u *User) []any { return u.Targets() }, `
		select `+UserColumns+`
		from users u
		where u.org_id = $1 and u.email_key in (`+places+`) and u.deleted_at is null`, slices.Concat([]any{string(org)}, args)...)
	at := func(u User) int {
		address, _ := naming.ParseAddress(u.Email)
		return slices.Index(keys, address.Key)
	}
	slices.SortFunc(all, func(a, b User) int { return cmp.Compare(at(a), at(b)) })
	return all, err
}

// What a user chose is not on our lists.
var (
	ErrTimeZone = fault.Field("time_zone", "directory.time_zone_unknown")
	ErrLanguage = fault.Field("language", "directory.language_unknown")
)

// Profile is what users may change about themselves at any time.
type Profile struct {
	Name       string
	GivenName  string // may be empty
	FamilyName string // may be empty
	Language   i18n.Tag
	TimeZone   string // IANA name; empty is UTC
}

// Profile returns what u has chosen.
func (u User) Profile() Profile {
	return Profile{u.Name, u.GivenName, u.FamilyName, u.Language, u.TimeZone}
}

// clean returns a profile with its names as they are stored, or a fault for every name that is
// wrong.
func (p Profile) clean() (Profile, error) {
	name, wrong := naming.CleanName(p.Name, "name")
	given, wrongGiven := cleanOptional(p.GivenName, "given_name")
	family, wrongFamily := cleanOptional(p.FamilyName, "family_name")
	p.Name, p.GivenName, p.FamilyName = name, given, family
	return p, errors.Join(wrong, wrongGiven, wrongFamily)
}

func cleanOptional(name, field string) (string, error) {
	if name = strings.TrimSpace(name); name == "" {
		return "", nil
	}
	return naming.CleanName(name, field)
}

// UpdateProfile changes a user's own profile, and records what changed.
func UpdateProfile(ctx context.Context, tx *db.Tx, user User, p Profile) error {
	return changeProfile(ctx, tx, user.AsActor(), user, p)
}

// ChangeProfile changes the profile of a user whom the actor governs.
func ChangeProfile(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id UserID, p Profile) error {
	actor, user, err := governed(ctx, tx, actor, org, id)
	if err == nil && !user.DeletedAt.IsZero() {
		err = ErrDeleted
	}
	if err != nil {
		return err
	}
	return changeProfile(ctx, tx, actor, user, p)
}

func changeProfile(ctx context.Context, tx *db.Tx, actor Actor, user User, p Profile) error {
	p, err := p.clean()
	if _, known := i18n.Zone(p.TimeZone); !known {
		err = errors.Join(err, ErrTimeZone)
	}
	if !i18n.Known(p.Language) {
		err = errors.Join(err, ErrLanguage)
	}
	if err != nil {
		return err
	}
	if !user.mayRename(actor, p) {
		return ErrProvisioned
	}
	return storeProfile(ctx, tx, actor, user, p)
}

// ChooseLanguage gives a user another of our languages. It judges nothing else of the profile
// again, so that signing in cannot fail by it.
func ChooseLanguage(ctx context.Context, tx *db.Tx, user User, language i18n.Tag) error {
	p := user.Profile()
	p.Language = language
	return storeProfile(ctx, tx, user.AsActor(), user, p)
}

func storeProfile(ctx context.Context, tx *db.Tx, actor Actor, user User, p Profile) error {
	before := user.Profile()
	if p == before {
		return nil
	}
	if _, err := tx.Exec(ctx, `
		update users set display_name = $1, search_key = $2, language = $3, time_zone = $4, profile_since = $5, changed_at = $5,
			given_name = $6, family_name = $7
		where org_id = $8 and id = $9`,
		p.Name, listKey(p.Name, user.Email), string(p.Language), p.TimeZone, db.Time(tx.Now()), p.GivenName, p.FamilyName,
		string(user.OrgID), string(user.ID)); err != nil {
		return fmt.Errorf("updating user %s: %w", user.ID, err)
	}
	e := actor.Event(user.OrgID, "user.profile_changed")
	e.Target, e.TargetName = string(user.ID), p.Name
	e.Before, e.After = before.fields(p), p.fields(before)
	return audit.Record(ctx, tx, e)
}

// fields returns what differs from another profile, for the audit log.
func (p Profile) fields(other Profile) audit.Fields {
	f := audit.Fields{}
	if p.Name != other.Name {
		f["name"] = p.Name
	}
	if p.GivenName != other.GivenName {
		f["given_name"] = p.GivenName
	}
	if p.FamilyName != other.FamilyName {
		f["family_name"] = p.FamilyName
	}
	if p.Language != other.Language {
		f["language"] = p.Language
	}
	if p.TimeZone != other.TimeZone {
		f["time_zone"] = p.TimeZone
	}
	return f
}

// AddressKey returns the key of the user's address.
func (u User) AddressKey() string { return naming.LowerASCII(u.Email) }

// Letter returns a letter to the user, in the user's language and time zone.
func (u User) Letter(p mail.Parameters) mail.Letter {
	return mail.Letter{OrgID: string(u.OrgID), Recipient: u.Email, Language: u.Language, TimeZone: u.TimeZone, Parameters: p}
}

// Void voids everything that a user has open: sessions, attempts, links. From now on they have an
// earlier generation, on every node. It returns ErrDenied if the generation of user is itself an
// earlier one: otherwise a request still on its way would go on in the new generation.
func Void(ctx context.Context, tx *db.Tx, user User) (User, error) {
	found, err := tx.One(ctx, db.Into(&user.Generation), `
		update users set generation = generation + 1, voided_at = $1
		where org_id = $2 and id = $3 and generation = $4
		returning generation`, db.Time(tx.Now()), string(user.OrgID), string(user.ID), user.Generation)
	if err == nil && !found {
		err = ErrDenied
	}
	return user, err
}

// Current returns a user as it is now, or ErrDenied if the generation of user was voided while
// its request was on the way.
func Current(ctx context.Context, r db.Reader, user User) (User, error) {
	now, err := UserByID(ctx, r, user.OrgID, user.ID)
	if err == nil && now.Generation != user.Generation {
		err = ErrDenied
	}
	return now, err
}

// SignedIn stores when a user last signed in.
func SignedIn(ctx context.Context, tx *db.Tx, user User) error {
	_, err := tx.Exec(ctx, `update users set last_sign_in_at = $1, signed_in_at = $1 where org_id = $2 and id = $3`,
		db.Time(tx.Now()), string(user.OrgID), string(user.ID))
	return err
}

// WithoutPassword stores when a user chose to have no password.
func WithoutPassword(ctx context.Context, tx *db.Tx, user User) error {
	_, err := tx.Exec(ctx, `update users set passwordless_at = $1 where org_id = $2 and id = $3`,
		db.Time(tx.Now()), string(user.OrgID), string(user.ID))
	return err
}

// A Candidate is a user who may be meant by an address, with their organization.
type Candidate struct {
	User         User
	Organization Organization
}

// Candidates finds the active users with an address in org or, if org is empty, in all
// organizations that are not suspended: at most so many, the oldest organization first.
func Candidates(ctx context.Context, r db.Reader, address naming.Address, org OrgID, most int) ([]Candidate, error) {
	return db.List(ctx, r, func(c *Candidate) []any {
		return append(c.User.Targets(), c.Organization.Targets()...)
	}, `
		select `+UserColumns+`, `+OrganizationColumns+`
		from users u
		join organizations o on o.id = u.org_id and o.suspended_at is null
		where u.email_key = $1 and u.deactivated_at is null and ($2 = '' or u.org_id = $2)
		order by o.created_at, o.id
		limit $3`, address.Key, string(org), most)
}
