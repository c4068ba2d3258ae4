package scim

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/provisioning"
	"parvis/internal/scim/document"
	"parvis/internal/secret"
)

const mostBulk = 200 // operations of one request

var (
	errBulk       = document.Refusal{Type: document.InvalidSyntax, Why: fault.New(fault.Malformed, "scim.bulk")}
	errBulkMany   = fault.New(fault.TooLarge, "scim.bulk_many")
	errBulkMethod = document.Refusal{Type: document.InvalidSyntax, Why: fault.New(fault.Malformed, "scim.bulk_method")}
	errBulkPath   = document.Refusal{Type: document.InvalidPath, Why: fault.New(fault.NotFound, "scim.bulk_path")}
	errBulkID     = document.Refusal{Type: document.InvalidSyntax, Why: fault.New(fault.Malformed, "scim.bulk_id")}
	errBulkRefers = document.Refusal{Type: document.InvalidValue, Why: fault.New(fault.Conflict, "scim.bulk_refers")}
)

// change is one operation of a bulk request.
type change struct {
	method, path, id, version string
	data                      any
	result                    document.Object // nil until it is done
}

// bulk does several changes, each in its own transaction: what fails leaves the others as they are
// (RFC 7644 §3.7). A change that names one which comes later waits for it.
func (s *Server) bulk(ctx context.Context, x *call) (answer, error) {
	body, err := x.body()
	if err != nil {
		return answer{}, err
	}
	all, most, err := changes(body)
	if err != nil {
		return answer{}, err
	}
	x.kept = true // each change is kept by itself
	b := batch{call: x, ids: map[string]string{}, made: map[string]bool{}, left: most}
	for _, c := range all {
		if c.method == http.MethodPost {
			b.made[c.id] = true
		}
	}
	for again := true; again && b.goes(); {
		again = false
		for i := range all {
			if c := &all[i]; c.result == nil && b.goes() && !b.waits(*c) {
				b.do(ctx, c)
				again = true
			}
		}
	}
	for i := range all {
		if c := &all[i]; c.result == nil && b.goes() {
			b.refuse(ctx, c, errBulkRefers) // two that name each other
		}
	}
	done := []any{}
	for _, c := range all {
		if c.result != nil {
			done = append(done, c.result)
		}
	}
	return answer{status: http.StatusOK, body: document.Object{"schemas": []any{document.BulkResponseURI}, "Operations": done}}, nil
}

// changes reads a bulk request, and after how many failures it ends.
func changes(body any) (all []change, most int, err error) {
	o, _ := body.(document.Object)
	if err := document.Is(o, document.BulkURI); err != nil {
		return nil, 0, err
	}
	list, ok := document.Get(o, "Operations").([]any)
	if !ok || len(list) == 0 {
		return nil, 0, errBulk
	}
	if len(list) > mostBulk {
		return nil, 0, errBulkMany.With("Most", mostBulk)
	}
	if v := document.Get(o, "failOnErrors"); v != nil {
		n, _ := v.(json.Number)
		if most, err = strconv.Atoi(n.String()); err != nil || most < 1 {
			return nil, 0, errBulk
		}
	}
	seen := map[string]bool{}
	for _, one := range list {
		o, ok := one.(document.Object)
		if !ok {
			return nil, 0, errBulk
		}
		var c change
		for name, into := range map[string]*string{"method": &c.method, "path": &c.path, "bulkId": &c.id, "version": &c.version} {
			*into, _ = document.Get(o, name).(string)
		}
		c.method, c.data = strings.ToUpper(c.method), document.Get(o, "data")
		if c.method == http.MethodPost && c.id == "" || c.id != "" && seen[c.id] {
			return nil, 0, errBulkID
		}
		seen[c.id] = true
		all = append(all, c)
	}
	return all, most, nil
}

// batch is a bulk request under way.
type batch struct {
	*call

	ids    map[string]string // of what was made, by bulkId
	made   map[string]bool   // bulkIds of what is to be made
	failed int
	left   int // failures that end it; 0: none does
}

func (b *batch) goes() bool { return b.left == 0 || b.failed < b.left }

const bulkPrefix = "bulkId:"

