package ask

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"

	"parvis/internal/fault"
	"parvis/internal/op"
	"parvis/internal/page"
)

// mismatchPage shows an op.Mismatch to a developer.
type mismatchPage struct{ *op.Mismatch }

// Sentence returns what is wrong, in the page's language.
func (m mismatchPage) Sentence(f page.Frame) string {
	var pairs []any
	for name, value := range m.Args {
		pairs = append(pairs, name, value)
	}
	return f.T(m.Key, pairs...)
}

// Sent returns the address that was sent, if it is what is wrong.
func (m mismatchPage) Sent() any { return m.Args["Sent"] }

// answerBad answers a request that could not be parsed: to the application if its address is
// known to be the application's, and otherwise by a page, never by a redirect.
func (p *Pages) answerBad(v *page.Visitor, err error) error {
	if r, ok := errors.AsType[*op.Refusal](err); ok {
		return p.respond(v, r.Pending, r.Told, "")
	}
	m, ok := errors.AsType[*op.Mismatch](err)
	if !ok {
		return err
	}
	v.Status(fault.Malformed)
	return v.Render("op-mismatch", mismatchPage{m})
}

// mostLocation is how many bytes the address of a redirect may have. Proxies may refuse or
// cut longer headers, so a page leads to longer addresses.
const mostLocation = 2 << 10

// respond answers the application with a code or an error, beside our issuer (RFC 9207 §2)
// and its own state. A redirect may leave our origin only if the browser has come straight
// from the application; after a form of ours a page leads on (decision 0003).
func (p *Pages) respond(v *page.Visitor, q op.Pending, e *op.Error, code string) error {
	answer := url.Values{"iss": {p.Base}}
	if e != nil {
		answer.Set("error", string(e.Code))
		answer.Set("error_description", e.Description)
	} else {
		answer.Set("code", code)
	}
	if q.State != "" {
		answer.Set("state", q.State)
	}
	to := op.WithQuery(q.RedirectURI, answer)
	if q.ID == "" && q.Mode != op.FormPost && len(to) <= mostLocation {
		http.Redirect(v.W, v.R, to, http.StatusSeeOther)
		return nil
	}
	title := q.Client.Title(v.Language())
	if q.Mode == op.FormPost {
		return v.PostOut(page.Posted{To: title, Address: q.RedirectURI, Fields: answer})
	}
	v.NoForm()
	return v.Render("op-going", leadingTo(title, to))
}

// onward leads to one of our own pages with the parameters that an application sent.
func onward(v *page.Visitor, path string) error {
	if len(path) > mostLocation {
		return v.GoTo("Parvis", path)
	}
	return v.Redirect(path)
}

// goingPage is the data of a page that leads on to an application.
type goingPage struct {
	Title   string
	Address template.URL //nolint:forbidigo // See leadingTo.
}

// leadingTo leads to an address that was checked when it was registered (application/redirect)
// and that the caller has compared byte for byte. It may have an app's own scheme, which
// templates refuse unless it is marked as a URL.
func leadingTo(title, address string) goingPage {
	return goingPage{title, template.URL(address)} //nolint:forbidigo // See above.
}
