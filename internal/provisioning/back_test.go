package provisioning_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/naming"
	"parvis/internal/provisioning"
)

// inviting opens a house whose source invites, and in which no connection lets anybody in.
func inviting(t *testing.T) *house {
	t.Helper()
	h := open(t)
	h.ComesIn = func(context.Context, db.Reader, directory.OrgID, naming.Address, string) (bool, error) {
		return false, nil
	}
	h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		settings := h.src.Settings()
		settings.Invites = true
		_, err = h.Change(ctx, tx, h.owner["alpha"].AsActor(), h.src.OrgID, h.src.ID, settings)
		return err
	})
	return h
}

// invited returns how many invitations an address of alpha got, and how many of them are open.
func (h *house) invited(email string) string {
	h.t.Helper()
	var all, open int
	if _, err := h.DB.One(h.t.Context(), db.Into(&all, &open), `
		select count(*), count(case when withdrawn_at is null and replaced_at is null and accepted_at is null then 1 end)
		from invitations where org_id = $1 and email = $2`, string(h.src.OrgID), email); err != nil {
		h.t.Fatal(err)
	}
	return fmt.Sprintf("%d, open %d", all, open)
}

// hireAgain names a person as active, twice: some directories repeat themselves.
func (h *house) hireAgain(p provisioning.Provisioned) {
	h.t.Helper()
	for range 2 {
		if _, err := h.put(string(p.User.ID), said(p.User.Email)); err != nil {
			h.t.Fatal(err)
		}
	}
}

// settleBatch agrees to bring back whom the source took away, or dismisses it.
func (h *house) settleBatch(agreed bool) {
	h.t.Helper()
	for _, w := range h.waiting() {
		if w.Kind == provisioning.WholeBatch {
			if err := h.settle(h.owner["alpha"].AsActor(), w, agreed); err != nil {
				h.t.Fatal(err)
			}
			return
		}
	}
	h.t.Fatal("no batch waits")
}

// Being shut out ends an invitation. Who comes back without a way in gets another.
func TestWhoComesBackWithoutAWayInIsInvited(t *testing.T) {
	t.Parallel()
	h := inviting(t)
	late := h.hireOut("late@alpha.example")
	expect.Equal(t, "made, but not active", h.invited("late@alpha.example"), "0, open 0")
	h.hireAgain(late)
	expect.Equal(t, "active later", h.invited("late@alpha.example"), "1, open 1")

	again := h.hire("again@alpha.example")
	h.clock.Advance(24 * time.Hour)
	h.fire(again)
	expect.Equal(t, "let go", h.invited("again@alpha.example"), "1, open 0")
	h.hireAgain(again)
	expect.Equal(t, "hired again", h.invited("again@alpha.example"), "2, open 1")

	h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.Deactivate(ctx, tx, h.owner["alpha"].AsActor(), h.src.OrgID, again.User.ID)
	})
	h.hireAgain(again)
	expect.Equal(t, "shut out here", h.invited("again@alpha.example"), "2, open 0")
	if err := h.settle(h.owner["alpha"].AsActor(), h.waiting()[0], true); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "let in here", h.invited("again@alpha.example"), "3, open 1")

	joined := h.hire("joined@alpha.example")
	dbtest.GivePassword(t, h.DB, string(h.src.OrgID), string(joined.User.ID))
	h.fire(joined)
	h.hireAgain(joined)
	expect.Equal(t, "who has a way in", h.invited("joined@alpha.example")[:1], "1")

	h.ComesIn = func(context.Context, db.Reader, directory.OrgID, naming.Address, string) (bool, error) {
		return true, nil
	}
	h.fire(late)
	h.hireAgain(late)
	expect.Equal(t, "whom a connection lets in", h.invited("late@alpha.example"), "1, open 0")
}

