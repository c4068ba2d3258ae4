package idptest

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"parvis/internal/i18n"
)

// Check is one fact about a page. It returns what is wrong, or nothing.
type Check func(*Page) string

// Want checks each fact on its own, so that a failure names the fact that is not true. It ends
// the test, with the text of the page, if any is not.
func Want(t testing.TB, p *Page, checks ...Check) *Page {
	t.Helper()
	failed := false
	for _, check := range checks {
		if wrong := check(p); wrong != "" {
			failed = true
			t.Errorf("%s: %s", p.URL, wrong)
		}
	}
	if failed {
		t.Fatalf("%s (%d) reads: %s", p.URL, p.Status, p.Text())
	}
	return p
}

// Status wants this status code.
func Status(code int) Check {
	return func(p *Page) string {
		if p.Status != code {
			return fmt.Sprintf("status %d, want %d", p.Status, code)
		}
		return ""
	}
}

// Path wants the redirects to end at this path.
func Path(path string) Check {
	return func(p *Page) string {
		if p.URL.Path != path {
			return fmt.Sprintf("path %s, want %s", p.URL.Path, path)
		}
		return ""
	}
}

// URI wants the redirects to end at this path and query.
func URI(uri string) Check {
	return func(p *Page) string {
		if p.URL.RequestURI() != uri {
			return fmt.Sprintf("address %s, want %s", p.URL.RequestURI(), uri)
		}
		return ""
	}
}

// PathBegins wants the redirects to end at a path that begins so.
func PathBegins(prefix string) Check {
	return func(p *Page) string {
		if !strings.HasPrefix(p.URL.Path, prefix) {
			return fmt.Sprintf("path %s, want %s…", p.URL.Path, prefix)
		}
		return ""
	}
}

// Header wants a header of the answer to have this value.
func Header(name, value string) Check {
	return func(p *Page) string {
		if got := p.Header.Get(name); got != value {
			return fmt.Sprintf("header %s is %q, want %q", name, got, value)
		}
		return ""
	}
}

// Lang wants the page to declare this language.
func Lang(tag string) Check {
	return func(p *Page) string {
		if p.Lang() != tag {
			return fmt.Sprintf("language %s, want %s", p.Lang(), tag)
		}
		return ""
	}
}

// Says wants the sentence of a catalogue key in the page's own language. The pairs of name and
// value fill its placeholders, as those of i18n.Localizer.Text do.
func Says(key string, pairs ...any) Check {
	return func(p *Page) string {
		if text, err := sentence(p.Lang(), key, pairs); err != nil {
			return err.Error()
		} else if !p.Says(text) {
			return fmt.Sprintf("does not say %s: %q", key, text)
		}
		return ""
	}
}

// SaysNot wants the sentence of a catalogue key to be absent, whatever the values of the
// placeholders that pairs leave out.
func SaysNot(key string, pairs ...any) Check {
	return func(p *Page) string {
		pattern, err := pattern(p.Lang(), key, pairs)
		if err != nil {
			return err.Error()
		}
		if found := pattern.FindString(p.Text()); found != "" {
			return fmt.Sprintf("says %s: %q", key, found)
		}
		return ""
	}
}

// Sentence returns the English sentence of a catalogue key, for what is no page: a letter, an
// event, the output of a command. A test fails that names a key or leaves out a value that
// the catalogue does not have.
func Sentence(t testing.TB, key string, pairs ...any) string {
	t.Helper()
	return SentenceIn(t, "en", key, pairs...)
}

