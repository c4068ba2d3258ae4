package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of what is read.
const (
	MostBody  = 1 << 20 // bytes of a request
	mostDepth = 16
	mostKeys  = 256      // of one object
	mostText  = 32 << 10 // bytes of one text
	mostNodes = 150_000  // values of one request: 20,000 members with all they are sent with
)

// Read reads one JSON value strictly. A key that stands twice in any case, more than one value, and
// text that is not Unicode are refused. It reads no further than to the first thing that is wrong.
func Read(text []byte) (any, error) {
	r := reader{text: text}
	value, err := r.value(0)
	if err == nil {
		if r.space(); r.at != len(text) {
			err = errNotJSON
		}
	}
	if errors.Is(err, errNotJSON) {
		line, column := r.place()
		err = errNotJSON.With("Line", line, "Column", column)
	}
	if err != nil {
		return nil, err
	}
	return value, nil
}

// place returns where the reader stopped, as editors count.
func (r *reader) place() (line, column int) {
	before := r.text[:min(r.at, len(r.text))]
	return 1 + bytes.Count(before, []byte("\n")), 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
}

type reader struct {
	text  []byte
	at    int
	nodes int
}

func (r *reader) space() {
	for r.at < len(r.text) && (r.text[r.at] == ' ' || r.text[r.at] == '\n' || r.text[r.at] == '\t' || r.text[r.at] == '\r') {
		r.at++
	}
}

// next skips spaces and returns the byte that follows, or 0 at the end.
func (r *reader) next() byte {
	if r.space(); r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

func (r *reader) value(depth int) (any, error) {
	if r.nodes++; r.nodes > mostNodes {
		return nil, errMany
	}
	switch c := r.next(); {
	case c == '{' || c == '[':
		if depth >= mostDepth {
			return nil, errDeep
		}
		r.at++
		if c == '{' {
			return r.object(depth)
		}
		return r.list(depth)
	case c == '"':
		return r.string()
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	}
	for word, value := range map[string]any{"true": true, "false": false, "null": nil} {
		if strings.HasPrefix(string(r.text[r.at:min(len(r.text), r.at+len(word))]), word) {
			r.at += len(word)
			return value, nil
		}
	}
	return nil, errNotJSON
}

func (r *reader) object(depth int) (any, error) {
	all := Object{}
	seen := map[string]bool{}
	for first := true; ; first = false {
		c := r.next()
		if c == '}' && first {
			r.at++
			return all, nil
		}
		if c != '"' {
			return nil, errNotJSON
		}
		key, err := r.string()
		if err != nil {
			return nil, err
		}
		if lower := strings.ToLower(key); seen[lower] {
			return nil, refuse(InvalidSyntax, errTwice, key)
		} else if seen[lower] = true; len(seen) > mostKeys {
			return nil, errMany
		}
		if r.next() != ':' {
			return nil, errNotJSON
		}
		r.at++
		if all[key], err = r.value(depth + 1); err != nil {
			return nil, err
		}
		if c = r.next(); c != '}' && c != ',' {
			return nil, errNotJSON
		}
		if r.at++; c == '}' {
			return all, nil
		}
	}
}

func (r *reader) list(depth int) (any, error) {
	all := []any{}
	if r.next() == ']' {
		r.at++
		return all, nil
	}
	for {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
		c := r.next()
		if c != ']' && c != ',' {
			return nil, errNotJSON
		}
		if r.at++; c == ']' {
			return all, nil
		}
	}
}

// number reads a number, which no attribute of ours is, and keeps its text.
func (r *reader) number() (any, error) {
	from := r.at
	for r.at < len(r.text) && strings.IndexByte("+-.0123456789eE", r.text[r.at]) >= 0 {
		if r.at++; r.at-from > 64 {
			return nil, errNotJSON
		}
	}
	if text := r.text[from:r.at]; json.Valid(text) {
		return json.Number(text), nil
	}
	return nil, errNotJSON
}

// string reads a text. Most have no escape and are taken as they stand.
func (r *reader) string() (string, error) {
	r.at++
	from := r.at
	for i := from; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case i-from > mostText:
			return "", refuse(InvalidValue, errLong, string(r.text[from:from+60]))
		case c == '"':
			r.at = i + 1
			return checked(string(r.text[from:i]))
		case c < ' ':
			r.at = i
			return "", errNotJSON
		case c == '\\':
			return r.escaped(from, i)
		}
	}
	return "", errNotJSON
}

// checked refuses text that is not Unicode.
func checked(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errNotJSON
	}
	return s, nil
}

// escaped reads on from the first escape of a text.
func (r *reader) escaped(from, at int) (string, error) {
	b := append(make([]byte, 0, at-from+32), r.text[from:at]...)
	for at < len(r.text) {
		c := r.text[at]
		switch {
		case len(b) > mostText:
			return "", refuse(InvalidValue, errLong, string(b[:60]))
		case c == '"':
			r.at = at + 1
			return checked(string(b))
		case c < ' ':
			r.at = at
			return "", errNotJSON
		case c != '\\':
			b = append(b, c)
			at++
			continue
		}
		char, n := unescape(r.text[at:])
		if n == 0 {
			r.at = at
			return "", errNotJSON
		}
		// No text that is stored has a NUL, and half a surrogate pair is no character.
		if char == 0 || char == utf8.RuneError {
			return "", errCharacters
		}
		b = utf8.AppendRune(b, char)
		at += n
	}
	return "", errNotJSON
}

// unescape reads one escape and returns how many bytes it has, or none if it is wrong.
func unescape(s []byte) (rune, int) {
	if len(s) < 2 {
		return 0, 0
	}
	const names, chars = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if s[1] != 'u' {
		if i := strings.IndexByte(names, s[1]); i >= 0 {
			return rune(chars[i]), 2
		}
		return 0, 0
	}
	first, ok := hex4(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	second, ok := hex4(s[6:])
	if !ok {
		return utf8.RuneError, 6
	}
	return utf16.DecodeRune(first, second), 12
}

// hex4 reads \uXXXX.
func hex4(s []byte) (rune, bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	var char rune
	for _, c := range s[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		char = char<<4 | rune(c)
	}
	return char, true
}

// Canonical returns the one way to write a resource: keys in order, nothing left to choice.
func Canonical(o Object) []byte {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err) // what was read can be written
	}
	return text
}
