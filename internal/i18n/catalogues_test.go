package i18n

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// every returns all messages of a language.
func (t *texts) every() map[string]message {
	all := map[string]message{}
	for _, a := range t.sections {
		maps.Copy(all, a.read())
	}
	return all
}

// every returns all plural forms of a message.
func (m message) every() map[string]text {
	all := map[string]text{other: m.text}
	maps.Copy(all, m.forms)
	return all
}

// A file is read when it is first needed, and one with a mistake would have no messages then.
func TestEveryCatalogueCanBeRead(t *testing.T) {
	for tag, texts := range load(t).texts {
		if len(texts.sections) < 10 {
			t.Errorf("%s has only %d files", tag, len(texts.sections))
		}
		for _, a := range texts.sections {
			if all, err := a.parse(); err != nil || len(all) == 0 {
				t.Errorf("%s has %d messages: %v", a.file, len(all), err)
			}
		}
	}
}

func TestMistakesInCataloguesAreFound(t *testing.T) {
	for text, good := range map[string]bool{
		`"plain"`: true, `"a {{.Name}} b"`: true, `"{{.A}}{{.B}}"`: true, `{"one": "a", "other": "{{.Count}} b"}`: true,
		`""`: false, `"a {{.Name} b"`: false, `"a {b"`: false, `"a } b"`: false, `"{{.}}"`: false, `"{{.Na me}}"`: false, `"{{ .Name }}"`: false, `"{{if .A}}"`: false,
		`{"one": "a"}`: false, `{"other": "a", "several": "b"}`: false, `{"other": ""}`: false, `1`: false, `["a"]`: false, `null`: false,
	} {
		var m message
		if err := json.Unmarshal([]byte(text), &m); (err == nil) != good {
			t.Errorf("%s is read as %q: %v", text, m, err)
		}
	}
	for key, good := range map[string]bool{"a.b": true, "a.b_1.c": true, "a": false, "a.": false, ".a": false, "a..b": false, "a.B": false, "a.é": false, "a-b.c": false} {
		if isKey(key) != good {
			t.Errorf("%q: %t", key, !good)
		}
	}
}

func TestEveryLanguageHasEveryKeyWithTheSamePlaceholders(t *testing.T) {
	c := load(t)
	en := c.texts[english].every()
	for tag, texts := range c.texts {
		all := texts.every()
		for key, m := range all {
			if _, ok := en[key]; !ok {
				t.Errorf("%s has %s, English has not", tag, key)
				continue
			}
			if got, want := placeholders(m), placeholders(en[key]); !slices.Equal(got, want) {
				t.Errorf("%s in %s has the placeholders %q, in English %q", key, tag, got, want)
			}
		}
		for key := range en {
			if _, ok := all[key]; !ok {
				t.Errorf("%s has no %s", tag, key)
			}
		}
	}
}

// placeholders returns the names in all forms of m together: "one" may omit its number.
func placeholders(m message) []string {
	names := map[string]bool{}
	for _, text := range m.every() {
		for i, s := range text {
			if i%2 == 1 {
				names[s] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// A message needs the plural forms for the counts up to a thousand. CLDR has another form
// for a million in French, which no count here reaches.
func TestPluralsHaveTheFormsOfTheirLanguage(t *testing.T) {
	for _, texts := range load(t).texts {
		l := Localizer{texts: texts}
		want := map[string]bool{other: true}
		for n := range 1001 {
			want[l.form(n)] = true
		}
		for key, m := range texts.every() {
			if len(m.forms) == 0 {
				if slices.Contains(placeholders(m), "Count") {
					t.Errorf("%s: %s has a Count and no plural forms", l.Tag(), key)
				}
				continue
			}
			if got, want := slices.Sorted(maps.Keys(m.every())), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
				t.Errorf("%s: %s has the plural forms %q, want %q", l.Tag(), key, got, want)
			}
		}
	}
}

// Typographic mistakes, by language. Each check runs on each whole text.
var typography = map[string][]struct {
	wrong  *regexp.Regexp
	reason string
}{
	"": { // every language
		{regexp.MustCompile(`^\s|\s$`), "a space at its end"},
		{regexp.MustCompile(`  |[\t\n\r]`), "two spaces, a tab or a line break"},
		{regexp.MustCompile(`\.\.\.`), "three dots instead of …"},
		{regexp.MustCompile(`[<>]|&[a-z]+;`), "markup"},
	},
	"fr": {
		{regexp.MustCompile(`'`), "' instead of ’"},
		{regexp.MustCompile(`(^|[^\x{a0}\x{202f};:?!])[;:?!]+(\s|$|»|\))`), "no non-breaking space before ; : ? !"},
		{regexp.MustCompile(`«([^\x{a0}\x{202f}]|$)|(^|[^\x{a0}\x{202f}])»`), "no non-breaking space inside « »"},
		{regexp.MustCompile(`["“”]`), "quotation marks other than « »"},
	},
}

func TestTextsAreWellSet(t *testing.T) {
	for tag, texts := range load(t).texts {
		for key, m := range texts.every() {
			for _, text := range m.every() {
				for _, check := range slices.Concat(typography[""], typography[string(tag)]) {
					if s := strings.Join(text, "x"); check.wrong.MatchString(s) {
						t.Errorf("%s: %s has %s: %q", tag, key, check.reason, s)
					}
				}
			}
		}
	}
}

// Before a name that begins with a vowel, French would need d’, qu’ or l’, and a name can
// begin with any letter. Numbers and dates are written so that nothing elides before them.
func TestFrenchElidesNothingBeforeAName(t *testing.T) {
	elides := regexp.MustCompile(`(?i)(^|\PL)(de|que|jusque|lorsque|puisque|je|me|te|se|le|la|ne) $`)
	known := []string{"Count", "When", "Expires", "Minimum", "Maximum", "Most", "Least"}
	for key, m := range load(t).texts["fr"].every() {
		for _, text := range m.every() {
			for i := 1; i < len(text); i += 2 {
				if elides.MatchString(text[i-1]) && !slices.Contains(known, text[i]) {
					t.Errorf("%s elides before %s: %q", key, text[i], text[i-1])
				}
			}
		}
	}
}

// encoding/json silently keeps the last of two equal keys.
func TestNoKeyAppearsTwice(t *testing.T) {
	entries, err := fs.ReadDir(files, "catalogues")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		raw, err := files.ReadFile("catalogues/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		depth, isKey := 0, false
		for d := json.NewDecoder(bytes.NewReader(raw)); ; {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", e.Name(), err)
			}
			switch token {
			case json.Delim('{'):
				depth++
				isKey = true
				continue
			case json.Delim('}'):
				depth--
				isKey = true
				continue
			}
			if key, ok := token.(string); ok && depth == 1 && isKey {
				if seen[key] {
					t.Errorf("%s has %s twice", e.Name(), key)
				}
				seen[key] = true
			}
			isKey = !isKey
		}
	}
}
