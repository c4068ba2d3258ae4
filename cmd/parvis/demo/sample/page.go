package sample

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
	//go:embed pages.html sample.css words.json
	files     embed.FS
	pages     = sync.OnceValue(func() *template.Template { return template.Must(template.ParseFS(files, "pages.html")) })
	words     = sync.OnceValue(readWords)
	languages = []language.Tag{language.English, language.French}
	matcher   = language.NewMatcher(languages)
)

// readWords returns everything that the pages say, in English and in French. It is in no
// catalogue of Parvis, about which this application knows nothing.
func readWords() (all map[string][2]string) {
	text, err := files.ReadFile("words.json")
	if err := errors.Join(err, json.Unmarshal(text, &all)); err != nil {
		panic(err) // it is part of the program
	}
	return all
}

// view is what a template gets.
type view struct {
	*application
	Page, Title string // a template, a word
	Path        string
	Places      []place
	Notice      string // a word, or nothing
	Session     *session
	Problem     *refusal
	Again       string // where a new sign-in begins
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

func (a *application) render(w http.ResponseWriter, r *http.Request, status int, v view) {
	v.application, v.Path, v.Places = a, r.URL.Path, places
	wishes := []string{r.Header.Get("Accept-Language")}
	if v.Session != nil {
		wishes = []string{v.Session.Locale, wishes[0]}
	}
	_, v.column = language.MatchStrings(matcher, wishes...)
	v.Language = languages[v.column]
	var b bytes.Buffer
	if err := pages().ExecuteTemplate(&b, v.Page, v); err != nil {
		a.Log.ErrorContext(r.Context(), "page not rendered", "page", v.Page, "error", err.Error())
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	b.WriteTo(w) //nolint:errcheck // The reader has gone.
}
