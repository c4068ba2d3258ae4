package credential

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/secret"
)

// Stored is the password of a user as stored. The zero Stored stands for no password.
type Stored struct {
	Owner
	SetAt      time.Time
	Failures   int       // in a row, of passwords that were really compared
	DisabledAt time.Time // zero while it can be used
	ChangeAt   time.Time // when a new one was demanded; zero if none was
	hash       string
	toLink     bool // read by PasswordToLink, and so confirmed
	nobody     Cost // what comparing costs if there is no password; the cost of a new hash if zero
}

// Exists reports whether there is a password, even a disabled one.
func (s Stored) Exists() bool { return s.hash != "" }

// StoredPassword reads the password of o. For an owner that does not exist, the zero Owner
// included, it runs the same statement and returns the zero Stored; it does so too where single
// sign-on is the only way in, and no password counts (R-AUT-07).
func StoredPassword(ctx context.Context, r db.Reader, o Owner) (Stored, error) {
	return storedPassword(ctx, r, o, false)
}

// PasswordToLink is StoredPassword for somebody who proves that a provider's subject is theirs.
// The password counts even where single sign-on is the only way in, since it opens no session
// (decision 0044), unless a new one was demanded: that cannot be created there.
func PasswordToLink(ctx context.Context, r db.Reader, o Owner) (Stored, error) {
	return storedPassword(ctx, r, o, true)
}

func storedPassword(ctx context.Context, r db.Reader, o Owner, toLink bool) (Stored, error) {
	s := Stored{Owner: o, toLink: toLink}
	found, err := r.One(ctx, db.Into(&s.hash, (*db.Time)(&s.SetAt), &s.Failures, (*db.Time)(&s.DisabledAt), (*db.Time)(&s.ChangeAt)), `
		select p.hash, p.set_at, p.failures, p.disabled_at, p.change_at
		from passwords p
		join organizations o on o.id = p.org_id and (o.federated_since is null or $1 and p.change_at is null)
		where p.org_id = $2 and p.user_id = $3`, toLink, string(o.OrgID), string(o.UserID))
	if err != nil || !found {
		return Stored{}, err
	}
	return s, nil
}

// Outcome is the result for a typed password. A wrong one is an outcome, not an error: an error
// would roll its own count back.
type Outcome struct {
	OK         bool
	Failures   int  // in a row, with this one
	Disabled   bool // by this one, the last of MostFailures in a row
	MustChange bool // right, and a new one was demanded
}

// MostFailures is how many wrong passwords in a row disable the right one (NIST SP 800-63B-4
// §3.2.2).
const MostFailures = 100

// Confirm records a verdict. A password that was changed or disabled since it was read is not
// the one that was compared: it is neither accepted nor counted. If there was nobody, the same
// statement changes nothing.
//
// MostFailures in a row disable the password, not the user: a reset creates a new one, and
// every other way in stays open (journeys 2.7).
func Confirm(ctx context.Context, tx *db.Tx, v Verdict) (Outcome, error) {
	if v.OK {
		return succeed(ctx, tx, v)
	}
	var o Outcome
	_, err := tx.One(ctx, db.Into(&o.Failures), `
		update passwords set failures = failures + 1, disabled_at = case when failures + 1 >= $1 then cast($2 as bigint) end
		where org_id = $3 and user_id = $4 and hash = $5 and disabled_at is null
		returning failures`, MostFailures, db.Time(tx.Now()), string(v.stored.OrgID), string(v.stored.UserID), v.stored.hash)
	if err != nil {
		return Outcome{}, fmt.Errorf("counting a failure of %s: %w", v.stored.UserID, err)
	}
	o.Disabled = o.Failures >= MostFailures
	return o, nil
}

func succeed(ctx context.Context, tx *db.Tx, v Verdict) (Outcome, error) {
	now, err := storedPassword(ctx, tx, v.stored.Owner, v.stored.toLink)
	if err != nil || now.hash != v.stored.hash || !now.DisabledAt.IsZero() {
		return Outcome{}, err
	}
	// Most sign-ins have nothing to write here.
	if now.Failures > 0 || v.renewed != "" {
		if v.renewed != "" {
			now.hash = v.renewed
		}
		_, err = tx.Exec(ctx, `
			update passwords set failures = 0, hash = $1
			where org_id = $2 and user_id = $3`, now.hash, string(now.OrgID), string(now.UserID))
	}
	return Outcome{OK: err == nil, MustChange: !now.ChangeAt.IsZero()}, err
}

