package mail

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"image"
	"image/color"
	"image/png"
	"log/slog"
	"math"
	"mime"
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
	return NewOutbox(Settings{
		Sealing: keys.Sealing, Catalogue: catalogue, From: sender, Server: server, Letterhead: letterhead, Log: slog.New(slog.DiscardHandler),
	})
}

// The organizations of letters in tests. What is not org has its own reason to look odd.
const (
	bare = "org_bare" // has neither logo nor contact
	wide = "org_wide" // has as much of everything as there may be
)

var wideName = strings.Repeat("株式会社アクメ運輸倉庫", 10)[:300]

func letterhead(_ context.Context, _ db.Reader, orgID string) (Letterhead, error) {
	switch orgID {
	case bare:
		return Letterhead{Organization: "Acme & Söhne"}, nil
	case wide:
		contact := strings.Repeat("Ask the service desk of your site, or write to help@acme.example. ", 4)
		return Letterhead{Organization: wideName, Contact: contact, Logo: sampleLogo(512, 60)}, nil
	}
	return Letterhead{Organization: "Acme & Söhne", Contact: "Service desk, help@acme.example, ext. 4711", Logo: sampleLogo(200, 200)}, nil
}

// sampleLogo is a ring in ink that was chosen for paper, on nothing, in as many copies as fit.
func sampleLogo(width, height int) []byte {
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			dx, dy := float64(x%height)-float64(height)/2, float64(y)-float64(height)/2
			if r := 2 * math.Hypot(dx, dy) / float64(height); r > .55 && r < .95 {
				m.SetNRGBA(x, y, color.NRGBA{26, 60, 94, 255})
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		panic(err) // cannot happen: it is written to memory
	}
	return b.Bytes()
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
	l.OrgID = org
	return b.putOf(l)
}

