// Package fault holds the errors that a person may be shown: a kind, which
// becomes the status code, and a catalogue key, which becomes the sentence.
//
// Everything that is not a fault is ours: it is logged once at the edge with a
// reference, and the person sees only that reference.
package fault

import (
	"net/http"
	"time"
)

// Kind says what went wrong in the caller's terms.
type Kind int

// The kinds, each with the status it is answered with.
const (
	Invalid     Kind = iota // 422: a field needs another value
	Malformed               // 400: no page of ours sends such a request
	Denied                  // 403: this person may not do this
	NotFound                // 404: absent and foreign things look the same
	Conflict                // 409: somebody else was faster
	Gone                    // 410: it worked once and does not any more
	TooLarge                // 413: more bytes than the endpoint takes
	Throttled               // 429: too often; RetryAfter says how long to wait
	Unavailable             // 503: not now; RetryAfter says when to try again
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
	}
	return http.StatusInternalServerError
}

// A Reason is one of several things wrong at once, such as one broken password
// rule: a catalogue key and what its sentence names.
type Reason struct {
	Key  string
	Args map[string]any
}

// Error is a fault. Package variables hold them; compare with errors.Is, which
// looks at the key alone, so that a copy with arguments equals its original.
type Error struct {
	Kind       Kind
	Key        string         // catalogue key of the sentence
	Field      string         // name of the form field it belongs to, if one does
	Args       map[string]any // what the sentence names
	Reasons    []Reason       // shown as a list after the sentence
	RetryAfter time.Duration  // Throttled and Unavailable only; rounded up to seconds when sent
}

// Choices is the argument of a fault that asks which of several things is meant.
const Choices = "Choices"

// New makes a fault that belongs to no single field.
func New(kind Kind, key string) *Error { return &Error{Kind: kind, Key: key} }

// Field makes an Invalid fault of one form field.
func Field(field, key string) *Error { return &Error{Kind: Invalid, Key: key, Field: field} }

// Error is for logs; people read the catalogue's sentence.
func (e *Error) Error() string { return e.Key }

// Is makes a copy with arguments equal to the variable it was made from.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Key == e.Key
}

// With returns a copy of e whose sentence names the given things: pairs of
// name and value.
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

// BelongsToForm tells that a form is shown again with e, because another value,
// or the same a little later, will do.
func (e *Error) BelongsToForm() bool {
	return e.Kind == Invalid || e.Kind == Conflict || e.Kind == Throttled || e.Kind == Unavailable
}
