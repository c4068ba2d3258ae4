package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"parvis/internal/fault"
)

// Limits of what is sent.
const (
	mostBody  = 256 << 10 // bytes
	mostLarge = 2 << 20   // of a body with a provider's metadata: 1 MiB of text, as JSON
	mostDepth = 16
)

// What can be wrong with what is sent, before anything is looked up.
var (
	errMediaType  = fault.New(fault.MediaType, "api.media_type")
	errBodyLarge  = fault.New(fault.TooLarge, "api.body_large")
	errNotJSON    = fault.New(fault.Malformed, "api.not_json")
	errNoBody     = fault.New(fault.Malformed, "api.no_body")
	errDeep       = fault.New(fault.Malformed, "api.deep")
	errTwice      = fault.Field("", "api.twice")
	errUnknown    = fault.Field("", "api.unknown_field")
	errMissing    = fault.Field("", "api.missing")
	errType       = fault.Field("", "api.type")
	errOneOf      = fault.Field("", "api.one_of")
	errTime       = fault.Field("", "api.time")
	errCharacters = fault.Field("", "api.characters")
	errParameter  = fault.Field("", "api.parameter_unknown")
)

// wrong is a fault in one value, with the place of the value in what was sent.
type wrong struct {
	pointer, name string // into the body; of a parameter
	why           *fault.Error
}

func (w wrong) Error() string { return w.why.Key + " at " + w.pointer + w.name }
func (w wrong) Unwrap() error { return w.why }

// object is a JSON object as it was sent.
type object map[string]any

// decodeJSON reads one JSON value strictly: a key that stands twice, more than one value, a depth
// above mostDepth and text that is not Unicode are refused (R-API-05). Numbers stay text.
func decodeJSON(text []byte) (any, error) {
	if !utf8.Valid(text) {
		return nil, errNotJSON
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	r := reader{d: d}
	value, err := r.value("", 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotJSON // something follows the value
	}
	return value, errors.Join(r.wrong...)
}

type reader struct {
	d     *json.Decoder
	wrong []error
}

func (r *reader) value(pointer string, depth int) (any, error) {
	t, err := r.d.Token()
	if err != nil {
		return nil, errNotJSON
	}
	switch v := t.(type) {
	case json.Delim:
		if depth >= mostDepth {
			return nil, errDeep
		}
		if v == '{' {
			return r.object(pointer, depth)
		}
		return r.list(pointer, depth)
	case string:
		r.characters(v, pointer)
		return v, nil
	}
	return t, nil
}

// characters judges a text or a key. U+FFFD also stands for half of a surrogate pair, which is no
// character. No text that we store has a NUL, which PostgreSQL refuses.
func (r *reader) characters(text, pointer string) {
	if strings.ContainsAny(text, "\x00\uFFFD") {
		r.wrong = append(r.wrong, wrong{pointer: pointer, why: errCharacters})
	}
}

func (r *reader) object(pointer string, depth int) (any, error) {
	all := object{}
	for r.d.More() {
		t, err := r.d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return nil, errNotJSON
		}
		at := pointer + "/" + escape(key)
		r.characters(key, at)
		if _, twice := all[key]; twice {
			r.wrong = append(r.wrong, wrong{pointer: at, why: errTwice})
		}
		if all[key], err = r.value(at, depth+1); err != nil {
			return nil, err
		}
	}
	if _, err := r.d.Token(); err != nil {
		return nil, errNotJSON
	}
	return all, nil
}

