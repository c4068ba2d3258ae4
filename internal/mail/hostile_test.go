package mail

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/quotedprintable"
	netmail "net/mail"
	"slices"
	"strings"
	"testing"
	"unicode"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/mailbox"
)

// INJ-1: a field that a person can fill is encoded in the header of a message and in its
// envelope.
func TestINJ1NoNameReachesTheHeadOfAMessage(t *testing.T) {
	t.Parallel()
	names := map[string]string{
		"line breaks":         "Acme\r\nBcc: evil@evil.example\r\n\r\nbody",
		"bare line feeds":     "Acme\nBcc: evil@evil.example",
		"bare returns":        "Acme\rBcc: evil@evil.example",
		"unicode line breaks": "Acme\u2028Bcc: evil@evil.example\u0085X: y",
		"encoded line breaks": "Acme%0d%0aBcc: evil@evil.example =?UTF-8?Q?=0D=0ABcc:_evil@evil.example?=",
		"an address":          `"<evil@evil.example>, <b@evil.example>"`,
		"a zero byte":         "Acme\x00Bcc: evil@evil.example",
		"turned writing":      "Acme \u202egpj.exe\u202c \u2066x\u2069 \u200f",
		"invalid text":        "Acme \xff\xfe\xc0\xaf",
		"very long":           strings.Repeat("Acme ", 5000),
		"one very long word":  strings.Repeat("é", 50000),
		"no Latin letter":     "株式会社アクメ · أكمي · Ακμή",
	}
	b := newBench(t, mailbox.Options{})
	begins := b.outbox.catalogue.In("fr").Text("mail.invitation.subject", "Organization", "")
	for name, text := range names {
		t.Run(name, func(t *testing.T) {
			p := b.invitation()
			p.Organization, p.Name, p.Inviter = text, text, text
			b.outbox.letterhead = headed(Letterhead{Organization: text, Contact: text})
			b.put(Letter{Language: "fr", Parameters: p})
			before := len(b.box.Letters())
			b.sweep()
			r := b.received(before + 1)[0]
			head := r.Header
			var fields []string
			for field := range head {
				fields = append(fields, field)
			}
			slices.Sort(fields)
			if want := []string{"Auto-Submitted", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To"}; !slices.Equal(fields, want) {
				t.Errorf("the head has %q, want %q", fields, want)
			}
			expect.Equal(t, "r.To", r.To, "ada@example.org")
			expect.Equal(t, "r.From", r.From, sender)
			expect.Equal(t, `head.Get("To")`, head.Get("To"), "<ada@example.org>")
			from, err := head.AddressList("From")
			if err != nil || len(from) != 1 {
				t.Fatalf("the letter comes from %q (%v, %v)", head.Get("From"), from, err)
			}
			expect.Equal(t, "the sender's address", from[0].Address, sender)
			if strings.ContainsAny(from[0].Name, "@<>\r\n\x00\u202e") {
				t.Errorf("the sender is called %q", from[0].Name)
			}
			if !strings.HasPrefix(r.Subject, begins) || len([]rune(r.Subject)) > 150 ||
				strings.ContainsAny(r.Subject, "\r\n\x00\u2028\u0085\u200b\u200f\u202e\u2066\ufffd") {
				t.Errorf("the subject is %q", r.Subject)
			}
			for line := range strings.SplitSeq(string(r.Raw), "\r\n") {
				if len(line) > 998 || strings.ContainsAny(line, "\r\n") {
					t.Errorf("a line of %d bytes, or a bare line break: %.60q", len(line), line)
				}
			}
		})
	}
}

func TestINJ1ALetterGoesToOnePlainAddress(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	for _, address := range []string{
		"", "ada", "@example.org", "ada@", "ada@example.org, eve@evil.example", "<ada@example.org>,<eve@evil.example>",
		"Ada <ada@example.org>", "<ada@example.org>", " ada@example.org", "ada@example.org\r\nRCPT TO:<eve@evil.example>",
		"ada@example.org\nBcc: eve@evil.example", `"ada eve"@example.org`, `"ada> SIZE=1"@example.org`, "ada(c)@example.org", "ada@example.org\x00",
	} {
		err := b.d.Update(t.Context(), func(tx *db.Tx) error {
			_, err := b.outbox.Put(t.Context(), tx, Letter{OrgID: org, Recipient: address, Language: "en", Parameters: b.invitation()})
			return err
		})
		if !errors.Is(err, ErrRecipient) {
			t.Errorf("%q: %v, want ErrRecipient", address, err)
		}
	}
	b.put(Letter{Recipient: "zoë.o'neill+x@example.org"})
	b.sweep()
	if got := b.received(1)[0].To; got != "zoë.o'neill+x@example.org" {
		t.Errorf("an honest address became %q", got)
	}
}

