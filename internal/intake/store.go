package intake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// store makes the people of some judged entries, with all that comes along.
func (r *run) store(ctx context.Context, tx *db.Tx, judged []entry) error {
	var users []directory.User
	var passwords []credential.ImportedPassword
	var apps []credential.ImportedApp
	for _, e := range judged {
		if !e.admits() {
			continue
		}
		users = append(users, e.user)
		owner := credential.Owner{OrgID: e.user.OrgID, UserID: e.user.ID}
		if e.user.HasPassword {
			passwords = append(passwords, credential.ImportedPassword{Owner: owner, Hash: e.Hash, Change: e.Change})
		}
		if e.user.SecondStep == directory.StepByApp {
			for _, seed := range e.Seeds {
				apps = append(apps, credential.ImportedApp{Owner: owner, Name: string(r.format), Seed: seed})
			}
		}
	}
	if err := directory.Admit(ctx, tx, directory.Operator(), users, r.id); err != nil {
		return err
	}
	if err := r.Passwords.ImportPasswords(ctx, tx, passwords); err != nil {
		return err
	}
	if err := r.Authenticators.ImportApps(ctx, tx, apps); err != nil {
		return err
	}
	if err := joinGroups(ctx, tx, judged); err != nil {
		return err
	}
	invitations, err := r.write(ctx, tx, judged)
	if err != nil {
		return err
	}
	return r.keep(ctx, tx, judged, invitations)
}

// admits reports whether an entry makes a user.
func (e *entry) admits() bool {
	switch e.fate.Outcome {
	case Admitted, Written, Waiting, Deactivated:
		return true
	case Before, Invited, Refused:
	}
	return false
}

// joinGroups puts the people of some entries into their groups. A group that cannot be had is
// said, and keeps nobody out.
func joinGroups(ctx context.Context, tx *db.Tx, judged []entry) error {
	type group struct {
		org directory.OrgID
		key string // of its name, which a line may spell in several ways
	}
	var order []group
	names, members := map[group]string{}, map[group][]int{}
	for i, e := range judged {
		if !e.admits() {
			continue
		}
		for _, name := range e.Groups {
			g := group{e.place.ID, naming.Fold(strings.TrimSpace(name))}
			if members[g] == nil {
				order, names[g] = append(order, g), name
			}
			if !slices.Contains(members[g][max(0, len(members[g])-1):], i) {
				members[g] = append(members[g], i)
			}
		}
	}
	for _, g := range order {
		var users []directory.User
		for _, i := range members[g] {
			users = append(users, judged[i].user)
		}
		err := directory.Join(ctx, tx, directory.Operator(), g.org, names[g], users)
		why, ok := errors.AsType[*fault.Error](err)
		if err != nil && !ok {
			return err
		}
		for _, i := range members[g] {
			if ok {
				judged[i].fate.Reasons = append(slices.Clip(judged[i].fate.Reasons), why)
			}
		}
	}
	return nil
}

// write stores the letters to those who get one, each to leave a while after the one before, and
// returns the invitations of those whom nothing else makes.
func (r *run) write(ctx context.Context, tx *db.Tx, judged []entry) (map[int]string, error) {
	gap, until := time.Minute/time.Duration(max(1, r.PerMinute)), time.Time{}
	if _, err := tx.One(ctx, db.Into((*db.Time)(&until)), `select letters_until from imports where id = $1`, r.id); err != nil {
		return nil, err
	}
	if until.Before(tx.Now()) {
		until = tx.Now()
	}
	invitations := map[int]string{}
	for i, e := range judged {
		if e.fate.Outcome != Written && e.fate.Outcome != Invited {
			continue
		}
		later := r.Invitations.Later(until)
		var err error
		var inv directory.Invitation
		if e.fate.Outcome == Written {
			_, err = later.SendTo(ctx, tx, directory.Operator(), directory.Candidate{User: e.user, Organization: e.place.Organization})
		} else {
			inv, err = later.Send(ctx, tx, directory.Operator(), e.place.Organization, e.invitation())
			invitations[i] = inv.ID
		}
		if why, ok := errors.AsType[*fault.Error](err); ok {
			judged[i].unwritten(why)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", e.Line, err)
		}
		until = until.Add(gap)
	}
	_, err := tx.Exec(ctx, `update imports set letters_until = $1 where id = $2`, db.Time(until), r.id)
	return invitations, err
}

// unwritten says why somebody gets no letter: their address got too many lately.
func (e *entry) unwritten(why *fault.Error) {
	if e.fate.Outcome == Invited {
		e.fate.Outcome = Refused
	} else {
		e.fate.Outcome = Waiting
	}
	e.fate.Reasons = append(slices.Clip(e.fate.Reasons), why)
}

