package op

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"parvis/internal/application"
	"parvis/internal/fault"
	"parvis/internal/page"
)

// mismatchPage tells a developer what is wrong.
type mismatchPage struct{ *Mismatch }

// Sentence says what it is.
func (m mismatchPage) Sentence(f page.Frame) string {
	var pairs []any
	for name, value := range m.Args {
		pairs = append(pairs, name, value)
	}
	return f.T(m.Key, pairs...)
}

// Sent is the address that was sent, where it is what is wrong.
func (m mismatchPage) Sent() any { return m.Args["Sent"] }

// answerBad answers a request that was not understood: to the application where its
// address is known, else by a page, and never by a redirect.
func (p *Provider) answerBad(v *page.Visitor, err error) error {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return p.respond(v, r.request, r.told, "", true)
	}
	m, ok := errors.AsType[*Mismatch](err)
	if !ok {
		return err
	}
	v.Status(fault.Malformed)
	return v.Render("op-mismatch", mismatchPage{m})
}

// formPost is the response mode in which the browser posts the answer to the application
// (OAuth 2.0 Form Post Response Mode §2).
const formPost = "form_post"

// postable reports whether a form can go to an address: not to an app's own scheme.
func postable(address string) bool {
	return strings.HasPrefix(address, "https://") || strings.HasPrefix(address, "http://")
}

// mostLocation is how many bytes the address of a redirect may have. Proxies may refuse or
// cut longer headers, so a page leads to longer addresses.
const mostLocation = 2 << 10

// respond answers the application: with a code, or with what was wrong. The answer says
// who gives it (RFC 9207 §2) and gives the state back. A redirect may leave our origin
// only where the browser came with a GET; else a page leads on (decision 0003).
func (p *Provider) respond(v *page.Visitor, r Request, e *Error, code string, direct bool) error {
	answer := url.Values{"iss": {p.Base}}
	if e != nil {
		answer.Set("error", string(e.Code))
		answer.Set("error_description", e.Description)
	} else {
		answer.Set("code", code)
	}
	if r.State != "" {
		answer.Set("state", r.State)
	}
	to := withQuery(r.RedirectURI, answer)
	if direct && r.Mode != formPost && len(to) <= mostLocation {
		http.Redirect(v.W, v.R, to, http.StatusSeeOther)
		return nil
	}
	c, err := application.Registered(v.R.Context(), p.DB, string(r.ClientID))
	if err != nil {
		return err
	}
	title := c.Title(v.Language())
	if r.Mode == formPost {
		return v.PostOut(page.Posted{To: title, Address: r.RedirectURI, Fields: answer})
	}
	v.NoForm()
	return v.Render("op-going", leadingTo(title, to))
}

// onward leads to one of our pages with the parameters that an application sent.
func onward(v *page.Visitor, path string) error {
	if len(path) > mostLocation {
		return v.GoTo("Parvis", path)
	}
	return v.Redirect(path)
}

// goingPage leads on to an application.
type goingPage struct {
	Title   string
	Address template.URL //nolint:forbidigo // See leadingTo.
}

// leadingTo leads to an address that was checked when it was registered (op/redirect) and
// that the caller has compared byte for byte. It may have an app's own scheme, which
// templates refuse unless it is marked as a URL.
func leadingTo(title, address string) goingPage {
	return goingPage{title, template.URL(address)} //nolint:forbidigo // See above.
}

// withQuery adds to an address, leaving what was registered as it is, byte for byte.
func withQuery(address string, more url.Values) string {
	if strings.Contains(address, "?") {
		return address + "&" + more.Encode()
	}
	return address + "?" + more.Encode()
}
