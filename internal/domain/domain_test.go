package domain_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/expect"
	"parvis/internal/i18n"
	"parvis/internal/idptest"
	"parvis/internal/limit"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// claims is a database with a name server.
type claims struct {
	*db.DB
	t       *testing.T
	clock   *dbtest.Clock
	dns     *idptest.DNS
	domains *domain.Prover
}

func openClaims(t *testing.T) claims {
	t.Helper()
	d, clock := dbtest.Open(t)
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	keys, dns := secret.NewKeys(), idptest.StartDNS(t)
	return claims{d, t, clock, dns, &domain.Prover{
		Resolver: dns.Resolver(), Limits: limit.NewLimiter(keys.Lookup), Base: "https://parvis.example",
		Outbox: mail.NewOutbox(mail.Settings{Sealing: keys.Sealing, Catalogue: catalogue, From: "no-reply@parvis.example", Log: slog.New(slog.DiscardHandler)}),
	}}
}

func (c claims) update(fn func(ctx context.Context, tx *db.Tx) error) error {
	c.t.Helper()
	return c.Update(c.t.Context(), func(tx *db.Tx) error { return fn(c.t.Context(), tx) })
}

func (c claims) organization(name, short string) (o directory.Organization) {
	c.t.Helper()
	if err := c.update(func(ctx context.Context, tx *db.Tx) (err error) {
		o, err = directory.CreateOrganization(ctx, tx, directory.Operator(), directory.NewOrganization{DisplayName: name, ShortName: short, Language: "en"})
		return err
	}); err != nil {
		c.t.Fatal(err)
	}
	return o
}