// A directory that shuts somebody out by mistake and lets them in again writes no second invitation
// within a day: the first one works again. Whatever a directory says, an address gets seven in a day.
func TestADirectoryThatSwitchesSomebodyOffAndOnInvitesOnce(t *testing.T) {
	t.Parallel()
	h := inviting(t)
	ana := h.hire("ana@alpha.example")
	for range 10 {
		h.clock.Advance(time.Hour)
		h.fire(ana)
		h.hireAgain(ana)
	}
	expect.Equal(t, "switched off and on for ten hours", h.invited("ana@alpha.example"), "1, open 1")
	h.clock.Advance(14 * time.Hour)
	h.fire(ana)
	expect.Equal(t, "let go after a day", h.invited("ana@alpha.example"), "1, open 0")
	h.hireAgain(ana)
	expect.Equal(t, "and hired again", h.invited("ana@alpha.example"), "2, open 1")
	h.fire(ana)
	h.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.Deactivate(ctx, tx, h.owner["alpha"].AsActor(), h.src.OrgID, ana.User.ID)
	})
	expect.Equal(t, "shut out by somebody here too", h.invited("ana@alpha.example"), "2, open 0")

	for range 10 { // a person of the same address each time
		h.clock.Advance(time.Minute)
		h.delete(h.hire("ben@alpha.example"))
	}
	expect.Equal(t, "made and deleted ten times", h.invited("ben@alpha.example"), "6, open 0")
	h.clock.Advance(time.Minute) // calls of one instant have no order
	h.hire("ben@alpha.example")
	expect.Equal(t, "and once more", h.invited("ben@alpha.example"), "6, open 0")
	calls, err := provisioning.Calls(t.Context(), h.DB, h.owner["alpha"].AsActor(), h.src, provisioning.Call{}, 1)
	if err != nil || len(calls) != 1 {
		t.Fatalf("%d calls, %v", len(calls), err)
	}
	expect.Equal(t, "what the call says last", calls[0].Did[len(calls[0].Did)-1].Key, "provisioning.did.invited_often")
	h.clock.Advance(24 * time.Hour)
	h.delete(h.one("ben@alpha.example"))
	h.hire("ben@alpha.example")
	expect.Equal(t, "a day later", h.invited("ben@alpha.example"), "7, open 1")
}

// one finds a person of the source by their address.
func (h *house) one(email string) provisioning.Provisioned {
	h.t.Helper()
	found, err := h.src.People(h.t.Context(), h.DB, provisioning.PeopleQuery{Email: email, Limit: 2})
	if err != nil || len(found) != 1 {
		h.t.Fatalf("%d people with the address %s, %v", len(found), email, err)
	}
	return found[0]
}

// A call that shuts somebody out writes them nothing, whatever else it says, and is never refused for
// that. One that lets somebody in gives them their address first. Who was moved while they were out is
// told when they are let in.
func TestWhoIsShutOutIsWrittenNothing(t *testing.T) {
	t.Parallel()
	h := inviting(t)
	org := h.src.OrgID
	dbtest.Do(t, h.DB, `insert into domains (org_id, id, domain_key, proof, created_at, proven_at) values ($1, 'dom_a', 'alpha.example', '', 1, 1)`, string(org))
	put := func(p provisioning.Provisioned, email string, active bool) directory.User {
		t.Helper()
		what := said(email)
		what.Active = active
		now, err := h.put(string(p.User.ID), what)
		if err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, "active", now.User.Closed() == nil, active)
		return now.User
	}
	newcomer := h.hire("new@alpha.example")
	put(newcomer, "gone.new@alpha.example", false)
	expect.Equal(t, "invitations to a newcomer who is let go", h.invited("new@alpha.example")+" "+h.invited("gone.new@alpha.example"), "1, open 0 0, open 0")
	put(newcomer, "back.new@alpha.example", true)
	expect.Equal(t, "who comes back with another address", h.invited("gone.new@alpha.example")+" "+h.invited("back.new@alpha.example"), "0, open 0 1, open 1")

	joined := h.hire("ana@alpha.example")
	dbtest.GivePassword(t, h.DB, string(org), string(joined.User.ID))
	told := func() (all string) {
		t.Helper()
		letters, err := db.List(t.Context(), h.DB, db.Value[string], `select recipient from letters where org_id = $1 and kind = 'email_changed' order by recipient`, string(org))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(letters, " ")
	}
	put(joined, "gone.ana@alpha.example", false)
	put(joined, "lost.ana@alpha.example", false)
	expect.Equal(t, "letters to who is let go", told(), "")
	put(joined, "back.ana@alpha.example", true)
	expect.Equal(t, "letters to who comes back with another address", told(), "ana@alpha.example back.ana@alpha.example")
	put(joined, "gone.ana@alpha.example", false)
	put(joined, "back.ana@alpha.example", false)
	put(joined, "back.ana@alpha.example", true)
	put(joined, "back.ana@alpha.example", false)
	put(joined, "back.ana@alpha.example", true)
	expect.Equal(t, "letters to who comes back with the same one", told(), "ana@alpha.example back.ana@alpha.example")

	now := put(joined, "ana@elsewhere.example", false)
	expect.Equal(t, "the address of who is let go with one that is refused", now.Email, "back.ana@alpha.example")
	what := said("ana@elsewhere.example")
	if _, err := h.put(string(joined.User.ID), what); !errors.Is(err, provisioning.ErrAddressOutside) {
		t.Errorf("let in with an address that is refused: %v", err)
	}
}

