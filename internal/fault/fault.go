// Package fault holds the errors that a person may be shown: a kind, which
// becomes the status code, and a catalogue key, which becomes the sentence.
//
// Any other error is a failure of this program: the HTTP layer logs it once with a
// reference, and the person sees only that reference.
package fault

import (
	"net/http"
	"time"
)

// Kind classifies a fault from the caller's point of view.
type Kind int

// The kinds, each with the status it is answered with.
const (
	Invalid       Kind = iota // 422: a field needs another value
	Malformed                 // 400: no page of ours sends such a request
	Denied                    // 403: this person may not do this
	NotFound                  // 404: it does not exist, or belongs to another organization
	Conflict                  // 409: the state has changed, or does not allow this
	Gone                      // 410: it worked once, and no longer does
	TooLarge                  // 413: more bytes than the endpoint takes
	Throttled                 // 429: too often; RetryAfter says how long to wait
	Unavailable               // 503: not now; RetryAfter says when to try again
	Unproven                  // 401: nothing says who calls, or not lately enough
	Changed                   // 412: the object is no longer as the caller knows it
	Unconditional             // 428: the caller must say as what it knows the object
	MediaType                 // 415: the body is of a kind that is not read here
	Method                    // 405: another method would do something here
	Misdirected               // 421: sent under another name than the public address has
	Unsupported               // 501: a part of a protocol that is not here
)

// Status is the HTTP status code of k.
func (k Kind) Status() int {
	switch k {
	case Invalid:
		return http.StatusUnprocessableEntity
	case Malformed:
		return http.StatusBadRequest
	case Denied:
		return http.StatusForbidden
	case NotFound:
		return http.StatusNotFound
	case Conflict:
		return http.StatusConflict
	case Gone:
		return http.StatusGone
	case TooLarge:
		return http.StatusRequestEntityTooLarge
	case Throttled:
		return http.StatusTooManyRequests
	case Unavailable:
		return http.StatusServiceUnavailable
	case Unproven:
		return http.StatusUnauthorized
	case Changed:
		return http.StatusPreconditionFailed
	case Unconditional:
		return http.StatusPreconditionRequired
	case MediaType:
		return http.StatusUnsupportedMediaType
	case Method:
		return http.StatusMethodNotAllowed
	case Misdirected:
		return http.StatusMisdirectedRequest
	case Unsupported:
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}

// A Reason is one of several things that are wrong at once, such as one broken password
// rule. It is a catalogue key with the values for the sentence's placeholders.
type Reason struct {
	Key  string
	Args map[string]any
}

// Pairs returns the values for the placeholders as pairs of name and value.
func (r Reason) Pairs() []any {
	var pairs []any
	for name, value := range r.Args {
		pairs = append(pairs, name, value)
	}
	return pairs
}

// Error is a fault. Faults are package variables. Compare them with errors.Is, which
// compares only the keys, so that a copy with arguments still matches its original.
type Error struct {
	Kind       Kind
	Key        string         // catalogue key of the sentence
	Field      string         // name of the form field that is wrong; empty if it is not about one field
	Args       map[string]any // values for the placeholders of the sentence
	Reasons    []Reason       // shown as a list after the sentence
	RetryAfter time.Duration  // Throttled and Unavailable only; rounded up to seconds when sent
}

// Choices is the argument of a fault that asks the person to choose between several things.
const Choices = "Choices"

// New makes a fault that is not about a single field.
func New(kind Kind, key string) *Error { return &Error{Kind: kind, Key: key} }

// Field makes an Invalid fault about one form field.
func Field(field, key string) *Error { return &Error{Kind: Invalid, Key: key, Field: field} }

// Error returns a text for logs. People read the catalogue's sentence instead.
func (e *Error) Error() string { return e.Key }

// Is reports whether target has the same key, so that a copy with arguments matches its original.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Key == e.Key
}

// With returns a copy of e with values for the placeholders of its sentence, given as
// pairs of name and value.
func (e *Error) With(pairs ...any) *Error {
	c := *e
	c.Args = make(map[string]any, len(e.Args)+len(pairs)/2)
	for k, v := range e.Args {
		c.Args[k] = v
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		c.Args[pairs[i].(string)] = pairs[i+1]
	}
	return &c
}

// After returns a copy of e that says how long to wait.
func (e *Error) After(d time.Duration) *Error {
	c := *e
	c.RetryAfter = d
	return &c
}

// BelongsToForm reports whether the form should be shown again with e, because another
// value, or the same one a little later, can succeed.
func (e *Error) BelongsToForm() bool {
	return e.Kind == Invalid || e.Kind == Conflict || e.Kind == Throttled || e.Kind == Unavailable
}

// All returns the faults of an error, including joined ones, or none if any part of the
// error is not a fault.
func All(err error) []*Error {
	// The tree is walked here by hand, because every fault in it counts.
	if f, ok := err.(*Error); ok { //nolint:errorlint // See above.
		return []*Error{f}
	}
	switch u := err.(type) { //nolint:errorlint // See above.
	case interface{ Unwrap() []error }:
		var all []*Error
		for _, e := range u.Unwrap() {
			some := All(e)
			if some == nil {
				return nil
			}
			all = append(all, some...)
		}
		return all
	case interface{ Unwrap() error }:
		return All(u.Unwrap())
	}
	return nil
}
