package api

import (
	"encoding/json"
	"strings"
	"testing"
)

// Whatever is sent, what is read of it is JSON by anybody's reading, of bounded depth, and says the same
// when it is written again.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		`{"email":"a@x.example","groups":["grp_1"],"role":null,"position":-1.5e3}`, `{"a":1,"a":2}`, `{"\ud800":"\u0000"}`, `[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]`,
		`{"a":{"b":[true,false]}} {}`, "\xff", `"`, "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		value, err := decodeJSON([]byte(text))
		if err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("%q is no JSON", text)
		}
		again, err := decodeJSON(written(value))
		if err != nil || string(written(again)) != string(written(value)) {
			t.Errorf("%q is read as %s, and that as %s, %v", text, written(value), written(again), err)
		}
		if depth := deepest(value); depth > mostDepth {
			t.Errorf("%q is %d deep", text, depth)
		}
		if strings.ContainsRune(string(written(value)), '\uFFFD') {
			t.Errorf("%q has half a character", text)
		}
	})
}

func deepest(value any) int {
	most := 0
	switch v := value.(type) {
	case object:
		for _, inside := range v {
			most = max(most, deepest(inside))
		}
		return most + 1
	case []any:
		for _, inside := range v {
			most = max(most, deepest(inside))
		}
		return most + 1
	}
	return most
}
