package db_test

import (
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
)

// A value that is scanned where another was before keeps nothing of that.
func TestJSONIsScannedAnew(t *testing.T) {
	d, _ := dbtest.Open(t)
	into := map[string]string{"before": "x"}
	if _, err := d.One(t.Context(), db.Into(db.JSON(&into)), `select '{"now":"y"}'`); err != nil {
		t.Fatal(err)
	}
	if len(into) != 1 || into["now"] != "y" {
		t.Errorf("scanned %v", into)
	}
}
