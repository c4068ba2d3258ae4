package scim_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/provisioning"
)

// Whom an administrator shut out stays out when the directory deletes and makes them again, however
// often, until an administrator decides, or nobody could be restored any more. Whom the directory shut
// out itself, and who merely was deleted here, comes in again.
func TestWhomAnAdministratorShutOutIsNotMadeAnew(t *testing.T) {
	t.Parallel()
	w := start(t)
	s := w.alpha
	s.invites(t, true)
	person := func(id string) directory.User {
		t.Helper()
		u, err := directory.UserByID(t.Context(), w.DB, s.org.ID, directory.UserID(id))
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	byHand := func(do func(context.Context, *db.Tx, directory.Actor, directory.OrgID, directory.UserID) error, id string) {
		t.Helper()
		w.Clock.Advance(time.Second)
		w.Update(t, func(ctx context.Context, tx *db.Tx) error {
			return do(ctx, tx, directory.Operator(), s.org.ID, directory.UserID(id))
		})
		w.Clock.Advance(time.Second)
	}
	ana := s.hire(t, "ana@alpha.example").id()
	byHand(directory.Deactivate, ana)
	letters := w.letters(t)
	for _, body := range []string{user("ANA@alpha.example"), user("ana@alpha.example", `"active":false`), user("ana@alpha.example")} {
		s.must(t, 204, "DELETE", "/Users/"+ana, "")
		w.Clock.Advance(time.Second)
		made := s.must(t, 201, "POST", "/Users", body)
		expect.Equal(t, "made again", made.get("active"), any(false))
		ana = made.id()
		expect.Equal(t, "who may let them in", person(ana).ShutOutBy, "")
		w.Clock.Advance(time.Second)
	}
	expect.Equal(t, "what waits", strings.Join(s.waiting(t), ", "), "let_in_again "+ana)
	s.must(t, 200, "PATCH", "/Users/"+ana, patch(`{"op":"replace","path":"active","value":true}`))
	expect.Equal(t, "after the directory says so again", person(ana).DeactivatedAt.IsZero(), false)
	expect.Equal(t, "letters to who is out", w.letters(t), letters)
	w.beta.hire(t, "ana@alpha.example") // the neighbour's is another person
	expect.Equal(t, "the neighbour's", w.beta.must(t, 200, "GET", "/Users", "").resources()[0]["active"], any(true))
	s.agree(t, provisioning.LetInAgain)
	expect.Equal(t, "once somebody agreed", person(ana).DeactivatedAt.IsZero(), true)
	w.Clock.Advance(time.Second)

	s.must(t, 204, "DELETE", "/Users/"+ana, "")
	ben := s.hire(t, "ben@alpha.example").id()
	s.must(t, 200, "PATCH", "/Users/"+ben, patch(`{"op":"replace","path":"active","value":false}`))
	w.Clock.Advance(time.Second)
	s.must(t, 204, "DELETE", "/Users/"+ben, "")
	cyd := s.hire(t, "cyd@alpha.example").id()
	byHand(directory.Delete, cyd)
	dee := s.hire(t, "dee@alpha.example").id()
	byHand(directory.Deactivate, dee)
	s.must(t, 204, "DELETE", "/Users/"+dee, "")
	for _, email := range []string{"ben@alpha.example", "cyd@alpha.example"} {
		expect.Equal(t, email+" made again", s.hire(t, email).get("active"), any(true))
	}
	w.Clock.Advance(directory.RestorableFor)
	expect.Equal(t, "made again when nobody remembers", s.hire(t, "dee@alpha.example").get("active"), any(true))
}
