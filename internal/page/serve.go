package page

import (
	"errors"
	"net/http"
	"net/url"
)

func (s *Site) visitor(w http.ResponseWriter, r *http.Request) *Visitor {
	v := &Visitor{Request: s.Edge.Request(w, r), Form: &Form{values: url.Values{}}, site: s, status: http.StatusOK}
	chosen, _ := s.Catalogue.Known(v.Cookie(languageCookie))
	v.lang = s.Catalogue.In(s.Catalogue.Match(chosen, r.Header.Get("Accept-Language")))
	return v
}

func (s *Site) serve(h func(*Visitor) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := s.visitor(w, r)
		if err := h(v); err != nil {
			v.fail(err)
		}
	})
}

// problem is what the error page shows.
type problem struct {
	Title, Sentence, Reference, Next string
}

// fail answers an error with a page. It shows the sentence of a fault, and no text of any other
// error.
func (v *Visitor) fail(err error) {
	if to, moved := errors.AsType[movedTo](err); moved {
		v.Request.Redirect(string(to), http.StatusTemporaryRedirect)
		return
	}
	a := v.Answer(err)
	key, pairs := "page.broken", []any(nil)
	switch {
	case a.Status == 0:
		return
	case a.Fault != nil:
		key = a.Fault.Key
		for name, value := range a.Fault.Args {
			pairs = append(pairs, name, value)
		}
		if a.Fault.RetryAfter > 0 {
			pairs = append(pairs, "Wait", v.lang.Duration(a.Fault.RetryAfter))
		}
	case a.Status == http.StatusServiceUnavailable:
		key = "page.unavailable"
	}
	v.status = a.Status
	next := "/"
	if v.viewer != nil {
		next = v.viewer.Path("home")
		v.viewer.Company = v.viewer.Company && a.Status < 500 // the cause of the error may break the switcher too
	}
	v.noForm = true
	if err := v.Render("problem", problem{
		Title: v.Text("page.problem_title"), Sentence: v.Text(key, pairs...), Reference: v.Reference(), Next: next,
	}); err != nil {
		v.site.Log.ErrorContext(v.R.Context(), "rendering the problem page", "reference", v.Reference(), "error", err.Error())
		http.Error(v.W, v.Reference(), http.StatusInternalServerError)
	}
}
