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

// Catalogue holds all messages of all languages. A file is read when the first of its messages is
// asked for, so that a server which starts reads little. Any number of requests may use it at once.
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
		if err := c.add(plurals, e.Name()); err != nil {
			return nil, fmt.Errorf("catalogue %s: %w", e.Name(), err)
		}
	}
	return c, c.list()
}

// add adds a file, which is read later.
func (c *Catalogue) add(plurals *i18n.Bundle, name string) error {
	first, rest, _ := strings.Cut(name, ".")
	tag := strings.TrimSuffix(rest, ".json")
	t := c.texts[Tag(tag)]
	if t == nil {
		parsed, err := language.Parse(tag)
		if err != nil || parsed.String() != tag {
			return fmt.Errorf("%q is no language", tag)
		}
		if t, err = newTexts(plurals, parsed); err != nil {
			return err
		}
		c.texts[Tag(tag)] = t
	}
	t.sections[first] = &section{file: "catalogues/" + name, prefix: first + "."}
	return nil
}

// list fills languages and matcher from the texts.
func (c *Catalogue) list() error {
	if c.texts[english] == nil {
		return fmt.Errorf("catalogue: no %s", english)
	}
	for tag, t := range c.texts {
		name, ok := t.message("language.name")
		if !ok {
			return fmt.Errorf("catalogue: %s has no name", tag)
		}
		c.languages = append(c.languages, Language{
			Tag:         tag,
			Name:        name.text[0],
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
	wrap := func(t text) {
		t[0] = "[!! " + t[0]
		t[len(t)-1] += " !!]"
	}
	for _, t := range c.texts {
		for _, a := range t.sections {
			for _, m := range a.read() {
				wrap(m.text)
				for _, form := range m.forms {
					wrap(form)
				}
			}
		}
	}
	return c
}
