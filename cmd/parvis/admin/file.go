package admin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"parvis/internal/api/form"
)

// written is a configuration as it stands in a file, with the offset of each value by its JSON
// pointer.
type written struct {
	name   string // of the file
	text   []byte
	values map[string]any
	at     map[string]int
	wrong  []mistake
}

// mistake is something wrong in a file, at an offset.
type mistake struct {
	at  int
	say string
}

// parse reads a file as TOML, or as JSON if it begins with a brace, as no TOML does. Secrets are
// taken from the environment.
func parse(name string, text []byte) (*written, error) {
	w := &written{name: name, text: text, values: map[string]any{}, at: map[string]int{"": 0}}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	w.text = text
	if strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		w.readJSON()
	} else {
		w.readTOML()
	}
	if w.wrong == nil {
		w.secrets(w.values, "")
	}
	return w, w.mistakes()
}

func (w *written) mistake(at int, format string, args ...any) {
	w.wrong = append(w.wrong, mistake{at, fmt.Sprintf(format, args...)})
}

// mistakes is an error with a line for each thing that is wrong, in the order of the file.
func (w *written) mistakes() error {
	if w.wrong == nil {
		return nil
	}
	slices.SortStableFunc(w.wrong, func(a, b mistake) int { return cmp.Compare(a.at, b.at) })
	lines := make([]string, len(w.wrong))
	for i, m := range w.wrong {
		before := w.text[:min(max(m.at, 0), len(w.text))]
		column := len([]rune(string(before[bytes.LastIndexByte(before, '\n')+1:]))) + 1
		lines[i] = printable(fmt.Sprintf("%s:%d:%d: %s", w.name, bytes.Count(before, []byte("\n"))+1, column, m.say))
	}
	return errors.New(strings.Join(lines, "\n"))
}

// place is where a value stands that the API names by a pointer: of one that is missing, where it
// is missing.
func (w *written) place(pointer string) int {
	for {
		if at, ok := w.at[pointer]; ok {
			return at
		}
		pointer = pointer[:max(0, strings.LastIndexByte(pointer, '/'))]
	}
}

// explain says where the API's refusal of the file has its reasons.
func (w *written) explain(err error) error {
	p, ok := errors.AsType[*problem](err)
	if !ok || len(p.Errors) == 0 {
		return err
	}
	for _, one := range p.Errors {
		w.mistake(w.place(one.Pointer), "%s: %s", nameOf(one), one.Detail)
	}
	return fmt.Errorf("%w\n  Reference: %s", w.mistakes(), printable(p.Reference))
}

// secretPath matches the path of what no file holds, without numbers of things in lists: a client
// secret, and the value of a header.
var secretPath = regexp.MustCompile(`(^|/)client_secret$|^webhooks/headers/value$`)

var numberInPath = regexp.MustCompile(`/\d+`)

// isSecret reports whether no file holds what is at a pointer.
func isSecret(pointer string) bool {
	return secretPath.MatchString(strings.TrimPrefix(numberInPath.ReplaceAllString(pointer, ""), "/"))
}

// secrets replaces what names a variable of the environment by what stands in it: client_secret_env
// = "NAME" becomes client_secret.
func (w *written) secrets(v any, pointer string) {
	switch v := v.(type) {
	case map[string]any:
		for key, value := range v {
			at := pointer + "/" + escape(key)
			name, isName := value.(string)
			field := strings.TrimSuffix(key, "_env")
			secret := os.Getenv(name)
			switch {
			case !isSecret(pointer + "/" + escape(field)):
				w.secrets(value, at)
			case field == key && value == nil:
			case field == key:
				w.mistake(w.place(at), "%s: a file holds no secret; name the variable of the environment that does: %s_env", dotted(at), key)
			case !isName || secret == "":
				w.mistake(w.place(at), "%s: the environment has no variable of this name, or an empty one", dotted(at))
			default:
				delete(v, key)
				v[field] = secret
				w.at[pointer+"/"+escape(field)] = w.place(at)
			}
		}
	case []any:
		for i, value := range v {
			w.secrets(value, fmt.Sprintf("%s/%d", pointer, i))
		}
	}
}

// escape writes a key as a part of a JSON pointer (RFC 6901 §3).
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

func dotted(pointer string) string { return nameOf(form.Wrong{Pointer: pointer}) }

