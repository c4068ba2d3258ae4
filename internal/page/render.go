package page

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/session"
)

//go:embed templates/*.html
var ownTemplates embed.FS

// Frame is what a template sees: the page's own struct, and what every page has. A template
// calls its methods on $.
type Frame struct {
	Page       any
	v          *Visitor
	Viewer     *Viewer             // who is signed in, or nil
	Neighbours []session.Neighbour // who is signed in to this browser, for the switcher

	room   Room
	trail  []Crumb
	nested bool
	did    string
}

// Render writes a page. It is made in memory first, so that a broken page becomes an error page
// and not half a page.
func (v *Visitor) Render(name string, page any) error {
	neighbours, err := v.neighbours()
	if err != nil {
		return err
	}
	templates, err := v.site.templates.with(name, v.site.Catalogue, v.Language())
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, Frame{Page: page, v: v, Viewer: v.viewer, Neighbours: neighbours}); err != nil {
		return fmt.Errorf("rendering %s: %w", name, err)
	}
	h := v.W.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", string(v.Language()))
	return v.write(b.Bytes())
}

// write sends a finished page.
func (v *Visitor) write(content []byte) error {
	h := v.W.Header()
	if v.forAnybody() && takesGzip(v.R) {
		packed, err := v.site.pack(content)
		if err != nil {
			return err
		}
		h.Set("Content-Encoding", "gzip")
		h.Add("Vary", "Accept-Encoding, Cookie")
		content = packed
	}
	h.Set("Content-Length", strconv.Itoa(len(content)))
	v.W.WriteHeader(v.status)
	if v.R.Method != http.MethodHead {
		_, _ = v.W.Write(content) // an error means that the browser is gone
	}
	return nil
}

// forAnybody reports whether everybody would get the same page by this request: it has no cookie,
// and is not a sent form. Only such pages are compressed. Other pages may contain a secret and a
// text from the request, and a compressed length would show an eavesdropper whether the two are
// alike (BREACH).
func (v *Visitor) forAnybody() bool {
	return v.R.Method == http.MethodGet && v.R.Header.Get("Cookie") == "" && v.R.Header.Get("Authorization") == ""
}