// DemandChange makes the next sign-in with a user's password create a new one. It works for a
// deactivated user too: the demand counts once the user may sign in again. It returns the user,
// whose sessions the caller has to end.
func DemandChange(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id directory.UserID) (directory.User, error) {
	u, err := directory.Governed(ctx, tx, actor, org, id)
	if err == nil && !u.DeletedAt.IsZero() {
		err = directory.ErrDeleted
	}
	if err != nil {
		return directory.User{}, err
	}
	n, err := tx.Exec(ctx, `
		update passwords set change_at = $1
		where org_id = $2 and user_id = $3`, db.Time(tx.Now()), string(org), string(id))
	switch {
	case err != nil:
		return directory.User{}, fmt.Errorf("demanding a new password of %s: %w", id, err)
	case n == 0:
		return directory.User{}, ErrNoPassword
	}
	e := actor.Event(org, "password.change_demanded")
	e.Target, e.TargetName = string(id), u.Name
	return u, audit.Record(ctx, tx, e)
}

// Disable makes a password useless until a reset, because somebody else may know it.
func Disable(ctx context.Context, tx *db.Tx, o Owner) error {
	_, err := tx.Exec(ctx, `
		update passwords set disabled_at = $1
		where org_id = $2 and user_id = $3 and disabled_at is null`, db.Time(tx.Now()), string(o.OrgID), string(o.UserID))
	return err
}

// Remove removes a user's password, so that nothing is left to guess. The history keeps it: one
// that is created later must differ from it as the rules demand.
func Remove(ctx context.Context, tx *db.Tx, o Owner) error {
	now, err := StoredPassword(ctx, tx, o)
	if err != nil {
		return err
	}
	if !now.Exists() {
		return ErrNoPassword
	}
	if err := remember(ctx, tx, History{Owner: o, current: now.hash, setAt: now.SetAt}); err != nil {
		return err
	}
	if _, err = tx.Exec(ctx, `
		delete from passwords
		where org_id = $1 and user_id = $2`, string(o.OrgID), string(o.UserID)); err != nil {
		return err
	}
	return directory.KeepPassword(ctx, tx, o.OrgID, o.UserID, false)
}

// The history contains as many passwords as the rules demand, and all that were in use within a
// day, up to mostKept: otherwise somebody who changes a password often enough could have the
// first one back in seconds.
const (
	historyDay = 24 * time.Hour
	mostKept   = 50
)

// ErrChangedOften says that one more change would push a password out of the history that was
// in use within a day. A reset, or a change that was demanded, never waits.
var ErrChangedOften = fault.New(fault.Throttled, "credential.changed_often")

// History is what a new password must differ from. For a user who has none yet, or is not
// stored yet, History{Owner: owner} is complete.
type History struct {
	Owner
	current string
	setAt   time.Time
	older   []string
	depth   int
	full    time.Duration // time until there is room for one more; zero if there is
}

// Room returns ErrChangedOften if a change that nobody demanded has to wait.
func (h History) Room() error {
	if h.full > 0 {
		return ErrChangedOften.With("Count", mostKept).After(h.full)
	}
	return nil
}

// remembered is a password of the history.
type remembered struct {
	hash  string
	setAt time.Time
}

// HistoryOf reads the passwords of o that rules forbid to use again.
func HistoryOf(ctx context.Context, r db.Reader, rules Rules, o Owner, now time.Time) (History, error) {
	stored, err := StoredPassword(ctx, r, o)
	if err != nil {
		return History{}, err
	}
	h := History{Owner: o, current: stored.hash, setAt: stored.SetAt, depth: rules.History}
	all, err := rememberedOf(ctx, r, o)
	if err != nil {
		return History{}, err
	}
	kept := rules.keeps(all, now)
	for _, old := range all[:kept] {
		h.older = append(h.older, old.hash)
	}
	if kept == mostKept {
		h.full = all[mostKept-2].setAt.Add(historyDay).Sub(now)
	}
	return h, nil
}

