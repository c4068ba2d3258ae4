package mail

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"parvis/internal/i18n"
	"parvis/internal/naming"
)

//go:embed letter.html
var letterHTML string

// htmlTemplate is parsed for the first letter, and not when the program starts.
var htmlTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("letter").Option("missingkey=error").Parse(letterHTML))
})

// Comments that Outlook for Windows reads, which lays out letters with Word: a table of a
// fixed width, since Word knows no greatest one, fonts that it has, and the room around the
// text of a button, which it wants from the cell. Templates drop comments.
const (
	outlookStyle = template.HTML(`<!--[if mso]><style>table{border-collapse:collapse}p,h1,td,a{font-family:'Segoe UI',Arial,sans-serif!important}td.button{padding:12px 24px}td.second{padding:9px 16px}.preview{mso-hide:all}</style><![endif]-->`)
	outlookOpen  = template.HTML(`<!--[if mso]><table role="presentation" width="560" align="center" cellpadding="0" cellspacing="0"><tr><td><![endif]-->`)
	outlookClose = template.HTML(`<!--[if mso]></td></tr></table><![endif]-->`)
)

// logoID names the picture of a logo within its message.
const logoID = "logo"

// A message is a letter in the form that a mail server accepts.
type message struct {
	from, to string // of the envelope, in angle brackets
	raw      []byte
}

// render writes the letter in its recipient's language. The Message-ID is derived from the
// letter's id, so that many mail programs show a letter that was sent twice only once.
func (o *Outbox) render(l waiting, p Parameters, h head, now time.Time) (message, error) {
	zone, known := i18n.Zone(l.timeZone)
	if !known {
		zone = time.UTC
	}
	w := writer{o.catalogue.In(l.language).In(zone), l.recipient}
	c := p.write(w)
	c.Footer = append(c.Footer, c.Why)
	s := sheet{content: c, head: h, Ask: h.ask(w, c), Last: w.say("mail.footer"), w: w}
	html, err := s.html()
	if err != nil {
		return message{}, err
	}
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.FromMailAddress(&h.sender)
	m.ToMailAddress(&netmail.Address{Address: l.recipient})
	m.Subject(strings.ReplaceAll(c.Subject, breaker, ""))
	m.SetDateWithValue(now)
	m.SetMessageIDWithValue(l.id + h.sender.Address[strings.LastIndex(h.sender.Address, "@"):])
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 §5: no holiday notice comes back
	m.SetBodyString(gomail.TypeTextPlain, s.text())
	m.AddAlternativeString(gomail.TypeTextHTML, html)
	if !h.logo.IsZero() {
		m.EmbedReadSeeker("logo.png", bytes.NewReader(h.logo.Bytes()), gomail.WithFileContentID(logoID), gomail.WithFileContentType("image/png"))
	}
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

// A sheet is a letter's content with what stands above and below it. It is the dot of the
// template.
type sheet struct {
	content
	head
	Ask  []naming.Part // whom to ask
	Last string        // the last line
	w    writer
}

// What the template asks for.
func (s sheet) Name() string      { return s.name() }
func (s sheet) Language() string  { return string(s.w.Tag()) }
func (s sheet) Direction() string { return direction[s.w.RightToLeft()] }

// Preview is what a list of letters shows beside the subject: what the letter is about or, where
// the subject says that, when and from where something was done.
func (s sheet) Preview() string {
	if s.Object.Link == "" {
		return s.Before[0]
	}
	var known []string
	for _, f := range s.Facts {
		known = append(known, f.Value)
	}
	return strings.Join(known, " · ")
}

func (sheet) OutlookStyle() template.HTML { return outlookStyle }
func (sheet) OutlookOpen() template.HTML  { return outlookOpen }
func (sheet) OutlookClose() template.HTML { return outlookClose }

var direction = map[bool]string{false: "ltr", true: "rtl"}

// A logo is drawn for dense screens, at twice its size on the screen. Only Outlook for
// Windows reads the size itself. All others get a bound, so that no empty frame stands where no
// picture is shown.
type logo struct{ Width, Height int }

// Outlook is the logo for Outlook, up to where what Outlook leaves out begins.
func (l logo) Outlook() template.HTML {
	return template.HTML(fmt.Sprintf(`<!--[if mso]><img src="cid:logo" width="%d" height="%d" alt=""><![endif]--><!--[if !mso]><!-->`, l.Width, l.Height))
}

// OutlookEnd is where that ends.
func (logo) OutlookEnd() template.HTML { return `<!--<![endif]-->` }

// LogoSize returns the size that the logo is shown in; nil if there is none.
func (s sheet) LogoSize() *logo {
	if s.logo.IsZero() {
		return nil
	}
	width, height := s.logo.Size()
	return &logo{width / 2, height / 2}
}

func (s sheet) html() (string, error) {
	var b strings.Builder
	err := htmlTemplate().Execute(&b, s)
	return b.String(), err
}

// text returns the letter as plain text, which says the same in the same order.
func (s sheet) text() string {
	paragraphs := append([]string{s.name(), s.Greeting}, s.Before...)
	var facts []string
	for _, f := range s.Facts {
		facts = append(facts, s.w.say("mail.fact.line", "Label", own(f.Label), "Value", own(f.Value)))
	}
	if facts != nil {
		paragraphs = append(paragraphs, strings.Join(facts, "\n"))
	}
	paragraphs = append(paragraphs, s.Then...)
	for _, row := range s.Rows {
		paragraphs = append(paragraphs, row.Text+"\n"+row.Address)
	}
	if s.Link != "" {
		paragraphs = append(paragraphs, s.Button+"\n"+s.Link)
	}
	paragraphs = append(paragraphs, s.After...)
	if s.Object.Link != "" {
		paragraphs = append(append(paragraphs, s.Object.Button+"\n"+s.Object.Link), s.Object.What...)
	}
	var ask strings.Builder
	for _, p := range s.Ask {
		ask.WriteString(p.Text)
	}
	footer := append(slices.Clone(s.Footer), ask.String(), s.Last)
	return strings.Join(paragraphs, "\n\n") + "\n\n--\n" + strings.Join(footer, "\n") + "\n"
}

// breaker is an invisible character that allows a line break (U+200B). Between the parts of
// a web address it keeps mail programs from making a link of it.
const breaker = "\u200b"

// longestName is more characters than a name needs, and too few for a message.
const longestName = 100

// plain makes a short text on one line from what a person typed, which no mail program turns
// into a link (INJ-2): 'Win at evil.example' remains just a strange name.
func plain(s string) string {
	return unlinked(clean(s, longestName))
}

// unlinked puts a breaker into whatever a mail program could make a link of.
func unlinked(s string) string {
	runes := []rune(s)
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
