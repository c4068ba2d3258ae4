package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"parvis/internal/api/form"
	"parvis/internal/i18n"
)

// schema is a JSON Schema as OpenAPI 3.1 takes it. The encoder sorts its names.
type schema map[string]any

// document makes the OpenAPI document of the operations, with the sentences of a language.
func (s *Server) document(lang i18n.Localizer) ([]byte, error) {
	d := described{schemas: schema{}, lang: lang}
	paths := schema{}
	for _, o := range operations {
		at, ok := paths[Root+o.Path].(schema)
		if !ok {
			at = schema{}
			paths[Root+o.Path] = at
		}
		at[strings.ToLower(o.Method)] = d.operation(o, lang)
	}
	d.of(reflect.TypeFor[form.Problem](), false)
	text, err := json.MarshalIndent(schema{
		"openapi": "3.1.0",
		"info":    schema{"title": lang.Text("api.title"), "version": "1", "description": lang.Text("api.lead", "Root", Root)},
		"servers": []schema{{"url": s.Base}},
		"security": []schema{
			{"token": []string{}},
		},
		"paths": paths,
		"components": schema{
			"schemas":         d.schemas,
			"securitySchemes": schema{"token": schema{"type": "http", "scheme": "bearer", "description": lang.Text("api.tokens")}},
			"responses": schema{"Problem": schema{
				"description": lang.Text("api.problem"),
				"content":     schema{problemMedia: schema{"schema": ref("Problem")}},
			}},
		},
	}, "", "  ")
	return append(text, '\n'), err
}

// described collects the schemas of named types.
type described struct {
	schemas schema
	lang    i18n.Localizer
}

func ref(name string) schema { return schema{"$ref": "#/components/schemas/" + name} }

func (d described) operation(o *operation, lang i18n.Localizer) schema {
	out := schema{
		"operationId": o.ID, "summary": lang.Text("api.operation." + o.ID), "tags": []string{o.area()},
		"responses": schema{"default": schema{"$ref": "#/components/responses/Problem"}},
		"x-role":    string(o.Role),
	}
	if o.Scope != "" {
		out["x-scope"] = string(o.Scope)
	}
	if o.also != nil {
		out["x-scope-also"] = texts(o.also)
	}
	if o.Fresh {
		out["x-fresh"] = true
	}
	if o.inPerson {
		out["x-in-person"] = true
	}
	var parameters []schema
	for _, f := range reflect.VisibleFields(o.in) {
		for _, place := range []string{"path", "query"} {
			if name := f.Tag.Get(place); name != "" && strings.Contains(o.Path, "{"+name+"}") == (place == "path") {
				parameters = append(parameters, schema{"name": name, "in": place, "required": place == "path", "schema": d.parameter(f)})
			}
		}
	}
	if o.writes() {
		parameters = append(parameters, schema{"name": "dry_run", "in": "query", "required": false, "schema": schema{"type": "boolean"}})
	}
	parameters = append(parameters, o.headers()...)
	if parameters != nil {
		out["parameters"] = parameters
	}
	if o.takes != nil {
		out["requestBody"] = schema{"required": true, "content": files(o.takes)}
	}
	if body, ok := o.in.FieldByName("Body"); ok {
		content := schema{}
		for _, media := range o.medias() {
			content[media] = schema{"schema": d.of(body.Type, o.Method == http.MethodPatch || o.partly)}
		}
		out["requestBody"] = schema{"required": true, "content": content}
	}
	answer := schema{"description": http.StatusText(o.status)}
	if o.out != nil {
		answer["content"] = schema{jsonMedia: schema{"schema": d.of(o.out, false)}}
	}
	if o.files != nil {
		answer["content"] = files(o.files)
	}
	if o.tagged {
		answer["headers"] = schema{"ETag": schema{"schema": schema{"type": "string"}}}
	}
	out["responses"].(schema)[fmt.Sprint(o.status)] = answer
	return out
}

// files are bodies that are files. One of JSON is an object, whose fields a page says.
func files(medias []string) schema {
	content := schema{}
	for _, media := range medias {
		kind := "string"
		if media == jsonMedia {
			kind = "object"
		}
		content[media] = schema{"schema": schema{"type": kind}}
	}
	return content
}

