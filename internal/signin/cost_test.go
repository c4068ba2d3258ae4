package signin_test

import (
	"encoding/binary"
	"os"
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/signin"
)

// commits counts the durable writes in SQLite's log: each transaction ends with a
// frame that says how large the database then is (sqlite.org/fileformat2.html §4).
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

func TestPasskeyAloneIsOneDurableWriteAndARefusalTwo(t *testing.T) {
	s := idptest.Start(t, idptest.Named)
	if s.DB.Path() == "" {
		t.Skipf("left out with %s: SQLite's log is what is counted", dbtest.PostgresVariable)
	}
	p := owning(t, s, s.Organization(t, "Alpha Works", "alpha"), directory.Member)
	p.must(p.elsewhere().alone("")) // what the first of a kind costs beside

	before := commits(t, s.DB)
	options, kept, err := s.Site.SignIn.Passkeys.BeginAlone(s.DB.Now())
	p.must(err)
	if n := commits(t, s.DB) - before; n != 0 {
		t.Errorf("a page that offers a passkey writes %d times", n)
	}
	answer := p.key.Assert(t, options)
	if _, err := s.Site.SignIn.PasskeyAlone(t.Context(), signin.PasskeyProof{Ceremony: kept, Response: answer}); err != nil {
		t.Fatal(err)
	}
	if n := commits(t, s.DB) - before; n != 1 {
		t.Errorf("a sign-in by passkey writes %d times, want once", n)
	}
	p.key.Counter = 1
	before = commits(t, s.DB)
	if err := p.elsewhere().alone(""); err == nil {
		t.Fatal("a counter that went back opens")
	}
	if n := commits(t, s.DB) - before; n != 2 {
		t.Errorf("a refused one writes %d times, want its count and its refusal", n)
	}
}
