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

func TestEveryLanguageHasEveryKeyWithTheSamePlaceholders(t *testing.T) {
	c := load(t)
	en := c.In(english)
	for tag, texts := range c.texts {
		for key, m := range texts.messages {
			if _, ok := en.messages[key]; !ok {
				t.Errorf("%s has %s, English has not", tag, key)
				continue
			}
			if got, want := placeholders(m), placeholders(en.messages[key]); !slices.Equal(got, want) {
				t.Errorf("%s in %s has the placeholders %q, in English %q", key, tag, got, want)
			}
		}
		for key := range en.messages {
			if _, ok := texts.messages[key]; !ok {
				t.Errorf("%s has no %s", tag, key)
			}
		}
	}
}

// placeholders returns the names in all forms of m together: "one" may omit its number.
func placeholders(m message) []string {
	names := map[string]bool{}
	for _, text := range m {
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
		for key, m := range texts.messages {
			if len(m) == 1 {
				if slices.Contains(placeholders(m), "Count") {
					t.Errorf("%s: %s has a Count and no plural forms", l.Tag(), key)
				}
				continue
			}
			if got, want := slices.Sorted(maps.Keys(m)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
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
		for key, m := range texts.messages {
			for _, text := range m {
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
	for key, m := range load(t).texts["fr"].messages {
		for _, text := range m {
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
