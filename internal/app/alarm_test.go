package app_test

import (
	"errors"
	"strings"
	"testing"

	"parvis/internal/app"
	"parvis/internal/audit"
	"parvis/internal/dbtest"
	"parvis/internal/idptest"
)

// The operator gets one letter about a log that was altered, and no other.
func TestTheOperatorGetsALetterAboutAnAlteredLog(t *testing.T) {
	t.Parallel()
	w := idptest.Start(t, func(s *app.Settings) { s.Operator = "operations@id.example" })
	o := w.Organization(t, "Alpha Freight", "alpha")
	if err := w.Audit.Sweep(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
	dbtest.Do(t, w.DB, `delete from audit_tiles where org_id = $1`, string(o.ID))
	dbtest.Do(t, w.DB, `delete from audit_logs where org_id = $1`, string(o.ID))
	for _, name := range []string{"Beta", "Gamma"} {
		w.Organization(t, name, strings.ToLower(name)) // something to seal
		dbtest.Do(t, w.DB, `update audit_events set leaf = null where org_id = $1`, string(o.ID))
		if err := w.Audit.Sweep(t.Context(), w.DB); !errors.Is(err, audit.ErrAltered) {
			t.Fatalf("the sweep returns %v", err)
		}
	}
	if letters := w.LettersTo(t, "operations@id.example"); len(letters) != 1 {
		t.Errorf("the operator got %d letters", len(letters))
	}
}
