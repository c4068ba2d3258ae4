package mail

import (
	"bytes"
	"flag"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/i18n"
	"parvis/internal/mailbox"
	"parvis/internal/secret"
)

const (
	org    = "org_acme"
	sender = "no-reply@parvis.example"
	link   = "https://parvis.example/invitation/4jOsXCnjI"
	page   = "https://parvis.example/o/acme"
)

var (
	update = flag.Bool("update", false, "rewrite the golden files")

	keys = secret.NewKeys()
)

// bench is an outbox with its own database and mail server.
type bench struct {
	*testing.T
	d      *db.DB
	clock  *dbtest.Clock
	box    *mailbox.Mailbox
	outbox *Outbox
}

func newBench(t *testing.T, o mailbox.Options) *bench {
	t.Helper()
	d, clock := dbtest.Open(t)
	b := &bench{T: t, d: d, clock: clock, box: startMailbox(t, o)}
	b.outbox = newOutbox(t, &SMTP{Address: b.box.Address(), TLS: NoTLS, Timeout: 10 * time.Second})
	return b
}

func startMailbox(t *testing.T, o mailbox.Options) *mailbox.Mailbox {
	t.Helper()
	box, err := mailbox.Start(t.Context(), "127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(box.Close)
	return box
}

func newOutbox(t testing.TB, server *SMTP) *Outbox {
	t.Helper()
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	return NewOutbox(keys.Sealing, catalogue, sender, server, slog.New(slog.DiscardHandler))
}

func (b *bench) invitation() InvitationParameters {
	return InvitationParameters{
		Organization: "Acme & Söhne", Name: "Ada Lovelace", Inviter: "Grace O’Malley",
		Link: link, Expires: dbtest.Start.Add(7 * 24 * time.Hour), SignInPage: page,
	}
}

func (b *bench) federatedInvitation() InvitationParameters {
	p := b.invitation()
	p.Federated = true
	return p
}

func (b *bench) put(l Letter) (id string) {
	b.Helper()
	if l.Recipient == "" {
		l.Recipient = "ada@example.org"
	}
	if l.Parameters == nil {
		l.Parameters = b.invitation()
	}
	l.OrgID = org
	err := b.d.Update(b.Context(), func(tx *db.Tx) (err error) {
		id, err = b.outbox.Put(b.Context(), tx, l)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return id
}

func (b *bench) sweep() {
	b.Helper()
	if err := b.outbox.Sweep(b.Context(), b.d); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) withdraw(id string) {
	b.Helper()
	if err := b.d.Update(b.Context(), func(tx *db.Tx) error { return b.outbox.Withdraw(b.Context(), tx, org, id) }); err != nil {
		b.Fatal(err)
	}
}

// stored is the part of a row that tests compare.
type stored struct {
	state      State
	tries      int
	next       time.Duration // from now; -1 once the letter has ended
	parameters string
	answer     Answer
}

func (b *bench) stored(id string) stored {
	b.Helper()
	var s stored
	var next time.Time
	var how Delivery
	found, err := b.d.One(b.Context(), append(how.Targets(), (*db.Time)(&next), &s.tries, (*db.Text)(&s.parameters)), `
		select `+DeliveryColumns+`, l.next_try_at, l.tries, l.parameters
		from letters l where l.org_id = $1 and l.id = $2`, org, id)
	if err != nil || !found {
		b.Fatalf("reading letter %s: %v, %v", id, found, err)
	}
	s.state, s.answer, s.next = how.State(), how.Answer, next.Sub(b.clock.Now())
	if next.IsZero() {
		s.next = -1
	}
	return s
}

// expect compares everything but the sealed parameters, which must be there exactly as long
// as the letter waits.
func (b *bench) expect(id string, want stored) {
	b.Helper()
	got := b.stored(id)
	if (got.parameters != "") != (want.state == Waiting) {
		b.Errorf("a %s letter's parameters are %q", got.state, got.parameters)
	}
	if got.parameters = ""; got != want {
		b.Errorf("the letter is %+v, want %+v", got, want)
	}
}

func (b *bench) received(want int) []mailbox.Received {
	b.Helper()
	letters := b.box.Letters()
	if len(letters) != want {
		b.Fatalf("%d letters came, want %d", len(letters), want)
	}
	return letters
}

const taken = "250 2.0.0"

func TestALetterIsSentOnceAndForgotten(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	id := b.put(Letter{Language: "en"})
	if s := b.stored(id); s.state != Waiting || s.parameters == "" || strings.Contains(s.parameters, "invitation") {
		t.Errorf("a letter that waits is %+v", s)
	}
	b.sweep()
	b.sweep()
	r := b.received(1)[0]
	expect.Equal(t, "From", r.From, sender)
	expect.Equal(t, "To", r.To, "ada@example.org")
	expect.Equal(t, "Subject", r.Subject, b.outbox.catalogue.In("en").Text("mail.invitation.subject", "Organization", "Acme & Söhne"))
	if !r.Date.Equal(dbtest.Start) {
		t.Errorf("got %+v", r)
	}
	if !slices.Equal(r.Links, []string{link, page}) {
		t.Errorf("the letter's links are %q", r.Links)
	}
	b.expect(id, stored{state: Sent, tries: 1, next: -1, answer: taken})
}

// firefox is a User-Agent header, for which letters use words.
const firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"

// The golden files show every letter as people get it. Read their diffs.
func TestLettersReadWell(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	kinds := map[string]Parameters{
		"disowned_federated": DisownedParameters{
			Organization: "Acme & Söhne", Name: "Grace O’Malley", Person: "Ada Lovelace", Email: "ada@example.org", When: dbtest.Start, Link: page, Federated: true,
		},
		"invitation":           b.invitation(),
		"invitation_federated": b.federatedInvitation(),
		"browser_copied": BrowserCopiedParameters{
			Organization: "Acme & Söhne", Name: "", When: dbtest.Start,
			Network: "203.0.113.7", Agent: firefox, SignInPage: page,
		},
		"domain_lapsed": DomainParameters{
			Organization: "Acme & Söhne", Name: "Ada Lovelace", Domain: "acme.example", Record: "_parvis-challenge.acme.example",
			Value: "parvis-domain=00112233445566778899aabbccddeeff", Link: page,
		},
		"second_step_reset_federated": SecondStepResetParameters{
			Deed: Deed{Organization: "Acme & Söhne", Name: "Ada Lovelace", When: dbtest.Start, NotMe: link}, Administrator: "Grace O’Malley", Federated: true,
		},
		"second_step_reset_operator": SecondStepResetParameters{Deed: Deed{Organization: "Acme & Söhne", Name: "Ada Lovelace", When: dbtest.Start, NotMe: link}},
	}
	when := dbtest.Start
	for _, p := range []Parameters{
		ResetParameters{Organization: "Acme & Söhne", Name: "Ada Lovelace", Link: link, Expires: when.Add(30 * time.Minute)},
		ResetExplainedParameters{Organization: "Acme & Söhne", Name: "Ada Lovelace", Invited: true, SignInPage: page},
		NamesParameters{Organizations: []NamedOrganization{{"Acme & Söhne", "acme", page}, {"Lumen Health", "lumen", link}}},
		GuessedParameters{Organization: "Acme & Söhne", Name: "Ada Lovelace", When: when, ResetPage: page},
		PasswordDisabledParameters{Organization: "Acme & Söhne", Name: "Ada Lovelace", Failures: 100, ResetPage: page},
		PasswordChangedParameters{Deed: Deed{Organization: "Acme & Söhne", Name: "Ada Lovelace", When: when, Network: "203.0.113.7", Agent: firefox, NotMe: link}},
		PasswordRemovedParameters{Deed: Deed{Organization: "Acme & Söhne", Name: "Ada Lovelace", When: when, Network: "203.0.113.7", Agent: firefox, NotMe: link}},
		NewDeviceParameters{Deed: Deed{Organization: "Acme & Söhne", Name: "Ada Lovelace", When: when, Network: "203.0.113.7", Agent: firefox, NotMe: link}},
		AuthenticatorParameters{Deed: Deed{Organization: "Acme & Söhne", Name: "Ada Lovelace", When: when, Network: "203.0.113.7", Agent: firefox, NotMe: link}, What: "device.added", Device: "Ada’s phone"},
		RecoveryUsedParameters{Deed: Deed{Organization: "Acme & Söhne", Name: "Ada Lovelace", When: when, Network: "203.0.113.7", Agent: firefox, NotMe: link}, Left: 2},
		SecondStepGuessedParameters{Deed: Deed{Organization: "Acme & Söhne", Name: "Ada Lovelace", When: when, Network: "203.0.113.7", Agent: firefox, NotMe: link}, Count: 10},
		SecondStepResetParameters{Deed: Deed{Organization: "Acme & Söhne", Name: "Ada Lovelace", When: when, NotMe: link}, Administrator: "Grace O’Malley"},
		EmailProofParameters{Organization: "Acme & Söhne", Link: link, Expires: when.Add(24 * time.Hour)},
		EmailTakenParameters{Organization: "Acme & Söhne", Name: "Ada Lovelace"},
		EmailAskedParameters{Deed: Deed{Organization: "Acme & Söhne", Name: "Ada Lovelace", When: when, Network: "203.0.113.7", Agent: firefox, NotMe: link}, New: "ada@new.example"},
		EmailChangedParameters{Deed: Deed{Organization: "Acme & Söhne", Name: "Ada Lovelace", When: when, NotMe: link}, New: "ada@new.example"},
		DisownedParameters{Organization: "Acme & Söhne", Name: "Grace O’Malley", Person: "Ada Lovelace", Email: "ada@example.org", When: when, Link: page},
		HelpAskedParameters{Organization: "Acme & Söhne", Name: "Grace O’Malley", Person: "Ada Lovelace", Email: "ada@example.org", When: when, Network: "203.0.113.7", Agent: firefox, Link: page},
		ConnectionSetupParameters{Organization: "Acme & Söhne", Inviter: "Grace O’Malley", Connection: "Okta", Link: link, Expires: when.Add(7 * 24 * time.Hour)},
		DomainParameters{Organization: "Acme & Söhne", Name: "Ada Lovelace", Domain: "acme.example", Record: "_parvis-challenge.acme.example", Value: "parvis-domain=00112233445566778899aabbccddeeff", Lapses: when, Link: page},
	} {
		kinds[p.kind()] = p
	}
	for _, what := range []string{BreakGlassUsed, FederationReverted, FederationFails, CertificateEnding, MetadataRenewed, MetadataRefused, ConnectionTurnedOn, ConnectionTurnedOff, ConnectionWaits, ConnectionChanged, ConnectionConfirmed, AccountLinked, AccountUnlinked} {
		kinds["federation_"+what] = FederationParameters{
			Organization: "Acme & Söhne", Name: "Grace O’Malley", What: what, Connection: "Okta", Person: "Ada Lovelace", Email: "ada@example.org", When: when, Link: page,
		}
	}
	for kind, p := range kinds {
		for _, language := range []i18n.Tag{"en", "fr"} {
			b.put(Letter{Language: language, Parameters: p})
			b.sweep()
			r := b.box.Letters()[0]
			golden(t, kind+"."+string(language)+".txt", "Subject: "+r.Subject+"\n\n"+r.Text)
			golden(t, kind+"."+string(language)+".html", r.HTML)
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (go test -update rewrites it):\n%s", name, got)
	}
}

func TestEverySentenceComesFromTheCatalogue(t *testing.T) {
	o := newOutbox(t, nil)
	o.catalogue = i18n.Pseudo()
	for _, p := range []Parameters{InvitationParameters{Link: link}, BrowserCopiedParameters{SignInPage: link, Network: "x", Agent: "y"},
		EmailProofParameters{Link: link}, EmailTakenParameters{}, EmailAskedParameters{Deed: Deed{NotMe: link}}, EmailChangedParameters{Deed: Deed{NotMe: link}}} {
		c := p.write(writer{o.catalogue.In("en")})
		for line := range strings.SplitSeq(c.Subject+"\n"+c.text(), "\n") {
			if line != "" && line != link && !strings.HasPrefix(line, "[!! ") {
				t.Errorf("%s says %q on its own", p.kind(), line)
			}
		}
	}
}

func TestWithoutAMailServerLettersWait(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	server := b.outbox.server
	b.outbox = newOutbox(t, nil)
	id := b.put(Letter{})
	b.sweep()
	b.expect(id, stored{state: Waiting, tries: 0, next: 0})
	b.outbox = newOutbox(t, server)
	b.sweep()
	b.expect(id, stored{state: Sent, tries: 1, next: -1, answer: taken})
}

func TestAWithdrawnLetterIsNotSent(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	sent := b.put(Letter{Recipient: "sent@example.org"})
	b.sweep()
	unsent := b.put(Letter{})
	b.withdraw(sent)
	b.expect(sent, stored{state: Sent, tries: 1, next: -1, answer: taken})
	if err := b.d.Update(t.Context(), func(tx *db.Tx) error {
		return b.outbox.Withdraw(t.Context(), tx, "org_other", unsent)
	}); err != nil {
		t.Fatal(err)
	}
	b.expect(unsent, stored{state: Waiting})
	b.withdraw(unsent)
	b.expect(unsent, stored{state: GivenUp, next: -1})
	b.sweep()
	b.received(1)
}

// Somebody who can write to the database must not be able to get another person's link by
// moving it to a letter to themselves.
func TestParametersMovedToAnotherLetterDoNotOpen(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	victim, thief := b.put(Letter{}), b.put(Letter{Recipient: "thief@example.org"})
	if err := b.d.Update(t.Context(), func(tx *db.Tx) error {
		_, err := tx.Exec(t.Context(), `
			update letters set parameters = $1 where org_id = $2 and id = $3`, b.stored(victim).parameters, org, thief)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	b.sweep()
	if got := b.received(1)[0].To; got != "ada@example.org" {
		t.Errorf("the letter went to %s", got)
	}
	b.expect(thief, stored{state: Waiting, tries: 1, next: time.Minute})
}

func TestLogsNameLettersAndNotPeople(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var code int
	b := newBench(t, mailbox.Options{Recipient: func(to string) error {
		if code == 250 {
			return nil
		}
		return mailbox.Refuse(code, to+" is refused")
	}})
	b.outbox.log = slog.New(slog.NewTextHandler(&log, nil))
	for _, code = range []int{250, 451, 503, 550} {
		b.put(Letter{})
		b.sweep()
	}
	b.put(Letter{})
	b.box.Close()
	b.sweep()
	if got := log.String(); !strings.Contains(got, "letter=let_") || strings.Contains(got, "ada") || strings.Contains(got, "invitation/") {
		t.Errorf("the log is\n%s", got)
	}
}

func TestStateOfARow(t *testing.T) {
	at := dbtest.Start
	for want, how := range map[State]Delivery{
		Waiting: {},
		Sent:    {SentAt: at},
		Bounced: {BouncedAt: at},
		GivenUp: {GivenUpAt: at},
	} {
		if got := how.State(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
