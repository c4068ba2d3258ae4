package federation_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/federation"
	"parvis/internal/federation/samltest"
	"parvis/internal/idptest"
	"parvis/internal/outbound"
)

// published serves metadata at an address; say changes it.
func (w *world) published(idp *samltest.IdP) (address string, say func([]byte)) {
	w.t.Helper()
	var now atomic.Pointer[[]byte]
	say = func(b []byte) { now.Store(&b) }
	say(idp.Metadata())
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Write(*now.Load()) //nolint:errcheck // Who asks sees what came.
	}))
	w.t.Cleanup(s.Close)
	w.Hub.Outbound = outbound.New([]string{strings.TrimPrefix(s.URL, "http://")})
	return s.URL, say
}

// renewing makes a connection whose metadata has an address.
func (w *world) renewing(idp *samltest.IdP, address string) federation.Connection {
	w.t.Helper()
	change, err := w.Hub.ReadMetadata(w.t.Context(), federation.Connection{}, federation.Metadata{Address: address})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.samlConnection(w.org, idp, change)
}

func (w *world) again(c federation.Connection) federation.Connection {
	w.t.Helper()
	c, err := federation.ConnectionOf(w.t.Context(), w.DB, directory.Operator(), c.OrgID, c.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// swept runs the sweeps of a day.
func (w *world) swept() {
	w.t.Helper()
	if err := w.Sweep(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

const owner = "owner@alpha.example"

func TestMetadataRenewsItselfOverARollover(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	w.Join(t, w.org, owner, "Olga", directory.Owner)
	idp := w.idp()
	address, say := w.published(idp)
	c := w.renewing(idp, address)
	w.swept()
	idp.Rollover()
	say(idp.Metadata())
	w.swept()
	if n := len(w.again(c).SAML.Certificates); n != 1 {
		t.Fatalf("asked again within a day: %d certificates", n)
	}
	w.Clock.Advance(federation.RenewEvery)
	w.swept()
	if n := len(w.again(c).SAML.Certificates); n != 2 {
		t.Fatalf("%d certificates while the provider changes over, want both", n)
	}
	if p := w.enter(w.Browser(t), idp, c, person(ada)); p.URL.Path != "/o/alpha/home" {
		t.Errorf("by the new key: %d %s: %s\n%s", p.Status, p.URL, p.Text(), w.traces())
	}
	if !w.wrote(owner, "mail.federation.metadata_renewed.subject") {
		t.Error("nobody was told of the new certificate")
	}
	if c := w.again(c); !c.Tested() || c.State != federation.On {
		t.Error("a renewal asks for another test")
	}
	// The next day the metadata has nothing new, so certificates that it no longer lists are dropped.
	say(idp.Metadata()) // it is valid for two days only
	w.Clock.Advance(federation.RenewEvery)
	w.swept()
	if kept := w.again(c).SAML.Certificates; len(kept) != 1 || !bytes.Equal(kept[0], idp.Certificate.Raw) {
		t.Errorf("%d certificates afterwards, want the new one alone", len(kept))
	}
}

func TestARenewalThatIsRefusedChangesNothing(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	w.Join(t, w.org, owner, "Olga", directory.Owner)
	idp := w.idp()
	address, say := w.published(idp)
	c := w.renewing(idp, address)
	before := w.again(c)
	other := samltest.New("https://other.example", w.Clock.Now)
	for name, m := range map[string]struct {
		says func() []byte
		want string
	}{
		"another issuer":  {other.Metadata, "federation.fix.metadata_issuer"},
		"no certificate":  {func() []byte { return []byte(strings.ReplaceAll(string(idp.Metadata()), "KeyDescriptor", "Nothing")) }, "federation.fix.metadata_"},
		"no XML":          {func() []byte { return []byte("<html>") }, "federation.fix.metadata_"},
		"too much":        {func() []byte { return make([]byte, 2<<20) }, "federation.outbound.too_large"},
		"nothing":         {func() []byte { return nil }, "federation.fix.metadata_"},
		"all right again": {idp.Metadata, ""},
	} {
		w.Clock.Advance(federation.RenewEvery)
		say(m.says())
		w.swept()
		now := w.again(c)
		if m.want == "" && now.Renewal != "" || !strings.HasPrefix(now.Renewal, m.want) {
			t.Errorf("%s: %q, want %q", name, now.Renewal, m.want)
		}
		if len(now.SAML.Certificates) != len(before.SAML.Certificates) || now.SAML.EntityID != before.SAML.EntityID {
			t.Errorf("%s: the connection changed", name)
		}
	}
	if !w.wrote(owner, "mail.federation.metadata_refused.subject") {
		t.Error("nobody was told")
	}
	if p := w.enter(w.Browser(t), idp, c, person(ada)); p.URL.Path != "/o/alpha/home" {
		t.Errorf("the connection does not go on: %d %s", p.Status, p.URL)
	}
}

// wrote reports whether a letter to an address has the subject of this catalogue key.
func (w *world) wrote(email, key string) bool {
	return w.lettersAbout(email, key) > 0
}

func (w *world) lettersAbout(email, key string) (n int) {
	for _, l := range w.LettersTo(w.t, email) {
		if idptest.Contains(w.t, l.Subject, key) {
			n++
		}
	}
	return n
}

func TestCertificatesWarnThreeTimes(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, owner, "Olga", directory.Owner)
	w.samlConnection(w.org, w.idp()) // ends after a thousand hours
	day := 24 * time.Hour
	left := 1000 * time.Hour
	for _, step := range []struct {
		left time.Duration
		want int
	}{{31 * day, 0}, {30*day - time.Hour, 1}, {29 * day, 1}, {7*day - time.Hour, 2}, {3 * day, 2}, {day - time.Hour, 3}, {time.Hour, 3}} {
		w.Clock.Advance(left - step.left)
		left = step.left
		w.swept()
		w.swept()
		if n := w.lettersAbout(owner, "mail.federation.certificate.subject"); n != step.want {
			t.Errorf("%s before the end: %d letters, want %d", step.left, n, step.want)
		}
	}
}

// Somebody who replaces a certificate in its last week is warned of the new one too.
func TestAReplacedCertificateWarnsAnew(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, owner, "Olga", directory.Owner)
	day := 24 * time.Hour
	first := w.idp() // each ends after a thousand hours
	w.Clock.Advance(18 * day)
	second := w.idp()
	c := w.samlConnection(w.org, first)
	letters := func(when string, want int) {
		t.Helper()
		w.swept()
		w.swept()
		expect.Equal(expect.Case(t, "%s", when), "letters", w.lettersAbout(owner, "mail.federation.certificate.subject"), want)
	}
	w.Clock.Advance(1000*time.Hour - 24*day)
	letters("six days before the first ends", 1)
	w.turnOff(c)
	w.turnOn(w.change(c, func(c *federation.Connection) error {
		change, err := w.Hub.ReadMetadata(t.Context(), *c, federation.Metadata{Text: second.Metadata()})
		if err != nil {
			return err
		}
		return change(c)
	}))
	letters("24 days before the second ends", 2)
	w.Clock.Advance(18 * day)
	letters("six days before the second ends", 3)
}

// A connection trusts ten certificates at most, and an eleventh takes the place of the oldest.
func TestANewCertificateAtTheLimitIsTold(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, owner, "Olga", directory.Owner)
	idp := w.idp()
	address, say := w.published(idp)
	c := w.renewing(idp, address)
	for range federation.MostCertificates {
		idp.Rollover()
		say(idp.Metadata())
		w.Clock.Advance(federation.RenewEvery)
		w.swept()
	}
	expect.Equal(t, "certificates", len(w.again(c).SAML.Certificates), federation.MostCertificates)
	expect.Equal(t, "letters", w.lettersAbout(owner, "mail.federation.metadata_renewed.subject"), federation.MostCertificates)
}

// shut makes single sign-on the only way in, whether or not anybody ever signed in by it.
func (w *world) shut() {
	w.t.Helper()
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) error {
		return directory.SetFederatedOnly(ctx, tx, directory.Operator(), w.org.ID, nil)
	})
}