// pack compresses a page.
func (s *Site) pack(content []byte) ([]byte, error) {
	z, _ := s.packers.Get().(*gzip.Writer)
	if z == nil {
		z = gzip.NewWriter(nil)
	}
	defer s.packers.Put(z)
	var b bytes.Buffer
	z.Reset(&b)
	if _, err := z.Write(content); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Status sets the status of the page about to be rendered.
func (v *Visitor) Status(k fault.Kind) { v.status = k.Status() }

// NoForm suppresses the form of a page that is mounted as one.
func (v *Visitor) NoForm() { v.noForm = true }

// FormIf suppresses the form unless there is something to send.
func (v *Visitor) FormIf(sends bool) { v.noForm = v.noForm || !sends }

// With returns the same frame for a part of a page that has a struct of its own.
func (f Frame) With(part any) Frame {
	return Frame{Page: part, v: f.v, Viewer: f.Viewer, Neighbours: f.Neighbours}
}

// T returns a sentence in the page's language.
func (f Frame) T(key string, pairs ...any) string { return f.v.lang.Text(key, pairs...) }

// Lang returns the page's language.
func (f Frame) Lang() string { return string(f.v.Language()) }

// Dir returns the direction of the page's script.
func (f Frame) Dir() string {
	if f.v.lang.RightToLeft() {
		return "rtl"
	}
	return "ltr"
}

// Languages lists what can be chosen at the foot of the page.
func (f Frame) Languages() []i18n.Language { return f.v.site.Catalogue.Languages() }

// TimeZones lists what can be chosen, by area.
func (f Frame) TimeZones() []i18n.ZoneArea { return i18n.Zones() }

// Asset returns the path of one of our files, with a hash of its content.
func (f Frame) Asset(name string) (string, error) {
	path, ok := f.v.site.assets.names[name]
	if !ok {
		return "", fmt.Errorf("no asset %s", name)
	}
	return path, nil
}

// shortIdle is the longest idle time of which a page warns. People who return after a longer time
// expect to sign in again.
const shortIdle = time.Hour

// Idle says when an unused session ends.
type Idle struct {
	Lasts time.Duration // the time without use after which it ends
	Left  time.Duration // what is left of it
	Rest  time.Duration // what is left of the session even if it is used
}

// Idle returns nil where the page does not warn of the end.
func (f Frame) Idle() *Idle {
	v, now := f.v.viewer, f.v.site.DB.Now()
	if v.Rules.Idle > shortIdle {
		return nil
	}
	return &Idle{v.Rules.Idle, v.IdleEnd().Sub(now), v.AbsoluteEnd().Sub(now)}
}

// Reference returns the reference that log and page share.
func (f Frame) Reference() string { return f.v.Reference() }

// Frames lists addresses of applications that the page loads, invisibly.
func (f Frame) Frames() []string { return f.v.frames }

// Pause returns how many seconds a page waits before it continues: long enough for its frames.
func (f Frame) Pause() int {
	if len(f.v.frames) > 0 {
		return 2
	}
	return 0
}

// Links returns the operator's pages in the footer.
func (f Frame) Links() Links { return f.v.site.Links }

// Warnings returns what administrators should know about this installation.
func (f Frame) Warnings() []string { return f.v.site.Warnings }

// NoReply returns the address that letters come from.
func (f Frame) NoReply() string { return f.v.site.NoReply }

// HasForm reports whether the language list belongs to the page's own form.
func (f Frame) HasForm() bool { return f.v.hasForm && !f.v.noForm }

// Here returns the address of this page on our origin.
func (f Frame) Here() string { return f.v.R.URL.RequestURI() }

// LanguageAction says where the small language form of a page without a form is sent.
func (f Frame) LanguageAction() string {
	if f.v.viewer != nil {
		return f.v.viewer.Path("language")
	}
	return "/language"
}

// At reports whether this page is at a path of the viewer's organization.
func (f Frame) At(path string) bool { return f.v.R.URL.EscapedPath() == f.v.viewer.Path(path) }

// Under reports whether this page is at, or below, a path of the viewer's organization.
func (f Frame) Under(path string) bool {
	return f.At(path) || strings.HasPrefix(f.v.R.URL.EscapedPath(), f.v.viewer.Path(path)+"/")
}

// TimeZone returns the time zone that the signed-in person chose, or empty: a script then
// writes instants in the browser's own.
func (f Frame) TimeZone() string {
	if f.v.viewer == nil {
		return ""
	}
	return f.v.viewer.User.TimeZone
}

// Date writes an instant the way the language does, in the time zone of the signed-in person.
func (f Frame) Date(t time.Time) string { return f.v.local().Date(t) }

// DateTime is Date with the time of day and the zone's name.
func (f Frame) DateTime(t time.Time) string { return f.v.local().DateTime(t) }

// local returns a writer of instants in the time zone of the person who is signed in. The zone
// is looked up once for a page, and only if the page has an instant.
func (v *Visitor) local() i18n.Localizer { return v.lang.In(v.Zone()) }

// Zone returns the time zone of the person who is signed in; UTC for anybody else.
func (v *Visitor) Zone() *time.Location {
	if v.zone == nil {
		zone, known := i18n.Zone(Frame{v: v}.TimeZone())
		if !known {
			zone = time.UTC
		}
		v.zone = zone
	}
	return v.zone
}

// Machine writes an instant for a time element's datetime attribute.
func (f Frame) Machine(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Duration writes a length of time in words.
func (f Frame) Duration(d time.Duration) string { return f.v.Duration(d) }

// Portrait stands for a person: a picture or, where there is none, the initials of the first
// and the last word of the name.
type Portrait struct{ Path, Initials string }

// Portrait returns that of a user of the viewer's organization.
func (f Frame) Portrait(u directory.User) Portrait {
	return Portrait{f.v.viewer.Organization.PicturePath(u), initials(u.Name)}
}

func initials(name string) string {
	var initials []rune
	for i, words := 0, strings.Fields(name); i < len(words); i++ {
		if i == 0 || i == len(words)-1 {
			first, _ := utf8.DecodeRuneInString(words[i])
			initials = append(initials, unicode.ToUpper(first))
		}
	}
	return string(initials)
}

// Initials returns what stands for something without a picture.
func (f Frame) Initials(name string) string { return initials(name) }

// Address returns the public address of one of our paths.
func (f Frame) Address(path string) string {
	return f.v.site.Base.Scheme + "://" + f.v.site.Base.Host + path
}

// Do returns the button that was pressed to get this page, where its form has several.
func (f Frame) Do() string { return f.v.Form.Do() }

// BrowserAndSystem returns the names of the visitor's browser and system, each empty where it
// is unknown.
func (v *Visitor) BrowserAndSystem() (browser, system string) {
	return i18n.BrowserAndSystem(v.R.UserAgent())
}

// Browser names browser and system of a User-Agent header.
func (f Frame) Browser(agent string) string { return f.v.lang.Browser(agent) }

// Reason returns the sentence of a rule or of a reason.
func (f Frame) Reason(r fault.Reason) string {
	pairs := make([]any, 0, 2*len(r.Args))
	for k, v := range r.Args {
		pairs = append(pairs, k, v)
	}
	return f.T(r.Key, pairs...)
}

// Field is one input of a form as a template draws it.
type Field struct {
	Name, Label, Type, Autocomplete string
	Value                           string
	Hint                            string // stands below the input, for what people would get wrong without it
	Why                             Why    // stands behind a question mark
	Error                           string
	Reasons                         []string
	Choices                         []directory.Organization // where the typed text could mean several, the ones to choose from
	Digits                          bool                     // a keyboard of digits is enough
	Focus                           bool
	Required                        bool
	ReadOnly                        bool

	described string
	frame     Frame
}

// T returns a sentence in the page's language.
func (f Field) T(key string, pairs ...any) string { return f.frame.T(key, pairs...) }

// WithHint adds a sentence that helps to fill the field in.
func (f Field) WithHint(hint string) Field {
	f.Hint = hint
	return f
}

// OfDigits asks for a keyboard of digits where the device has one.
func (f Field) OfDigits() Field {
	f.Digits = true
	return f
}

// With names another element of the page that describes the field.
func (f Field) With(id string) Field {
	f.described = id
	return f
}

// First puts the cursor into this field, unless the page says what is wrong.
func (f Field) First() Field {
	if len(f.frame.v.Form.faults) == 0 && !f.frame.Returned() {
		f.Focus = true
	}
	return f
}

// Fixed shows the value and lets nobody change it.
func (f Field) Fixed() Field {
	f.ReadOnly, f.Required = true, false
	return f
}

// Field returns what an input shows: the typed text, unless it is secret, or the text otherwise if
// nothing was typed yet, and what is wrong with it.
func (f Frame) Field(name, label, kind, autocomplete, otherwise string) Field {
	field := Field{Name: name, Label: f.T(label), Type: kind, Autocomplete: autocomplete, Value: otherwise, Required: true, frame: f}
	form := f.v.Form
	if _, sent := form.values[name]; sent {
		field.Value = form.Get(name)
	}
	if isSecret(name) {
		field.Value = ""
	}
	for i, fa := range form.faults {
		if fa.Field == name && field.Error == "" {
			field.Error, field.Reasons, field.Focus = f.Sentence(fa), f.reasons(fa), i == f.firstFieldFault()
			field.Choices, _ = fa.Args[fault.Choices].([]directory.Organization)
		}
	}
	return field
}

// Optional is Field without the required mark.
func (f Frame) Optional(name, label, kind, autocomplete, otherwise string) Field {
	field := f.Field(name, label, kind, autocomplete, otherwise)
	field.Required = false
	return field
}

func (f Frame) firstFieldFault() int {
	for i, fa := range f.v.Form.faults {
		if fa.Field != "" {
			return i
		}
	}
	return -1
}

// Typed returns what was typed into a field, or otherwise if nothing was.
func (f Frame) Typed(name, otherwise string) string {
	if _, sent := f.v.Form.values[name]; sent && !isSecret(name) {
		return f.v.Form.Get(name)
	}
	return otherwise
}

// Faulty reports whether a field has a fault, for inputs that are no Field.
func (f Frame) Faulty(name string) string {
	for _, fa := range f.v.Form.faults {
		if fa.Field == name {
			return f.Sentence(fa)
		}
	}
	return ""
}

// Notices returns the sentences about what is wrong with the form as a whole.
func (f Frame) Notices() []string {
	var all []string
	for _, fa := range f.v.Form.faults {
		if fa.Field == "" {
			all = append(all, f.Sentence(fa))
		}
	}
	return all
}

// Confirmed reports whether the form came from a page that asked first.
func (f Frame) Confirmed() bool { return f.v.Form.Confirmed() }

// Returned reports whether the form was brought back after fresh proof and waits to be sent
// again.
func (f Frame) Returned() bool { return f.v.Form.returned }

// Sentence returns what a person reads of a fault.
func (f Frame) Sentence(fa *fault.Error) string {
	pairs := make([]any, 0, 2*len(fa.Args)+2)
	for k, v := range fa.Args {
		if d, ok := v.(time.Duration); ok {
			v = f.Duration(d)
		}
		pairs = append(pairs, k, v)
	}
	if fa.RetryAfter > 0 {
		pairs = append(pairs, "Wait", f.Duration(fa.RetryAfter))
	}
	return f.T(fa.Key, pairs...)
}

func (f Frame) reasons(fa *fault.Error) []string {
	var all []string
	for _, r := range fa.Reasons {
		all = append(all, f.Reason(r))
	}
	return all
}
