package access_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/access"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/mail"
	"parvis/internal/secret"
)

// house is a database with two organizations, each with a user of every role.
type house struct {
	*db.DB
	t     *testing.T
	clock *dbtest.Clock
	org   map[string]directory.Organization
}

func open(t *testing.T) house {
	t.Helper()
	d, clock := dbtest.Open(t)
	if _, err := i18n.Load(); err != nil {
		t.Fatal(err)
	}
	h := house{d, t, clock, map[string]directory.Organization{}}
	for _, name := range []string{"alpha", "beta"} {
		h.update(func(ctx context.Context, tx *db.Tx) (err error) {
			h.org[name], err = directory.CreateOrganization(ctx, tx, directory.Operator(), directory.NewOrganization{DisplayName: name, ShortName: name, Language: "en"})
			return err
		})
	}
	return h
}

// sweep runs the sweep, which writes letters.
func (h house) sweep() error {
	h.t.Helper()
	catalogue, err := i18n.Load()
	if err != nil {
		return err
	}
	outbox := mail.NewOutbox(mail.Settings{Sealing: secret.NewKeys().Sealing, Catalogue: catalogue, From: "no-reply@parvis.example", Log: slog.New(slog.DiscardHandler)})
	return access.Sweeper{Outbox: outbox, Base: "https://parvis.example"}.Sweep(h.t.Context(), h.DB)
}

func (h house) try(fn func(ctx context.Context, tx *db.Tx) error) error {
	return h.Update(h.t.Context(), func(tx *db.Tx) error { return fn(h.t.Context(), tx) })
}

func (h house) update(fn func(ctx context.Context, tx *db.Tx) error) {
	h.t.Helper()
	if err := h.try(fn); err != nil {
		h.t.Fatal(err)
	}
}

// user makes a user of any role.
func (h house) user(org string, role directory.Role) (u directory.User) {
	h.t.Helper()
	h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		id := directory.NewUserID()
		u, err = directory.CreateFirstOwner(ctx, tx, directory.User{OrgID: h.org[org].ID, ID: id, Email: string(id) + "@" + org + ".example", Name: "The " + string(role), Language: "en"})
		if err == nil && role != directory.Owner {
			_, err = tx.Exec(ctx, `update users set role = $1 where org_id = $2 and id = $3`, string(role), string(u.OrgID), string(u.ID))
		}
		return err
	})
	dbtest.GivePassword(h.t, h.DB, string(u.OrgID), string(u.ID))
	u.Role, u.HasPassword = role, true
	return u
}

func (h house) issue(actor directory.Actor, n access.New) (t access.Token, text string, err error) {
	err = h.try(func(ctx context.Context, tx *db.Tx) (err error) {
		t, text, err = access.Issue(ctx, tx, actor, actor.OrgID, n)
		return err
	})
	return t, text, err
}

func (h house) token(u directory.User, scopes ...access.Scope) (access.Token, string) {
	h.t.Helper()
	t, text, err := h.issue(u.AsActor(), access.New{Name: "Nightly export", Scopes: scopes})
	if err != nil {
		h.t.Fatal(err)
	}
	return t, text
}

func (h house) caller(text string) (access.Caller, error) {
	return access.ByToken(h.t.Context(), h.DB, text)
}

func (h house) count(query string, args ...any) (n int) {
	h.t.Helper()
	if _, err := h.One(h.t.Context(), db.Into(&n), query, args...); err != nil {
		h.t.Fatal(err)
	}
	return n
}