// putOf puts a letter of any organization, or of the installation.
func (b *bench) putOf(l Letter) (id string) {
	b.Helper()
	if l.Recipient == "" {
		l.Recipient = "ada@example.org"
	}
	if l.Parameters == nil {
		l.Parameters = b.invitation()
	}
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
		"log_altered":              LogAlteredParameters{Organization: "Acme & Söhne", ID: "org_aaaaaaaaaaaaaaaaaaaaaaaaaa", Host: "id.example.org"},
		"log_altered_installation": LogAlteredParameters{Host: "id.example.org"},
		"machine_rests_erased":     MachineRestsParameters{Organization: "Acme & Söhne", Name: "Ada Lovelace", Machine: "Payroll", Link: page},
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
		MachineRestsParameters{Organization: "Acme & Söhne", Name: "Ada Lovelace", Machine: "Payroll", Giver: "Grace O’Malley", Link: page},
		ConnectionSetupParameters{Organization: "Acme & Söhne", Inviter: "Grace O’Malley", Connection: "Okta", Link: link, Expires: when.Add(7 * 24 * time.Hour)},
		DomainParameters{Organization: "Acme & Söhne", Name: "Ada Lovelace", Domain: "acme.example", Record: "_parvis-challenge.acme.example", Value: "parvis-domain=00112233445566778899aabbccddeeff", Lapses: when, Link: page},
	} {
		kinds[p.kind()] = p
	}
	for _, what := range []string{SourceShutOutMany, SourceShutsOutOwner, SourceTokenEnds} {
		kinds["source_"+what] = SourceParameters{
			Organization: "Acme & Söhne", Name: "Grace O’Malley", What: what, Source: "Entra", Person: "Ada Lovelace", Email: "ada@example.org", Count: 24, When: when, Link: page,
		}
	}
	for _, what := range []string{BreakGlassUsed, FederationReverted, FederationFails, CertificateEnding, MetadataRenewed, MetadataRefused, ConnectionTurnedOn, ConnectionTurnedOff, ConnectionWaits, ConnectionChanged, ConnectionConfirmed, AccountLinked, AccountUnlinked} {
		kinds["federation_"+what] = FederationParameters{
			Organization: "Acme & Söhne", Name: "Grace O’Malley", What: what, Connection: "Okta", Person: "Ada Lovelace", Email: "ada@example.org", When: when, Link: page,
		}
	}
	for kind, p := range kinds {
		letter := Letter{OrgID: org, Parameters: p}
		if _, installation := p.(NamesParameters); installation {
			letter.OrgID = ""
		}
		for language, zone := range map[i18n.Tag]string{"en": "America/New_York", "fr": "Europe/Paris"} {
			letter.Language, letter.TimeZone = language, zone
			if p.write(writer{b.outbox.catalogue.In("en"), ""}).ToStranger {
				letter.TimeZone = ""
			}
			b.golden(kind, letter)
		}
	}
	for name, letter := range b.odd() {
		letter.Language = "fr"
		b.golden("odd_"+name, letter)
	}
	if *update { // a picture book shows these beside the letters
		for name, orgID := range map[string]string{"logo.png": org, "odd_wide.png": wide} {
			if err := os.WriteFile(filepath.Join("testdata", name), sampleHead(t, orgID).logo.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// odd are letters that nobody drew the pages for.
func (b *bench) odd() map[string]Letter {
	longest := (strings.Repeat("prenom.nom.", 6)[:64] + "@" + strings.Repeat("transport-international-et-logistique-du-nord-de-la-france.", 5))[:longestAddress-1] + "x"
	return map[string]Letter{
		"no_logo": {OrgID: bare, Parameters: b.invitation()},
		"wide": {OrgID: wide, Recipient: longest, TimeZone: "Pacific/Kiritimati", Parameters: EmailAskedParameters{
			Deed: Deed{Organization: wideName, Name: strings.Repeat("W", 100), When: dbtest.Start, Network: "2001:db8:1234:5678:9abc:def0:1234:5678", Agent: firefox, NotMe: link},
			New:  longest,
		}},
		"hostile": {OrgID: bare, Parameters: InvitationParameters{
			Organization: `<b>PayPal</b> Support <service@paypal.example>`, Name: "https://evil.example/win", Inviter: "\u202eevil.example\r\nBcc: eve@evil.example",
			Link: link, Expires: dbtest.Start.Add(time.Hour), SignInPage: page,
		}},
		"no_zone": {OrgID: org, TimeZone: "Mars/Olympus_Mons", Parameters: PasswordChangedParameters{Deed: Deed{Organization: "Acme & Söhne", When: dbtest.Start, NotMe: link}}},
	}
}

func sampleHead(t testing.TB, orgID string) head {
	t.Helper()
	l, err := letterhead(t.Context(), nil, orgID)
	if err != nil {
		t.Fatal(err)
	}
	h, err := newHead(l, sender)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// golden sends a letter and compares what came with what is written down. With PARVIS_PAGES
// it is also written as a file that a mail program could open.
func (b *bench) golden(kind string, l Letter) {
	b.Helper()
	before := len(b.box.Letters())
	b.putOf(l)
	b.sweep()
	r, name := b.received(before + 1)[0], kind+"."+string(l.Language)
	from, err := b.header(r, "From")
	if err != nil {
		b.Fatal(err)
	}
	golden(b.T, name+".txt", "From: "+from+"\nSubject: "+r.Subject+"\n\n"+r.Text)
	golden(b.T, name+".html", r.HTML)
	if folder := os.Getenv("PARVIS_PAGES"); folder != "" {
		folder = filepath.Join(folder, "letters")
		if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(filepath.Join(folder, name+".eml"), r.Raw, 0o644)); err != nil {
			b.Fatal(err)
		}
	}
}

// header returns a decoded field of a letter's head.
func (b *bench) header(r mailbox.Received, field string) (string, error) {
	return new(mime.WordDecoder).DecodeHeader(r.Header.Get(field))
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
		w := writer{o.catalogue.In("en"), "ada@example.org"}
		c := p.write(w)
		text := sheet{content: c, w: w, Ask: head{}.ask(w, c), Last: w.say("mail.footer")}.text()
		for line := range strings.SplitSeq(c.Subject+"\n"+c.Why+"\n"+text, "\n") {
			if !slices.Contains([]string{"", link, product, "--"}, line) && !strings.HasPrefix(line, "[!! ") {
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
