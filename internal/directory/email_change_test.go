package directory_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

// changeEmail requests another address for u, and returns the token of the link.
func (h house) changeEmail(actor directory.Actor, o directory.Organization, u directory.User, email string) (secret.Token, error) {
	h.t.Helper()
	emails := h.emails()
	err := h.update(func(ctx context.Context, tx *db.Tx) error {
		return emails.Request(ctx, tx, actor, directory.Candidate{User: u, Organization: o}, email)
	})
	if err != nil {
		return secret.Token{}, err
	}
	// Only the letter has the link, so the test replaces its token.
	token := secret.NewToken()
	return token, h.update(func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update email_changes set token_hash = $1 where org_id = $2 and user_id = $3 and replaced_at is null and proved_at is null`,
			token.Hash(secret.EmailChange), string(o.ID), string(u.ID))
		return err
	})
}

func (h house) emails() *directory.EmailChanges {
	return &directory.EmailChanges{Outbox: h.inv.Outbox, Base: h.inv.Base}
}

func (h house) prove(token secret.Token) error {
	return h.DB.Update(h.t.Context(), func(tx *db.Tx) error {
		_, err := h.emails().Prove(h.t.Context(), tx, token, "")
		return err
	})
}

// Two people prove the same address at the same time: one gets it, and the other's link ends.
func TestREC9OneAddressProvedByTwoPeopleAtOnceIsOnes(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	const people = 4
	tokens := make([]secret.Token, people)
	for i := range tokens {
		u := h.user(o, fmt.Sprintf("user%d@alpha.example", i), directory.Member)
		var err error
		if tokens[i], err = h.changeEmail(u.AsActor(), o, u, "New@alpha.example"); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	results := make(chan error, people)
	for _, token := range tokens {
		wg.Go(func() { results <- h.prove(token) })
	}
	wg.Wait()
	close(results)
	won := 0
	for err := range results {
		switch {
		case err == nil:
			won++
		case !errors.Is(err, directory.ErrEmailChangeDead):
			t.Error(err)
		}
	}
	var have int
	if _, err := h.One(t.Context(), db.Into(&have), `select count(*) from users where org_id = $1 and email_key = 'new@alpha.example'`, string(o.ID)); err != nil {
		t.Fatal(err)
	}
	if won != 1 || have != 1 {
		t.Errorf("%d proved it and %d have it, want one", won, have)
	}
}

// Of several requests at the same time one is open in the end, no matter who made it.
func TestREC9RequestsAtOnceLeaveOneOpen(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	u, admin := h.user(o, "u@alpha.example", directory.Member), h.user(o, "a@alpha.example", directory.Administrator)
	var wg sync.WaitGroup
	for i, actor := range []directory.Actor{u.AsActor(), admin.AsActor(), u.AsActor(), admin.AsActor()} {
		wg.Go(func() {
			err := h.DB.Update(t.Context(), func(tx *db.Tx) error {
				return h.emails().Request(t.Context(), tx, actor, directory.Candidate{User: u, Organization: o}, fmt.Sprintf("new%d@alpha.example", i))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var open, proofs int
	if _, err := h.One(t.Context(), db.Into(&open), `select count(*) from email_changes where replaced_at is null`); err != nil {
		t.Fatal(err)
	}
	if _, err := h.One(t.Context(), db.Into(&proofs), `select count(*) from letters where kind = 'email_proof' and next_try_at is not null`); err != nil {
		t.Fatal(err)
	}
	if open != 1 || proofs != 1 {
		t.Errorf("%d are open and %d links wait to be sent, want one", open, proofs)
	}
}

// A session that was voided while its request was on the way can request nothing.
func TestINV6ARequestOfAVoidSessionIsRefused(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	u := h.user(o, "u@alpha.example", directory.Owner)
	now := u
	if err := h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		if u, err = directory.UserByID(ctx, tx, o.ID, u.ID); err != nil {
			return err
		}
		now, err = directory.Void(ctx, tx, u)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.changeEmail(u.AsActor(), o, u, "new@alpha.example"); !errors.Is(err, directory.ErrDenied) {
		t.Errorf("got %v", err)
	}
	if _, err := h.changeEmail(now.AsActor(), o, now, "new@alpha.example"); err != nil {
		t.Errorf("the session of now: %v", err)
	}
}

// Changes are swept a month after their end, and links of letters at their end.
func TestSweepRemovesWhatEnded(t *testing.T) {
	t.Parallel()
	h := open(t)
	o := h.organization("Alpha Works", "alpha")
	u := h.user(o, "u@alpha.example", directory.Owner)
	if err := h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		u, err = directory.UserByID(ctx, tx, o.ID, u.ID)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.changeEmail(u.AsActor(), o, u, "new@alpha.example"); err != nil {
		t.Fatal(err)
	}
	const change = directory.EmailChangeLifetime + 30*24*time.Hour
	begun, kept := h.clock.Now(), func(end, at time.Duration) int {
		if at < end {
			return 1
		}
		return 0
	}
	for _, at := range []time.Duration{directory.EmailDisavowalLifetime - time.Microsecond, directory.EmailDisavowalLifetime, change - time.Microsecond, change} {
		h.clock.Advance(begun.Add(at).Sub(h.clock.Now()))
		if err := directory.Sweep(t.Context(), h.DB); err != nil {
			t.Fatal(err)
		}
		var counts []string
		for _, table := range []string{"email_changes", "disavowals", "users"} {
			var n int
			if _, err := h.One(t.Context(), db.Into(&n), `select count(*) from `+table); err != nil {
				t.Fatal(err)
			}
			counts = append(counts, fmt.Sprint(n))
		}
		if got, want := strings.Join(counts, " "), fmt.Sprint(kept(change, at), kept(directory.EmailDisavowalLifetime, at), 1); got != want {
			t.Errorf("after %v: %s, want %s", at, got, want)
		}
	}
}