func TestATokenActsForItsOwner(t *testing.T) {
	t.Parallel()
	h := open(t)
	u := h.user("alpha", directory.Administrator)
	made, text := h.token(u, access.ReadAudit, access.ReadPeople, access.ReadPeople)
	if !strings.HasPrefix(text, "pak_") || len(text) != 4+43 {
		t.Errorf("the token is %d characters, want pak_ and 256 bits", len(text))
	}
	if lasts := made.EndsAt.Sub(made.CreatedAt); lasts != 90*24*time.Hour {
		t.Errorf("it lasts %v, want 90 days", lasts)
	}
	c, err := h.caller(text)
	if err != nil {
		t.Fatal(err)
	}
	acts := c.Actor
	acts.Again = nil
	expect.Equal(t, "the actor", fmt.Sprintf("%+v", acts), fmt.Sprintf("%+v", directory.Actor{
		Kind: directory.KindToken, OrgID: u.OrgID, ID: made.ID, Name: u.Name, Role: directory.Administrator, UserID: u.ID,
	}))
	expect.Equal(t, "the scopes", fmt.Sprint(c.Scopes), fmt.Sprint([]access.Scope{access.ReadPeople, access.ReadAudit}))
	expect.Equal(t, "the key", c.Key, made.ID)
	expect.Equal(t, "its end", c.Until, made.EndsAt)
	if !c.ProvedAt.IsZero() {
		t.Error("a token proves that the person is there")
	}
	if acts.Is(u.OrgID, u.ID) {
		t.Error("a token passes for the person")
	}
	for what, table := range map[string]string{"the table": "api_tokens", "the audit log": "audit_events"} {
		if dump := dbtest.Dump(t, h.DB, table); strings.Contains(dump, strings.TrimPrefix(text, "pak_")) {
			t.Errorf("%s shows the token", what)
		}
	}
}

func TestWhatIsNoTokenOpensNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	_, text := h.token(h.user("alpha", directory.Owner), access.ReadPeople)
	for what, shown := range map[string]string{
		"nothing": "", "only a prefix": "pak_", "no prefix": text[4:], "another case": strings.ToUpper(text), "a letter more": text + "A",
		"another token": "pak_" + strings.Repeat("A", 43), "spaces": " " + text, "a NUL": text[:46] + "\x00",
	} {
		if _, err := h.caller(shown); !errors.Is(err, access.ErrUnknown) {
			t.Errorf("%s: %v, want ErrUnknown", what, err)
		}
	}
}

// Each of these ends a token at once, and a request that was let in before it is refused in its
// transaction.
func TestATokenEndsWithWhatItRestsOn(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(h house, ctx context.Context, tx *db.Tx, owner directory.Actor, made access.Token) error{
		"its time": func(h house, _ context.Context, _ *db.Tx, _ directory.Actor, made access.Token) error {
			h.clock.Advance(made.EndsAt.Sub(h.Now()))
			return nil
		},
		"its being revoked": func(_ house, ctx context.Context, tx *db.Tx, owner directory.Actor, made access.Token) error {
			return access.Revoke(ctx, tx, owner, made.OrgID, made.ID)
		},
		"its owner's being shut out, and let in again": func(_ house, ctx context.Context, tx *db.Tx, owner directory.Actor, made access.Token) error {
			err := directory.Deactivate(ctx, tx, owner, made.OrgID, made.UserID)
			return errors.Join(err, directory.Reactivate(ctx, tx, owner, made.OrgID, made.UserID))
		},
		"its owner's being deleted": func(_ house, ctx context.Context, tx *db.Tx, owner directory.Actor, made access.Token) error {
			return directory.Delete(ctx, tx, owner, made.OrgID, made.UserID)
		},
		"what its owner has open being voided": func(_ house, ctx context.Context, tx *db.Tx, _ directory.Actor, made access.Token) error {
			u, err := directory.UserByID(ctx, tx, made.OrgID, made.UserID)
			if err == nil {
				_, err = directory.Void(ctx, tx, u)
			}
			return err
		},
		"its organization's being suspended": func(_ house, ctx context.Context, tx *db.Tx, _ directory.Actor, made access.Token) error {
			return directory.Suspend(ctx, tx, directory.Operator(), made.OrgID)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			owner, u := h.user("alpha", directory.Owner), h.user("alpha", directory.Administrator)
			made, text := h.token(u, access.WritePeople)
			before, err := h.caller(text)
			if err != nil {
				t.Fatal(err)
			}
			h.update(func(ctx context.Context, tx *db.Tx) error { return end(h, ctx, tx, owner.AsActor(), made) })
			if _, err := h.caller(text); !errors.Is(err, access.ErrUnknown) {
				t.Errorf("it is let in: %v", err)
			}
			if _, err := before.Actor.In(t.Context(), h.DB, u.OrgID); !errors.Is(err, access.ErrUnknown) {
				t.Errorf("what it was let in for goes on: %v", err)
			}
		})
	}
}

