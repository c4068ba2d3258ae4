package api

import (
	"encoding/json"
	"errors"
	"net/url"
	"reflect"
	"strings"
	"unicode/utf8"
)

// parameters puts the values of the path and of the query into a struct by their tags, and returns
// what is wrong with them. Every value of the query must be known, and stand there once.
func (x *call) parameters(into reflect.Value) (all []error) {
	query, err := url.ParseQuery(x.R.URL.RawQuery)
	if err != nil {
		return []error{errParameter.With("Name", "?")}
	}
	known := map[string]bool{"dry_run": x.op.writes()}
	for _, f := range reflect.VisibleFields(into.Type()) {
		if name := f.Tag.Get("path"); name != "" {
			into.FieldByIndex(f.Index).SetString(x.R.PathValue(name))
		}
		name := f.Tag.Get("query")
		if name == "" {
			continue
		}
		known[name] = true
		if values := query[name]; len(values) == 1 {
			all = append(all, parameter(f, into.FieldByIndex(f.Index), values[0], name)...)
		}
	}
	for name, values := range query {
		switch {
		case !known[name]:
			all = append(all, wrong{name: name, why: errParameter.With("Name", name)})
		case len(values) > 1:
			all = append(all, wrong{name: name, why: errTwice})
		}
	}
	if dry := query.Get("dry_run"); dry != "" && dry != "true" && dry != "false" {
		all = append(all, wrong{name: "dry_run", why: errType.With("Type", "true, false")})
	}
	x.dry = query.Get("dry_run") == "true"
	return all
}

func parameter(f reflect.StructField, into reflect.Value, text, name string) []error {
	at := wrong{name: name}
	var value any = text
	if strings.ContainsAny(text, "\x00\uFFFD") || !utf8.ValidString(text) {
		at.why = errCharacters
		return []error{at}
	}
	kind := into.Kind()
	if kind == reflect.Pointer {
		kind = into.Type().Elem().Kind()
	}
	switch kind {
	case reflect.Bool:
		if text == "true" || text == "false" {
			value = text == "true"
		}
	case reflect.Int, reflect.Int64:
		value = json.Number(text)
	default:
	}
	some := fill(into, value, "")
	for i, err := range some {
		if w, ok := errors.AsType[wrong](err); ok {
			w.name, w.pointer = name, ""
			some[i] = w
		}
	}
	if some == nil {
		some = among(f, into, at)
	}
	return some
}
