package staff

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
	//go:embed pages.html staff.css words.json
	files     embed.FS
	pages     = sync.OnceValue(func() *template.Template { return template.Must(template.ParseFS(files, "pages.html")) })
	words     = sync.OnceValue(readWords)
	languages = []language.Tag{language.English, language.French}
	matcher   = language.NewMatcher(languages)
)

// readWords returns everything that the page says, in English and in French. It is in no
// catalogue of Parvis, about which this program knows nothing.
func readWords() (all map[string][2]string) {
	text, err := files.ReadFile("words.json")
	if err := errors.Join(err, json.Unmarshal(text, &all)); err != nil {
		panic(err) // it is part of the program
	}
	return all
}

// view is what the template gets.
type view struct {
	*server
	People   []*employee
	Deeds    []deed
	Okta     bool
	Typed    *Person // what a form said that was refused
	Field    string  // the field that was wrong; empty for the whole form
	Problem  string  // a word
	Language language.Tag
	column   int // of words
}

// T returns a word in the language of the page.
func (v view) T(key string) (string, error) {
	word, ok := words()[key]
	if !ok {
		return "", fmt.Errorf("there is no word %s", key)
	}
	return word[v.column], nil
}

// Form is what the form of one person shows.
type Form struct {
	Person
	Field, Problem string // empty unless the form was refused
}

// Form returns the form of a person, with what was typed if that was refused.
func (v view) Form(p *employee) Form {
	if v.Typed != nil && v.Typed.ID == p.ID {
		return Form{*v.Typed, v.Field, v.Problem}
	}
	return Form{Person: p.Person}
}

func column(r *http.Request) int {
	_, at := language.MatchStrings(matcher, r.Header.Get("Accept-Language"))
	return at
}

func languageOf(r *http.Request) string { return languages[column(r)].String() }

// render shows the page. The caller holds the lock.
func (s *server) render(w http.ResponseWriter, r *http.Request, status int, v view) {
	v.server, v.People, v.Deeds, v.Okta, v.column = s, s.people, s.deeds, s.okta, column(r)
	v.Language = languages[v.column]
	var b bytes.Buffer
	if err := pages().ExecuteTemplate(&b, "pages.html", v); err != nil {
		s.Log.ErrorContext(r.Context(), "page not rendered", "error", err.Error())
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'; form-action 'self'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	b.WriteTo(w) //nolint:errcheck // The reader has gone.
}

// refuse shows the page with what was wrong. The caller holds the lock.
func (s *server) refuse(w http.ResponseWriter, r *http.Request, v view, err error) {
	s.Log.WarnContext(r.Context(), "the directory refused a form", "error", err.Error())
	s.render(w, r, http.StatusUnprocessableEntity, v)
}
