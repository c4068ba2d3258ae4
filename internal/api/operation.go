package api

import (
	"context"
	"errors"
	"net/http"
	"reflect"

	"parvis/internal/access"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
)

// operation is one thing that the API does. Its route, its line in the reference and in the
// OpenAPI document, and its line of the role matrix are all made from it.
type operation struct {
	ID     string // as in the OpenAPI document; the catalogue has its sentence under "api.operation."
	Method string
	Path   string         // under Root
	Scope  access.Scope   // empty: any token
	Role   directory.Role // the lowest that may; the deed judges by itself
	Fresh  bool           // a person must have proved lately who they are (R-SES-10)

	also     []access.Scope // besides Scope
	inPerson bool           // no machine does it: its rights give no others

	in, out reflect.Type // out is nil where nothing is answered
	status  int
	takes   []string // the media types of what is sent, if it is a file
	files   []string // the media types of an answer that is a file
	many    bool     // done to many, and not repeated under a key
	large   bool     // takes a body of mostLarge
	tagged  bool     // answers with an ETag, and may be made to depend on one
	partly  bool     // what a PUT leaves out stays as it is, and its dry run tells the ETag that it wants
	run     func(context.Context, *call) error
}

// writes reports whether the operation may change something.
func (o *operation) writes() bool { return o.Method != http.MethodGet }

// The types of JSON that are sent.
const (
	jsonMedia  = "application/json"
	patchMedia = "application/merge-patch+json"
)

// reads completes an operation that answers with what do reads, all of it of one moment.
func reads[In, Out any](o operation, do func(ctx context.Context, r db.Reader, x *call, in In) (Out, error)) *operation {
	o.Method, o.status = http.MethodGet, http.StatusOK
	o.in, o.out = reflect.TypeFor[In](), reflect.TypeFor[Out]()
	o.run = func(ctx context.Context, x *call) error {
		in, err := input[In](x)
		if err != nil {
			return err
		}
		x.settle()
		var out Out
		if err := x.server.DB.View(ctx, func(tx *db.Tx) (err error) {
			out, err = do(ctx, tx, x, in)
			return err
		}); err != nil {
			return err
		}
		return x.answer(o.status, out)
	}
	return &o
}

// deed is what an operation does in a transaction. The answer is the object of the deed, as show
// reads it. A deed that is repeated under an Idempotency-Key is not done again, but shows the
// object as it is then. first, unless nil, runs before the transaction, for what must stay counted
// if the deed is refused.
type deed[In, Out any] struct {
	first func(ctx context.Context, x *call, in In) error
	do    func(ctx context.Context, tx *db.Tx, x *call, in In) (object string, err error)
	show  func(ctx context.Context, r db.Reader, x *call, object string) (Out, error)
}

// does completes an operation by its deed. Without show it answers nothing.
func does[In, Out any](o operation, d deed[In, Out]) *operation {
	o.in = reflect.TypeFor[In]()
	if d.show != nil {
		o.out = reflect.TypeFor[Out]()
	}
	switch {
	case o.status != 0:
	case d.show == nil:
		o.status = http.StatusNoContent
	default:
		o.status = http.StatusOK
	}
	o.run = func(ctx context.Context, x *call) error {
		in, err := input[In](x)
		if err == nil && x.op.Method == http.MethodPost {
			err = x.key()
		}
		if err != nil {
			return err
		}
		defer x.queue()()
		repeated, err := x.repeated(ctx)
		if repeated {
			x.W.Header().Set("Idempotent-Replayed", "true")
		}
		if err == nil && !repeated && d.first != nil {
			err = d.first(ctx, x, in)
		}
		if err != nil {
			return err
		}
		var out Out
		err = x.change(ctx, func(tx *db.Tx) error {
			object, err := x.once(ctx, tx, func() (string, error) { return d.do(ctx, tx, x, in) })
			if err == nil && d.show != nil {
				out, err = d.show(ctx, tx, x, object)
			}
			return err
		})
		if err != nil {
			return err
		}
		if d.show == nil {
			return x.nothing()
		}
		return x.answer(o.status, out)
	}
	return &o
}

// document is an object that is read and written as a whole: W is what may be written of it, and
// its ETag is over W alone, so that a sign-in, for example, changes it for nobody. first, unless
// nil, runs before the transaction of a change, for what asks other hosts.
type document[W, Out any] struct {
	first func(ctx context.Context, x *call, at at, was, now W) error
	read  func(ctx context.Context, r db.Reader, x *call, at at) (W, error)
	write func(ctx context.Context, tx *db.Tx, x *call, at at, was, now W) error
	show  func(ctx context.Context, r db.Reader, x *call, at at) (Out, error)
}

// at names an object.
type at struct {
	ID string `path:"id"`
}

// gets completes an operation that shows a document.
func (d document[W, Out]) gets(o operation) *operation {
	o.Method, o.status, o.tagged = http.MethodGet, http.StatusOK, true
	o.in, o.out = reflect.TypeFor[at](), reflect.TypeFor[Out]()
	o.run = func(ctx context.Context, x *call) error {
		in, err := input[at](x)
		if err != nil {
			return err
		}
		x.settle()
		var out Out
		var w W
		if err := x.server.DB.View(ctx, func(tx *db.Tx) (err error) {
			w, out, err = d.both(ctx, tx, x, in)
			return err
		}); err != nil {
			return err
		}
		return x.tagged(w, out)
	}
	return &o
}

