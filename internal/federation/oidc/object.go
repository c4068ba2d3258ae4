package oidc

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

var errNoObject = errors.New("no JSON object with distinct members")

// object is a JSON object whose members have distinct names, compared exactly: of two
// members with one name, another reader might see the other.
type object struct {
	names   []string // in the order they came
	members map[string]json.RawMessage
}

func parseObject(text []byte) (object, error) {
	o := object{members: map[string]json.RawMessage{}}
	d := json.NewDecoder(bytes.NewReader(text))
	if start, err := d.Token(); err != nil || start != json.Delim('{') || !utf8.Valid(text) {
		return o, errNoObject
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return o, errNoObject
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return o, errNoObject
		}
		key := name.(string) // the decoder gives no other type for a member's name
		if o.has(key) {
			return o, errNoObject
		}
		o.names = append(o.names, key)
		o.members[key] = value
	}
	if _, err := d.Token(); err != nil {
		return o, errNoObject
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return o, errNoObject
	}
	return o, nil
}

func (o object) has(name string) bool {
	_, ok := o.members[name]
	return ok
}

// lacks reports whether no member has one of these names, in any case.
func (o object) lacks(names []string) bool {
	return !slices.ContainsFunc(o.names, func(name string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
	})
}

// text returns a member that is a string; null and numbers are not.
func (o object) text(name string) (s string, ok bool) {
	raw := o.members[name]
	return s, len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil
}

// texts returns the strings of a member that is a string or a list of strings.
func (o object) texts(name string) (list []string) {
	if s, ok := o.text(name); ok {
		return []string{s}
	}
	var some []*string
	if json.Unmarshal(o.members[name], &some) != nil {
		return nil
	}
	for _, s := range some {
		if s == nil {
			return nil
		}
		list = append(list, *s)
	}
	return list
}

// isTrue reports whether a member is the JSON boolean true, not the text "true".
func (o object) isTrue(name string) bool { return string(o.members[name]) == "true" }

// latest is the last second that counts as a time.
const latest = 253402300799 // the end of the year 9999

// time returns a member that is a NumericDate (RFC 7519 §2).
func (o object) time(name string) (time.Time, bool) {
	var seconds *float64
	if json.Unmarshal(o.members[name], &seconds) != nil || seconds == nil || *seconds < 0 || *seconds > latest {
		return time.Time{}, false
	}
	whole, part := math.Modf(*seconds)
	return time.Unix(int64(whole), int64(part*1e9)).UTC(), true
}

// found returns a member as it is shown.
func (o object) found(name string) string {
	if s, ok := o.text(name); ok {
		return shown(s)
	}
	return shown(string(o.members[name]))
}
