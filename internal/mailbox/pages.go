package mailbox

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"html/template"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

var (
	//go:embed pages.html
	pagesHTML string
	//go:embed mailbox.css
	styles []byte

	pages = sync.OnceValue(func() *template.Template { return template.Must(template.New("").Parse(pagesHTML)) })
)

const (
	pagePolicy = "default-src 'none'; style-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	// letterPolicy shows a letter as a careful mail program does: no script, no picture
	// but those that came with it, nothing from elsewhere; a link opens in place of the mailbox.
	letterPolicy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'self'; sandbox allow-top-navigation-by-user-activation"
)

// Handler shows the letters as pages, for the demo. They are in English only:
// this is a developer's tool.
func (m *Mailbox) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", m.showList)
	mux.HandleFunc("GET /letters/{id}", m.showLetter)
	mux.HandleFunc("GET /letters/{id}/html", m.showHTML)
	mux.HandleFunc("GET /mailbox.css", func(w http.ResponseWriter, _ *http.Request) {
		send(w, "text/css; charset=utf-8", pagePolicy, styles)
	})
	return mux
}

func (m *Mailbox) showList(w http.ResponseWriter, _ *http.Request) {
	render(w, "list", m.Letters())
}

func (m *Mailbox) showLetter(w http.ResponseWriter, r *http.Request) {
	if letter, ok := m.byPath(w, r); ok {
		render(w, "letter", letter)
	}
}

func (m *Mailbox) showHTML(w http.ResponseWriter, r *http.Request) {
	letter, ok := m.byPath(w, r)
	if !ok {
		return
	}
	const head, target = "<head>", `<base target="_top">`
	html := strings.Replace(letter.HTML, head, head+target, 1)
	for id, picture := range letter.Inside {
		html = strings.ReplaceAll(html, `src="cid:`+id+`"`, `src="data:image/png;base64,`+base64.StdEncoding.EncodeToString(picture)+`"`)
	}
	send(w, "text/html; charset=utf-8", letterPolicy, []byte(html))
}

func (m *Mailbox) byPath(w http.ResponseWriter, r *http.Request) (Received, bool) {
	id, err := strconv.Atoi(r.PathValue("id"))
	letter, ok := m.Letter(id)
	if err != nil || !ok {
		http.NotFound(w, r)
		return Received{}, false
	}
	return letter, true
}

func render(w http.ResponseWriter, name string, data any) {
	var b bytes.Buffer
	if err := pages().ExecuteTemplate(&b, name, data); err != nil {
		slog.Error("mailbox page not rendered", "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	send(w, "text/html; charset=utf-8", pagePolicy, b.Bytes())
}

func send(w http.ResponseWriter, contentType, policy string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // a letter's page holds links that open accounts
	h.Set("Cache-Control", "no-store")
	w.Write(body) //nolint:errcheck // The reader has gone.
}
