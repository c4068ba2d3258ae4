package dbtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// A Role is a login of PostgreSQL that belongs to one test, which may take away from it
// what an operator can take away by mistake.
type Role struct {
	Address string // of the database, with this login
	t       testing.TB
	name    string
	owner   *db.DB
}

// NewRole makes a login that may read and write every table of the database at address.
// It skips the test on SQLite, which has neither roles nor logins.
func NewRole(t testing.TB, address string) *Role {
	t.Helper()
	if os.Getenv(PostgresVariable) == "" {
		t.Skip("SQLite has neither roles nor logins")
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	r := &Role{t: t, name: strings.ToLower(secret.NewID("role")), owner: OpenAt(t, address)}
	r.do(`create role %s login password 'opens'`)
	t.Cleanup(func() {
		r.do(`drop owned by %s`)
		r.do(`drop role %s`)
	})
	r.Grant()
	u.User = url.UserPassword(r.name, "opens")
	r.Address = u.String()
	return r
}

// Grant gives the role its rights on the tables.
func (r *Role) Grant() { r.t.Helper(); r.do(`grant all on all tables in schema public to %s`) }

// Revoke takes them away.
func (r *Role) Revoke() { r.t.Helper(); r.do(`revoke all on all tables in schema public from %s`) }

// Admit lets the role log in again.
func (r *Role) Admit() { r.t.Helper(); r.do(`alter role %s login`) }

// Shut refuses every login of the role, and ends the connections that it has.
func (r *Role) Shut() {
	r.t.Helper()
	r.do(`alter role %s nologin`)
	r.do(`select pg_terminate_backend(pid) from pg_stat_activity where usename = '%s'`)
}

func (r *Role) do(format string) {
	r.t.Helper()
	Do(r.t, r.owner, fmt.Sprintf(format, r.name))
}

// Do runs one statement that is no business of the program.
func Do(t testing.TB, d *db.DB, statement string) {
	t.Helper()
	// The context of the test ends before its clean-up, which needs this too.
	if err := d.Exec(context.WithoutCancel(t.Context()), func(func(...any) error) error { return nil }, statement); err != nil {
		t.Fatal(err)
	}
}
