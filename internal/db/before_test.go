package db

import (
	"path/filepath"
	"testing"
)

// Migration 00007: applications that were registered to send a secret in the header, or in
// the form, get the one method that replaced both.
func TestSecretsFromBeforeHaveOneMethod(t *testing.T) {
	d, err := Open(t.Context(), filepath.Join(t.TempDir(), "parvis.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p, err := d.provider()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 6); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"client_secret_basic": `{"name":"Books","auth":"secret"}`, "client_secret_post": `{"name":"Books","auth":"secret"}`,
		"private_key_jwt": `{"name":"Books","auth":"private_key_jwt"}`,
	}
	for method := range want {
		if err := d.Update(t.Context(), func(tx *Tx) error {
			_, err := tx.Exec(t.Context(), `
				insert into clients (id, kind, settings, listens, created_at, changed_at)
				values ($1, 'web', $2, false, 1, 1)`, method, `{"name":"Books","auth":"`+method+`"}`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for method, settings := range want {
		var got string
		if _, err := d.One(t.Context(), Into(&got), `select settings from clients where id = $1`, method); err != nil || got != settings {
			t.Errorf("%s became %s (%v), want %s", method, got, err, settings)
		}
	}
}