// patches completes an operation that changes some fields of a document (JSON Merge Patch, RFC
// 7396), and puts one that replaces all of them, for which it wants to know which ones (If-Match).
func (d document[W, Out]) patches(o operation) *operation {
	o.Method = http.MethodPatch
	return d.changes(o)
}

func (d document[W, Out]) puts(o operation) *operation {
	o.Method = http.MethodPut
	return d.changes(o)
}

var (
	errPrecondition = fault.New(fault.Changed, "api.changed_since")
	errNoMatch      = fault.New(fault.Unconditional, "api.if_match_missing")
	errNoKey        = fault.New(fault.Malformed, "api.no_idempotency_key")
	errMatchForm    = fault.New(fault.Malformed, "api.if_match_form")
)

func (d document[W, Out]) changes(o operation) *operation {
	o.status, o.tagged = http.StatusOK, true
	o.in, o.out = reflect.TypeFor[struct {
		at
		Body W
	}](), reflect.TypeFor[Out]()
	o.run = func(ctx context.Context, x *call) error {
		var in at
		if err := errors.Join(x.parameters(reflect.ValueOf(&in).Elem())...); err != nil {
			return err
		}
		sent, err := x.body()
		if err != nil {
			return err
		}
		tag, err := x.ifMatch(o.Method == http.MethodPut)
		if err != nil {
			return err
		}
		var out Out
		var was, now W
		become := func(tx *db.Tx) (err error) {
			was, now, err = d.become(ctx, tx, x, in, sent, tag)
			return err
		}
		if d.first != nil {
			err := x.server.DB.View(ctx, become)
			if err == nil {
				err = d.first(ctx, x, in, was, now)
			}
			if err != nil {
				return err
			}
		}
		err = x.change(ctx, func(tx *db.Tx) error {
			if err := become(tx); err != nil {
				return err
			}
			if err := d.write(ctx, tx, x, in, was, now); err != nil {
				return err
			}
			// What was written may have been cleaned.
			now, out, err = d.both(ctx, tx, x, in)
			return err
		})
		if err != nil {
			return err
		}
		return x.tagged(now, out)
	}
	return &o
}

// both returns what may be written of an object, and all of it, which nearly always has the first
// inside and is read once then.
func (d document[W, Out]) both(ctx context.Context, r db.Reader, x *call, at at) (w W, out Out, err error) {
	if out, err = d.show(ctx, r, x, at); err != nil {
		return w, out, err
	}
	if same, ok := any(out).(W); ok {
		return same, out, nil
	}
	if part := reflect.ValueOf(out).FieldByName(reflect.TypeFor[W]().Name()); part.IsValid() {
		return part.Interface().(W), out, nil //nolint:forcetypeassert // An embedded struct has the name of its type.
	}
	w, err = d.read(ctx, r, x, at)
	return w, out, err
}

// become returns what is written of an object, and what a call makes of it.
func (d document[W, Out]) become(ctx context.Context, r db.Reader, x *call, at at, sent any, tag string) (was, now W, err error) {
	if was, err = d.read(ctx, r, x, at); err != nil {
		return was, now, err
	}
	if tag != "" && tag != x.etag(was) {
		return was, now, errPrecondition
	}
	if x.op.Method == http.MethodPatch {
		sent = merge(plain(was), sent)
	}
	return was, now, errors.Join(fill(reflect.ValueOf(&now).Elem(), sent, "")...)
}

// merge applies a merge patch to a value (RFC 7396 §2). A null removes: it stays as null, because
// each of our fields is always there.
func merge(target, patch any) any {
	changes, ok := patch.(object)
	if !ok {
		return patch
	}
	all, ok := target.(object)
	if !ok {
		all = object{}
	}
	for name, v := range changes {
		if v == nil {
			all[name] = nil
			continue
		}
		all[name] = merge(all[name], v)
	}
	return all
}

// input reads path, query and body of a call into a struct. Its field Body, if it has one, is the
// body.
func input[In any](x *call) (In, error) {
	var in In
	v := reflect.ValueOf(&in).Elem()
	all := x.parameters(v)
	if body := v.FieldByName("Body"); body.IsValid() {
		sent, err := x.body()
		if err != nil {
			return in, errors.Join(append(all, err)...)
		}
		all = append(all, fill(body, sent, "")...)
	}
	return in, errors.Join(all...)
}

// together completes an operation that does one deed to many, in transactions of its own. It is
// not repeated under an Idempotency-Key, because what came of it is not kept: the key is refused.
func together[Body, Out any](o operation, do func(ctx context.Context, x *call, in Body) (Out, error)) *operation {
	o.Method, o.status, o.many = http.MethodPost, http.StatusOK, true
	o.in, o.out = reflect.TypeFor[struct{ Body Body }](), reflect.TypeFor[Out]()
	o.run = func(ctx context.Context, x *call) error {
		in, err := input[struct{ Body Body }](x)
		if err == nil && x.R.Header.Get("Idempotency-Key") != "" {
			err = errNoKey
		}
		if err != nil {
			return err
		}
		out, err := do(ctx, x, in.Body)
		if err != nil {
			return err
		}
		return x.answer(o.status, out)
	}
	return &o
}