func TestATokenFallsWithItsOwnersRole(t *testing.T) {
	t.Parallel()
	h := open(t)
	owner, u := h.user("alpha", directory.Owner), h.user("alpha", directory.Administrator)
	_, text := h.token(u, access.ReadPeople, access.WritePeople, access.WriteSettings, access.ReadAudit)
	before, err := h.caller(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		role directory.Role
		want []access.Scope
	}{
		{directory.Helpdesk, []access.Scope{access.ReadPeople, access.WritePeople}},
		{directory.Auditor, []access.Scope{access.ReadPeople, access.ReadAudit}},
		{directory.Member, nil},
	} {
		h.update(func(ctx context.Context, tx *db.Tx) error {
			return directory.ChangeRole(ctx, tx, owner.AsActor(), u.OrgID, u.ID, step.role)
		})
		c, err := h.caller(text)
		if err != nil || c.Actor.Role != step.role || !slices.Equal(c.Scopes, step.want) {
			t.Errorf("%s: role %s, scopes %v, error %v; want scopes %v", step.role, c.Actor.Role, c.Scopes, err, step.want)
		}
		if now, err := before.Actor.In(t.Context(), h.DB, u.OrgID); err != nil || now.Role != step.role {
			t.Errorf("%s: inside the transaction it has role %s, error %v", step.role, now.Role, err)
		}
	}
}

func TestWhoMakesTokens(t *testing.T) {
	t.Parallel()
	h := open(t)
	boss := h.user("alpha", directory.Owner)
	_, text := h.token(boss, access.WriteAccess)
	c, err := h.caller(text)
	if err != nil {
		t.Fatal(err)
	}
	n := access.New{Name: "X", Scopes: []access.Scope{access.ReadPeople}}
	for what, actor := range map[string]directory.Actor{
		"a token": c.Actor, "a member": h.user("alpha", directory.Member).AsActor(), "the command line": directory.Operator(), "the program": directory.System(boss.OrgID),
	} {
		actor.OrgID = boss.OrgID
		if _, _, err := h.issue(actor, n); !errors.Is(err, directory.ErrDenied) {
			t.Errorf("%s makes a token: %v", what, err)
		}
	}
	err = h.try(func(ctx context.Context, tx *db.Tx) error {
		_, _, err := access.Issue(ctx, tx, boss.AsActor(), h.org["beta"].ID, n)
		return err
	})
	if !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("in another organization: %v", err)
	}
	auditor := h.user("alpha", directory.Auditor).AsActor()
	for what, tt := range map[string]struct {
		n    access.New
		want *fault.Error
	}{
		"no scope":            {access.New{Name: "X"}, access.ErrScopes},
		"an unknown scope":    {access.New{Name: "X", Scopes: []access.Scope{"parvis.operator.write"}}, access.ErrScope},
		"more than the role":  {access.New{Name: "X", Scopes: []access.Scope{access.ReadPeople, access.WritePeople}}, access.ErrScopeBeyond},
		"longer than a year":  {access.New{Name: "X", Scopes: n.Scopes, Lasts: 366 * 24 * time.Hour}, access.ErrLasts},
		"ended before it was": {access.New{Name: "X", Scopes: n.Scopes, Lasts: -time.Hour}, access.ErrLasts},
	} {
		if _, _, err := h.issue(auditor, tt.n); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", what, err, tt.want)
		}
	}
	if n := h.count(`select count(*) from api_tokens where org_id = $1`, string(boss.OrgID)); n != 1 {
		t.Errorf("%d tokens are kept, want 1", n)
	}
	for range 20 {
		_, _, err = h.issue(auditor, n)
	}
	if err != nil {
		t.Fatal(err)
	}
	var most *fault.Error
	if _, _, err = h.issue(auditor, n); !errors.As(err, &most) || most.Key != access.ErrTooMany.Key {
		t.Errorf("the 21st token: %v", err)
	}
}

