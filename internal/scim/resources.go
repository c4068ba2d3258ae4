package scim

import (
	"context"
	"net/http"
	"strings"

	"parvis/internal/directory"
	"parvis/internal/scim/document"
	"parvis/internal/secret"
)

// deeds are what can be done to resources of a kind. What is changed is kept as a call of its own,
// so that Bulk does the same.
type deeds struct {
	get    func(context.Context, *call, input) (answer, error)
	create func(context.Context, *call, input) (answer, error)
	put    func(context.Context, *call, input) (answer, error)
	patch  func(context.Context, *call, input) (answer, error)
	delete func(context.Context, *call, input) (answer, error)
	find   func(*call, document.Show) finder
}

// input is what a deed is about.
type input struct {
	method, path string // as the call is kept
	id           string
	sent         any    // the body
	match        string // the version that the caller knows, or an empty text
	show         document.Show
}

// resources are the addresses of one kind of resource.
type resources struct {
	deeds

	kind *document.Kind
}

func (r resources) routes() []route {
	at, one := r.kind.Endpoint, r.kind.Endpoint+"/{id}"
	return []route{
		{"GET", at, r.list, false},
		{"POST", at + "/.search", r.search, false},
		{"POST", at, r.sent(r.create), false},
		{"GET", one, r.one, false},
		{"PUT", one, r.sent(r.put), false},
		{"PATCH", one, r.sent(r.patch), false},
		{"DELETE", one, r.unsent(r.delete), false},
	}
}

// input reads what every deed may be told beside its body.
func (r resources) input(x *call) (input, error) {
	q := x.R.URL.Query()
	if id := x.R.PathValue("id"); id != "" && !secret.IsID(id) {
		return input{}, directory.ErrNotFound
	}
	show, err := r.kind.ParseShow(names(q["attributes"]), names(q["excludedAttributes"]))
	return input{
		method: x.R.Method, path: strings.TrimPrefix(x.R.URL.Path, Root+x.id), id: x.R.PathValue("id"),
		match: strings.Join(x.R.Header.Values("If-Match"), ","), show: show,
	}, err
}

// names splits lists of attributes.
func names(lists []string) (all []string) {
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			if name != "" {
				all = append(all, name)
			}
		}
	}
	return all
}

func (r resources) sent(do func(context.Context, *call, input) (answer, error)) func(context.Context, *call) (answer, error) {
	return func(ctx context.Context, x *call) (answer, error) {
		in, err := r.input(x)
		if err == nil {
			in.sent, err = x.body()
		}
		if err != nil {
			return answer{}, err
		}
		return do(ctx, x, in)
	}
}

func (r resources) unsent(do func(context.Context, *call, input) (answer, error)) func(context.Context, *call) (answer, error) {
	return func(ctx context.Context, x *call) (answer, error) {
		in, err := r.input(x)
		if err != nil {
			return answer{}, err
		}
		return do(ctx, x, in)
	}
}

// one answers with one resource, or with nothing if the caller has it already.
func (r resources) one(ctx context.Context, x *call) (answer, error) {
	a, err := r.unsent(r.get)(ctx, x)
	if err != nil {
		return answer{}, err
	}
	if known := strings.Join(x.R.Header.Values("If-None-Match"), ","); known != "" && fits(known, a.version) {
		a.fresh = true
	}
	return a, x.read(ctx)
}

// held is the status of a removal: done, or waiting for an administrator.
func held(waits bool) answer {
	if waits {
		return answer{status: http.StatusAccepted}
	}
	return answer{status: http.StatusNoContent}
}