// keep stores whom the import brought, by the line.
func (r *run) keep(ctx context.Context, tx *db.Tx, judged []entry, invitations map[int]string) error {
	var rows [][]any
	for i, e := range judged {
		if !e.admits() && e.fate.Outcome != Invited {
			continue
		}
		user := string(e.user.ID)
		if !e.admits() {
			user = ""
		}
		rows = append(rows, []any{string(e.place.ID), r.id, e.Line, e.key, db.Text(user), db.Text(invitations[i])})
	}
	return tx.Insert(ctx, `insert into imported (org_id, import_id, line, email_key, user_id, invitation_id) values `, rows, ``)
}

// Undone is what undoing an import did.
type Undone struct {
	Gone      int      // people and invitations that are gone
	Suspended []string // the short names of organizations that it made and that nobody is left in
}

// brought is one row of imported.
type brought struct {
	org        directory.OrgID
	line       int
	user       directory.UserID
	invitation string
}

// Undo erases the people whom an import brought and who have never signed in, and calls stays for
// the others. No import runs meanwhile: what it brought behind us could never be undone.
func (s *Service) Undo(ctx context.Context, id string, stays func(directory.User) error) (u Undone, err error) {
	r := &run{Service: s, holder: secret.NewID("imp")}
	if err := r.hold(ctx); err != nil {
		return Undone{}, err
	}
	defer func() { err = errors.Join(err, s.DB.EndLease(context.WithoutCancel(ctx), leaseName, r.holder)) }()
	var undone db.Time
	found, err := s.DB.One(ctx, db.Into(&undone), `select undone_at from imports where id = $1`, id)
	switch {
	case err != nil:
		return Undone{}, err
	case !found:
		return Undone{}, ErrNotKnown
	case !time.Time(undone).IsZero():
		return Undone{}, ErrUndone
	}
	gone := map[directory.OrgID]int{}
	var after brought
	for {
		if err := r.hold(ctx); err != nil {
			return Undone{}, err
		}
		part, err := s.part(ctx, id, after)
		if err != nil || len(part) == 0 {
			if err == nil {
				break
			}
			return Undone{}, err
		}
		var stay []directory.User
		var counts map[directory.OrgID]int
		if err := s.DB.Update(ctx, func(tx *db.Tx) (err error) {
			counts, stay, err = s.dismiss(ctx, tx, part)
			return err
		}); err != nil {
			return Undone{}, err
		}
		for org, n := range counts {
			gone[org] += n
		}
		for _, u := range stay {
			if err := stays(u); err != nil {
				return Undone{}, err
			}
		}
		after = part[len(part)-1]
	}
	return s.endUndo(ctx, id, gone)
}

// part reads some of those whom an import brought, behind one of them.
func (s *Service) part(ctx context.Context, id string, after brought) ([]brought, error) {
	return db.List(ctx, s.DB, func(b *brought) []any {
		return db.Into(&b.org, &b.line, (*db.Text)(&b.user), (*db.Text)(&b.invitation))
	}, `
		select org_id, line, user_id, invitation_id
		from imported
		where import_id = $1 and (org_id, line) > ($2, $3)
		order by org_id, line
		limit $4`, id, string(after.org), after.line, AtOnce)
}

// dismiss undoes what some lines brought.
func (s *Service) dismiss(ctx context.Context, tx *db.Tx, part []brought) (gone map[directory.OrgID]int, stay []directory.User, err error) {
	gone = map[directory.OrgID]int{}
	users := map[directory.OrgID][]directory.UserID{}
	for _, b := range part {
		if b.user != "" {
			users[b.org] = append(users[b.org], b.user)
			continue
		}
		inv, err := directory.InvitationByID(ctx, tx, directory.Operator(), b.org, b.invitation)
		switch {
		case errors.Is(err, directory.ErrNotFound):
			continue
		case err != nil:
			return nil, nil, err
		case inv.Open():
			if err := s.Invitations.Withdraw(ctx, tx, directory.Operator(), b.org, b.invitation); err != nil {
				return nil, nil, err
			}
			if _, err := tx.Exec(ctx, `delete from imported where org_id = $1 and invitation_id = $2`, string(b.org), b.invitation); err != nil {
				return nil, nil, err
			}
			gone[b.org]++
		case !inv.AcceptedAt.IsZero():
			stay = append(stay, directory.User{OrgID: b.org, Email: inv.Email, Name: inv.Name})
		}
	}
	for _, org := range slices.Sorted(maps.Keys(users)) {
		n, left, err := s.Invitations.Dismiss(ctx, tx, directory.Operator(), org, users[org])
		if err != nil {
			return nil, nil, err
		}
		gone[org] += n
		stay = append(stay, left...)
	}
	return gone, stay, nil
}
