package scim

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/provisioning"
	"parvis/internal/scim/document"
)

// words are the SCIM words for faults that do not carry one (RFC 7644 §3.12), by their keys.
var words = map[string]string{
	provisioning.ErrUniqueness.Key:      document.Uniqueness,
	provisioning.ErrGroupUniqueness.Key: document.Uniqueness,
	directory.ErrAddressTaken.Key:       document.Uniqueness,
	directory.ErrGroupTaken.Key:         document.Uniqueness,
}

// refuse answers a call that is refused, or does nothing if err is nil. What was refused to a source
// is kept for its administrators.
func (x *call) refuse(ctx context.Context, err error) {
	if err == nil {
		return
	}
	if x.known && !x.kept {
		if kept := x.server.Sources.Refuse(ctx, x.source, x.logged(), err); kept != nil {
			err = errors.Join(err, kept)
		}
	}
	status, body := x.refusal(err)
	switch status {
	case 0:
		return // nobody waits for an answer
	case http.StatusUnauthorized:
		x.W.Header().Set("WWW-Authenticate", `Bearer realm="SCIM"`)
	}
	if err := x.send(status, body); err != nil {
		panic(err) // a refusal always encodes
	}
}

// refusal is the error as SCIM says it.
func (x *call) refusal(err error) (int, document.Object) {
	a := x.Answer(err)
	if a.Status == 0 {
		return 0, nil
	}
	status, body := a.Status, document.Object{"schemas": []any{document.ErrorURI}}
	switch {
	case a.Fault != nil:
		body["detail"] = x.sentence(a.Fault)
		if errors.Is(a.Fault, directory.ErrNotFound) {
			body["detail"] = x.lang.Text("scim.not_found")
		}
		word := words[a.Fault.Key]
		if r, ok := errors.AsType[document.Refusal](err); ok {
			word = r.Type
		}
		switch {
		case word == document.Uniqueness:
			status = http.StatusConflict
		case a.Fault.Kind == fault.Invalid:
			status = http.StatusBadRequest // SCIM knows no 422
			if word == "" {
				word = document.InvalidValue
			}
		}
		if word != "" {
			body["scimType"] = word
		}
	case a.Status == http.StatusServiceUnavailable:
		body["detail"] = x.lang.Text("scim.unavailable", "Reference", x.Reference())
	default:
		body["detail"] = x.lang.Text("scim.broken", "Reference", x.Reference())
	}
	body["status"] = strconv.Itoa(status)
	return status, body
}

// sentence returns what a fault says, in the caller's language.
func (x *call) sentence(f *fault.Error) string {
	var pairs []any
	for name, value := range f.Args {
		pairs = append(pairs, name, value)
	}
	if f.RetryAfter > 0 {
		pairs = append(pairs, "Wait", x.lang.Duration(f.RetryAfter))
	}
	return x.lang.Text(f.Key, pairs...)
}