func TestWhoRevokesATokenAndSeesIt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		by         directory.Role
		of         directory.Role
		org        string
		see, write error
	}{
		{directory.Owner, directory.Owner, "alpha", nil, nil},
		{directory.Administrator, directory.Administrator, "alpha", nil, nil},
		{directory.Administrator, directory.Owner, "alpha", nil, directory.ErrDenied},
		{directory.Helpdesk, directory.Auditor, "alpha", directory.ErrNotFound, directory.ErrNotFound},
		{directory.Auditor, directory.Auditor, "alpha", nil, directory.ErrDenied},
		{directory.Member, directory.Auditor, "alpha", directory.ErrNotFound, directory.ErrNotFound},
		{directory.Owner, directory.Auditor, "beta", directory.ErrNotFound, directory.ErrNotFound},
	} {
		t.Run(string(tt.by)+" of "+tt.org+" and "+string(tt.of), func(t *testing.T) {
			t.Parallel()
			h := open(t)
			owner, by := h.user("alpha", tt.of), h.user(tt.org, tt.by).AsActor()
			made, text := h.token(owner, access.ReadPeople)
			for _, org := range slices.Compact([]directory.OrgID{by.OrgID, made.OrgID}) {
				if _, err := access.TokenByID(t.Context(), h.DB, by, org, made.ID); !errors.Is(err, tt.see) {
					t.Errorf("seeing it: %v, want %v", err, tt.see)
				}
				err := h.try(func(ctx context.Context, tx *db.Tx) error { return access.Revoke(ctx, tx, by, org, made.ID) })
				if !errors.Is(err, tt.write) {
					t.Errorf("revoking it: %v, want %v", err, tt.write)
				}
			}
			if _, err := h.caller(text); (err == nil) != (tt.write != nil) {
				t.Errorf("after that it opens with %v", err)
			}
		})
	}
}

func TestTokensAreListedWithTheirLastUse(t *testing.T) {
	t.Parallel()
	h := open(t)
	boss, other := h.user("alpha", directory.Helpdesk), h.user("alpha", directory.Auditor)
	_, text := h.token(boss, access.ReadPeople)
	h.token(other, access.ReadPeople)
	h.token(h.user("beta", directory.Owner), access.ReadPeople)
	use := func(network string) {
		c, err := h.caller(text)
		if err == nil {
			err = c.Touch(audit.WithOrigin(t.Context(), audit.Origin{Network: network}), h.DB)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	first := h.Now()
	use("192.0.2.1")
	h.clock.Advance(59 * time.Minute)
	use("192.0.2.2")
	mine, err := access.Tokens(t.Context(), h.DB, boss.AsActor(), boss.OrgID)
	if err != nil || len(mine) != 1 {
		t.Fatalf("mine are %+v, %v; want one", mine, err)
	}
	expect.Equal(t, "the last use", mine[0].UsedAt, first)
	expect.Equal(t, "its network", mine[0].Network, "192.0.2.1")
	h.clock.Advance(time.Minute)
	use("192.0.2.3")
	all, err := access.Tokens(t.Context(), h.DB, other.AsActor(), boss.OrgID)
	if err != nil || len(all) != 2 {
		t.Fatalf("all are %+v, %v; want two", all, err)
	}
	i := slices.IndexFunc(all, func(x access.Token) bool { return x.UserID == boss.ID })
	if all[i].Network != "192.0.2.3" || all[i].Owner != boss.Name || all[i].Over {
		t.Errorf("the owner's token is listed as %+v", all[i])
	}
	if all, err := access.Tokens(t.Context(), h.DB, h.user("alpha", directory.Member).AsActor(), boss.OrgID); err != nil || len(all) > 0 {
		t.Errorf("a member sees %+v, %v", all, err)
	}
	h.clock.Advance(access.TokenLasts)
	if mine, err = access.Tokens(t.Context(), h.DB, boss.AsActor(), boss.OrgID); err != nil || len(mine) != 1 || !mine[0].Over {
		t.Errorf("after its end it is listed as %+v, %v", mine, err)
	}
	h.clock.Advance(30 * 24 * time.Hour)
	if err := h.sweep(); err != nil {
		t.Fatal(err)
	}
	if n := h.count(`select count(*) from api_tokens where org_id = $1`, string(boss.OrgID)); n != 0 {
		t.Errorf("%d tokens are kept a month after their end", n)
	}
}
