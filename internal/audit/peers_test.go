package audit_test

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/secret"
)

// A node without roots takes those of a node that serves, and then knows an older database; where
// nobody answers, or somebody without the keys does, it knows nothing.
func TestANodeAsksTheOthersWhatTheyKnow(t *testing.T) {
	t.Parallel()
	d, clock := dbtest.Open(t)
	keys := secret.NewKeys().Sealing
	dir := t.TempDir()
	node := func(name string) *audit.Logs {
		return audit.NewLogs(audit.Settings{Sealing: keys, Host: "id.example", File: filepath.Join(dir, name)})
	}
	serving, fresh := node("serving"), node("fresh")
	many(t, d, "org_a", 3)
	sweep(t, d, serving)

	ask := func(l *audit.Logs, meanwhile func(ctx context.Context) error) (bool, error) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		ended := make(chan error, 1)
		during, stop := context.WithCancel(ctx)
		go func() {
			var err error
			for during.Err() == nil && err == nil {
				err = meanwhile(during)
				time.Sleep(10 * time.Millisecond)
			}
			if during.Err() != nil {
				err = nil
			}
			ended <- err
		}()
		answered, err := l.Ask(ctx, d)
		stop()
		if failed := <-ended; failed != nil {
			t.Error(failed)
		}
		if left, err := db.Notes(t.Context(), d, "roots"); err != nil || len(left) > 0 {
			t.Errorf("%v are left, %v", left, err)
		}
		return answered, err
	}
	forge := func(ctx context.Context) error {
		return d.Update(ctx, func(tx *db.Tx) error {
			asked, err := db.Notes(ctx, tx, "roots asked ")
			for name := range asked {
				err = errors.Join(err, tx.SetNote(ctx, "roots told "+name[len("roots asked "):], "k_x.AAAA\n\"org_a\" 1 AAAA=\n"))
			}
			return err
		})
	}
	if answered, err := ask(fresh, forge); answered || !errors.Is(err, audit.ErrAltered) {
		t.Errorf("an answer without a key is taken: %v, %v", answered, err)
	}
	strangers := audit.NewLogs(audit.Settings{Sealing: secret.NewKeys().Sealing, Host: "id.example", File: filepath.Join(dir, "serving")})
	if answered, err := ask(fresh, func(ctx context.Context) error { return strangers.Tell(ctx, d) }); answered || !errors.Is(err, audit.ErrAltered) {
		t.Errorf("an answer under other keys is taken: %v, %v", answered, err)
	}
	if knows, err := fresh.Knows(t.Context(), d); err != nil || knows {
		t.Errorf("it knows %v, %v", knows, err)
	}
	answered, err := ask(fresh, func(ctx context.Context) error { return serving.Tell(ctx, d) })
	if err != nil || !answered {
		t.Fatalf("a node that serves answers %v, %v", answered, err)
	}
	for _, l := range []*audit.Logs{fresh, node("fresh")} {
		blind, err := l.Watch(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, "blind", blind, false)
	}

	// The same before the database is put back: the fresh node has never seen what the other knows.
	unseen := node("unseen")
	if _, err := ask(unseen, func(ctx context.Context) error { return serving.Tell(ctx, d) }); err != nil {
		t.Fatal(err)
	}
	loseEvents(t, d)
	many(t, d, "org_a", 1)
	sweep(t, d, audit.NewLogs(audit.Settings{Sealing: keys, Host: "id.example"}))
	if _, err := unseen.Watch(t.Context(), d); !errors.Is(err, audit.ErrOlder) {
		t.Errorf("an older database is answered by %v", err)
	}

	// A question whose node died is removed, and answered by nobody; so is one of a time to come, which would
	// never end.
	for name, at := range map[string]time.Time{"x": clock.Now(), "y": clock.Now().Add(2 * time.Hour)} {
		if err := d.Update(t.Context(), func(tx *db.Tx) error {
			return tx.SetNote(t.Context(), "roots asked "+name, strconv.FormatInt(at.UnixMicro(), 10))
		}); err != nil {
			t.Fatal(err)
		}
	}
	clock.Advance(time.Hour - time.Second)
	if err := serving.Tell(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if left, err := db.Notes(t.Context(), d, "roots"); err != nil || len(left) > 0 {
		t.Errorf("%v are left, %v", left, err)
	}
}

// Where nobody answers, a node stays blind.
func TestANodeThatNobodyAnswersSaysThatItCannotTell(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	l := audit.NewLogs(audit.Settings{Sealing: secret.NewKeys().Sealing, Host: "id.example", File: filepath.Join(t.TempDir(), "roots")})
	many(t, d, "org_a", 1)
	sweep(t, d, audit.NewLogs(audit.Settings{Sealing: secret.NewKeys().Sealing, Host: "id.example"}))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if answered, err := l.Ask(ctx, d); err != nil || answered {
		t.Errorf("it was answered: %v, %v", answered, err)
	}
	if blind, err := l.Watch(t.Context(), d); err != nil || !blind {
		t.Errorf("it is blind: %v, %v", blind, err)
	}
}

// Nodes that answer at once leave no answer behind that nobody waits for any more.
func TestNoAnswerOutlivesItsQuestion(t *testing.T) {
	t.Parallel()
	d, _ := dbtest.Open(t)
	s := audit.Settings{Sealing: secret.NewKeys().Sealing, Host: "id.example", File: filepath.Join(t.TempDir(), "serving")}
	many(t, d, "org_a", 3)
	serving := []*audit.Logs{audit.NewLogs(s), audit.NewLogs(s)}
	sweep(t, d, serving[0])
	until, stop := context.WithCancel(t.Context())
	var tell, ask sync.WaitGroup
	for _, l := range serving {
		tell.Go(func() {
			for until.Err() == nil {
				if err := l.Tell(until, d); err != nil && until.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	for range 8 {
		ask.Go(func() {
			s := s
			s.File = ""
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if answered, err := audit.NewLogs(s).Ask(ctx, d); err != nil || !answered {
				t.Errorf("it was answered: %v, %v", answered, err)
			}
		})
	}
	ask.Wait()
	stop()
	tell.Wait()
	if left, err := db.Notes(t.Context(), d, "roots"); err != nil || len(left) > 0 {
		t.Errorf("%d are left, %v", len(left), err)
	}
}
