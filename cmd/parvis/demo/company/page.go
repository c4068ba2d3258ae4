package company

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"sync"

	"golang.org/x/text/language"
)

var (
	//go:embed pages.html company.css words.json
	files     embed.FS
	pages     = sync.OnceValue(func() *template.Template { return template.Must(template.ParseFS(files, "pages.html")) })
	words     = sync.OnceValue(readWords)
	languages = []language.Tag{language.English, language.French}
	matcher   = language.NewMatcher(languages)
)

// readWords returns everything that the pages say, in English and in French. It is in no
// catalogue of Parvis, about which this server knows nothing.
func readWords() (all map[string][2]string) {
	text, err := files.ReadFile("words.json")
	if err := errors.Join(err, json.Unmarshal(text, &all)); err != nil {
		panic(err) // it is part of the program
	}
	return all
}

// view is what a template gets.
type view struct {
	*server
	Page, Title string // a template, a word
	Person      *Person
	Next        string // where a choice leads
	Hint        string // the address that the request names
	Problem     string // a word
	Language    language.Tag
	column      int // of words
}

// T returns a word in the language of the page.
func (v view) T(key string) (string, error) {
	word, ok := words()[key]
	if !ok {
		return "", fmt.Errorf("there is no word %s", key)
	}
	return word[v.column], nil
}

func (s *server) render(w http.ResponseWriter, r *http.Request, status int, v view) {
	v.server = s
	_, v.column = language.MatchStrings(matcher, r.Header.Get("Accept-Language"))
	v.Language = languages[v.column]
	var b bytes.Buffer
	if err := pages().ExecuteTemplate(&b, v.Page, v); err != nil {
		s.Log.ErrorContext(r.Context(), "page not rendered", "page", v.Page, "error", err.Error())
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	// Browsers also apply form-action to where a form is redirected.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self' "+s.Trusted)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	b.WriteTo(w) //nolint:errcheck // The reader has gone.
}

// refuse shows what went wrong.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, status int, problem string, err error) {
	s.Log.WarnContext(r.Context(), "the company refused a request", "error", err.Error())
	s.render(w, r, status, view{Page: "problem", Title: "problem", Problem: problem})
}