// SentenceIn returns the sentence of a catalogue key in another language.
func SentenceIn(t testing.TB, language i18n.Tag, key string, pairs ...any) string {
	t.Helper()
	text, err := sentence(string(language), key, pairs)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Contains reports whether a text has the English sentence of a catalogue key in it, whatever
// the values of the placeholders that pairs leave out: for letters that are told apart by what
// they are about. A test fails that names a key that the catalogue does not have.
func Contains(t testing.TB, text, key string, pairs ...any) bool {
	t.Helper()
	pattern, err := pattern("en", key, pairs)
	if err != nil {
		t.Fatal(err)
	}
	return pattern.MatchString(strings.Join(strings.Fields(text), " "))
}

// pattern matches a catalogue's sentence with any values of the placeholders that pairs leave
// out.
func pattern(lang, key string, pairs []any) (*regexp.Regexp, error) {
	text, err := sentence(lang, key, pairs)
	if err != nil && !errors.Is(err, errUnfilled) {
		return nil, err
	}
	var parts []string
	for _, part := range unfilled.Split(text, -1) {
		parts = append(parts, regexp.QuoteMeta(part))
	}
	return regexp.Compile(strings.Join(parts, ".+?"))
}

var (
	unfilled    = regexp.MustCompile(`\[[A-Z][A-Za-z]*\]`) // as i18n writes a placeholder without a value
	errUnfilled = errors.New("has a placeholder without a value")
)

// sentence returns a catalogue's sentence with single spaces, as Page.Text has them.
func sentence(lang, key string, pairs []any) (string, error) {
	catalogue, err := i18n.Load()
	if err != nil {
		return "", err
	}
	text := strings.Join(strings.Fields(catalogue.In(i18n.Tag(lang)).Text(key, pairs...)), " ")
	switch {
	case text == "["+key+"]":
		return "", fmt.Errorf("the catalogue has no key %s", key)
	case unfilled.MatchString(text):
		return text, fmt.Errorf("%s %w: %q", key, errUnfilled, text)
	}
	return text, nil
}

// Source wants a text in the page's source, where a person need not see it.
func Source(text string) Check { return source(text, true) }

// SourceNot wants a text to be absent from the page's source too.
func SourceNot(text string) Check { return source(text, false) }

func source(text string, want bool) Check {
	return func(p *Page) string {
		if found := strings.Contains(p.Body, text); found != want {
			return fmt.Sprintf("has %q in its source: %t, want %t", text, found, want)
		}
		return ""
	}
}

// Shows wants a text that stands in no catalogue, such as a person's name.
func Shows(text string) Check {
	return func(p *Page) string {
		if !p.Says(text) {
			return fmt.Sprintf("does not show %q", text)
		}
		return ""
	}
}

// ShowsNot wants a text to be absent from what a person reads.
func ShowsNot(text string) Check {
	return func(p *Page) string {
		if p.Says(text) {
			return fmt.Sprintf("shows %q", text)
		}
		return ""
	}
}

// Input wants the input, select or textarea of this name to hold this value.
func Input(name, value string) Check {
	return func(p *Page) string {
		field := p.find(func(n *html.Node) bool {
			return (n.Data == "input" || n.Data == "select" || n.Data == "textarea") && attribute(n, "name") == name
		})
		if field == nil {
			return fmt.Sprintf("has no field [name=%s]", name)
		}
		holds := attribute(field, "value")
		switch field.Data {
		case "textarea":
			holds = ""
			if field.FirstChild != nil {
				holds = field.FirstChild.Data
			}
		case "select":
			first := true
			for o := range field.Descendants() {
				if o.Data == "option" && (first || has(o, "selected")) {
					holds, first = attribute(o, "value"), false
				}
			}
		}
		if holds != value {
			return fmt.Sprintf("%s[name=%s] holds %q, want %q", field.Data, name, holds, value)
		}
		return ""
	}
}

// Field wants a field of this name, whatever it holds.
func Field(name string) Check { return field(name, true) }

// NoField wants no field of this name.
func NoField(name string) Check { return field(name, false) }

func field(name string, want bool) Check {
	return func(p *Page) string {
		found := p.find(func(n *html.Node) bool {
			return (n.Data == "input" || n.Data == "select" || n.Data == "textarea" || n.Data == "button") && attribute(n, "name") == name
		}) != nil
		if found != want {
			return fmt.Sprintf("has [name=%s]: %t, want %t", name, found, want)
		}
		return ""
	}
}

// Link wants a link to exactly this address.
func Link(href string) Check { return link(href, true) }

// NoLink wants no link to this address.
func NoLink(href string) Check { return link(href, false) }

func link(href string, want bool) Check {
	return func(p *Page) string {
		if found := p.Has("a", "href", href); found != want {
			return fmt.Sprintf("has a[href=%s]: %t, want %t, among %v", href, found, want, p.Links())
		}
		return ""
	}
}

// LinkWith wants a link whose address has this text in it.
func LinkWith(text string) Check { return linkWith(text, true) }

// NoLinkWith wants no link whose address has this text in it.
func NoLinkWith(text string) Check { return linkWith(text, false) }

func linkWith(text string, want bool) Check {
	return func(p *Page) string {
		has := func(href string) bool { return strings.Contains(href, text) }
		if found := slices.ContainsFunc(p.Links(), has); found != want {
			return fmt.Sprintf("has a[href*=%s]: %t, want %t, among %v", text, found, want, p.Links())
		}
		return ""
	}
}

// Element wants an element with an attribute of this value.
func Element(tag, name, value string) Check { return element(tag, name, value, true) }

// NoElement wants no element with an attribute of this value.
func NoElement(tag, name, value string) Check { return element(tag, name, value, false) }

func element(tag, name, value string, want bool) Check {
	return func(p *Page) string {
		if found := p.Has(tag, name, value); found != want {
			return fmt.Sprintf("has %s[%s=%s]: %t, want %t", tag, name, value, found, want)
		}
		return ""
	}
}
