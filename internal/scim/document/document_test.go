package document

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// object reads a JSON object of a test.
func object(t testing.TB, text string) Object {
	t.Helper()
	v, err := Read([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v.(Object)
}

// scimType returns the word of a refusal, or an empty text.
func scimType(err error) string {
	if r, ok := errors.AsType[Refusal](err); ok {
		return r.Type
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func keys(n Notes) string {
	var all []string
	for _, note := range n.All {
		all = append(all, strings.TrimPrefix(note.Key, "scim.note_")+" "+note.At)
	}
	return strings.Join(all, ", ")
}

func TestReadRefusesWhatIsNotOneJSONValue(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":1}`: "", `{"a":[true,false,null,-1.5e3,"\u00e9\ud83d\ude00\n"]}`: "", ` {} `: "", `[]`: "",
		`{"a":1,"A":2}`: InvalidSyntax, `{"userName":"a","USERNAME":"b"}`: InvalidSyntax, `{"a":1}{}`: InvalidSyntax,
		`{"a":1,}`: InvalidSyntax, `[1,]`: InvalidSyntax, `{a:1}`: InvalidSyntax, `{"a" 1}`: InvalidSyntax, ``: InvalidSyntax, `"`: InvalidSyntax,
		`tru`: InvalidSyntax, `01`: InvalidSyntax, `1e`: InvalidSyntax, `+1`: InvalidSyntax, "\"a\nb\"": InvalidSyntax, `"\x"`: InvalidSyntax, `"\u12"`: InvalidSyntax,
		`"\u0000"`: InvalidSyntax, `"\ud800"`: InvalidSyntax, `"\ud800\u0041"`: InvalidSyntax, "\"\xff\"": InvalidSyntax, `"\u000g"`: InvalidSyntax,
		strings.Repeat("[", 17) + strings.Repeat("]", 17):   InvalidSyntax,
		strings.Repeat("[", 16) + strings.Repeat("]", 16):   "",
		`"` + strings.Repeat("a", 40<<10) + `"`:             InvalidValue,
		`"\n` + strings.Repeat("a", 40<<10) + `"`:           InvalidValue,
		"[" + strings.Repeat("1,", 200_000) + "1]":          InvalidSyntax,
		`{"a":` + strings.Repeat("9", 100) + `}`:            InvalidSyntax,
		`{` + many(300, `"k%d":1`) + `}`:                    InvalidSyntax,
		`{"schemas":["` + UserURI + `"],"userName":"x"}   `: "",
	} {
		if _, err := Read([]byte(text)); scimType(err) != want {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
	}
	v, err := Read([]byte(`{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é"}`))
	if want := (Object{"a": "\"\\/\b\f\n\r\té😀é"}); err != nil || !reflect.DeepEqual(v, want) {
		t.Errorf("read %q, %v", v, err)
	}
}

func many(n int, pattern string) string {
	var all []string
	for i := range n {
		all = append(all, strings.ReplaceAll(pattern, "%d", strings.Repeat("x", i%7)+string(rune('a'+i%26))+strings.Repeat("y", i/26)))
	}
	return strings.Join(all, ",")
}

// What providers send is taken as they mean it, and nothing else (section 2 of the paper).
func TestJudgeTakesWhatProvidersSend(t *testing.T) {
	for sent, want := range map[string]string{
		`{"USERNAME":"a@b.example","Name":{"GIVENNAME":"A"}}`:                                     `{"name":{"givenName":"A"},"userName":"a@b.example"}`,
		`{"userName":"a","active":"False"}`:                                                       `{"active":false,"userName":"a"}`,
		`{"userName":"a","active":["True"],"title":["x"]}`:                                        `{"active":true,"title":"x","userName":"a"}`,
		`{"userName":"a","id":"usr_x","meta":{"created":1},"groups":[{"value":"x"}]}`:             `{"userName":"a"}`,
		`{"userName":"a","password":"secret"}`:                                                    `{"userName":"a"}`,
		`{"userName":"a","roles":[],"nickName":null,"name":{},"emails":[null]}`:                   `{"userName":"a"}`,
		`{"userName":"a","emails":"x@y.example"}`:                                                 `{"emails":[{"value":"x@y.example"}],"userName":"a"}`,
		`{"userName":"a","emails":{"value":"x@y.example","primary":"True"}}`:                      `{"emails":[{"primary":true,"value":"x@y.example"}],"userName":"a"}`,
		`{"userName":"a","` + Enterprise + `":{"manager":"usr_m","foo":1}}`:                       `{"` + Enterprise + `":{"manager":{"value":"usr_m"}},"userName":"a"}`,
		`{"userName":"a","` + Enterprise + `":{"manager":{"value":"m","$ref":null}}}`:             `{"` + Enterprise + `":{"manager":{"value":"m"}},"userName":"a"}`,
		`{"userName":"a","urn:foreign:1.0:User":{"x":1},"foo":2}`:                                 `{"userName":"a"}`,
		`{"userName":"a","emails":[{"value":"x","type":"work"},{"value":"x","type":"work"}]}`:     `{"emails":[{"type":"work","value":"x"}],"userName":"a"}`,
		`{"userName":"a","emails":[{"value":"x","primary":true},{"value":"y","primary":true}]}`:   `{"emails":[{"primary":false,"value":"x"},{"primary":true,"value":"y"}],"userName":"a"}`,
		`{"userName":"a","x509Certificates":[{"value":"AAEC"}],"profileUrl":"https://a.example"}`: `{"profileUrl":"https://a.example","userName":"a","x509Certificates":[{"value":"AAEC"}]}`,
	} {
		var n Notes
		o, err := User().Judge(object(t, sent), &n)
		if err != nil || string(Canonical(o)) != want {
			t.Errorf("%s: %s, %v", sent, Canonical(o), err)
		}
	}
}

func TestJudgeRefusesWhatIsNoUser(t *testing.T) {
	for sent, want := range map[string]string{
		`{}`: InvalidValue, `{"userName":""}`: InvalidValue, `{"userName":7}`: InvalidValue, `{"userName":{"a":1}}`: InvalidValue,
		`{"userName":"a","active":"maybe"}`: InvalidValue, `{"userName":"a","active":0}`: InvalidValue, `{"userName":["a","b"]}`: InvalidValue,
		`{"userName":"a","name":"text"}`: InvalidValue, `{"userName":"a","emails":[7]}`: InvalidValue, `{"userName":"a","schemas":7}`: InvalidSyntax,
		`{"userName":"a","x509Certificates":[{"value":"***"}]}`: InvalidValue, `{"userName":"a","` + Enterprise + `":"x"}`: InvalidValue,
		`{"userName":"a","emails":[["x"]]}`: InvalidValue,
	} {
		if _, err := User().Judge(object(t, sent), &Notes{}); scimType(err) != want {
			t.Errorf("%s: %v", sent, err)
		}
	}
	for _, sent := range []any{[]any{}, "text", nil, true} {
		if _, err := User().Judge(sent, &Notes{}); scimType(err) != InvalidSyntax {
			t.Errorf("%v: %v", sent, err)
		}
	}
}

func TestNotesSayWhatWasNotTakenAsWritten(t *testing.T) {
	var n Notes
	if _, err := User().Judge(object(t, `{"schemas":["urn:x"],"userName":"a","foo":1,"urn:y:z":{},"password":"p","active":"True","emails":[{"bar":1,"value":"x"}]}`), &n); err != nil {
		t.Fatal(err)
	}
	want := "no_schema " + UserURI + ", schema urn:x, taken active, unknown emails.bar, unknown foo, password password, schema urn:y:z"
	if keys(n) != want {
		t.Errorf("notes: %s", keys(n))
	}
	for range 100 {
		n.add(noteUnknown, strings.Repeat("x", 500))
	}
	if len(n.All) > mostNotes || len(n.All[len(n.All)-1].At) > 100 {
		t.Error("notes grow with what is sent")
	}
}

func TestPersonOfADocument(t *testing.T) {
	for sent, want := range map[string]Person{
		`{"userName":"a@b.example","displayName":"A B","externalId":"7","active":true}`:                                                   {UserName: "a@b.example", Address: "a@b.example", Name: "A B", ExternalID: "7", Active: new(true)},
		`{"userName":"ab","name":{"givenName":"A","familyName":"B"},"emails":[{"value":"h","type":"home"},{"value":"w","type":"work"}]}`:  {UserName: "ab", Address: "w", Name: "A B", GivenName: "A", FamilyName: "B"},
		`{"userName":"ab","name":{"formatted":"Dr A"},"emails":[{"value":"w","type":"work"},{"value":"p","primary":true}],"locale":"fr"}`: {UserName: "ab", Address: "p", Name: "Dr A", Language: "fr"},
		`{"userName":"ab","displayName":" ","preferredLanguage":"en","locale":"fr","timezone":"Europe/Zurich"}`:                           {UserName: "ab", Name: "ab", Language: "en", TimeZone: "Europe/Zurich"},
	} {
		if got := PersonOf(object(t, sent)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v", sent, got)
		}
	}
}

func TestDiscoveryIsWhatIsJudged(t *testing.T) {
	d := Discover()
	if len(d.Schemas) != 6 || len(d.ResourceTypes) != 2 || d.Config["bulk"] == nil {
		t.Fatalf("discovery has %d schemas, %d types", len(d.Schemas), len(d.ResourceTypes))
	}
	for _, k := range []*Kind{User(), Group()} {
		if KindAt(k.Endpoint) != k || len(k.attributes) < 6 || named(k.attributes, "ID") == nil {
			t.Errorf("%s is not whole", k.Name)
		}
		for _, a := range k.attributes {
			if a.Type == "" || a.Mutability == "" || a.Returned == "" {
				t.Errorf("%s.%s lacks a characteristic", k.Name, a.Name)
			}
		}
	}
	if KindAt("/Me") != nil {
		t.Error("there is a kind of resource at /Me")
	}
	// The example of RFC 7643 §8.3 is taken whole, except for what only we say, and passwords.
	var n Notes
	o, err := User().Judge(object(t, rfcUser), &n)
	if err != nil || len(o) != 21 {
		t.Errorf("the full user of RFC 7643 has %d attributes: %v", len(o), err)
	}
	if ext := o[Enterprise].(Object); len(ext) != 6 || ext["manager"].(Object)["displayName"] != nil {
		t.Errorf("its extension is %v", ext)
	}
	if keys(n) != "password password" {
		t.Errorf("its notes are %s", keys(n))
	}
}

func TestShow(t *testing.T) {
	o := object(t, `{"schemas":["x"],"id":"1","userName":"a","name":{"givenName":"G","familyName":"F"},"emails":[{"value":"v","type":"work"},{"value":"w"}],"meta":{"location":"l"},"`+Enterprise+`":{"department":"d","division":"e"}}`)
	for _, c := range []struct {
		only, not, want string
	}{
		{"userName", "", `{"id":"1","schemas":["x"],"userName":"a"}`},
		{"USERNAME,nope", "", `{"id":"1","schemas":["x"],"userName":"a"}`},
		{"nope", "", `{"id":"1","schemas":["x"]}`},
		{"name.givenName", "", `{"id":"1","name":{"givenName":"G"},"schemas":["x"]}`},
		{"name.givenName,name.familyName", "", `{"id":"1","name":{"familyName":"F","givenName":"G"},"schemas":["x"]}`},
		{"emails.value", "", `{"emails":[{"value":"v"},{"value":"w"}],"id":"1","schemas":["x"]}`},
		{"emails.value,emails.type", "", `{"emails":[{"type":"work","value":"v"},{"value":"w"}],"id":"1","schemas":["x"]}`},
		{Enterprise + ":department", "", `{"id":"1","schemas":["x"],"` + Enterprise + `":{"department":"d"}}`},
		{Enterprise, "", `{"id":"1","schemas":["x"],"` + Enterprise + `":{"department":"d","division":"e"}}`},
		{UserURI + ":userName", "", `{"id":"1","schemas":["x"],"userName":"a"}`},
		{"", "name,emails,meta,id,schemas," + Enterprise, `{"id":"1","schemas":["x"],"userName":"a"}`},
		{"", "name.givenName,emails.type,meta,userName," + Enterprise + ":department", `{"emails":[{"value":"v"},{"value":"w"}],"id":"1","name":{"familyName":"F"},"schemas":["x"],"` + Enterprise + `":{"division":"e"}}`},
	} {
		split := func(s string) []string {
			if s == "" {
				return nil
			}
			return strings.Split(s, ",")
		}
		before := string(Canonical(o))
		s, err := User().ParseShow(split(c.only), split(c.not))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(Canonical(s.Of(o))); got != c.want {
			t.Errorf("only %q, not %q: %s", c.only, c.not, got)
		}
		if string(Canonical(o)) != before {
			t.Errorf("only %q, not %q changed the resource", c.only, c.not)
		}
	}
	if _, err := User().ParseShow([]string{"a"}, []string{"b"}); scimType(err) != InvalidValue {
		t.Errorf("both lists: %v", err)
	}
	for names, want := range map[string]bool{"": true, "members": true, "displayName": false, "members.value": true} {
		var only []string
		if names != "" {
			only = []string{names}
		}
		if s, _ := Group().ParseShow(only, nil); s.Has("members") != want {
			t.Errorf("with %q members are shown: %v", names, !want)
		}
	}
	if s, _ := Group().ParseShow(nil, []string{"members"}); s.Has("members") {
		t.Error("excluded members are read")
	}
}

func TestSort(t *testing.T) {
	all := []Object{}
	for _, s := range []string{`{"id":"1","userName":"Bob"}`, `{"id":"2","userName":"alice","nickName":"z"}`, `{"id":"3","userName":"carol","nickName":"Y","emails":[{"value":"b"},{"value":"a","primary":true}]}`, `{"id":"4","userName":"Dan","emails":[{"value":"a2"}]}`} {
		all = append(all, object(t, s))
	}
	for _, c := range []struct{ by, order, want string }{
		{"userName", "", "2134"}, {"userName", "descending", "4312"}, {"nickName", "ascending", "3214"}, {"NICKNAME", "DESCENDING", "1423"},
		{"emails", "", "3412"}, {"emails.value", "", "3412"}, {"id", "descending", "4321"}, {Enterprise + ":department", "", "1234"},
	} {
		s, err := User().ParseSort(c.by, c.order)
		if err != nil {
			t.Fatal(err)
		}
		s.Apply(all)
		got := ""
		for _, o := range all {
			got += text(o, "id")
		}
		if got != c.want {
			t.Errorf("%s %s: %s, want %s", c.by, c.order, got, c.want)
		}
	}
	for _, by := range []string{"nope", "password", "name", "meta", "", "a b"} {
		if _, err := User().ParseSort(by, ""); scimType(err) != InvalidPath {
			t.Errorf("sorted by %q: %v", by, err)
		}
	}
	if _, err := User().ParseSort("id", "sideways"); scimType(err) != InvalidValue {
		t.Errorf("sorted sideways: %v", err)
	}
}

func TestCanonicalIsReadAgain(t *testing.T) {
	o, err := User().Judge(object(t, rfcUser), &Notes{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := Read(Canonical(o))
	if err != nil || !reflect.DeepEqual(again, any(o)) {
		t.Errorf("read again: %v, %v", again, err)
	}
	if !json.Valid(Canonical(o)) {
		t.Error("no JSON")
	}
}