// rememberedOf reads the newest passwords of the history, the last first.
func rememberedOf(ctx context.Context, r db.Reader, o Owner) ([]remembered, error) {
	return db.List(ctx, r, func(old *remembered) []any {
		return db.Into(&old.hash, (*db.Time)(&old.setAt))
	}, `
		select hash, set_at from password_history
		where org_id = $1 and user_id = $2
		order by set_at desc
		limit $3`, string(o.OrgID), string(o.UserID), mostKept)
}

// keeps counts how many passwords of the history the rules demand. all holds the newest of the
// history, the last first. A password was in use until the next one was set.
func (r Rules) keeps(all []remembered, now time.Time) int {
	if r.older() == 0 {
		return 0
	}
	n := 0
	for n < len(all) && (n < r.older() || now.Sub(all[n-1].setAt) < historyDay) {
		n++
	}
	return n
}

func (h History) hashes() []string {
	if h.current == "" {
		return h.older
	}
	return append([]string{h.current}, h.older...)
}

// reason returns advice to somebody who typed a password that h holds at place i, the current
// one first.
func (h History) reason(i int) fault.Reason {
	if i > 0 && i >= h.depth {
		return fault.Reason{Key: "credential.reason.history_day"}
	}
	if h.depth > 1 {
		return fault.Reason{Key: "credential.reason.history", Args: map[string]any{"Count": h.depth}}
	}
	return fault.Reason{Key: "credential.reason.current"}
}

// Set stores a new password, which is not disabled and has no failures. Of two that were
// checked against the same history one wins and the other gets ErrChanged, because it was not
// compared with the winner.
func Set(ctx context.Context, tx *db.Tx, n Hashed) error {
	org, user := string(n.past.OrgID), string(n.past.UserID)
	o, err := directory.OrganizationByID(ctx, tx, n.past.OrgID)
	if err == nil && o.FederatedOnly() {
		err = directory.ErrFederatedOnly
	}
	if err != nil {
		return err
	}
	// Later than the one before even if the clock is not, so that the history is in order.
	setAt := tx.Now()
	if before := n.past.setAt; !setAt.After(before) {
		setAt = before.Add(time.Microsecond)
	}
	var set int64
	if n.past.current == "" {
		set, err = tx.Exec(ctx, `
			insert into passwords (org_id, user_id, hash, set_at, failures) values ($1, $2, $3, $4, 0)
			on conflict (org_id, user_id) do nothing`, org, user, n.hash, db.Time(setAt))
	} else {
		set, err = tx.Exec(ctx, `
			update passwords set hash = $1, set_at = $2, failures = 0, disabled_at = null, change_at = null
			where org_id = $3 and user_id = $4 and hash = $5`, n.hash, db.Time(setAt), org, user, n.past.current)
	}
	switch {
	case err != nil:
		return fmt.Errorf("setting the password of %s: %w", user, err)
	case set == 0:
		return ErrChanged
	case n.past.current == "":
		return directory.KeepPassword(ctx, tx, n.past.OrgID, n.past.UserID, true)
	}
	return remember(ctx, tx, n.past)
}

// remember moves the replaced password into the history, if the organization's rules demand
// that: each stored hash is one more that could be guessed.
func remember(ctx context.Context, tx *db.Tx, past History) error {
	rules, err := RulesOf(ctx, tx, past.OrgID)
	if err != nil {
		return err
	}
	if rules.older() > 0 {
		if _, err := tx.Exec(ctx, `
			insert into password_history (org_id, user_id, id, hash, set_at) values ($1, $2, $3, $4, $5)`,
			string(past.OrgID), string(past.UserID), secret.NewID("pwh"), past.current, db.Time(past.setAt)); err != nil {
			return fmt.Errorf("remembering a password of %s: %w", past.UserID, err)
		}
	}
	all, err := rememberedOf(ctx, tx, past.Owner)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		delete from password_history
		where org_id = $1 and user_id = $2 and id not in (
			select id from password_history
			where org_id = $1 and user_id = $2
			order by set_at desc
			limit $3)`, string(past.OrgID), string(past.UserID), rules.keeps(all, tx.Now()))
	return err
}
