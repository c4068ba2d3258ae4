package mail

import (
	"bytes"
	"html"
	"image/png"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/mailbox"
)

// rendered sends a letter to the tests' mail server.
func (b *bench) rendered(l Letter) mailbox.Received {
	b.Helper()
	before := len(b.box.Letters())
	b.putOf(l)
	b.sweep()
	return b.received(before + 1)[0]
}

func TestALetterComesFromItsOrganization(t *testing.T) {
	t.Parallel()
	for organization, want := range map[string]string{
		"Meridian Freight":                "Meridian Freight",
		"Acme & Söhne":                    "Acme & Söhne",
		"Booking.com":                     "Booking.com",
		"O’Malley, Grace":                 "O’Malley, Grace",
		"株式会社アクメ":                         "株式会社アクメ",
		"":                                product,
		"PayPal Support <service@x.exam>": product,
		"service@paypal.example":          product,
		"service＠paypal.example":          product,
		`PayPal" <x>`:                     product,
		"=?utf-8?q?service=40paypal?=":    product,
		"A\r\nBcc: eve":                   "A Bcc: eve",
		"\u202elapyaP":                    "lapyaP",
		strings.Repeat("W", 100):          strings.Repeat("W", longestSender-1) + "…",
	} {
		h, err := newHead(Letterhead{Organization: organization}, sender)
		if err != nil {
			t.Fatal(err)
		}
		of := expect.Case(t, "an organization called %q", organization)
		expect.Equal(of, "the sender's name", h.sender.Name, want)
		expect.Equal(of, "the sender's address", h.sender.Address, sender)
	}
}

func TestALetterOfTheInstallationNamesNoOrganizationAsItsSender(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	r := b.rendered(Letter{Parameters: NamesParameters{Organizations: []NamedOrganization{{"Acme", "acme", page}}}})
	expect.Equal(t, "From", r.Header.Get("From"), `"Parvis" <`+sender+`>`)
	expect.Equal(t, "what stands on top", strings.Split(r.Text, "\n")[0], "Parvis")
}

var sources = regexp.MustCompile(`(?:src|background|url)\s*[=(:]\s*["']?(cid:|https?:|//|data:)`)

// A picture that is fetched says when a letter was read, and where. So a logo travels inside
// the letter, on paper, and nothing else is shown.
func TestALogoTravelsInsideTheLetter(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	for orgID, size := range map[string]string{org: `max-width: 48px; max-height: 48px`, wide: `max-width: 208px; max-height: 31px`} {
		r := b.rendered(Letter{OrgID: orgID})
		picture, err := png.Decode(bytes.NewReader(r.Inside["logo"]))
		if err != nil {
			t.Fatalf("%s: no picture is inside: %v", orgID, err)
		}
		if _, _, _, opacity := picture.At(0, 0).RGBA(); opacity != 0xffff {
			t.Errorf("%s: the logo stands on nothing", orgID)
		}
		if !strings.Contains(r.HTML, size) || !strings.Contains(r.HTML, `alt=""`) {
			t.Errorf("%s: the logo is not shown with %q and beside its name", orgID, size)
		}
		for _, source := range sources.FindAllStringSubmatch(r.HTML, -1) {
			if source[1] != "cid:" {
				t.Errorf("%s: the letter fetches %q", orgID, source[0])
			}
		}
	}
	if r := b.rendered(Letter{OrgID: bare}); strings.Contains(r.HTML, "<img") || len(r.Inside) != 0 || strings.Contains(string(r.Raw), "multipart/related") {
		t.Errorf("a letter without logo shows a picture:\n%s", r.HTML)
	}
}

// A logo that cannot be read must not be silently left out for ever, nor end the letter.
func TestALetterheadThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	b.outbox.letterhead = headed(Letterhead{Organization: "Acme", Logo: []byte("no picture")})
	id := b.put(Letter{})
	b.sweep()
	b.expect(id, stored{state: Waiting, tries: 1, next: time.Minute})
	b.outbox.letterhead = letterhead
	b.clock.Advance(time.Minute)
	b.sweep()
	b.expect(id, stored{state: Sent, tries: 2, next: -1, answer: taken})
}

func TestTimesAreThoseOfThePersonsZone(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	p := PasswordChangedParameters{Deed: Deed{Organization: "Acme", When: dbtest.Start, NotMe: link}}
	for zone, want := range map[string]string{
		"":                   "Sunday, 22\u00a0November\u00a02026, 09:00 (UTC)",
		"Mars/Olympus_Mons":  "Sunday, 22\u00a0November\u00a02026, 09:00 (UTC)",
		"Europe/Paris":       "Sunday, 22\u00a0November\u00a02026, 10:00 (Paris,\u00a0UTC+1)",
		"Pacific/Kiritimati": "Sunday, 22\u00a0November\u00a02026, 23:00 (Kiritimati,\u00a0UTC+14)",
		"Pacific/Pago_Pago":  "Saturday, 21\u00a0November\u00a02026, 22:00 (Pago\u00a0Pago,\u00a0UTC−11)",
	} {
		r := b.rendered(Letter{OrgID: org, TimeZone: zone, Language: "en", Parameters: p})
		for part, text := range map[string]string{"text": r.Text, "HTML": html.UnescapeString(r.HTML)} {
			if !strings.Contains(text, want) {
				t.Errorf("in %q the %s says\n%s\nwithout %q", zone, part, text, want)
			}
		}
	}
}

