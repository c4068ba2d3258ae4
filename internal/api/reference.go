package api

import (
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"parvis/internal/access"
	"parvis/internal/fault"
	"parvis/internal/page"
)

// Templates are the pages of this package, for page.Templates.
//
//go:embed templates/*.html
var Templates embed.FS

// The pages about the API, which anybody may read.
const (
	referencePath = "/api"
	documentPath  = "/api/openapi.json"
	problemPath   = "/api/problems/"
)

// mountReference adds the pages about the API.
func (s *Server) mountReference(site *page.Site) {
	site.Anyone("GET "+referencePath, s.reference)
	site.Anyone("GET "+problemPath+"{code}", s.problem)
	site.Anyone("GET "+documentPath, func(v *page.Visitor) error {
		text, err := s.document(s.Catalogue.In("en"))
		if err != nil {
			return err
		}
		v.W.Header().Set("Content-Type", jsonMedia)
		_, err = v.W.Write(text)
		return err
	})
}

// referencePage is the reference of all operations.
type referencePage struct {
	Base, Root string
	Areas      []chapter
}

// chapter is one part of the reference.
type chapter struct {
	Name       string
	Operations []explained
}

// explained is an operation as the reference shows it.
type explained struct {
	*operation
	Parameters, Fields, Answer []parameterOf
	Example                    string
}

// Anchor is the id of the operation's place on the page.
func (e explained) Anchor() string { return strings.NewReplacer(".", "-", "_", "-").Replace(e.ID) }

// Scopes lists what a token needs.
func (e explained) Scopes() (all []access.Scope) {
	if e.Scope != "" {
		all = append(all, e.Scope)
	}
	return append(all, e.also...)
}

// InPerson reports whether only a person does it.
func (e explained) InPerson() bool { return e.inPerson }

// parameterOf is a value that an operation takes or answers with.
type parameterOf struct {
	Name, Type string
	Values     []string // that it may have, if they are listed
	Must       bool
	Null       bool
	Says       string // catalogue key: what it means; empty where the name says it
}

func (s *Server) reference(v *page.Visitor) error {
	p := referencePage{Base: s.Base, Root: Root}
	for _, o := range operations {
		i := slices.IndexFunc(p.Areas, func(a chapter) bool { return a.Name == o.area() })
		if i < 0 {
			i = len(p.Areas)
			p.Areas = append(p.Areas, chapter{Name: o.area()})
		}
		p.Areas[i].Operations = append(p.Areas[i].Operations, s.explain(o))
	}
	return v.Render("api-reference", p)
}

func (s *Server) explain(o *operation) explained {
	e := explained{operation: o}
	for _, f := range reflect.VisibleFields(o.in) {
		for _, place := range []string{"path", "query"} {
			if name := f.Tag.Get(place); name != "" && strings.Contains(o.Path, "{"+name+"}") == (place == "path") {
				e.Parameters = append(e.Parameters, parameterOf{name, kindOf(f.Type), strings.Fields(f.Tag.Get("enum")), place == "path", false, ""})
			}
		}
	}
	body, takes := o.in.FieldByName("Body")
	if takes {
		e.Fields = partsOf(body.Type)
		for i := range e.Fields {
			e.Fields[i].Must = e.Fields[i].Must && o.Method != http.MethodPatch && !o.partly
		}
	}
	if o.out != nil {
		e.Answer = partsOf(o.out)
	}
	e.Example = s.example(o, body.Type)
	return e
}

// partsOf lists the fields of a form, and those of what is in it.
func partsOf(t reflect.Type) (all []parameterOf) {
	for _, f := range fieldsOf(t) {
		of, null := f.Type, f.Type.Kind() == reflect.Pointer
		if null {
			of = of.Elem()
		}
		name := f.Tag.Get("json")
		all = append(all, parameterOf{name, kindOf(of), strings.Fields(f.Tag.Get("enum")), f.Tag.Get("optional") == "", null, f.Tag.Get("says")})
		inside := name + "."
		if of.Kind() == reflect.Slice {
			of, inside = of.Elem(), name+"[]."
		}
		if of.Kind() != reflect.Struct || of == reflect.TypeFor[time.Time]() {
			continue
		}
		for _, part := range partsOf(of) {
			part.Name = inside + part.Name
			all = append(all, part)
		}
	}
	return all
}

