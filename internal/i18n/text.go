package i18n

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"github.com/nicksnyder/go-i18n/v2/i18n/template"
	"golang.org/x/text/language"
)

// texts are the messages of one language.
type texts struct {
	tag         Tag
	rightToLeft bool
	sections    map[string]*section // by the word that its keys begin with
	plurals     *i18n.Localizer
}

// message returns the message of a key, and whether there is one.
func (t *texts) message(key string) (message, bool) {
	first, _, _ := strings.Cut(key, ".")
	a := t.sections[first]
	if a == nil {
		return message{}, false
	}
	m, ok := a.read()[key]
	return m, ok
}

// A section is one file of a language, read when it is first needed.
type section struct {
	file, prefix string // of its keys

	once     sync.Once
	messages map[string]message
}

// read returns the messages. A file with a mistake, which a test finds before, has none.
func (s *section) read() map[string]message {
	s.once.Do(func() {
		if all, err := s.parse(); err == nil {
			s.messages = all
		}
	})
	return s.messages
}

func (s *section) parse() (map[string]message, error) {
	raw, err := files.ReadFile(s.file)
	if err != nil {
		return nil, err
	}
	var all map[string]message
	if err := json.Unmarshal(raw, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", s.file, err)
	}
	for key := range all {
		if !strings.HasPrefix(key, s.prefix) || !isKey(key) {
			return nil, fmt.Errorf("%s: key %q does not belong here", s.file, key)
		}
	}
	return all, nil
}

// isKey reports whether a text is words of small letters, digits and underscores with dots between
// them.
func isKey(s string) bool {
	for word := range strings.SplitSeq(s, ".") {
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			return false
		}
	}
	return strings.Contains(s, ".")
}

// A message is the text of the plural form other, which every language has, and those of further
// forms.
type message struct {
	text
	forms map[string]text // nil for most
}

// other is the plural form that every language has.
const other = "other"

var otherForms = []string{"zero", "one", "two", "few", "many"}

// UnmarshalJSON reads a text, or an object with a text for each plural form.
func (m *message) UnmarshalJSON(raw []byte) error {
	all := map[string]string{}
	var alone string
	if err := json.Unmarshal(raw, &alone); err == nil {
		all[other] = alone
	} else if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	for form, s := range all {
		t, err := cutText(s)
		switch {
		case err != nil:
			return err
		case form == other:
			m.text = t
		case !slices.Contains(otherForms, form):
			return fmt.Errorf("%q is no plural form", form)
		default:
			if m.forms == nil {
				m.forms = map[string]text{}
			}
			m.forms[form] = t
		}
	}
	if m.text == nil {
		return errors.New("no text")
	}
	return nil
}

// A text is a message cut at its placeholders: literal, name, literal, name, …, literal.
type text []string

// formKey is the key of the one message that go-i18n looks up. The text of each of its
// plural forms is the name of that form. So go-i18n applies CLDR's plural rules, and a few
// fast lines here fill placeholders, for which go-i18n would run text/template.
const formKey = "form"

var rightToLeftScripts = []string{"Adlm", "Arab", "Hebr", "Nkoo", "Rohg", "Syrc", "Thaa"}

func newTexts(plurals *i18n.Bundle, tag language.Tag) (*texts, error) {
	err := plurals.AddMessages(tag, &i18n.Message{
		ID: formKey, Zero: "zero", One: "one", Two: "two", Few: "few", Many: "many", Other: other,
	})
	script, _ := tag.Script()
	return &texts{
		tag:         Tag(tag.String()),
		rightToLeft: slices.Contains(rightToLeftScripts, script.String()),
		sections:    map[string]*section{},
		plurals:     i18n.NewLocalizer(plurals, tag.String()),
	}, err
}

// cutText cuts a text at its placeholders, each {{.Name}}; other braces are a mistake.
func cutText(s string) (text, error) {
	if s == "" {
		return nil, errors.New("no text")
	}
	var t text
	for rest := s; ; {
		literal, after, found := strings.Cut(rest, "{{.")
		if !found {
			literal = rest
		}
		name, next, closed := strings.Cut(after, "}}")
		if strings.ContainsAny(literal, "{}") || found && (!closed || !isName(name)) {
			return nil, fmt.Errorf("%q has braces that are no placeholder", s)
		}
		if t = append(t, literal); !found {
			return t, nil
		}
		t, rest = append(t, name), next
	}
}

// isName reports whether a text is letters of ASCII.
func isName(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
}

// Localizer returns the texts of one language and writes times in one time zone. It is a
// small value that may be copied.
type Localizer struct {
	*texts
	zone *time.Location // nil for UTC
}

// Tag returns the language of the texts.
func (l Localizer) Tag() Tag { return l.tag }

// RightToLeft reports whether the language is written from right to left.
func (l Localizer) RightToLeft() bool { return l.rightToLeft }

// Text returns the message of a key with its placeholders filled from pairs of
// name and value. A pair named Count with an integer chooses the plural form.
//
// A missing message shows as its key in brackets, a missing value as the placeholder's name
// in brackets. A page with a gap is better than no page, and tests find both.
func (l Localizer) Text(key string, pairs ...any) string {
	m, ok := l.message(key)
	if !ok {
		return "[" + key + "]"
	}
	if len(m.forms) > 0 {
		if t := m.forms[l.form(value(pairs, "Count"))]; t != nil {
			return l.fill(t, pairs)
		}
	}
	return l.fill(m.text, pairs)
}

// form returns the plural form for a count, or an empty text if count is not a number.
func (l Localizer) form(count any) string {
	switch count.(type) {
	case int, int64:
	default:
		return ""
	}
	form, err := l.plurals.Localize(&i18n.LocalizeConfig{
		MessageID: formKey, PluralCount: count, TemplateParser: template.IdentityParser{},
	})
	if err != nil {
		return ""
	}
	return form
}

// fill puts the values into a text. What is an integer is a number to read; a year or another name
// made of digits has to be passed as a string.
func (l Localizer) fill(t text, pairs []any) string {
	if len(t) == 1 {
		return t[0]
	}
	var b strings.Builder
	for i, s := range t {
		if i%2 == 0 {
			b.WriteString(s)
			continue
		}
		switch v := value(pairs, s).(type) {
		case nil:
			b.WriteString("[" + s + "]")
		case int:
			b.WriteString(l.Number(v))
		case int64:
			b.WriteString(l.Number(int(v)))
		default:
			fmt.Fprint(&b, v)
		}
	}
	return b.String()
}

func value(pairs []any, name string) any {
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == name {
			return pairs[i+1]
		}
	}
	return nil
}