// readTOML reads TOML. An empty text stands for no value where that is possible, as TOML has no
// null.
func (w *written) readTOML() {
	if err := toml.Unmarshal(w.text, &w.values); err != nil {
		at := 0
		if where, ok := errors.AsType[*toml.DecodeError](err); ok {
			row, column := where.Position()
			at = w.offset(row, column)
		}
		w.mistake(at, "%s", strings.TrimPrefix(err.Error(), "toml: "))
		return
	}
	nulls(reflect.TypeFor[form.Configuration](), w.values)
	table := ""                // where the table begins that is being read
	length := map[string]int{} // of arrays of tables
	p := unstable.Parser{}
	p.Reset(w.text)
	for p.NextExpression() {
		e := p.Expression()
		at := table
		if e.Kind != unstable.KeyValue {
			at = ""
		}
		for key := e.Key(); key.Next(); {
			at += "/" + escape(string(key.Node().Data))
			if n, ok := length[at]; ok && (e.Kind == unstable.Table || !key.IsLast()) {
				at = fmt.Sprintf("%s/%d", at, n-1)
			}
			w.mark(at, key.Node())
		}
		switch e.Kind {
		case unstable.ArrayTable:
			n := length[at]
			length[at] = n + 1
			key := e.Key()
			key.Next()
			table = fmt.Sprintf("%s/%d", at, n)
			w.mark(table, key.Node())
		case unstable.Table:
			table = at
		default:
			w.inside(at, e.Value())
		}
	}
}

// mark notes where something stands, unless it was begun before.
func (w *written) mark(pointer string, n *unstable.Node) {
	if _, ok := w.at[pointer]; !ok {
		w.at[pointer] = int(n.Raw.Offset)
	}
}

// inside notes where the parts of a value stand.
func (w *written) inside(pointer string, value *unstable.Node) {
	switch value.Kind {
	case unstable.Float:
		if strings.ContainsAny(string(value.Data), "in") { // inf and nan
			w.mistake(int(value.Raw.Offset), "%s: this is no number", dotted(pointer))
		}
	case unstable.Array:
		n := 0
		for each := value.Children(); each.Next(); n++ {
			at := fmt.Sprintf("%s/%d", pointer, n)
			if each.Node().Raw.Length > 0 {
				w.mark(at, each.Node())
			}
			w.inside(at, each.Node())
		}
	case unstable.InlineTable:
		for each := value.Children(); each.Next(); {
			at := pointer
			for key := each.Node().Key(); key.Next(); {
				at += "/" + escape(string(key.Node().Data))
				w.mark(at, key.Node())
			}
			w.inside(at, each.Node().Value())
		}
	default: // has no parts
	}
}

// offset returns where a line and a column are.
func (w *written) offset(row, column int) int {
	at := 0
	for ; row > 1; row-- {
		at += bytes.IndexByte(w.text[at:], '\n') + 1
	}
	return at + column - 1
}

// nulls replaces empty texts by nothing in fields that may have no value.
func nulls(t reflect.Type, v any) {
	switch v := v.(type) {
	case map[string]any:
		if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() {
			return
		}
		for _, f := range reflect.VisibleFields(t) {
			name := f.Tag.Get("json")
			switch value, sent := v[name]; {
			case !sent || name == "":
			case f.Type.Kind() == reflect.Pointer && value == "":
				v[name] = nil
			default:
				nulls(f.Type, value)
			}
		}
	case []any:
		if t.Kind() == reflect.Slice {
			for _, one := range v {
				nulls(t.Elem(), one)
			}
		}
	}
}

// readJSON reads JSON.
func (w *written) readJSON() {
	d := json.NewDecoder(bytes.NewReader(w.text))
	d.UseNumber()
	v, err := w.value(d, "")
	if err == nil {
		at := w.next(d)
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			w.mistake(at, "something follows the object")
		}
	}
	if err != nil {
		at := w.next(d)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("the file ends before its object does")
		}
		w.mistake(at, "this is no JSON: %v", err)
		return
	}
	w.values, _ = v.(map[string]any)
}

// next is where the next token begins.
func (w *written) next(d *json.Decoder) int {
	at := int(d.InputOffset())
	for at < len(w.text) && strings.IndexByte(" \t\r\n,:", w.text[at]) >= 0 {
		at++
	}
	return at
}

// value reads one JSON value, and notes where each part of it stands.
func (w *written) value(d *json.Decoder, pointer string) (any, error) {
	if _, ok := w.at[pointer]; !ok {
		w.at[pointer] = w.next(d)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		all := map[string]any{}
		for d.More() {
			begins := w.next(d)
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, _ := key.(string)
			at := pointer + "/" + escape(name)
			if _, twice := all[name]; twice {
				w.mistake(begins, "%s: this stands here twice", dotted(at))
			}
			w.at[at] = begins
			if all[name], err = w.value(d, at); err != nil {
				return nil, err
			}
		}
		_, err := d.Token()
		return all, err
	case json.Delim('['):
		all := []any{}
		for n := 0; d.More(); n++ {
			one, err := w.value(d, fmt.Sprintf("%s/%d", pointer, n))
			if err != nil {
				return nil, err
			}
			all = append(all, one)
		}
		_, err := d.Token()
		return all, err
	}
	return t, nil
}
