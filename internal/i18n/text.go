package i18n

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"github.com/nicksnyder/go-i18n/v2/i18n/template"
	"golang.org/x/text/language"
)

// texts are the messages of one language.
type texts struct {
	tag         Tag
	rightToLeft bool
	messages    map[string]message
	plurals     *i18n.Localizer
}

// A message maps plural forms to texts. Most messages have only the form other.
type message map[string]text

// other is the plural form that every language has.
const other = "other"

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
		messages:    map[string]message{},
		plurals:     i18n.NewLocalizer(plurals, tag.String()),
	}, err
}

var placeholder = regexp.MustCompile(`\{\{\.([A-Za-z]+)\}\}`)

func newMessage(m *i18n.Message) (message, error) {
	msg := message{}
	for form, s := range map[string]string{
		"zero": m.Zero, "one": m.One, "two": m.Two, "few": m.Few, "many": m.Many, other: m.Other,
	} {
		if s == "" {
			continue
		}
		var t text
		end := 0
		for _, at := range placeholder.FindAllStringSubmatchIndex(s, -1) {
			t = append(t, s[end:at[0]], s[at[2]:at[3]])
			end = at[1]
		}
		if msg[form] = append(t, s[end:]); strings.ContainsAny(placeholder.ReplaceAllString(s, ""), "{}") {
			return nil, fmt.Errorf("%q has braces that are no placeholder", s)
		}
	}
	if msg[other] == nil {
		return nil, errors.New("no text")
	}
	return msg, nil
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
	m, ok := l.messages[key]
	if !ok {
		return "[" + key + "]"
	}
	if len(m) > 1 {
		if t := m[l.form(value(pairs, "Count"))]; t != nil {
			return l.fill(t, pairs)
		}
	}
	return l.fill(m[other], pairs)
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
