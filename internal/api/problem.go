package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"parvis/internal/access"
	"parvis/internal/api/form"
	"parvis/internal/application"
	"parvis/internal/fault"
	"parvis/internal/page"
)

// problemMedia is the type of a refusal (RFC 9457).
const problemMedia = "application/problem+json"

// refuse answers a call that is refused, or does nothing if err is nil. A refusal to somebody of
// the organization is recorded (R-LOG-02).
func (x *call) refuse(ctx context.Context, err error) {
	if err == nil {
		return
	}
	if errors.Is(err, access.ErrUnknown) {
		err = errToken
	}
	a := x.Answer(err)
	if a.Status == 0 {
		return // nobody waits for an answer
	}
	if a.Status == http.StatusForbidden && x.Actor.ID != "" {
		if err := x.server.Administration.Refused(ctx, x.Actor, x.R.Pattern); err != nil {
			x.server.edge.Log.ErrorContext(ctx, "recording a refusal", "reference", x.Reference(), "error", err.Error())
		}
	}
	x.challenge(a.Status, err)
	p := form.Problem{Status: a.Status, Title: http.StatusText(a.Status), Code: "api.broken", Reference: x.Reference(), Errors: x.wrongs(err)}
	switch {
	case a.Fault != nil:
		p.Code, p.Detail = a.Fault.Key, x.sentence(a.Fault)
		if id, ok := a.Fault.Args["Object"].(string); ok {
			p.Object = &id
		}
		if len(p.Errors) > 0 {
			p.Code, p.Detail = p.Errors[0].Code, p.Errors[0].Detail
		}
	case a.Status == http.StatusServiceUnavailable:
		p.Code = "api.unavailable"
		p.Detail = x.lang.Text("api.unavailable")
	default:
		p.Detail = x.lang.Text("api.broken")
	}
	p.Type = x.server.Base + "/api/problems/" + p.Code
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // a problem always encodes
	}
	x.W.Header().Set("Content-Type", problemMedia)
	x.W.WriteHeader(a.Status)
	x.W.Write(append(text, '\n')) //nolint:errcheck // The caller is gone, which is no error of ours.
}

// challenge says in a header what a token would have to be (RFC 6750 §3, RFC 9470 §3).
func (x *call) challenge(status int, err error) {
	h := ""
	switch {
	case errors.Is(err, errFresh):
		h = fmt.Sprintf(`Bearer error="insufficient_user_authentication", max_age="%d"`, int(page.ChangeProof/time.Second))
	case errors.Is(err, errProof):
		h = `DPoP error="invalid_dpop_proof"`
	case errors.Is(err, errNoToken):
		h = `Bearer`
	case status == http.StatusUnauthorized:
		h = `Bearer error="invalid_token"`
	case errors.Is(err, errScope):
		h = fmt.Sprintf(`Bearer error="insufficient_scope", scope="%s"`, fault.All(err)[0].Args["Scope"])
	default:
		return
	}
	x.W.Header().Set("WWW-Authenticate", h)
}

// sentence returns what a fault says, in the caller's language.
func (x *call) sentence(f *fault.Error) string {
	pairs := fault.Reason{Args: f.Args}.Pairs()
	if f.RetryAfter > 0 {
		pairs = append(pairs, "Wait", x.lang.Duration(f.RetryAfter))
	}
	text := x.lang.Text(f.Key, pairs...)
	for _, why := range f.Reasons {
		text += " " + x.lang.Text(why.Key, why.Pairs()...)
	}
	return text
}

// wrongs lists every value that is wrong, in the order of their places.
func (x *call) wrongs(err error) []form.Wrong {
	all := []form.Wrong{}
	for _, w := range places(err) {
		all = append(all, form.Wrong{Pointer: w.pointer, Name: w.name, Code: w.why.Key, Detail: x.sentence(w.why)})
	}
	slices.SortStableFunc(all, func(a, b form.Wrong) int {
		return cmp.Or(cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Name, b.Name))
	})
	return all
}

// places lists the faults of an error that are about one value each.
func places(err error) (all []wrong) {
	switch e := err.(type) { //nolint:errorlint // The tree is walked by hand, because every fault in it counts.
	case wrong:
		return []wrong{e}
	case *fault.Error:
		if e.Field != "" {
			return []wrong{{pointer: "/" + renamed(e.Field), why: e}}
		}
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			all = append(all, places(one)...)
		}
	case interface{ Unwrap() error }:
		return places(e.Unwrap())
	}
	return all
}

// placed puts the faults of a form's fields where the API has these, by the names of the fields.
func placed(err error, where map[string]string) error {
	var all []error
	for _, w := range places(err) {
		field, rest, _ := strings.Cut(w.why.Field, "/")
		if at := where[field]; at != "" {
			w.pointer = strings.TrimSuffix(at+"/"+rest, "/")
		}
		all = append(all, w)
	}
	return cmp.Or(errors.Join(all...), err)
}

// renamed returns how the API calls a form's field.
func renamed(field string) string {
	for form, ours := range map[string]string{
		"display_name": "name", "organization": "name", "people_language": "language", "invited_language": "language", "letter_language": "language", "domain": "name", "invitation_lifetime": "invitation_lifetime_seconds",
		"idle": "idle_seconds", "absolute": "absolute_seconds", "reset_lifetime": "reset_lifetime_seconds",
	} {
		if field == form {
			return ours
		}
	}
	for _, t := range application.Table {
		if field == t.Field() {
			return sentAs(t)
		}
	}
	return field
}
