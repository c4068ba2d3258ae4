// Package i18n holds every sentence that a person reads, per language.
//
// A language is a set of files catalogues/AREA.TAG.json and nothing else: its
// name, its dates and its units are messages too. The files have go-i18n's
// format, one flat object of keys "area.thing"; a value is a text, or an object
// with the plural forms that CLDR gives the language. {{.Name}} in a text is a
// placeholder, and the only thing with braces that a text may hold: what
// translators write is never run.
package i18n

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

//go:embed catalogues/*.json
var files embed.FS

// Tag is a language of the catalogue, as a BCP 47 tag: "en", "fr".
type Tag string

// english is the language for people who want none that we have.
const english Tag = "en"

// Language is an entry of a list of languages.
type Language struct {
	Tag         Tag
	Name        string // in the language itself
	RightToLeft bool
}

// Catalogue holds all messages of all languages. It never changes after Load,
// so any number of requests may read it at once.
type Catalogue struct {
	languages []Language // English first; the matcher counts in this order
	matcher   language.Matcher
	texts     map[Tag]*texts
}

// Load returns the embedded catalogue. A process reads it once, even if it runs several servers.
func Load() (*Catalogue, error) { return loaded() }

var loaded = sync.OnceValues(readAll)

func readAll() (*Catalogue, error) {
	entries, err := fs.ReadDir(files, "catalogues")
	if err != nil {
		return nil, err
	}
	c := &Catalogue{texts: map[Tag]*texts{}}
	plurals := i18n.NewBundle(language.English)
	for _, e := range entries {
		if err := c.read(plurals, e.Name()); err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", e.Name(), err)
		}
	}
	return c, c.list()
}

var validKey = regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)+$`)

// read adds the messages of one file.
func (c *Catalogue) read(plurals *i18n.Bundle, name string) error {
	area, rest, _ := strings.Cut(name, ".")
	tag := Tag(strings.TrimSuffix(rest, ".json"))
	raw, err := files.ReadFile("catalogues/" + name)
	if err != nil {
		return err
	}
	file, err := i18n.ParseMessageFileBytes(raw, name, nil)
	if err != nil {
		return err
	}
	if file.Tag.String() != string(tag) {
		return fmt.Errorf("%q is no language", tag)
	}
	t := c.texts[tag]
	if t == nil {
		if t, err = newTexts(plurals, file.Tag); err != nil {
			return err
		}
		c.texts[tag] = t
	}
	for _, m := range file.Messages {
		if !strings.HasPrefix(m.ID, area+".") || !validKey.MatchString(m.ID) {
			return fmt.Errorf("key %q does not belong here", m.ID)
		}
		if t.messages[m.ID], err = newMessage(m); err != nil {
			return fmt.Errorf("key %s: %w", m.ID, err)
		}
	}
	return nil
}

// list fills languages and matcher from the texts.
func (c *Catalogue) list() error {
	if c.texts[english] == nil {
		return fmt.Errorf("catalogue: no %s", english)
	}
	for tag, t := range c.texts {
		c.languages = append(c.languages, Language{
			Tag:         tag,
			Name:        Localizer{texts: t}.Text("language.name"),
			RightToLeft: t.rightToLeft,
		})
	}
	slices.SortFunc(c.languages, func(a, b Language) int {
		// English sorts first, because its key is empty.
		order := func(l Language) string { return strings.TrimPrefix(string(l.Tag), string(english)) }
		return strings.Compare(order(a), order(b))
	})
	var tags []language.Tag
	for _, l := range c.languages {
		tags = append(tags, language.Make(string(l.Tag)))
	}
	c.matcher = language.NewMatcher(tags)
	return nil
}

// Languages lists what a person may choose, English first.
func (c *Catalogue) Languages() []Language { return slices.Clone(c.languages) }

// Known reports whether there are messages in a language.
func Known(tag Tag) bool {
	c, err := loaded()
	return err == nil && c.texts[tag] != nil
}

// Known returns the language whose tag is exactly this text from outside.
func (c *Catalogue) Known(tag string) (Tag, bool) {
	if c.texts[Tag(tag)] == nil {
		return "", false
	}
	return Tag(tag), true
}

// longestHeader is more than a browser with ten languages sends. The work of the matcher
// grows faster than the length of the header.
const longestHeader = 500

// Match returns the language for a page: the one that the person chose, else the best match
// for the browser's Accept-Language header, else English.
func (c *Catalogue) Match(chosen Tag, acceptLanguage string) Tag {
	if tag, ok := c.Known(string(chosen)); ok {
		return tag
	}
	if len(acceptLanguage) > longestHeader {
		return english
	}
	// The index is used because the returned tag would be ar-u-rg-egzzzz for ar-EG.
	_, i := language.MatchStrings(c.matcher, acceptLanguage)
	return c.languages[i].Tag
}

// In returns the texts of a language, or the English ones if it is unknown.
func (c *Catalogue) In(tag Tag) Localizer {
	if t := c.texts[tag]; t != nil {
		return Localizer{texts: t}
	}
	return Localizer{texts: c.texts[english]}
}

// Pseudo returns a catalogue in which every message is wrapped as [!! … !!], so that a test
// can find sentences on a page that did not come from a catalogue.
func Pseudo() *Catalogue {
	c, err := readAll() // a copy of its own, which may be changed
	if err != nil {
		panic(err) // cannot happen: a test loads the embedded files
	}
	for _, t := range c.texts {
		for _, m := range t.messages {
			for _, text := range m {
				text[0] = "[!! " + text[0]
				text[len(text)-1] += " !!]"
			}
		}
	}
	return c
}
