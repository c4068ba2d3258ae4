package signin_test

import (
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"time"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/signin"
)

// durableWrites begins to count the transactions that leave something behind.
func durableWrites(t *testing.T, d *db.DB) func() int {
	t.Helper()
	if d.Path() == "" {
		before := writers(t, d)
		return func() (n int) {
			for x := range writers(t, d) {
				if !before[x] {
					n++
				}
			}
			return n
		}
	}
	before := commits(t, d)
	return func() int { return commits(t, d) - before }
}

// commits counts the durable writes in SQLite's log: the last frame of each transaction says
// how large the database is after it (sqlite.org/fileformat2.html §4).
func commits(t *testing.T, d *db.DB) (n int) {
	t.Helper()
	log, err := os.ReadFile(d.Path() + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	page := int(binary.BigEndian.Uint32(log[8:]))
	salts := string(log[16:24])
	for frame := log[32:]; len(frame) >= 24+page && string(frame[8:16]) == salts; frame = frame[24+page:] {
		if binary.BigEndian.Uint32(frame[4:]) > 0 {
			n++
		}
	}
	return n
}

// writers returns the transactions that wrote the rows of a PostgreSQL database: only a
// transaction that writes has a number (postgresql.org/docs/current/ddl-system-columns.html). A
// test has a database of its own, while the server's counters of transactions are shared.
func writers(t *testing.T, d *db.DB) map[string]bool {
	t.Helper()
	read := func(statement string) (all []string) {
		if err := d.Rows(t.Context(), func(scan func(...any) error) error {
			var s string
			err := scan(&s)
			all = append(all, s)
			return err
		}, statement); err != nil {
			t.Fatal(err)
		}
		return all
	}
	all := map[string]bool{}
	// Every 20 seconds a process that writes announces itself in nodes.
	for _, table := range read(`select table_name from information_schema.tables where table_schema = current_schema() and table_name <> 'nodes'`) {
		for _, x := range read("select distinct cast(xmin as text) from " + table) {
			all[x] = true
		}
	}
	return all
}

func TestPasskeyAloneIsOneDurableWriteAndARefusalTwo(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	p := owning(t, s, s.Organization(t, "Alpha Works", "alpha"), directory.Member)
	p.must(p.elsewhere().alone("")) // what only the first of a kind costs

	written := durableWrites(t, s.DB)
	options, kept, err := s.Site.SignIn.Passkeys.BeginAlone(s.DB.Now())
	p.must(err)
	if n := written(); n != 0 {
		t.Errorf("a page that offers a passkey writes %d times", n)
	}
	answer := p.key.Assert(t, options)
	if _, err := s.Site.SignIn.PasskeyAlone(t.Context(), signin.PasskeyProof{Ceremony: kept, Response: answer}); err != nil {
		t.Fatal(err)
	}
	if n := written(); n != 1 {
		t.Errorf("a sign-in by passkey writes %d times, want once", n)
	}
	p.key.Counter = 1
	written = durableWrites(t, s.DB)
	if err := p.elsewhere().alone(""); err == nil {
		t.Fatal("a counter that went back opens")
	}
	if n := written(); n != 2 {
		t.Errorf("a refused one writes %d times, want its count and its refusal", n)
	}
}

// A challenge of before a restore opens nothing: whether it was answered since is not remembered.
func TestAChallengeOfBeforeARestoreIsRefused(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	p := owning(t, s, s.Organization(t, "Alpha Works", "alpha"), directory.Member)
	options, kept, err := s.Site.SignIn.Passkeys.BeginAlone(s.DB.Now())
	p.must(err)
	s.Clock.Advance(time.Second)
	s.DB.Restored = s.Clock.Now()
	answer := p.key.Assert(t, options)
	if _, err := s.Site.SignIn.PasskeyAlone(t.Context(), signin.PasskeyProof{Ceremony: kept, Response: answer}); !errors.Is(err, credential.ErrCeremonyOver) {
		t.Errorf("it is answered by %v", err)
	}
	p.must(p.elsewhere().alone("")) // one of afterwards opens
}