// user makes a user of any role directly.
func (c claims) user(o directory.Organization, email string, role directory.Role) (u directory.User) {
	c.t.Helper()
	if err := c.update(func(ctx context.Context, tx *db.Tx) (err error) {
		if u, err = directory.CreateFirstOwner(ctx, tx, directory.User{OrgID: o.ID, ID: directory.NewUserID(), Email: email, Name: "U " + email[:1], Language: "en"}); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update users set role = $1 where org_id = $2 and id = $3`, string(role), string(o.ID), string(u.ID))
		u.Role = role
		return err
	}); err != nil {
		c.t.Fatal(err)
	}
	return u
}

func (c claims) add(owner directory.User, typed string) domain.Domain {
	c.t.Helper()
	d, err := c.tryAdd(owner.AsActor(), owner.OrgID, typed)
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

func (c claims) tryAdd(actor directory.Actor, org directory.OrgID, typed string) (d domain.Domain, err error) {
	err = c.update(func(ctx context.Context, tx *db.Tx) (err error) {
		d, err = domain.Add(ctx, tx, actor, org, typed)
		return err
	})
	return d, err
}

// proven returns a domain that its owner has proven.
func (c claims) proven(owner directory.User, typed string) domain.Domain {
	c.t.Helper()
	d := c.add(owner, typed)
	c.dns.Set(d.Record(), d.Value())
	if err := c.check(owner, d); err != nil {
		c.t.Fatal(err)
	}
	return c.stored(d)
}

func (c claims) check(by directory.User, d domain.Domain) error {
	c.clock.Advance(time.Second) // so that entries of the log have an order
	return c.domains.Check(c.t.Context(), c.DB, by.AsActor(), d.OrgID, d.ID)
}

func (c claims) sweep() {
	c.t.Helper()
	if err := c.domains.Sweep(c.t.Context(), c.DB); err != nil {
		c.t.Fatal(err)
	}
}

func (c claims) stored(d domain.Domain) domain.Domain {
	c.t.Helper()
	d, err := domain.ByID(c.t.Context(), c.DB, directory.Operator(), d.OrgID, d.ID)
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

// holder returns who holds the domain of an address; empty for nobody.
func (c claims) holder(address string) directory.OrgID {
	c.t.Helper()
	a, err := naming.ParseAddress(address)
	if err != nil {
		c.t.Fatal(err)
	}
	org, found, err := domain.Holder(c.t.Context(), c.DB, a)
	if err != nil || found != (org != "") {
		c.t.Fatal(org, found, err)
	}
	return org
}

func (c claims) holds(org directory.OrgID, address string) bool {
	c.t.Helper()
	a, err := naming.ParseAddress(address)
	if err != nil {
		c.t.Fatal(err)
	}
	holds, err := domain.Holds(c.t.Context(), c.DB, org, a)
	if err != nil {
		c.t.Fatal(err)
	}
	return holds
}

func (c claims) count(query string, args ...any) (n int) {
	c.t.Helper()
	if _, err := c.One(c.t.Context(), db.Into(&n), query, args...); err != nil {
		c.t.Fatal(err)
	}
	return n
}

func (c claims) letters() int { return c.count(`select count(*) from letters where kind = 'domain'`) }

func (c claims) recorded(d domain.Domain) string {
	c.t.Helper()
	var all []string
	if err := c.Rows(c.t.Context(), func(scan func(...any) error) error {
		var action, actor string
		err := scan(&action, &actor)
		all = append(all, strings.TrimPrefix(action, "domain.")+" by "+actor[:3])
		return err
	}, `select action, actor from audit_events where org_id = $1 and target = $2 order by at, id`, string(d.OrgID), d.ID); err != nil {
		c.t.Fatal(err)
	}
	return strings.Join(all, ", ")
}

// R-TEN-09, UNI-3: a domain that nobody can prove, or that everybody uses, belongs to no organization.
func TestUNI3DomainsThatNobodyHasAreRefused(t *testing.T) {
	for want, all := range map[error][]string{
		domain.ErrMissing: {"", "  ", "\t"},
		domain.ErrInvalid: {
			"localhost", "example", "com", "127.0.0.1", "[127.0.0.1]", "::1", "2130706433", "0x7f.1", "a@example.com", "@example.com",
			"https://example.com", "example.com/", "example.com.", ".example.com", "example..com", "exa mple.com", "*.example.com",
			"_dmarc.example.com", "-a.example.com", "example.com:25", "example.123", "exam\u200dple.com", "ｅxample.com", "example。com",
			strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 120) + "com", strings.Repeat("ä", 2000) + ".com", "xn--zzzzzz--.com", "\u212aelvin.com",
		},
		domain.ErrPublic:   {"co.uk", "CO.UK", "github.io", "asso.fr", "k12.ca.us", "xn--55qx5d.cn", "公司.cn"},
		domain.ErrProvider: {"gmail.com", "GMAIL.com", "outlook.com", "free.fr"},
	} {
		for _, typed := range all {
			if d, err := domain.Parse(typed); !errors.Is(err, want) {
				t.Errorf("%q: %q %v, want %v", typed, d, err, want)
			}
		}
	}
}

// An address's domain is compared with a typed one, so both are made by the same rule.
func TestDomainsAreThoseOfAddresses(t *testing.T) {
	for typed, want := range map[string]string{
		" Example.COM ": "example.com", "bücher.example.com": "xn--bcher-kva.example.com", "BU\u0308CHER.example.com": "xn--bcher-kva.example.com",
		"XN--Bcher-KVA.example.com": "xn--bcher-kva.example.com", "a.b.c.example.co.uk": "a.b.c.example.co.uk", "mail.gmail.com": "mail.gmail.com",
	} {
		key, err := domain.Parse(typed)
		address, wrong := naming.ParseAddress("ada@" + strings.TrimSpace(typed))
		if err != nil || wrong != nil {
			t.Fatalf("%q: %q %v, of an address %q %v, want %q", typed, key, err, address.Domain, wrong, want)
		}
		of := expect.Case(t, "%q", typed)
		expect.Equal(of, "key", key, want)
		expect.Equal(of, "Domain", address.Domain, want)
		if again, err := domain.Parse((domain.Domain{Key: key}).String()); err != nil || again != key {
			t.Errorf("%q is shown as %q, which is %q: %v", key, domain.Domain{Key: key}, again, err)
		}
	}
}

// R-TEN-09: a domain leads to the organization that proved it, from then on, and no similar name does.
func TestDomainLeadsOnlyWhereItIsProven(t *testing.T) {
	t.Parallel()
	c := openClaims(t)
	o := c.organization("Alpha Works", "alpha")
	other := c.organization("Other Works", "other")
	u := c.user(o, "o@alpha.example", directory.Owner)
	d := c.add(u, "Alpha.example.com")
	if d.Key != "alpha.example.com" || d.State() != domain.Waiting || c.holder("a@alpha.example.com") != "" {
		t.Fatalf("added as %+v", d)
	}
	for name, set := range map[string]func(){
		"nothing":           func() {},
		"no TXT":            func() { c.dns.Set(d.Record()) },
		"another value":     func() { c.dns.Set(d.Record(), "parvis-domain=0123", "v=spf1 -all") },
		"a longer one":      func() { c.dns.Set(d.Record(), d.Value()+" ") },
		"at the domain":     func() { c.dns.Remove(d.Record()); c.dns.Set(d.Key, d.Value()) },
		"above the domain":  func() { c.dns.Set("_parvis-challenge.example.com", d.Value()) },
		"in another letter": func() { c.dns.Set(d.Record(), strings.ToUpper(d.Value())) },
	} {
		set()
		if err := c.check(u, d); !errors.Is(err, domain.ErrProofMissing) || c.stored(d).State() != domain.Waiting {
			t.Errorf("%s: %v, %s", name, err, c.stored(d).State())
		}
	}
	c.dns.Fail(true)
	if err := c.check(u, d); !errors.Is(err, domain.ErrProofUnanswered) || c.stored(d).UnansweredSince.IsZero() {
		t.Errorf("without an answer: %v", err)
	}
	c.dns.Fail(false)
	c.dns.Set(d.Record(), "something else", d.Value())
	if err := c.check(u, d); err != nil {
		t.Fatal(err)
	}
	if d = c.stored(d); !d.Held() || !d.ProvenAt.Equal(c.clock.Now()) {
		t.Errorf("proven as %+v", d)
	}
	if !d.MissingSince.IsZero() || !d.UnansweredSince.IsZero() {
		t.Errorf("proven, and still %+v", d)
	}
	if c.holder("Ada@ALPHA.Example.com") != o.ID || !c.holds(o.ID, "ada@alpha.example.com") || c.holds(other.ID, "ada@alpha.example.com") {
		t.Error("the domain does not lead there, or not only there")
	}
	for _, address := range []string{
		"a@example.com", "a@b.alpha.example.com", "a@evil-alpha.example.com", "a@alpha.example.com.evil.example", "alpha.example.com@evil.example", "a@xalpha.example.com",
	} {
		if c.holder(address) != "" || c.holds(o.ID, address) {
			t.Errorf("%s leads somewhere", address)
		}
	}
	if got := c.recorded(d); got != "added by usr, proven by usr" {
		t.Errorf("recorded: %s", got)
	}
	// A suspended organization keeps its domain, which leads nobody there.
	if err := c.update(func(ctx context.Context, tx *db.Tx) error {
		return directory.Suspend(ctx, tx, directory.Operator(), o.ID)
	}); err != nil {
		t.Fatal(err)
	}
	if c.holder("a@alpha.example.com") != "" || !c.stored(d).Held() {
		t.Error("a suspended organization leads on, or lost its domain")
	}
}

func TestDomainsListIsBounded(t *testing.T) {
	t.Parallel()
	c := openClaims(t)
	o := c.organization("Alpha Works", "alpha")
	u := c.user(o, "o@alpha.example", directory.Owner)
	for i := range 50 {
		c.add(u, fmt.Sprintf("d%d.example.com", i))
	}
	if _, err := c.tryAdd(u.AsActor(), o.ID, "D49.example.com"); !errors.Is(err, domain.ErrListed) {
		t.Errorf("twice: %v", err)
	}
	if _, err := c.tryAdd(u.AsActor(), o.ID, "another.example.com"); !errors.Is(err, domain.ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
}

// If one organization adds a domain several times at once, one succeeds.
func TestDomainAddedAtOnceIsListedOnce(t *testing.T) {
	t.Parallel()
	c := openClaims(t)
	o := c.organization("Alpha Works", "alpha")
	u := c.user(o, "o@alpha.example", directory.Owner)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			err := c.DB.Update(t.Context(), func(tx *db.Tx) error {
				_, err := domain.Add(t.Context(), tx, u.AsActor(), o.ID, "alpha.example.com")
				return err
			})
			if err != nil && !errors.Is(err, domain.ErrListed) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := c.count(`select count(*) from domains`); n != 1 {
		t.Errorf("%d are listed", n)
	}
}

// TEN-1: neither another organization's administrator nor a lesser role adds, checks or removes a
// domain.
func TestTEN1DomainsAreTheirAdministratorsAlone(t *testing.T) {
	t.Parallel()
	c := openClaims(t)
	o, other := c.organization("Alpha Works", "alpha"), c.organization("Beta Works", "beta")
	u, stranger := c.user(o, "o@alpha.example", directory.Owner), c.user(other, "o@beta.example", directory.Owner)
	d := c.proven(u, "alpha.example.com")
	c.dns.Asked()
	type attempt struct {
		by   directory.User
		org  directory.OrgID
		want error
	}
	attempts := []attempt{{stranger, o.ID, directory.ErrNotFound}, {stranger, other.ID, directory.ErrNotFound}}
	for i, role := range []directory.Role{directory.Helpdesk, directory.Auditor, directory.Member} {
		attempts = append(attempts, attempt{c.user(o, fmt.Sprintf("u%d@alpha.example", i), role), o.ID, directory.ErrDenied})
	}
	for _, a := range attempts {
		if err := c.domains.Check(t.Context(), c.DB, a.by.AsActor(), a.org, d.ID); !errors.Is(err, a.want) {
			t.Errorf("%s of %s checks: %v", a.by.Role, a.by.OrgID, err)
		}
		err := c.update(func(ctx context.Context, tx *db.Tx) error {
			return domain.Remove(ctx, tx, a.by.AsActor(), a.org, d.ID)
		})
		if !errors.Is(err, a.want) {
			t.Errorf("%s of %s removes: %v", a.by.Role, a.by.OrgID, err)
		}
		if a.org == o.ID {
			if _, err := c.tryAdd(a.by.AsActor(), a.org, "another.example.com"); !errors.Is(err, a.want) {
				t.Errorf("%s of %s adds: %v", a.by.Role, a.by.OrgID, err)
			}
		}
	}
	if asked := c.dns.Asked(); len(asked) > 0 || !c.stored(d).Held() {
		t.Errorf("the DNS was asked %v", asked)
	}
}

// R-TEN-09: a proof is for one organization. Another one that proves a held domain gets it only when the
// holder removes it, or when the holder's own proof has lapsed.
func TestHeldDomainIsTakenOnlyWhenItsProofIsGone(t *testing.T) {
	t.Parallel()
	c := openClaims(t)
	first, second := c.organization("Alpha Works", "alpha"), c.organization("Beta Works", "beta")
	a, b := c.user(first, "o@alpha.example", directory.Owner), c.user(second, "o@beta.example", directory.Owner)
	held, wanted := c.proven(a, "example.com"), c.add(b, "example.com")
	if wanted.Value() == held.Value() {
		t.Fatal("two organizations have one record")
	}
	if err := c.check(b, wanted); !errors.Is(err, domain.ErrProofMissing) {
		t.Errorf("the record of another proves: %v", err)
	}
	c.dns.Set(held.Record(), held.Value(), wanted.Value())
	if err := c.check(b, wanted); !errors.Is(err, domain.ErrHeld) || c.holder("x@example.com") != first.ID {
		t.Errorf("a held domain: %v", err)
	}
	c.dns.Set(held.Record(), wanted.Value()) // only the new owner's record
	c.clock.Advance(25 * time.Hour)
	c.sweep()
	if err := c.check(b, wanted); !errors.Is(err, domain.ErrHeld) || c.holder("x@example.com") != first.ID {
		t.Errorf("a held domain whose record is missing for a day: %v", err)
	}
	for range 7 {
		c.clock.Advance(25 * time.Hour)
		c.sweep()
	}
	if c.holder("x@example.com") != "" || c.stored(held).State() != domain.Lapsed || c.stored(wanted).Held() {
		t.Errorf("after eight days: %s", c.stored(held).State())
	}
	if err := c.check(b, wanted); err != nil || c.holder("x@example.com") != second.ID || c.holds(first.ID, "x@example.com") {
		t.Errorf("a lapsed domain is not taken: %v", err)
	}
	// The first one's record comes back too late; then the second gives the domain up.
	c.dns.Set(held.Record(), held.Value(), wanted.Value())
	if err := c.check(a, held); !errors.Is(err, domain.ErrHeld) || c.stored(held).State() != domain.Lapsed {
		t.Errorf("back too late: %v", err)
	}
	if err := c.update(func(ctx context.Context, tx *db.Tx) error {
		return domain.Remove(ctx, tx, b.AsActor(), second.ID, wanted.ID)
	}); err != nil {
		t.Fatal(err)
	}
	if c.holder("x@example.com") != "" {
		t.Error("a removed domain leads on")
	}
	if err := c.check(a, held); err != nil || c.holder("x@example.com") != first.ID {
		t.Errorf("a domain that was given up: %v", err)
	}
	if again := c.add(b, "example.com"); again.Value() == wanted.Value() {
		t.Error("a domain that is added again is proven by an old record")
	}
	if got := c.recorded(held); got != "added by usr, proven by usr, missing by sys, lapsed by sys, proven by usr" {
		t.Errorf("recorded: %s", got)
	}
}

// Two organizations, with two nodes each, prove one domain at the same time: one of them holds it.
func TestDomainProvedAtOnceIsOnes(t *testing.T) {
	t.Parallel()
	c := openClaims(t)
	const organizations = 4
	var users []directory.User
	var domains []domain.Domain
	var values []string
	for i := range organizations {
		o := c.organization(fmt.Sprintf("Works %c", 'A'+i), fmt.Sprintf("works-%c", 'a'+i))
		users = append(users, c.user(o, "o@works.example", directory.Owner))
		domains = append(domains, c.add(users[i], "example.com"))
		values = append(values, domains[i].Value())
	}
	c.dns.Set(domains[0].Record(), values...)
	var wg sync.WaitGroup
	for i := range 2 * organizations {
		i %= organizations
		wg.Go(func() {
			if err := c.check(users[i], domains[i]); err != nil && !errors.Is(err, domain.ErrHeld) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	held := c.count(`select count(*) from domains where proven_at is not null and lapsed_at is null`)
	if proven := c.count(`select count(*) from audit_events where action = 'domain.proven'`); held != 1 || proven != 1 {
		t.Errorf("%d hold it, %d have proven it", held, proven)
	}
}

// R-TEN-09: a proof is checked again. A missing record lapses the domain after a week and two letters;
// a DNS that does not answer never does.
func TestDomainIsLookedUpAgainAndLapses(t *testing.T) {
	t.Parallel()
	c := openClaims(t)
	o := c.organization("Alpha Works", "alpha")
	u := c.user(o, "o@alpha.example", directory.Owner)
	c.user(o, "a@alpha.example", directory.Administrator)
	c.user(o, "m@alpha.example", directory.Member)
	d := c.proven(u, "example.com")
	c.add(u, "waiting.example.com")
	c.dns.Asked()

	c.clock.Advance(23 * time.Hour)
	c.sweep()
	if asked := c.dns.Asked(); len(asked) != 0 {
		t.Fatalf("asked for %v within a day", asked)
	}
	c.clock.Advance(time.Hour)
	c.sweep()
	c.sweep()
	if asked := c.dns.Asked(); len(asked) != 1 || asked[0] != d.Record() {
		t.Fatalf("asked for %v after a day", asked)
	}

	// No answer for a month.
	c.dns.Fail(true)
	for range 30 {
		c.clock.Advance(24 * time.Hour)
		c.sweep()
	}
	if now := c.stored(d); now.State() != domain.Proven || !now.UnansweredSince.Equal(c.clock.Now().Add(-29*24*time.Hour)) || c.letters() != 0 {
		t.Fatalf("after silence: %+v", now)
	}
	c.dns.Fail(false)
	c.clock.Advance(24 * time.Hour)
	c.sweep()
	if now := c.stored(d); !now.UnansweredSince.IsZero() {
		t.Error("the DNS still says nothing")
	}

	// The record is missing, and back before the week is over.
	c.dns.Remove(d.Record())
	c.clock.Advance(24 * time.Hour)
	c.sweep()
	missing := c.stored(d)
	expect.Equal(t, "State", missing.State(), domain.Missing)
	expect.Equal(t, "letters", c.letters(), 2)
	expect.Equal(t, "a@example.com", c.holder("a@example.com"), o.ID)
	if !missing.MissingSince.Equal(c.clock.Now()) {
		t.Fatalf("missing: %+v, %d letters", missing, c.letters())
	}
	c.clock.Advance(6 * 24 * time.Hour)
	c.sweep()
	if now := c.stored(d); now.State() != domain.Missing || c.letters() != 2 {
		t.Fatalf("missing for six days: %s, %d letters", now.State(), c.letters())
	}
	c.dns.Set(d.Record(), d.Value())
	if err := c.check(u, d); err != nil {
		t.Fatal(err)
	}
	if now := c.stored(d); now.State() != domain.Proven || !now.ProvenAt.Equal(d.ProvenAt) {
		t.Fatalf("back: %+v", now)
	}

	// The record is gone for good. An interval without answers neither restarts nor stops the week.
	c.dns.Remove(d.Record())
	c.clock.Advance(24 * time.Hour)
	c.sweep()
	c.dns.Fail(true)
	c.clock.Advance(8 * 24 * time.Hour)
	c.sweep()
	if now := c.stored(d); now.State() != domain.Missing || c.holder("a@example.com") != o.ID {
		t.Fatalf("silence lapsed it: %+v", now)
	}
	c.dns.Fail(false)
	c.clock.Advance(24 * time.Hour)
	c.sweep()
	now := c.stored(d)
	expect.Equal(t, "State", now.State(), domain.Lapsed)
	expect.Equal(t, "letters", c.letters(), 6)
	expect.Equal(t, "a@example.com", c.holder("a@example.com"), "")
	if c.holds(o.ID, "a@example.com") {
		t.Fatalf("missing for nine days: %+v, %d letters", now, c.letters())
	}
	c.dns.Asked()
	c.clock.Advance(48 * time.Hour)
	c.sweep()
	if asked := c.dns.Asked(); len(asked) != 0 || c.letters() != 6 {
		t.Errorf("a lapsed domain is asked for: %v", asked)
	}
	if got := c.recorded(d); got != "added by usr, proven by usr, missing by sys, found by usr, missing by sys, lapsed by sys" {
		t.Errorf("recorded: %s", got)
	}
}

// The domain holds for seven days, to the last microsecond.
func TestDomainLapsesAfterAWeekAndNotBefore(t *testing.T) {
	t.Parallel()
	c := openClaims(t)
	o := c.organization("Alpha Works", "alpha")
	u := c.user(o, "o@alpha.example", directory.Owner)
	d := c.proven(u, "example.com")
	c.dns.Remove(d.Record())
	if err := c.check(u, d); !errors.Is(err, domain.ErrProofMissing) || c.stored(d).State() != domain.Missing {
		t.Fatal(err)
	}
	c.clock.Advance(domain.Grace - time.Microsecond)
	c.sweep()
	if now := c.stored(d); now.State() != domain.Missing {
		t.Fatalf("a microsecond early: %s", now.State())
	}
	c.clock.Advance(time.Microsecond)
	if err := c.check(u, d); !errors.Is(err, domain.ErrProofMissing) || c.stored(d).State() != domain.Lapsed {
		t.Errorf("after a week: %v, %s", err, c.stored(d).State())
	}
}

// Two nodes sweep at the same time, more domains than one looks up at once: each consequence happens
// once.
func TestDomainsSweptByTwoNodesAtOnce(t *testing.T) {
	t.Parallel()
	c := openClaims(t)
	o := c.organization("Alpha Works", "alpha")
	u := c.user(o, "o@alpha.example", directory.Owner)
	const many = 25
	for i := range many {
		d := c.add(u, fmt.Sprintf("d%d.example.com", i))
		c.dns.Set(d.Record(), d.Value())
		if err := c.update(func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `update domains set proven_at = $1, checked_at = $2 where org_id = $3 and id = $4`,
				db.Time(tx.Now()), db.Time(tx.Now()), string(o.ID), d.ID)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			c.dns.Remove(d.Record())
		}
	}
	c.clock.Advance(24 * time.Hour)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(c.sweep)
	}
	wg.Wait()
	if missing := c.count(`select count(*) from domains where missing_since is not null`); missing != 13 || c.letters() != 13 {
		t.Errorf("%d are missing, %d letters, want 13", missing, c.letters())
	}
	if n := c.count(`select count(*) from audit_events where action = 'domain.missing' and actor = $1`, audit.System); n != 13 {
		t.Errorf("%d recorded, want 13", n)
	}
	if n := c.count(`select count(*) from domains where checked_at < $1`, db.Time(c.clock.Now())); n != 0 {
		t.Errorf("%d were not looked up", n)
	}
}

// Checking asks name servers of the user's choice, so it is limited.
func TestDomainChecksAreLimited(t *testing.T) {
	t.Parallel()
	c := openClaims(t)
	o, other := c.organization("Alpha Works", "alpha"), c.organization("Beta Works", "beta")
	u, neighbour := c.user(o, "o@alpha.example", directory.Owner), c.user(other, "o@beta.example", directory.Owner)
	d, e := c.add(u, "example.com"), c.add(neighbour, "example.com")
	for range domain.PerOrganization.Free {
		if err := c.check(u, d); !errors.Is(err, domain.ErrProofMissing) {
			t.Fatal(err)
		}
	}
	c.dns.Asked()
	if err := c.check(u, d); !errors.Is(err, domain.ErrChecksTooOften) || len(c.dns.Asked()) != 0 {
		t.Errorf("one more: %v", err)
	}
	if err := c.check(neighbour, e); !errors.Is(err, domain.ErrProofMissing) {
		t.Errorf("the neighbour: %v", err)
	}
}
