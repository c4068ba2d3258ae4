package mail

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	netmail "net/mail"
	"slices"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"
)

//go:embed letter.html
var letterHTML string

var htmlTemplate = template.Must(template.New("letter").Option("missingkey=error").Parse(letterHTML))

// A message is a letter in the form that a mail server accepts.
type message struct {
	from, to string // of the envelope, in angle brackets
	raw      []byte
}

// render writes the letter in its recipient's language. The Message-ID is derived from the
// letter's id, so that many mail programs show a letter that was sent twice only once.
func (o *Outbox) render(l waiting, p Parameters, now time.Time) (message, error) {
	w := writer{o.catalogue.In(l.language)}
	c := p.write(w)
	html, err := c.html(w)
	if err != nil {
		return message{}, err
	}
	from, err := netmail.ParseAddress(o.from)
	if err != nil {
		return message{}, fmt.Errorf("reading the address that letters come from: %w", err)
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(from)
	m.ToMailAddress(&netmail.Address{Address: l.recipient})
	m.Subject(strings.ReplaceAll(c.Subject, breaker, ""))
	m.SetDateWithValue(now)
	m.SetMessageIDWithValue(l.id + from.Address[strings.LastIndex(from.Address, "@"):])
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 §5: no holiday notice comes back
	m.SetBodyString(gomail.TypeTextPlain, c.text())
	m.AddAlternativeString(gomail.TypeTextHTML, html)
	sender, err := m.GetSender(false)
	if err != nil {
		return message{}, err
	}
	recipients, err := m.GetRecipients()
	if err != nil {
		return message{}, err
	}
	var raw bytes.Buffer
	_, err = m.WriteTo(&raw)
	return message{from: sender, to: recipients[0], raw: raw.Bytes()}, err
}

func (c content) html(w writer) (string, error) {
	direction := "ltr"
	if w.RightToLeft() {
		direction = "rtl"
	}
	var b strings.Builder
	err := htmlTemplate.Execute(&b, struct {
		content
		Language, Direction string
	}{c, string(w.Tag()), direction})
	return b.String(), err
}

func (c content) text() string {
	paragraphs := slices.Concat([]string{c.Greeting}, c.Before)
	for _, row := range c.Rows {
		paragraphs = append(paragraphs, row.Text+"\n"+row.Address)
	}
	if c.Link != "" {
		paragraphs = append(paragraphs, c.Button+"\n"+c.Link)
	}
	paragraphs = append(paragraphs, c.After...)
	return strings.Join(paragraphs, "\n\n") + "\n\n\n" + strings.Join(c.Footer, "\n") + "\n"
}

// breaker is an invisible character that allows a line break (U+200B). Between the parts of
// a web address it keeps mail programs from making a link of it.
const breaker = "\u200b"

// longestName is more characters than a name needs, and too few for a message.
const longestName = 100

// plain makes a short text on one line from what a person typed, which no mail program turns
// into a link (INJ-2): 'Win at evil.example' remains just a strange name.
func plain(s string) string {
	runes := []rune(clean(s, longestName))
	var b strings.Builder
	for i, r := range runes {
		b.WriteRune(r)
		if strings.ContainsRune(".:/@", r) && i+1 < len(runes) && runes[i+1] != ' ' {
			b.WriteString(breaker)
		}
	}
	return b.String()
}

// clean removes invisible characters and those that change the direction of writing, joins
// lines, and cuts after limit characters. It keeps the two joiners, which Persian and the
// languages of India need.
func clean(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp):
			return ' '
		case r == '\u200c' || r == '\u200d':
			return r
		case unicode.In(r, unicode.Cf, unicode.Co) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, s)
	runes := []rune(strings.Join(strings.Fields(s), " "))
	if len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return string(runes)
}