// area is the part of the reference that an operation stands in.
func (o *operation) area() string {
	area, _, _ := strings.Cut(o.ID, ".")
	return area
}

// medias are the types that a body may be sent as.
func (o *operation) medias() []string {
	if o.takes != nil {
		return o.takes
	}
	if o.Method == http.MethodPatch {
		return []string{patchMedia, jsonMedia}
	}
	return []string{jsonMedia}
}

// headers are the parameters that are sent as headers.
func (o *operation) headers() (all []schema) {
	text := schema{"type": "string"}
	if o.Method == http.MethodPost && !o.many {
		all = append(all, schema{"name": "Idempotency-Key", "in": "header", "required": false, "schema": text})
	}
	if o.tagged && o.writes() {
		all = append(all, schema{"name": "If-Match", "in": "header", "required": o.Method == http.MethodPut && !o.partly, "schema": text})
	}
	return all
}

// of returns the schema of a type: a reference where it has a name. Of a patch, no field has to be
// sent.
func (d described) of(t reflect.Type, patch bool) schema {
	switch {
	case t.Kind() == reflect.Pointer:
		return nullable(d.of(t.Elem(), false))
	case t == reflect.TypeFor[time.Time]():
		return schema{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[json.RawMessage]():
		return schema{"type": "object"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return schema{"type": "integer", "format": "int64"}
	case reflect.Slice:
		return schema{"type": "array", "items": d.of(t.Elem(), patch)}
	case reflect.Interface:
		return schema{"type": []string{"array", "boolean", "number", "object", "string", "null"}, "items": schema{}}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": d.of(t.Elem(), false)}
	case reflect.Struct:
		name := nameOf(t)
		if patch {
			name += "Patch"
		}
		if d.schemas[name] == nil {
			d.schemas[name] = schema{} // a type that holds itself ends here
			d.schemas[name] = d.structure(t, patch)
		}
		return ref(name)
	default:
		return schema{"type": "string"}
	}
}

// nameOf returns the name of a type; that of a page names what it lists.
func nameOf(t reflect.Type) string {
	name, of, generic := strings.Cut(t.Name(), "[")
	if generic {
		name += of[strings.LastIndex(of, ".")+1:]
		name = strings.TrimSuffix(name, "]")
	}
	return name
}

func nullable(s schema) schema {
	if kind, ok := s["type"].(string); ok {
		s["type"] = []string{kind, "null"}
		return s
	}
	return schema{"oneOf": []schema{s, {"type": "null"}}}
}

func (d described) structure(t reflect.Type, patch bool) schema {
	properties, required := schema{}, []string{}
	for _, f := range fieldsOf(t) {
		name := f.Tag.Get("json")
		properties[name] = d.field(f, patch)
		if f.Tag.Get("optional") == "" && !patch {
			required = append(required, name)
		}
	}
	out := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		slices.Sort(required)
		out["required"] = required
	}
	return out
}

// parameter returns the schema of a parameter, which is left out in place of being null.
func (d described) parameter(f reflect.StructField) schema {
	if f.Type.Kind() == reflect.Pointer {
		f.Type = f.Type.Elem()
	}
	return d.field(f, false)
}

func (d described) field(f reflect.StructField, patch bool) schema {
	of, null := f.Type, f.Type.Kind() == reflect.Pointer
	if null {
		of = of.Elem()
	}
	s := d.of(of, patch && (of.Kind() == reflect.Struct && of != reflect.TypeFor[time.Time]() || f.Tag.Get("items") == "partly"))
	if null {
		s = nullable(s)
	}
	if values := strings.Fields(f.Tag.Get("enum")); len(values) > 0 {
		all := make([]any, len(values), len(values)+1)
		for i, v := range values {
			all[i] = v
		}
		if null {
			all = append(all, nil)
		}
		s["enum"] = all
	}
	if key := f.Tag.Get("says"); key != "" {
		s["description"] = d.lang.Text(key)
	}
	return s
}