// INJ-2: what a person typed is shown as text in both parts of a letter, and never becomes a link.
func TestINJ2NoNameBecomesMarkupOrALink(t *testing.T) {
	t.Parallel()
	names := map[string]string{
		"markup":             `<b>Acme</b><script>alert(1)</script>`,
		"an image":           `<img src="https://evil.example/x.png">`,
		"an attribute":       `" style="x" onmouseover="alert(1)`,
		"a link":             `<a href="https://evil.example">click</a>`,
		"an address":         `https://evil.example/win`,
		"an address alone":   `evil.example`,
		"a mail address":     `mailto:eve@evil.example`,
		"markdown":           `[click](https://evil.example) ![x](https://evil.example/x.png)`,
		"a template of ours": `{{.Link}} {{.}} {{define "x"}}`,
		"other templates":    `${Link} <%= Link %> #{Link} %Link% ${jndi:ldap://evil.example}`,
		"a comment":          `--> <!-- `,
	}
	b := newBench(t, mailbox.Options{})
	for name, text := range names {
		t.Run(name, func(t *testing.T) {
			p := b.invitation()
			p.Organization, p.Name, p.Inviter = text, text, text
			b.outbox.letterhead = headed(Letterhead{Organization: text})
			b.put(Letter{Parameters: p})
			b.put(Letter{Parameters: BrowserCopiedParameters{Organization: text, Name: text, Network: "203.0.113.7", Agent: text, SignInPage: link}})
			before := len(b.box.Letters())
			b.sweep()
			for _, r := range b.received(before + 2)[:2] {
				for _, forbidden := range []string{"<b>", "<script", "<img", "<!-- ", `onmouseover="`, "evil.example", "eve@evil", "://evil"} {
					if strings.Contains(r.HTML, forbidden) || strings.Contains(forbidden, "evil") && strings.Contains(r.Text, forbidden) {
						t.Errorf("%s is in\n%s\n%s", forbidden, r.Text, r.HTML)
					}
				}
				if strings.Count(r.HTML, "<a ") != 1 || !strings.Contains(r.HTML, ` href="`+link+`"`) {
					t.Errorf("the letter has other links than ours:\n%s", r.HTML)
				}
				if slices.ContainsFunc(r.Links, func(l string) bool { return l != link && l != page }) {
					t.Errorf("the text has the links %q", r.Links)
				}
				if strings.Contains(name, "template") && strings.Count(r.Text, link) != 1 {
					t.Errorf("a name was run:\n%s", r.Text)
				}
			}
		})
	}
}

// headed gives every organization the same letterhead.
func headed(l Letterhead) func(context.Context, db.Reader, string) (Letterhead, error) {
	return func(context.Context, db.Reader, string) (Letterhead, error) { return l, nil }
}

// A name keeps all its characters except invisible ones.
func TestNamesKeepWhatTheySay(t *testing.T) {
	tests := map[string]string{
		"Ada  Lovelace ":         "Ada Lovelace",
		"Dr. Grace O’Malley":     "Dr. Grace O’Malley",
		"Example.com":            "Example." + breaker + "com",
		"می\u200cخواهم":          "می\u200cخواهم",
		"a\u200bb\u2066c\u2069":  "abc",
		strings.Repeat("é", 101): strings.Repeat("é", 99) + "…",
		strings.Repeat("é", 100): strings.Repeat("é", 100),
		"\u202e\u0000":           "",
	}
	for name, want := range tests {
		if got := plain(name); got != want {
			t.Errorf("%q became %q, want %q", name, got, want)
		}
	}
}

func FuzzNamesCannotBreakALetter(f *testing.F) {
	f.Add("Acme")
	f.Add("Acme\r\nBcc: evil@evil.example\r\n\r\n<b>")
	f.Add("\u202e=?UTF-8?Q?=0D=0A?= {{.Link}}")
	f.Add("A\x00 b\x0f <a\x01c@d.example>")
	f.Add("<!doctype html> <a b>")
	o := newOutbox(f, nil)
	f.Fuzz(func(t *testing.T, name string) {
		p := InvitationParameters{Organization: name, Name: name, Inviter: name, Link: link, SignInPage: page}
		h, err := newHead(Letterhead{Organization: name, Contact: name}, sender)
		if err != nil {
			t.Fatal(err)
		}
		m, err := o.render(waiting{id: "let_x", recipient: "ada@example.org", language: "fr"}, p, h, dbtest.Start)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := netmail.ReadMessage(bytes.NewReader(m.raw))
		if err != nil {
			t.Fatal(err)
		}
		if len(parsed.Header) != 8 || len(parsed.Header["To"]) != 1 {
			t.Errorf("the head is %v", parsed.Header)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(parsed.Body))
		if err != nil || bytes.ContainsFunc(body, func(r rune) bool { return unicode.IsControl(r) && r != '\r' && r != '\n' }) {
			t.Errorf("the body is %q, %v", body, err)
		}
		at := bytes.LastIndex(body, []byte("<!doctype html>")) // before it a tag is only text
		if at < 0 || bytes.Count(body[at:], []byte("<a ")) != 1 {
			t.Errorf("the page begins at %d of %q", at, body)
		}
	})
}