func TestABatchThatIsBroughtBackIsInvited(t *testing.T) {
	t.Parallel()
	h := inviting(t)
	var people []provisioning.Provisioned
	for i := range 12 {
		people = append(people, h.hire(fmt.Sprintf("p%02d@alpha.example", i)))
	}
	dbtest.GivePassword(t, h.DB, string(h.src.OrgID), string(people[0].User.ID))
	h.clock.Advance(24 * time.Hour)
	for _, p := range people {
		h.fire(p)
	}
	h.settleBatch(true)
	expect.Equal(t, "who has a way in", h.invited(people[0].User.Email)[:1], "1")
	for _, p := range people[1:] {
		expect.Equal(t, p.User.Email, h.invited(p.User.Email), "2, open 1")
	}
}

// delete deletes a person by the source.
func (h *house) delete(p provisioning.Provisioned) (held bool) {
	h.t.Helper()
	if err := h.Write(h.t.Context(), h.src, call, func(tx *db.Tx, s provisioning.Source) (err error) {
		held, err = h.DeletePerson(h.t.Context(), tx, s, string(p.User.ID))
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	return held
}

// The brake counts deletions of people who were shut out long ago: they take away what is still there.
func TestTheBrakeCountsWhoWasShutOutLongAgo(t *testing.T) {
	t.Parallel()
	h := open(t)
	var people []provisioning.Provisioned
	for i := range 40 {
		people = append(people, h.hire(fmt.Sprintf("p%02d@alpha.example", i)))
	}
	for _, p := range people[:9] {
		h.fire(p)
	}
	h.clock.Advance(2 * time.Hour)
	for _, p := range people[9:18] {
		h.fire(p)
	}
	h.clock.Advance(2 * time.Hour)
	for i, p := range people[:10] {
		expect.Equal(t, fmt.Sprintf("number %d is held", i), h.delete(p), false)
	}
	expect.Equal(t, "letters after ten", h.letters(), 0)
	expect.Equal(t, "the eleventh of forty is held", h.delete(people[10]), true)
	expect.Equal(t, "what waits", h.kinds()[0], "delete_person p10 Alpha")
	expect.Equal(t, "is still there", h.now(h.src.OrgID, string(people[10].User.ID)).DeletedAt.IsZero(), true)
	h.fire(people[30])
	expect.Equal(t, "letters when an eleventh is shut out", h.letters(), 1)
	h.clock.Advance(2 * time.Hour)
	h.settleBatch(false)
	expect.Equal(t, "in another hour", h.delete(people[11]), false)
}

// What a batch deleted comes back too, each as they stood before: nobody is let in whom somebody
// here had shut out.
func TestABatchThatIsBroughtBackIsRestored(t *testing.T) {
	t.Parallel()
	h := inviting(t)
	owner, org := h.owner["alpha"].AsActor(), h.src.OrgID
	var people []provisioning.Provisioned
	for i := range 40 {
		people = append(people, h.hire(fmt.Sprintf("p%02d@alpha.example", i)))
	}
	early, longOut, again, shutOutHere, onTop := people[36], people[37], people[38], people[39], people[35]
	h.delete(early)
	h.fire(longOut)
	h.clock.Advance(24 * time.Hour)
	shutOut := func(p provisioning.Provisioned) {
		t.Helper()
		h.update(func(ctx context.Context, tx *db.Tx) error {
			return directory.Deactivate(ctx, tx, owner, org, p.User.ID)
		})
	}
	shutOut(shutOutHere)
	h.clock.Advance(time.Minute)
	for _, p := range append(people[:2:2], onTop) { // as directories do that delete in two steps
		h.fire(p)
	}
	shutOut(onTop)
	h.clock.Advance(time.Minute)
	for _, p := range append(people[:5:5], longOut, again, shutOutHere, onTop) {
		expect.Equal(t, "held", h.delete(p), false)
	}
	other := h.hire(again.User.Email)
	for _, p := range people[5:10] {
		h.fire(p)
	}
	h.clock.Advance(24 * time.Hour)
	h.settleBatch(true)
	for _, p := range append(people[:10:10], other) {
		expect.Equal(t, p.User.Email, h.now(org, string(p.User.ID)).Closed(), nil)
		expect.Equal(t, "invitations to "+p.User.Email, h.invited(p.User.Email), "2, open 1")
	}
	for p, by := range map[*provisioning.Provisioned]string{&longOut: h.src.ID, &shutOutHere: "", &onTop: ""} {
		now := h.now(org, string(p.User.ID))
		expect.Equal(t, p.User.Email, now.Closed(), error(directory.ErrDeactivated))
		expect.Equal(t, "who had shut out "+p.User.Email, now.ShutOutBy, by)
		expect.Equal(t, "invitations to "+p.User.Email, h.invited(p.User.Email), "1, open 0")
	}
	for _, p := range []provisioning.Provisioned{early, again} {
		expect.Equal(t, p.User.Email, h.now(org, string(p.User.ID)).Closed(), error(directory.ErrDeleted))
	}
	if _, err := h.src.Person(t.Context(), h.DB, string(people[0].User.ID)); err != nil {
		t.Errorf("the source finds whom it deleted: %v", err)
	}
	h.update(func(ctx context.Context, tx *db.Tx) error {
		return h.Turn(ctx, tx, owner, org, h.src.ID, provisioning.On)
	})
	h.hireAgain(longOut)
	h.hireAgain(shutOutHere)
	expect.Equal(t, "whom the source had shut out, let in by it", h.now(org, string(longOut.User.ID)).Closed(), nil)
	expect.Equal(t, "whom somebody here had", h.now(org, string(shutOutHere.User.ID)).Closed(), error(directory.ErrDeactivated))
}

// hireOut makes a person whom the directory names as somebody who is out.
func (h *house) hireOut(email string) (p provisioning.Provisioned) {
	h.t.Helper()
	if err := h.Write(h.t.Context(), h.src, call, func(tx *db.Tx, s provisioning.Source) (err error) {
		what := said(email)
		what.Active = false
		p, err = h.CreatePerson(h.t.Context(), tx, s, what)
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	return p
}

// A first sync names people who left long ago. They were never in, so they are no batch, and nothing
// brings them back.
func TestWhoWasNeverInIsNotBroughtBack(t *testing.T) {
	t.Parallel()
	h := inviting(t)
	var out, in []provisioning.Provisioned
	for i := range 20 {
		out = append(out, h.hireOut(fmt.Sprintf("out%02d@alpha.example", i)))
		in = append(in, h.hire(fmt.Sprintf("in%02d@alpha.example", i)))
	}
	h.clock.Advance(time.Minute)
	for _, p := range in[:9] {
		h.fire(p)
	}
	expect.Equal(t, "the tenth is held", h.delete(in[9]), false)
	expect.Equal(t, "letters after ten", h.letters(), 0)
	expect.Equal(t, "one of those out is held", h.delete(out[0]), true)
	h.fire(in[10])
	expect.Equal(t, "letters after eleven", h.letters(), 1)
	h.settleBatch(true)
	for _, p := range in[:11] {
		expect.Equal(t, p.User.Email, h.now(h.src.OrgID, string(p.User.ID)).Closed(), nil)
	}
	for _, p := range out {
		expect.Equal(t, p.User.Email, h.now(h.src.OrgID, string(p.User.ID)).Closed(), error(directory.ErrDeactivated))
		expect.Equal(t, "invitations to "+p.User.Email, h.invited(p.User.Email), "0, open 0")
	}
}

// Who is shut out and then deleted is one person.
func TestTheBrakeCountsAPersonOnce(t *testing.T) {
	t.Parallel()
	h := open(t)
	var people []provisioning.Provisioned
	for i := range 20 {
		people = append(people, h.hire(fmt.Sprintf("p%02d@alpha.example", i)))
	}
	h.clock.Advance(time.Minute)
	for _, p := range people[:10] {
		h.fire(p)
	}
	for _, p := range people[:10] {
		expect.Equal(t, p.User.Email+" is held", h.delete(p), false)
	}
	expect.Equal(t, "letters after ten", h.letters(), 0)
	expect.Equal(t, "the eleventh is held", h.delete(people[10]), true)
}

// Of several people who had an address one after another, the last comes back.
func TestWhoHadAnAddressLastComesBack(t *testing.T) {
	t.Parallel()
	h := open(t)
	former, last := []provisioning.Provisioned{}, []provisioning.Provisioned{}
	for _, all := range []*[]provisioning.Provisioned{&former, &last} {
		for i := range 6 {
			*all = append(*all, h.hire(fmt.Sprintf("p%02d@alpha.example", i)))
			h.clock.Advance(time.Second)
			h.delete((*all)[i])
		}
	}
	h.settleBatch(true)
	for i := range former {
		expect.Equal(t, "who had it before", h.now(h.src.OrgID, string(former[i].User.ID)).Closed(), error(directory.ErrDeleted))
		got := h.now(h.src.OrgID, string(last[i].User.ID))
		expect.Equal(t, "who had it last", got.DeletedAt.IsZero(), true)
	}
}

// A call that shuts somebody out and is refused after that is undone, so there is no batch and no letter.
func TestACallThatIsRefusedMakesNoBatch(t *testing.T) {
	t.Parallel()
	h := open(t)
	var people []provisioning.Provisioned
	for i := range 12 {
		people = append(people, h.hire(fmt.Sprintf("p%02d@alpha.example", i)))
	}
	h.clock.Advance(time.Minute)
	for _, p := range people[:10] {
		h.fire(p)
	}
	what := said(people[10].User.Email)
	what.Active = false
	if err := h.Write(t.Context(), h.src, provisioning.Call{Method: "PATCH", Path: "/Users"}, func(tx *db.Tx, source provisioning.Source) error {
		if _, err := h.PutPerson(t.Context(), tx, source, people[10], what); err != nil {
			return err
		}
		return directory.ErrDenied
	}); !errors.Is(err, directory.ErrDenied) {
		t.Errorf("the call ended with %v", err)
	}
	expect.Equal(t, "is in", h.now(h.src.OrgID, string(people[10].User.ID)).Closed(), nil)
	expect.Equal(t, "what waits", len(h.waiting()), 0)
	expect.Equal(t, "letters after ten", h.letters(), 0)
	h.fire(people[11])
	expect.Equal(t, "letters after eleven", h.letters(), 1)
}

// A source makes thousands of people, one by one. Whether somebody had their address before is not asked of
// everybody in the organization.
func TestWhoHadAnAddressBeforeIsLookedUp(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.hire("ana@alpha.example")
	plans, err := h.DB.Plans(t.Context(), func(query string) bool { return strings.Contains(query, "deactivated_at < deleted_at") })
	if err != nil {
		t.Fatal(err)
	}
	for query, steps := range plans {
		if len(steps) != 1 || !strings.Contains(steps[0], "(email_key=?)") {
			t.Errorf("%s\n%q", query, steps)
		}
	}
	if h.DB.Path() != "" && len(plans) != 1 {
		t.Errorf("%d statements", len(plans))
	}
}
