package edge

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"parvis/internal/audit"
)

// BrowserCookie is the name of the cookie with the browser's token, without the prefix that
// secure cookies carry. The names of all others begin with it.
const BrowserCookie = "parvis"

// Request is one request, by anybody.
type Request struct {
	W http.ResponseWriter
	R *http.Request

	edge      *Edge
	reference string         // that log and answer share
	cookies   []*http.Cookie // that came, once they were asked for
}

// Request returns the Request for a handler.
func (e *Edge) Request(w http.ResponseWriter, r *http.Request) *Request {
	return &Request{W: w, R: r, edge: e, reference: audit.OriginOf(r.Context()).Request}
}

// Serve makes a handler of one that may fail.
func (e *Edge) Serve(h func(*Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(e.Request(w, r)); err != nil {
			e.Fail(w, r, err)
		}
	})
}

// Ahead reports whether no person made this request: a browser loads the page in advance, or
// asks only for headers.
func (q *Request) Ahead() bool {
	h := q.R.Header
	return q.R.Method == http.MethodHead || h.Get("Sec-Purpose") != "" || h.Get("Purpose") == "prefetch"
}

func (q *Request) cookieName(name string) string {
	if q.edge.Secure() {
		return "__Host-" + name
	}
	return name
}

// Cookie returns the value of a cookie, the first where several of that name came.
func (q *Request) Cookie(name string) string {
	if q.cookies == nil {
		q.cookies = q.R.Cookies()
	}
	name = q.cookieName(name)
	for _, c := range q.cookies {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (q *Request) SetCookie(name, value string, age time.Duration) {
	http.SetCookie(q.W, &http.Cookie{
		Name: q.cookieName(name), Value: value, Path: "/", MaxAge: int(age.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: q.edge.Secure(),
	})
}

func (q *Request) ClearCookie(name string) { q.SetCookie(name, "", -time.Second) }

// Redirect leads to another page of ours. An address that is written plainly is sent as it is,
// without the parsing of http.Redirect and without its body, which no browser shows.
func (q *Request) Redirect(to string, status int) {
	if !plainPath(to) {
		http.Redirect(q.W, q.R, to, status)
		return
	}
	q.W.Header()["Location"] = []string{to}
	q.W.WriteHeader(status)
}

// plainPath reports whether http.Redirect would send an address as it is: a path from the root, of
// ASCII, in which nothing is to be cleaned.
func plainPath(to string) bool {
	if to == "" || to[0] != '/' {
		return false
	}
	path, _, _ := strings.Cut(to, "?")
	for i := range len(to) {
		if to[i] <= ' ' || to[i] >= 0x7f {
			return false
		}
	}
	return !strings.Contains(path, "//") && !strings.Contains(path, "/.")
}

// LocalPath returns the path of an address on our own origin, or the front page for anything
// that a browser might read as leading elsewhere (WEB-3).
func LocalPath(p string) string {
	u, err := url.Parse(p)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(p, "/") {
		return "/"
	}
	// The decoded path is checked too: writing it again may decode what was typed.
	for _, form := range []string{p, u.Path} {
		if strings.HasPrefix(form, "//") || strings.ContainsAny(form, "\\\t\r\n\x00") {
			return "/"
		}
	}
	return (&url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}).String()
}

// PersonActs reports whether somebody opened a page or sent a form, as opposed to what a
// browser fetches by itself (R-SES-03). A browser that does not say is taken to be used by a
// person.
func (q *Request) PersonActs() bool {
	h := q.R.Header
	if h.Get("Sec-Purpose") != "" || h.Get("Purpose") == "prefetch" {
		return false
	}
	mode := h.Get("Sec-Fetch-Mode")
	return mode == "" || mode == "navigate"
}

// Here returns the address of this page, encoded so that no byte of it surprises a database or
// a browser.
func (q *Request) Here() string {
	at := q.R.URL.EscapedPath()
	if q := q.R.URL.Query().Encode(); q != "" {
		at += "?" + q
	}
	return at
}

// Reference returns the reference that the log, the error page and the explanation of this
// request share.
func (q *Request) Reference() string { return q.reference }
