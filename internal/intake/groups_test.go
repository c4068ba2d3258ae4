package intake_test

import (
	"strings"
	"testing"

	"parvis/internal/db"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/intake"
	"parvis/internal/intake/dump"
)

// A group of everybody would be counted again by each transaction of an import.
func TestAnImportDoesNotCountItsGroups(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Organization(t, "Alpha", "alpha")
	for _, who := range []string{"ana", "bo"} {
		moved(t, s, dump.CSV, "email,groups\n"+who+"@alpha.example,Sales\n", intake.Options{Organization: "alpha", NoLetters: true})
	}
	expect.Equal(t, "members", count(t, s, `select count(*) from members`), 2)
	if _, err := s.DB.Plans(t.Context(), func(query string) bool {
		if strings.Contains(query, "count(*) from members m") {
			t.Errorf("an import ran %s", query)
		}
		return false
	}); err != nil {
		t.Fatal(err)
	}
}

// What a customer's directory says of its own group, no import changes.
func TestAnImportLeavesTheGroupsOfADirectoryAlone(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Organization(t, "Alpha", "alpha")
	o := intake.Options{Organization: "alpha", NoLetters: true}
	moved(t, s, dump.CSV, "email,groups\nana@alpha.example,Sales\n", o)
	if err := s.DB.Update(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(t.Context(), `update groups set source_id = 'src_x'`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	_, fates := moved(t, s, dump.CSV, "email,groups\nbo@alpha.example,Sales\n", o)
	expect.Equal(t, "fates", said(fates), "2 waiting no_hash directory.provisioned")
	expect.Equal(t, "members", count(t, s, `select count(*) from members`), 1)
}

// A line may name one group in several ways. Its person is in it once, and the log says so once.
func TestAnImportedPersonIsInAGroupOnce(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t)
	s.Organization(t, "Alpha", "alpha")
	moved(t, s, dump.CSV, "email,groups\nana@alpha.example,Sales|sales| SALES |Sales\nbo@alpha.example,sales\n", intake.Options{Organization: "alpha", NoLetters: true})
	expect.Equal(t, "members", count(t, s, `select count(*) from members`), 2)
	expect.Equal(t, "events", count(t, s, `select count(*) from audit_events where action = 'group.member_added'`), 2)
	expect.Equal(t, "groups", count(t, s, `select count(*) from groups`), 1)
}