func (r *reader) list(pointer string, depth int) (any, error) {
	all := []any{}
	for r.d.More() {
		v, err := r.value(fmt.Sprintf("%s/%d", pointer, len(all)), depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	if _, err := r.d.Token(); err != nil {
		return nil, errNotJSON
	}
	return all, nil
}

// escape writes a key as a part of a JSON pointer (RFC 6901 §3).
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

// fieldsOf lists the fields of a struct as they are sent, those of embedded structs among them. Of
// an embedded struct that is optional, whatever may be null may be left out.
func fieldsOf(t reflect.Type) (all []reflect.StructField) {
	for _, f := range reflect.VisibleFields(t) {
		if f.Anonymous || f.Tag.Get("json") == "" {
			continue
		}
		if of := t.Field(f.Index[0]); of.Anonymous && f.Type.Kind() == reflect.Pointer {
			f.Tag += of.Tag
		}
		all = append(all, f)
	}
	return all
}

// fill puts a JSON value into a Go value, and returns what is wrong with it. It takes keys as they
// are written, and no others.
func fill(into reflect.Value, value any, pointer string) []error {
	refuse := func(why *fault.Error) []error { return []error{wrong{pointer: pointer, why: why}} }
	t := into.Type()
	switch {
	case t.Kind() == reflect.Pointer:
		if value == nil {
			into.SetZero()
			return nil
		}
		into.Set(reflect.New(t.Elem()))
		return fill(into.Elem(), value, pointer)
	case t == reflect.TypeFor[time.Time]():
		text, ok := value.(string)
		at, err := time.Parse(time.RFC3339Nano, text)
		if !ok || err != nil || at.Year() > 9999 {
			return refuse(errTime)
		}
		into.Set(reflect.ValueOf(at.UTC().Truncate(time.Microsecond)))
		return nil
	case t == reflect.TypeFor[json.RawMessage]():
		if _, ok := value.(object); !ok {
			return refuse(errType.With("Type", typeName(t)))
		}
		into.SetBytes(written(value))
		return nil
	}
	switch v := value.(type) {
	case string:
		if t.Kind() == reflect.String {
			into.SetString(v)
			return nil
		}
	case bool:
		if t.Kind() == reflect.Bool {
			into.SetBool(v)
			return nil
		}
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64)
		if into.CanInt() && err == nil && !into.OverflowInt(n) {
			into.SetInt(n)
			return nil
		}
	case []any:
		if t.Kind() == reflect.Slice {
			return fillList(into, v, pointer)
		}
	case object:
		if t.Kind() == reflect.Struct {
			return fillStruct(into, v, pointer)
		}
		if t.Kind() == reflect.Map {
			return fillMap(into, v, pointer)
		}
	}
	return refuse(errType.With("Type", typeName(t)))
}

func fillList(into reflect.Value, value []any, pointer string) (all []error) {
	into.Set(reflect.MakeSlice(into.Type(), len(value), len(value)))
	for i, v := range value {
		all = append(all, fill(into.Index(i), v, fmt.Sprintf("%s/%d", pointer, i))...)
	}
	return all
}

func fillMap(into reflect.Value, value object, pointer string) (all []error) {
	into.Set(reflect.MakeMap(into.Type()))
	for key, v := range value {
		if v == nil {
			continue // a merge patch removes it
		}
		one := reflect.New(into.Type().Elem()).Elem()
		all = append(all, fill(one, v, pointer+"/"+escape(key))...)
		into.SetMapIndex(reflect.ValueOf(key), one)
	}
	return all
}

func fillStruct(into reflect.Value, value object, pointer string) (all []error) {
	known := map[string]bool{}
	for _, f := range fieldsOf(into.Type()) {
		name := f.Tag.Get("json")
		known[name] = true
		v, sent := value[name]
		at := pointer + "/" + escape(name)
		switch {
		case !sent && f.Tag.Get("optional") == "":
			all = append(all, wrong{pointer: at, why: errMissing})
		case sent:
			field := into.FieldByIndex(f.Index)
			some := fill(field, v, at)
			if some == nil {
				some = among(f, field, wrong{pointer: at})
			}
			all = append(all, some...)
		}
	}
	for name := range value {
		if !known[name] {
			all = append(all, wrong{pointer: pointer + "/" + escape(name), why: errUnknown})
		}
	}
	return all
}

// among returns an error if a text is not one of those that the field's tag lists.
func among(f reflect.StructField, value reflect.Value, at wrong) []error {
	allowed := f.Tag.Get("enum")
	if value.Kind() == reflect.Pointer {
		value = value.Elem()
	}
	if allowed == "" || value.Kind() != reflect.String || slices.Contains(strings.Fields(allowed), value.String()) {
		return nil
	}
	at.why = errOneOf.With("Values", strings.Join(strings.Fields(allowed), ", "))
	return []error{at}
}

// typeName says what a field takes, in the words of JSON.
func typeName(t reflect.Type) string {
	if t == reflect.TypeFor[json.RawMessage]() {
		return "object"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true, false"
	case reflect.Int, reflect.Int64:
		return "integer"
	case reflect.Slice:
		return "array"
	case reflect.Struct, reflect.Map:
		return "object"
	case reflect.Interface:
		return "any"
	default:
		return "string"
	}
}

// body reads the JSON that a request sends.
func (x *call) body() (any, error) {
	most := mostBody
	if x.op.large {
		most = mostLarge
	}
	text, err := x.content(most)
	if err != nil {
		return nil, err
	}
	x.sent = string(text)
	return decodeJSON(text)
}

// content reads what a request sends, up to so many bytes.
func (x *call) content(most int) ([]byte, error) {
	media, _, err := mime.ParseMediaType(x.R.Header.Get("Content-Type"))
	if types := x.op.medias(); err != nil || !slices.Contains(types, media) {
		return nil, errMediaType.With("Types", strings.Join(types, ", "))
	}
	all, err := io.ReadAll(io.LimitReader(x.R.Body, int64(most)+1))
	switch {
	case err != nil:
		return nil, errNotJSON // the connection broke
	case len(all) > most:
		return nil, errBodyLarge.With("Most", most>>10)
	case len(bytes.TrimSpace(all)) == 0:
		return nil, errNoBody
	}
	return all, nil
}