// waits reports whether a change names one that is still to be made.
func (b *batch) waits(c change) bool {
	found := false
	b.each(c.path, c.data, func(id string) { found = found || b.made[id] && b.ids[id] == "" })
	return found
}

// each calls f with every bulkId that a path or a value names.
func (b *batch) each(path string, v any, f func(string)) {
	if _, id, ok := strings.Cut(path, bulkPrefix); ok {
		f(id)
	}
	switch v := v.(type) {
	case string:
		if id, ok := strings.CutPrefix(v, bulkPrefix); ok {
			f(id)
		}
	case []any:
		for _, one := range v {
			b.each("", one, f)
		}
	case document.Object:
		for _, one := range v {
			b.each("", one, f)
		}
	}
}

// put replaces every bulkId in a value by the id of what was made.
func (b *batch) put(v any) any {
	switch v := v.(type) {
	case string:
		if id, ok := strings.CutPrefix(v, bulkPrefix); ok && b.ids[id] != "" {
			return b.ids[id]
		}
	case []any:
		for i := range v {
			v[i] = b.put(v[i])
		}
	case document.Object:
		for name := range v {
			v[name] = b.put(v[name])
		}
	}
	return v
}

// do makes one change.
func (b *batch) do(ctx context.Context, c *change) {
	if before, id, ok := strings.Cut(c.path, bulkPrefix); ok {
		c.path = before + b.ids[id]
	}
	a, err := b.one(ctx, c)
	if err != nil {
		b.refuse(ctx, c, err)
		return
	}
	if c.result = c.as(a.status); a.location != "" {
		c.result["location"] = a.location
	}
	if a.version != "" {
		c.result["version"] = a.version
	}
	if c.method == http.MethodPost {
		b.ids[c.id] = idOf(a.body)
		return
	}
	if c.result["location"] == nil {
		c.result["location"] = b.at(c.path)
	}
}

func (b *batch) one(ctx context.Context, c *change) (answer, error) {
	deed, kind, id, err := b.server.deedAt(c.method, c.path)
	switch {
	case errors.Is(err, provisioning.ErrSentMethod):
		return answer{}, errBulkMethod
	case err != nil:
		return answer{}, errBulkPath
	case id != "" && !secret.IsID(id):
		return answer{}, directory.ErrNotFound
	}
	// The answer is not sent along, so nothing of it has to be found.
	show, err := kind.ParseShow([]string{"id"}, nil)
	if err != nil {
		return answer{}, err
	}
	b.notes, b.kept = document.Notes{}, false
	return deed(ctx, b.call, input{method: c.method, path: c.path, id: id, sent: b.put(c.data), match: c.version, show: show})
}

// deedAt finds what a method does at a path below the address of a source.
func (s *Server) deedAt(method, path string) (deed func(context.Context, *call, input) (answer, error), kind *document.Kind, id string, err error) {
	endpoint, id, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if kind = document.KindAt("/" + endpoint); kind == nil || strings.Contains(id, "/") || (method == http.MethodPost) != (id == "") {
		return nil, nil, "", provisioning.ErrSentPath
	}
	d := s.userDeeds()
	if kind == document.Group() {
		d = s.groupDeeds()
	}
	deed = map[string]func(context.Context, *call, input) (answer, error){"POST": d.create, "PUT": d.put, "PATCH": d.patch, "DELETE": d.delete}[method]
	if deed == nil {
		err = provisioning.ErrSentMethod
	}
	return deed, kind, id, err
}

// refuse notes that a change was refused, and keeps it for the administrators.
func (b *batch) refuse(ctx context.Context, c *change, err error) {
	b.failed++
	// A bulkId that was to be made and was not is waited for no longer.
	b.made[c.id] = false
	if !b.kept {
		if kept := b.server.Sources.Refuse(ctx, b.source, b.loggedAs(c.method, c.path), err); kept != nil {
			err = kept
		}
	}
	b.kept = true
	status, body := b.refusal(err)
	c.result = c.as(status)
	c.result["response"] = body
}

func (c *change) as(status int) document.Object {
	o := document.Object{"method": c.method, "status": strconv.Itoa(status)}
	if c.id != "" {
		o["bulkId"] = c.id
	}
	return o
}
