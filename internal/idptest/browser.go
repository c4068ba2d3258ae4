package idptest

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"
)

// Browser keeps cookies, follows redirects, says where its requests come from as real ones do,
// and reads pages.
type Browser struct {
	t      testing.TB
	server *Server
	Client *http.Client
	Header http.Header // sent with every request
}

// Browser starts an empty browser.
func (s *Server) Browser(t testing.TB) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{t: t, server: s, Client: &http.Client{Transport: s.http.Client().Transport, Jar: jar}, Header: http.Header{}}
}

// Copy returns another browser with the same cookies at this moment, such as a thief's.
func (b *Browser) Copy() *Browser {
	c := b.server.Browser(b.t)
	u := b.parse("/")
	c.Client.Jar.SetCookies(u, b.Client.Jar.Cookies(u))
	return c
}

// Cookie returns the value of a cookie, or empty.
func (b *Browser) Cookie(name string) string {
	for _, c := range b.Client.Jar.Cookies(b.parse("/")) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// SetCookie plants a cookie.
func (b *Browser) SetCookie(name, value string) {
	b.Client.Jar.SetCookies(b.parse("/"), []*http.Cookie{{Name: name, Value: value, Path: "/", Secure: true}})
}

func (b *Browser) parse(path string) *url.URL {
	u, err := url.Parse(b.server.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	ref, err := url.Parse(path)
	if err != nil {
		b.t.Fatal(err)
	}
	return u.ResolveReference(ref)
}

// Get opens a page of the server.
func (b *Browser) Get(path string) *Page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.parse(path).String(), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.Do(r)
}

// Post sends a form to a path, from a page of the server.
func (b *Browser) Post(path string, values url.Values) *Page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.parse(path).String(), strings.NewReader(values.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.send(r)
}

// CrossPost sends a form from another site's page: without our cookies, which are Lax, but with
// those that its answer sets.
func (b *Browser) CrossPost(path string, values url.Values) *Page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.parse(path).String(), strings.NewReader(values.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	stranger := Browser{Client: &http.Client{Transport: b.Client.Transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}, t: b.t, Header: b.Header, server: b.server}
	p := stranger.Do(r)
	b.Client.Jar.SetCookies(r.URL, (&http.Response{Header: p.Header}).Cookies())
	if to := p.Header.Get("Location"); to != "" {
		return b.Get(to)
	}
	p.b = b
	return p
}

// send sends a form as a page of the server does.
func (b *Browser) send(r *http.Request) *Page {
	b.t.Helper()
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	return b.Do(r)
}

// Upload sends a form with a file in the field of that name.
func (b *Browser) Upload(path, field string, file []byte, values url.Values) *Page {
	b.t.Helper()
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	for name, all := range values {
		for _, value := range all {
			if err := parts.WriteField(name, value); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	part, err := parts.CreateFormFile(field, "picture.png")
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := part.Write(file); err != nil {
		b.t.Fatal(err)
	}
	if err := parts.Close(); err != nil {
		b.t.Fatal(err)
	}
	return b.PostBody(path, parts.FormDataContentType(), body.Bytes())
}

// PostBody sends any body to a path as if a form of the server contained it.
func (b *Browser) PostBody(path, media string, body []byte) *Page {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.parse(path).String(), bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", media)
	return b.send(r)
}

// Do sends any request and reads the page at the end of its redirects.
func (b *Browser) Do(r *http.Request) *Page {
	b.t.Helper()
	for name, values := range b.Header {
		r.Header[name] = values
	}
	answer, err := b.Client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	p := &Page{b: b, Status: answer.StatusCode, Header: answer.Header, URL: answer.Request.URL, Body: string(body)}
	p.doc = sync.OnceValue(p.parsed)
	keepPage(b.t, p)
	return p
}

// Page is what a browser shows.
type Page struct {
	Status int
	Header http.Header
	URL    *url.URL
	Body   string

	b   *Browser
	doc func() *html.Node // Reading HTML takes longer than answering, and often only the status is asked for.
}

// Text returns what a person reads, with single spaces.
func (p *Page) Text() string {
	var b strings.Builder
	for n := range p.doc().Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "script" && n.Parent.Data != "style" {
			b.WriteString(n.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// Says reports whether a person reads this text.
func (p *Page) Says(text string) bool { return strings.Contains(p.Text(), text) }

// Lang returns the language that the page declares.
func (p *Page) Lang() string {
	for n := range p.doc().Descendants() {
		if n.Type == html.ElementNode && n.Data == "html" {
			return attribute(n, "lang")
		}
	}
	return ""
}

// Has reports whether the page has an element with an attribute of that value.
func (p *Page) Has(element, name, value string) bool {
	return p.find(func(n *html.Node) bool { return n.Data == element && attribute(n, name) == value }) != nil
}

// Links returns the addresses that the page links to.
func (p *Page) Links() []string {
	var all []string
	for n := range p.doc().Descendants() {
		if n.Data == "a" {
			all = append(all, attribute(n, "href"))
		}
	}
	return all
}

func (p *Page) find(is func(*html.Node) bool) *html.Node {
	for n := range p.doc().Descendants() {
		if n.Type == html.ElementNode && is(n) {
			return n
		}
	}
	return nil
}

// Form returns the form with that id, or the one whose action ends with it, filled in as the
// page filled it in.
func (p *Page) Form(id string) *Form {
	p.b.t.Helper()
	form := p.find(func(n *html.Node) bool {
		return n.Data == "form" && (attribute(n, "id") == id || strings.HasSuffix(attribute(n, "action"), "/"+id))
	})
	if form == nil {
		p.b.t.Fatalf("%s (%d) has no form %q: %s", p.URL, p.Status, id, p.Text())
	}
	f := &Form{page: p, action: attribute(form, "action"), Values: url.Values{}, multipart: attribute(form, "enctype") == "multipart/form-data"}
	for n := range p.doc().Descendants() {
		if n.Type == html.ElementNode && (attribute(n, "form") == id || inside(n, form)) {
			f.read(n)
		}
	}
	return f
}

func inside(n, form *html.Node) bool {
	for a := n.Parent; a != nil; a = a.Parent {
		if a == form {
			return true
		}
	}
	return false
}

// Form is a form on a page, being filled in.
type Form struct {
	page   *Page
	action string
	Values url.Values

	multipart bool
	fileField string
	file      []byte
}

func (f *Form) read(n *html.Node) {
	name := attribute(n, "name")
	if name == "" || has(n, "disabled") {
		return
	}
	switch n.Data {
	case "input":
		kind := attribute(n, "type")
		switch {
		case kind == "file":
			f.fileField = name
		case (kind == "checkbox" || kind == "radio") && !has(n, "checked"):
		case strings.HasSuffix(name, "[]"):
			f.Values.Add(name, attribute(n, "value"))
		default:
			f.Values.Set(name, attribute(n, "value"))
		}
	case "textarea":
		if n.FirstChild != nil {
			f.Values.Set(name, n.FirstChild.Data)
		} else {
			f.Values.Set(name, "")
		}
	case "select":
		first, chosen := true, ""
		for o := range n.Descendants() {
			if o.Data == "option" && (first || has(o, "selected")) {
				chosen, first = attribute(o, "value"), false
			}
		}
		if strings.HasSuffix(name, "[]") {
			f.Values.Add(name, chosen)
		} else {
			f.Values.Set(name, chosen)
		}
	}
}

// Fill types into a field that the form has.
func (f *Form) Fill(name, value string) *Form {
	f.page.b.t.Helper()
	if _, ok := f.Values[name]; !ok {
		f.page.b.t.Fatalf("the form on %s has no field %q, only %v", f.page.URL, name, f.Values)
	}
	f.Values.Set(name, value)
	return f
}

// Check ticks a checkbox; of those whose name ends in [] one more.
func (f *Form) Check(name, value string) *Form {
	if strings.HasSuffix(name, "[]") {
		f.Values.Add(name, value)
		return f
	}
	f.Values.Set(name, value)
	return f
}

// Choose picks a file for the form's field that takes one.
func (f *Form) Choose(file []byte) *Form {
	f.page.b.t.Helper()
	if f.fileField == "" || !f.multipart {
		f.page.b.t.Fatalf("the form on %s takes no file", f.page.URL)
	}
	f.file = file
	return f
}

// Submit presses the button with this value of do; empty presses the plain one.
func (f *Form) Submit(do string) *Page {
	f.page.b.t.Helper()
	if do != "" {
		f.Values.Set("do", do)
	}
	if f.multipart {
		return f.page.b.Upload(f.Path(), f.fileField, f.file, f.Values)
	}
	return f.page.b.Post(f.Path(), f.Values)
}

// Lost presses the button, and the answer never arrives: its cookies are dropped, and its
// redirect is not followed. The page can be sent again.
func (f *Form) Lost(do string) *Page {
	f.page.b.t.Helper()
	lost, page := *f, *f.page
	lost.page, page.b = &page, f.page.b.Copy()
	page.b.Client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return lost.Submit(do)
}

// Cut is Lost, except that the answer's cookies arrived before the next click.
func (f *Form) Cut(do string) *Page {
	f.page.b.t.Helper()
	p := f.Lost(do)
	f.page.b.Client.Jar.SetCookies(p.URL, (&http.Response{Header: p.Header}).Cookies())
	return p
}

// Path returns where the form is sent.
func (f *Form) Path() string {
	f.page.b.t.Helper()
	if f.action == "" {
		return f.page.URL.RequestURI()
	}
	ref, err := f.page.URL.Parse(f.action)
	if err != nil {
		f.page.b.t.Fatal(err)
	}
	return ref.RequestURI()
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}