// answering gives the connection's provider an address where something answers.
func (w *world) answering(idp *samltest.IdP, c federation.Connection) federation.Connection {
	w.t.Helper()
	address, _ := w.published(idp)
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update connections set settings = replace(settings, 'https://idp.example/sso', '`+address+`') where id = $1`, c.ID)
		return err
	})
	return w.again(c)
}

// breaks has a browser bring a good answer, at which our own code fails.
func (w *world) breaks(b *idptest.Browser, idp *samltest.IdP, c federation.Connection) {
	w.t.Helper()
	form := w.respond(idp, c, w.begin(b, c), person(ada))
	rename := func(from, to string) {
		w.Update(w.t, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `alter table `+from+` rename to `+to)
			return err
		})
	}
	rename("upstream_replays", "gone")
	idptest.Want(w.t, w.post(b, form), idptest.Status(500))
	rename("gone", "upstream_replays")
}

func (w *world) isOnly() bool {
	w.t.Helper()
	o, err := directory.OrganizationByID(w.t.Context(), w.DB, w.org.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return o.FederatedOnly()
}

// Decision 0045: failures of known people in known browsers undo it after a letter; those of
// strangers do not.
func TestAnOnlyWayInThatFailsForKnownPeopleIsOpenedAgain(t *testing.T) {
	fails := person("stranger@elsewhere.example")
	for name, tt := range map[string]struct {
		try  func(w *world, idp *samltest.IdP, c federation.Connection, known []*idptest.Browser)
		only bool // afterwards
	}{
		"three people failed in browsers of their own": {func(w *world, idp *samltest.IdP, c federation.Connection, known []*idptest.Browser) {
			for _, b := range known {
				w.enter(b, idp, c, fails)
			}
		}, false},
		"two people failed, many times": {func(w *world, idp *samltest.IdP, c federation.Connection, known []*idptest.Browser) {
			for range 3 {
				w.enter(known[0], idp, c, fails)
				w.enter(known[1], idp, c, fails)
			}
		}, true},
		"strangers failed": {func(w *world, idp *samltest.IdP, c federation.Connection, _ []*idptest.Browser) {
			for range 5 {
				w.enter(w.Browser(w.t), idp, c, fails)
			}
		}, true},
		"one came in": {func(w *world, idp *samltest.IdP, c federation.Connection, known []*idptest.Browser) {
			for _, b := range known {
				w.enter(b, idp, c, fails)
			}
			w.enter(w.Browser(w.t), idp, c, person(ada))
		}, true},
		"nobody tried": {func(*world, *samltest.IdP, federation.Connection, []*idptest.Browser) {}, true},
		"known browsers were sent what nobody asked for": {func(w *world, _ *samltest.IdP, c federation.Connection, known []*idptest.Browser) {
			for _, b := range append(known, w.Browser(w.t)) {
				b.Get("/federation/" + c.ID + "/callback?code=x&state=y")
				b.CrossPost("/federation/"+c.ID+"/acs", map[string][]string{"SAMLResponse": {"hello"}, "RelayState": {"y"}})
			}
		}, true},
		"nobody answers at the provider's address": {func(w *world, _ *samltest.IdP, c federation.Connection, known []*idptest.Browser) {
			w.Hub.Outbound = outbound.New([]string{"127.0.0.1:1"})
			w.Update(w.t, func(ctx context.Context, tx *db.Tx) error {
				_, err := tx.Exec(ctx, `update connections set settings = replace(settings, 'https://idp.example/sso', 'http://127.0.0.1:1/sso') where id = $1`, c.ID)
				return err
			})
			for _, b := range known {
				w.begin(b, w.again(c))
			}
		}, false},
		"the provider is there, and nobody came back": {func(w *world, idp *samltest.IdP, c federation.Connection, known []*idptest.Browser) {
			c = w.answering(idp, c)
			for _, b := range known {
				w.begin(b, c)
			}
		}, true},
		"one met an error of ours, and nobody else came back": {func(w *world, idp *samltest.IdP, c federation.Connection, known []*idptest.Browser) {
			w.breaks(known[0], idp, c)
			c = w.answering(idp, c)
			w.begin(known[1], c)
			w.begin(known[2], c)
		}, false},
		"a stranger met an error of ours, and nobody else came back": {func(w *world, idp *samltest.IdP, c federation.Connection, known []*idptest.Browser) {
			w.breaks(w.Browser(w.t), idp, c)
			c = w.answering(idp, c)
			for _, b := range known {
				w.begin(b, c)
			}
		}, true},
		"three people met an error of ours": {func(w *world, idp *samltest.IdP, c federation.Connection, known []*idptest.Browser) {
			for _, b := range known {
				w.breaks(b, idp, c)
			}
			w.answering(idp, c)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t)
			w.t = t
			b := w.Join(t, w.org, owner, "Olga", directory.Owner)
			known := []*idptest.Browser{
				w.Join(t, w.org, ada, "Ada", directory.Member), w.Join(t, w.org, "bea@alpha.example", "Bea", directory.Member), w.Join(t, w.org, "cy@alpha.example", "Cy", directory.Member),
			}
			idp := w.idp()
			c := w.samlConnection(w.org, idp)
			w.shut()
			w.ended()
			w.Clock.Advance(time.Minute)
			tt.try(w, idp, c, known)
			w.Clock.Advance(6 * time.Minute)
			w.swept()
			w.swept()
			if !w.isOnly() || w.wrote(owner, "mail.federation.fails.subject") == tt.only {
				t.Fatalf("only %t, warned %t", w.isOnly(), w.wrote(owner, "mail.federation.fails.subject"))
			}
			w.Clock.Advance(federation.RevertAfter)
			w.swept()
			if w.isOnly() != tt.only || w.wrote(owner, "mail.federation.reverted.subject") == tt.only {
				t.Errorf("only %t, a letter %t", w.isOnly(), w.wrote(owner, "mail.federation.reverted.subject"))
			}
			if !tt.only {
				password(b, "/o/alpha", owner, idptest.Password)
				link := strings.TrimPrefix(w.linkIn(owner, "mail.federation.reverted.subject"), w.URL)
				if p := b.Get(link); p.Status != 200 || link != "/o/alpha/admin/single-sign-on/attempts" {
					t.Errorf("the letter leads to %s: %d %s: %s", link, p.Status, p.URL, p.Text())
				}
			}
		})
	}
}

// ended ends every session, as the page does that makes single sign-on the only way in.
func (w *world) ended() {
	w.t.Helper()
	w.Update(w.t, func(ctx context.Context, tx *db.Tx) error {
		_, err := w.Hub.Sessions.EndNative(ctx, tx, w.org.ID, func(directory.User) bool { return false })
		return err
	})
}

func TestAnOnlyWayInIsNotOpenedAfterItsFirstHour(t *testing.T) {
	w := start(t)
	b := w.Join(t, w.org, owner, "Olga", directory.Owner)
	idp := w.idp()
	c := w.samlConnection(w.org, idp)
	w.shut()
	w.ended()
	w.Clock.Advance(federation.Watched + time.Minute)
	w.enter(b, idp, c, person("stranger@elsewhere.example"))
	for range 3 {
		w.swept()
		w.Clock.Advance(federation.RevertAfter)
	}
	if !w.isOnly() {
		t.Error("opened by what failed after the hour")
	}
}

func TestExplanationsAreForgotten(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp)
	w.enter(w.Browser(t), idp, c, person("stranger@elsewhere.example"))
	if all, err := federation.TracesOf(t.Context(), w.DB, federation.TraceQuery{OrgID: w.org.ID, Most: 10}); err != nil || len(all) != 1 || all[0].Refused != "domain" {
		t.Fatalf("%v %+v", err, all)
	}
	w.Clock.Advance(federation.TracesKept)
	w.swept()
	if all, err := federation.TracesOf(t.Context(), w.DB, federation.TraceQuery{OrgID: w.org.ID, Most: 10}); err != nil || len(all) != 0 {
		t.Errorf("%v %+v", err, all)
	}
}

// linkIn returns the address that a letter with the subject of this catalogue key leads to.
func (w *world) linkIn(email, key string) string {
	w.t.Helper()
	for _, l := range w.LettersTo(w.t, email) {
		if idptest.Contains(w.t, l.Subject, key) {
			if m := regexp.MustCompile(regexp.QuoteMeta(w.URL) + `\S+`).FindString(l.Text); m != "" {
				return m
			}
		}
	}
	w.t.Fatalf("no letter with the subject %s has a link", key)
	return ""
}

// Requests that nobody answered stay for a day. They are read beside everybody who writes, and those
// that have served are deleted a few in a transaction.
func TestServedRequestsAreFoundBesideTheWriter(t *testing.T) {
	t.Parallel()
	w := start(t)
	c := w.draft(w.org, federation.OIDC)
	dbtest.Do(t, w.DB, `
		insert into upstream_requests (org_id, id, connection_id, attempt_id, state_hash, asked, created_at)
		with recursive n(i) as (select 1 union all select i + 1 from n where i < 400)
		select cast($1 as text), 'req_' || i, cast($2 as text), case when i % 4 > 0 then 'att_' || i end, 'state ' || i, '', cast($3 as bigint) + i / 10 from n`,
		string(w.org.ID), c.ID, db.Time(w.Clock.Now()))
	w.Clock.Advance(2 * time.Hour)
	writes, deleted, most := false, 0, 0
	w.DB.Sent = func(text string, _ []any) {
		switch {
		case strings.HasPrefix(text, "begin"):
			writes, deleted = true, 0
		case text == "commit" || text == "rollback":
			writes = false
		case writes && strings.Contains(text, "ended_at is not null or attempt_id is null"):
			t.Errorf("the writer reads: %s", text)
		case strings.HasPrefix(text, "delete from upstream_requests where org_id = $1 and id = $2"):
			deleted++
			most = max(most, deleted)
		}
	}
	if err := w.Hub.Sweep(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "most that a transaction deletes", most, db.Part)
	expect.Equal(t, "requests left", w.rows(`select count(*) from upstream_requests`), 300)
	w.Clock.Advance(24 * time.Hour)
	if err := w.Hub.Sweep(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "requests left after a day", w.rows(`select count(*) from upstream_requests`), 0)
}
