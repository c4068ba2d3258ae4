package dbtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// A Role is a PostgreSQL login for one test, which can take away from it what an operator
// might take away by mistake.
type Role struct {
	Address string // of the database, with this login
	t       testing.TB
	name    string
	owner   *db.DB
}

// NewRole makes a login that may read and write every table of the database at address. It
// skips the test on SQLite, which has no logins.
func NewRole(t testing.TB, address string) *Role {
	t.Helper()
	if os.Getenv(PostgresVariable) == "" {
		t.Skip("SQLite has neither roles nor logins")
	}
	direct, err := url.Parse(os.Getenv(PostgresVariable))
	if err != nil {
		t.Fatal(err)
	}
	// A pooler knows only the logins in its own file.
	u, err := url.Parse(at(address, direct.Host))
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

// Revoke takes these rights away.
func (r *Role) Revoke() { r.t.Helper(); r.do(`revoke all on all tables in schema public from %s`) }

// Admit lets the role log in again.
func (r *Role) Admit() { r.t.Helper(); r.do(`alter role %s login`) }

// Shut refuses further logins of the role, and ends its connections.
func (r *Role) Shut() {
	r.t.Helper()
	r.do(`alter role %s nologin`)
	r.do(`select pg_terminate_backend(pid) from pg_stat_activity where usename = '%s'`)
}

// Limit lets the role have so many connections at most.
func (r *Role) Limit(connections int) {
	r.t.Helper()
	r.do(fmt.Sprintf(`alter role %%s connection limit %d`, connections))
}

func (r *Role) do(format string) {
	r.t.Helper()
	Do(r.t, r.owner, fmt.Sprintf(format, r.name))
}

// Do runs one statement that the program itself would not run, at the database's default
// isolation. Tests that store thousands of rows do it here: while a serializable transaction
// goes on for long, PostgreSQL fails other tests' transactions (see db.Update).
func Do(t testing.TB, d *db.DB, statement string, args ...any) {
	t.Helper()
	// The clean-up calls this too, when the context of the test has already ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Minute)
	defer cancel()
	if err := d.Exec(ctx, func(func(...any) error) error { return nil }, statement, args...); err != nil {
		t.Fatal(err)
	}
}
