package idptest

import (
	"fmt"
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

// Says wants the sentence of a catalogue key in the page's own language. The pairs of name and
// value fill its placeholders, as those of i18n.Localizer.Text do.
func Says(key string, pairs ...any) Check {
	return func(p *Page) string {
		if text, wrong := p.sentence(key, pairs); wrong != "" {
			return wrong
		} else if !p.Says(text) {
			return fmt.Sprintf("does not say %s: %q", key, text)
		}
		return ""
	}
}

// SaysNot wants the sentence of a catalogue key to be absent.
func SaysNot(key string, pairs ...any) Check {
	return func(p *Page) string {
		if text, wrong := p.sentence(key, pairs); wrong != "" {
			return wrong
		} else if p.Says(text) {
			return fmt.Sprintf("says %s: %q", key, text)
		}
		return ""
	}
}

// sentence returns a catalogue's sentence with single spaces, as Page.Text has them. wrong
// names a key or placeholder that has no text.
func (p *Page) sentence(key string, pairs []any) (text, wrong string) {
	catalogue, err := i18n.Load()
	if err != nil {
		return "", err.Error()
	}
	text = strings.Join(strings.Fields(catalogue.In(i18n.Tag(p.Lang())).Text(key, pairs...)), " ")
	if text == "["+key+"]" {
		return "", fmt.Sprintf("the catalogue has no key %s", key)
	}
	return text, ""
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