// A letter to somebody outside must not carry a link of an organization's choice: anybody may
// be invited. Its own people get the contact as the pages show it.
func TestAContactLeadsSomewhereForTheOrganizationsPeopleOnly(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	b.outbox.letterhead = headed(Letterhead{Organization: "Acme", Contact: "Lin, lin@acme.example, https://help.acme.example/a or evil.example"})
	inside := b.rendered(Letter{OrgID: org, Parameters: EmailTakenParameters{Organization: "Acme"}})
	for _, link := range []string{`href="mailto:lin@acme.example"`, `href="https://help.acme.example/a"`} {
		if !strings.Contains(inside.HTML, link) {
			t.Errorf("%s is not in\n%s", link, inside.HTML)
		}
	}
	for _, p := range []Parameters{b.invitation(), EmailProofParameters{Link: link}, ConnectionSetupParameters{Link: link}, ResetExplainedParameters{Invited: true, SignInPage: page}} {
		outside := b.rendered(Letter{OrgID: org, Parameters: p})
		if strings.Contains(outside.HTML, "mailto:") || strings.Contains(outside.HTML+outside.Text, "acme.example") {
			t.Errorf("%s lets a contact lead somewhere:\n%s", p.kind(), outside.Text)
		}
		if slices.ContainsFunc(outside.Links, func(l string) bool { return l != link && l != page }) {
			t.Errorf("%s has the links %q", p.kind(), outside.Links)
		}
	}
	if text := inside.HTML + inside.Text; strings.Contains(text, "evil.example") {
		t.Errorf("a name became a link in\n%s", text)
	}
}

// beginning returns the first two words of a sentence, which all of its kind begin with.
func beginning(t *testing.T, key string) string {
	t.Helper()
	words := strings.SplitN(newOutbox(t, nil).catalogue.In("en").Text(key), " ", 3)
	return ">" + strings.Join(words[:2], " ")
}

// Each letter says why it came and whom to ask, and shows one button at most, which is never
// the one that takes something back.
func TestEveryLetterSaysWhyItCameAndWhomToAsk(t *testing.T) {
	t.Parallel()
	objection := ">" + newOutbox(t, nil).catalogue.In("en").Text("mail.not_me.button") + "</a>"
	files, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".en.html") {
			continue
		}
		raw, err := os.ReadFile("testdata/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		shown, of := string(raw), expect.Case(t, "%s", file.Name())
		if n := strings.Count(shown, `<a class="button"`); n > 1 {
			t.Errorf("%s has %d buttons", file.Name(), n)
		}
		expect.Equal(of, "reasons", strings.Count(shown, beginning(t, "mail.why.administrator")), 1)
		expect.Equal(of, "whom to ask", strings.Count(shown, beginning(t, "mail.ask.contact"))+strings.Count(shown, beginning(t, "mail.ask.operator")), 1)
		if strings.Contains(shown, objection) && strings.Contains(shown, `class="button"`) {
			t.Errorf("%s has a button where only the objection is to be", file.Name())
		}
	}
}

// A letter cannot refer to the style sheet of the pages, so its colours are written out. They
// are the same.
func TestLettersHaveTheColoursOfThePages(t *testing.T) {
	sheet, err := os.ReadFile("../page/assets/parvis.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark := map[string]bool{"#ffffff": true}, map[string]bool{}
	for _, m := range regexp.MustCompile(`--[a-z0-9-]+: +light-dark\((#[0-9a-f]+), (#[0-9a-f]+)\)`).FindAllStringSubmatch(string(sheet), -1) {
		light[m[1]], dark[m[2]] = true, true
	}
	colour := regexp.MustCompile(`#[0-9a-f]{3,6}\b`)
	before, rest, _ := strings.Cut(letterHTML, "@media (prefers-color-scheme: dark) {")
	inDark, after, found := strings.Cut(rest, "\n}\n")
	if !found || len(dark) < 8 {
		t.Fatalf("no dark scheme, or only %d colours", len(dark))
	}
	for _, c := range colour.FindAllString(before+after, -1) {
		if !light[c] {
			t.Errorf("%s is no colour of the light scheme", c)
		}
	}
	for _, c := range colour.FindAllString(inDark, -1) {
		if !dark[c] {
			t.Errorf("%s is no colour of the dark scheme", c)
		}
	}
}