func kindOf(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == reflect.TypeFor[time.Time]() {
		return "time"
	}
	return typeName(t)
}

// example returns a command to paste that calls an operation.
func (s *Server) example(o *operation, body reflect.Type) string {
	path := regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllStringFunc(o.Path, func(part string) string {
		switch part {
		case "{user}":
			return "usr_…"
		case "{secret}":
			return "sec_…"
		case "{session}":
			return "ses_…"
		case "{token}":
			return "pst_…"
		case "{conflict}":
			return "pwt_…"
		case "{link}":
			return "…"
		}
		return map[string]string{"applications": "app_…", "users": "usr_…", "invitations": "inv_…", "groups": "grp_…", "domains": "dom_…", "connections": "con_…", "sources": "src_…", "api_tokens": "tok_…", "machines": "app_…", "events": "evt_…"}[o.area()]
	})
	lines := []string{`curl -H "Authorization: Bearer $TOKEN"`}
	if o.Method != http.MethodGet {
		lines[0] += " -X " + o.Method
	}
	if o.tagged && o.Method == http.MethodPut {
		lines = append(lines, `-H 'If-Match: "…"'`)
	}
	if o.takes != nil {
		lines = append(lines, fmt.Sprintf("-H 'Content-Type: %s' --data-binary @logo.png", o.takes[0]))
	}
	if body != nil {
		sent := sample(body)
		if o.Method == http.MethodPatch || o.partly { // which sends only what changes
			maps.DeleteFunc(sent, func(name string, _ any) bool { _, known := samples[name]; return !known })
		}
		text, err := json.Marshal(sent)
		if err != nil {
			panic(err) // samples always encode
		}
		lines = append(lines, fmt.Sprintf("-H 'Content-Type: %s'", jsonMedia), fmt.Sprintf("-d '%s'", text))
	}
	return strings.Join(append(lines, s.Base+Root+path), " \\\n  ")
}

// samples are values of fields that stand in examples.
var samples = map[string]any{
	"name": "Bo Lind", "email": "bo@example.com", "language": "en", "time_zone": "Europe/Paris", "short_name": "example", "contact": "it@example.com",
	"user_ids": []string{"usr_…"}, "reason": "New phone, seen in person", "minimum_length": 12, "maximum_length": 128,
	"invitation_lifetime_seconds": 604800, "reset_lifetime_seconds": 1800, "idle_seconds": 1728000, "absolute_seconds": 7776000,
	"organization": map[string]string{"short_name": "example"}, "groups": []map[string]string{{"name": "Drivers"}},
	"role": "member", "kind": "web", "redirect_uris": []string{"https://app.example.com/callback"}, "deed": "end_sessions", "scopes": []string{"parvis.people.read"},
}

// sample returns an object with a value in each field that must be sent.
func sample(t reflect.Type) map[string]any {
	all := map[string]any{}
	for _, f := range fieldsOf(t) {
		name := f.Tag.Get("json")
		value, known := samples[name]
		switch values := strings.Fields(f.Tag.Get("enum")); {
		case known:
		case len(values) > 0:
			value = values[0]
		case f.Type.Kind() == reflect.Pointer:
			value = nil
		default:
			value = reflect.Zero(f.Type).Interface()
		}
		if f.Tag.Get("optional") == "" || known && name != "user_ids" || name == "user_ids" {
			all[name] = value
		}
	}
	delete(all, "everyone")
	return all
}

// problemPage explains the code of a refusal.
type problemPage struct{ Code, Sentence string }

var gaps = regexp.MustCompile(`\[[A-Z][A-Za-z]*\]`)

func (s *Server) problem(v *page.Visitor) error {
	code := v.R.PathValue("code")
	sentence := v.Text(code)
	if sentence == "["+code+"]" {
		return fault.New(fault.NotFound, "page.not_found")
	}
	return v.Render("api-problem", problemPage{code, gaps.ReplaceAllString(sentence, "…")})
}
