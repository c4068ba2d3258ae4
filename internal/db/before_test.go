package db

import (
	"path/filepath"
	"strings"
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

// Migration 00013: the rows of people from before say what their tables do.
func TestPeopleFromBeforeAreFilledIn(t *testing.T) {
	d, err := Open(t.Context(), filepath.Join(t.TempDir(), "parvis.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	p, err := d.provider()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 12); err != nil {
		t.Fatal(err)
	}
	app := func(id, confirmed string) string {
		return `insert into totp_seeds (org_id, id, user_id, name, seed, bound_to, last_step, created_at, confirmed_at) values ('org', 'app_` + id + `', '` + id + `', '', '', '', 0, 1, ` + confirmed + `)`
	}
	key := func(id string) string {
		return `insert into passkeys (org_id, id, user_id, name, credential_id, user_handle, record, created_at) values ('org', 'key_` + id + `', '` + id + `', '', '` + id + `', '', '{}', 1)`
	}
	people := map[string]struct {
		columns string // last sign-in, deactivated, deleted
		rows    []string
		want    string
	}{
		"nothing":     {"null, null, null", nil, "active none 0 0 0"},
		"pending":     {"null, null, null", []string{app("pending", "null")}, "active none 0 0 0"},
		"app":         {"7, null, null", []string{app("app", "2")}, "active app 0 0 7"},
		"key":         {"8, 5, null", []string{key("key")}, "deactivated passkey 0 0 8"},
		"both":        {"9, 5, 6", []string{app("both", "2"), key("both")}, "deleted both 0 0 9"},
		"password":    {"1, null, null", []string{`insert into passwords (org_id, user_id, hash, set_at, failures) values ('org', 'password', 'x', 1, 0)`}, "active none 1 0 1"},
		"sign-on":     {"1, null, null", []string{`insert into identities (org_id, connection_id, issuer, subject, user_id, email, created, created_at, used_at) values ('org', 'con', 'i', 's', 'sign-on', '', false, 1, 1)`}, "active none 0 1 1"},
		"long letter": {"null, null, null", []string{`update users set search_key = '` + strings.Repeat("é", 3000) + `' where id = 'long letter'`}, "active none 0 0 0"},
	}
	if err := d.Update(t.Context(), func(tx *Tx) error {
		for _, statement := range []string{
			`insert into organizations (id, short_name, short_name_key, short_name_skeleton, display_name, display_name_skeleton, language, contact, invitation_lifetime, created_at)
			values ('org', 'org', 'org', 'org', 'Org', 'org', 'en', '', 1, 1)`,
			`insert into connections (org_id, id, protocol, provider, name, position, shown, settings, vouches, creates, mapping, state, created_at, changed_at, warned)
			values ('org', 'con', 'saml', 'okta', 'Okta', 1, true, '{}', false, false, '{}', 'on', 1, 1, 0)`,
		} {
			if _, err := tx.Exec(t.Context(), statement); err != nil {
				return err
			}
		}
		for id, person := range people {
			for _, statement := range append([]string{`
				insert into users (org_id, id, email, email_key, display_name, search_key, role, language, time_zone, created_at, generation, last_sign_in_at, deactivated_at, deleted_at)
				values ('org', '` + id + `', '', '` + id + `', '', '', 'member', 'en', '', 1, 1, ` + person.columns + `)`}, person.rows...) {
				if _, err := tx.Exec(t.Context(), statement); err != nil {
					return err
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for id, person := range people {
		var got string
		var length int
		if _, err := d.One(t.Context(), Into(&got, &length), `
			select state || ' ' || second_step || ' ' || has_password || ' ' || linked || ' ' || signed_in_at, length(search_key)
			from users
			where org_id = 'org' and id = $1`, id); err != nil || got != person.want || length > 500 {
			t.Errorf("%s: the row says %q with %d characters to search (%v), want %q", id, got, length, err, person.want)
		}
	}
}

// Migration 00016: Architect is described as what it is, unless an operator described it.
func TestArchitectFromBeforeIsDescribedUnlessAnOperatorDid(t *testing.T) {
	for own, want := range map[string]string{
		"": `{"en":"Call flows and prompts","fr":"Flux d’appels et annonces"}`,
		`{"en":"Plans and models of your organization","fr":"Nos plans"}`: `{"en":"Plans and models of your organization","fr":"Nos plans"}`,
	} {
		d, err := Open(t.Context(), filepath.Join(t.TempDir(), "parvis.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		p, err := d.provider()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.UpTo(t.Context(), 12); err != nil {
			t.Fatal(err)
		}
		if own != "" {
			if err := d.Update(t.Context(), func(tx *Tx) error {
				_, err := tx.Exec(t.Context(), `update clients set settings = $1 where id = 'architect'`, `{"name":"Architect","descriptions":`+own+`}`)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		var got string
		if _, err := d.One(t.Context(), Into(&got), `select settings from clients where id = 'architect'`); err != nil || !strings.Contains(got, `"descriptions":`+want) {
			t.Errorf("described by an operator as %q it became %s (%v)", own, got, err)
		}
	}
}
