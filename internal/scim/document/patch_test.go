package document

import (
	"reflect"
	"strings"
	"testing"
)

// patched applies the operations of a PATCH to a user as it stands.
func patched(t testing.TB, before, operations string) (string, Notes, error) {
	t.Helper()
	var n Notes
	ops, err := Operations(object(t, `{"schemas":["`+PatchURI+`"],"Operations":[`+operations+`]}`))
	if err != nil {
		return "", n, err
	}
	o := object(t, before)
	err = User().Patch(o, ops, &n)
	return string(Canonical(o)), n, err
}

const (
	bare    = `{"userName":"a"}`
	atWork  = `{"emails":[{"type":"work","value":"w"}],"userName":"a"}`
	twoMail = `{"emails":[{"primary":true,"type":"work","value":"w"},{"type":"home","value":"h"}],"userName":"a"}`
)

// What each provider sends, and what it makes of a user. The rows are those of section 2 of
// administration-api.md.
var quirks = []struct{ name, before, operation, after string }{
	{"Entra: Add", bare, `{"op":"Add","path":"displayName","value":"X"}`, `{"displayName":"X","userName":"a"}`},
	{"Entra: Replace", bare, `{"op":"Replace","path":"displayName","value":"X"}`, `{"displayName":"X","userName":"a"}`},
	{"Entra: Remove", `{"displayName":"X","userName":"a"}`, `{"op":"Remove","path":"displayName"}`, bare},
	{"Entra: active False", bare, `{"op":"Replace","path":"active","value":"False"}`, `{"active":false,"userName":"a"}`},
	{"Entra: active in a list", bare, `{"op":"Replace","path":"active","value":["True"]}`, `{"active":true,"userName":"a"}`},
	{"Entra: text in a list", bare, `{"op":"Replace","path":"title","value":["x"]}`, `{"title":"x","userName":"a"}`},
	{"Entra: Add to no address at work", bare, `{"op":"Add","path":"emails[type eq \"work\"].value","value":"w"}`, atWork},
	{"Entra: Replace of no address at work", bare, `{"op":"Replace","path":"emails[type eq \"work\"].value","value":"w"}`, atWork},
	{"Entra: Replace of the address at work", twoMail, `{"op":"Replace","path":"emails[type eq \"work\"].value","value":"n"}`, `{"emails":[{"primary":true,"type":"work","value":"n"},{"type":"home","value":"h"}],"userName":"a"}`},
	{"Entra: role that is primary", bare, `{"op":"Add","path":"roles[primary eq \"True\"].value","value":"r"}`, `{"roles":[{"primary":true,"value":"r"}],"userName":"a"}`},
	{"Entra: dotted keys without path", bare, `{"op":"replace","value":{"name.givenName":"G","name.familyName":"F","displayName":"D"}}`, `{"displayName":"D","name":{"familyName":"F","givenName":"G"},"userName":"a"}`},
	{"Entra: keys with a URN without path", bare, `{"op":"add","value":{"` + Enterprise + `:department":"D","` + UserURI + `:title":"T"}}`, `{"title":"T","` + Enterprise + `":{"department":"D"},"userName":"a"}`},
	{"Entra: keys with a filter without path", bare, `{"op":"replace","value":{"emails[type eq \"work\"].value":"w"}}`, atWork},
	{"Entra: extension without path", bare, `{"op":"replace","value":{"` + Enterprise + `":{"department":"D"}}}`, `{"` + Enterprise + `":{"department":"D"},"userName":"a"}`},
	{"Entra: path with a URN", bare, `{"op":"Add","path":"` + Enterprise + `:employeeNumber","value":"7"}`, `{"` + Enterprise + `":{"employeeNumber":"7"},"userName":"a"}`},
	{"Entra: manager as text", bare, `{"op":"Add","path":"` + Enterprise + `:manager","value":"usr_m"}`, `{"` + Enterprise + `":{"manager":{"value":"usr_m"}},"userName":"a"}`},
	{"Entra: manager in a list", bare, `{"op":"Add","path":"` + Enterprise + `:manager","value":[{"$ref":null,"value":"usr_m"}]}`, `{"` + Enterprise + `":{"manager":{"value":"usr_m"}},"userName":"a"}`},
	{"Entra: removes the manager", `{"` + Enterprise + `":{"manager":{"value":"m"}},"userName":"a"}`, `{"op":"Remove","path":"` + Enterprise + `:manager"}`, bare},
	{"Entra: roles are none", `{"roles":[{"value":"r"}],"userName":"a"}`, `{"op":"Replace","path":"roles","value":[]}`, bare},
	{"Entra: a schema of others", bare, `{"op":"Add","path":"urn:ietf:params:scim:schemas:extension:CustomExtension:2.0:User:tag","value":"x"}`, bare},
	{"Okta: active without path", `{"active":true,"userName":"a"}`, `{"op":"replace","value":{"active":false}}`, `{"active":false,"userName":"a"}`},
	{"Okta: id and schemas without path", bare, `{"op":"replace","value":{"id":"usr_1","schemas":["x"],"title":"T"}}`, `{"title":"T","userName":"a"}`},
	{"all: unknown attributes without path", bare, `{"op":"replace","value":{"shoeSize":"43","title":"T"}}`, `{"title":"T","userName":"a"}`},
	{"all: a password", bare, `{"op":"replace","path":"password","value":"secret"}`, bare},
	{"all: an extension that is removed whole", `{"` + Enterprise + `":{"department":"D"},"userName":"a"}`, `{"op":"remove","path":"` + Enterprise + `"}`, bare},
	{"all: removes only the values that it names", twoMail, `{"op":"remove","path":"emails","value":[{"value":"h"}]}`, `{"emails":[{"primary":true,"type":"work","value":"w"}],"userName":"a"}`},
}

func TestQuirks(t *testing.T) {
	for _, q := range quirks {
		got, _, err := patched(t, q.before, q.operation)
		want := string(Canonical(object(t, q.after)))
		if err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", q.name, got, err, want)
		}
	}
}

func TestPatch(t *testing.T) {
	for _, c := range []struct{ before, operations, after string }{
		// The examples of RFC 7644 §3.5.2.
		{bare, `{"op":"add","value":{"emails":[{"value":"babs@jensen.org","type":"home"}],"nickName":"Babs"}}`, `{"emails":[{"type":"home","value":"babs@jensen.org"}],"nickName":"Babs","userName":"a"}`},
		{twoMail, `{"op":"remove","path":"emails[type eq \"work\" and value ew \"w\"]"}`, `{"emails":[{"type":"home","value":"h"}],"userName":"a"}`},
		{twoMail, `{"op":"replace","path":"emails","value":[{"value":"n","type":"other"}]}`, `{"emails":[{"type":"other","value":"n"}],"userName":"a"}`},
		{`{"addresses":[{"type":"work","locality":"L","region":"R"}],"userName":"a"}`, `{"op":"replace","path":"addresses[type eq \"work\"]","value":{"type":"work","locality":"N"}}`, `{"addresses":[{"locality":"N","type":"work"}],"userName":"a"}`},
		{`{"addresses":[{"type":"work","locality":"L","region":"R"}],"userName":"a"}`, `{"op":"replace","path":"addresses[type eq \"work\"].locality","value":"N"}`, `{"addresses":[{"locality":"N","region":"R","type":"work"}],"userName":"a"}`},
		{twoMail, `{"op":"replace","value":{"emails":[{"value":"n"}],"nickName":"B"}}`, `{"emails":[{"value":"n"}],"nickName":"B","userName":"a"}`},
		// Adding leaves what is there, and one value primary.
		{twoMail, `{"op":"add","path":"emails","value":[{"value":"n","primary":true}]}`, `{"emails":[{"primary":false,"type":"work","value":"w"},{"type":"home","value":"h"},{"primary":true,"value":"n"}],"userName":"a"}`},
		{twoMail, `{"op":"add","path":"emails","value":{"value":"h","type":"home"}}`, twoMail},
		{twoMail, `{"op":"replace","path":"emails[type eq \"home\"].primary","value":true}`, `{"emails":[{"primary":false,"type":"work","value":"w"},{"primary":true,"type":"home","value":"h"}],"userName":"a"}`},
		{`{"emails":[{"type":"home","value":"h"},{"primary":true,"type":"work","value":"w"}],"userName":"a"}`, `{"op":"add","path":"emails[type eq \"home\"]","value":{"primary":true}}`, `{"emails":[{"primary":true,"type":"home","value":"h"},{"primary":false,"type":"work","value":"w"}],"userName":"a"}`},
		{`{"title":"T","userName":"a"}`, `{"op":"add","path":"title","value":"T"}`, `{"title":"T","userName":"a"}`},
		// Complex values keep the parts that are not named.
		{`{"name":{"familyName":"F","givenName":"G"},"userName":"a"}`, `{"op":"replace","path":"name","value":{"givenName":"N"}}`, `{"name":{"familyName":"F","givenName":"N"},"userName":"a"}`},
		{bare, `{"op":"add","path":"name","value":{"givenName":"G","familyName":"F"}}`, `{"name":{"familyName":"F","givenName":"G"},"userName":"a"}`},
		{bare, `{"op":"replace","path":"name.givenName","value":"G"}`, `{"name":{"givenName":"G"},"userName":"a"}`},
		{`{"name":{"givenName":"G"},"userName":"a"}`, `{"op":"remove","path":"name.givenName"}`, bare},
		{`{"name":{"givenName":"G"},"userName":"a"}`, `{"op":"remove","path":"name"}`, bare},
		{atWork, `{"op":"remove","path":"emails[type eq \"work\"].value"}`, bare},
		{atWork, `{"op":"remove","path":"emails[type eq \"home\"]"}`, atWork},
		{atWork, `{"op":"remove","path":"emails[type eq \"home\"].value"}`, atWork},
		{bare, `{"op":"add","path":"emails.value","value":"w"}`, `{"emails":[{"value":"w"}],"userName":"a"}`},
		{twoMail, `{"op":"replace","path":"emails.type","value":"other"}`, `{"emails":[{"primary":true,"type":"other","value":"w"},{"type":"other","value":"h"}],"userName":"a"}`},
		{twoMail, `{"op":"remove","path":"emails"}`, bare},
		{`{"title":"T","userName":"a"}`, `{"op":"replace","path":"title","value":null}`, bare},
		{bare, `{"op":"replace","path":"userName","value":"b"},{"op":"add","path":"title","value":"T"}`, `{"title":"T","userName":"b"}`},
		{bare, `{"op":"replace","path":"` + UserURI + `","value":{"title":"T"}}`, `{"title":"T","userName":"a"}`},
		{bare, `{"op":"add","path":"` + Enterprise + `","value":{"department":"D"}}`, `{"userName":"a","` + Enterprise + `":{"department":"D"}}`},
	} {
		got, _, err := patched(t, c.before, c.operations)
		if want := string(Canonical(object(t, c.after))); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", c.operations, got, err, want)
		}
	}
}

func TestPatchesThatAreRefused(t *testing.T) {
	for operation, want := range map[string]string{
		`{"op":"move","path":"title","value":"x"}`: InvalidSyntax, `{"path":"title"}`: InvalidSyntax, `7`: InvalidSyntax, `{"op":"add","path":7}`: InvalidSyntax,
		`{"op":"remove"}`: NoTarget, `{"op":"add","value":"x"}`: InvalidValue, `{"op":"add","value":[]}`: InvalidValue,
		`{"op":"remove","path":"userName"}`: Mutability, `{"op":"replace","path":"userName","value":null}`: InvalidValue, `{"op":"replace","path":"userName","value":""}`: InvalidValue,
		`{"op":"replace","path":"id","value":"x"}`: Mutability, `{"op":"add","path":"groups","value":[{"value":"x"}]}`: Mutability, `{"op":"remove","path":"meta"}`: Mutability, `{"op":"add","path":"meta.created","value":"x"}`: Mutability,
		`{"op":"add","path":"` + Enterprise + `:manager.displayName","value":"x"}`: Mutability,
		`{"op":"add","path":"nope","value":"x"}`:                                   InvalidPath, `{"op":"add","path":"name.nope","value":"x"}`: InvalidPath, `{"op":"add","path":"` + Enterprise + `:nope","value":"x"}`: InvalidPath, `{"op":"add","path":"` + UserURI + `:nope","value":"x"}`: InvalidPath,
		`{"op":"add","path":"emails[","value":"x"}`: InvalidPath, `{"op":"add","path":"members[","value":"x"}`: InvalidPath, `{"op":"add","path":"emails[type eq","value":"x"}`: InvalidPath, `{"op":"add","path":"emails[type eq \"a\"].","value":"x"}`: InvalidPath,
		`{"op":"add","path":"emails[type eq \"a\"].nope","value":"x"}`: InvalidPath, `{"op":"add","path":"title[value eq \"x\"]","value":"x"}`: InvalidPath, `{"op":"add","path":"name[givenName eq \"x\"]","value":"x"}`: InvalidPath,
		`{"op":"add","path":"title x","value":"x"}`: InvalidPath, `{"op":"add","path":" ","value":"x"}`: InvalidPath, `{"op":"add","path":"title;drop","value":"x"}`: InvalidPath, `{"op":"add","path":"emails[type eq \"work\"].value.x","value":"x"}`: InvalidPath,
		`{"op":"replace","path":"emails[type eq \"nonexistent\"].value","value":"x"}`: NoTarget, `{"op":"replace","path":"emails[type ne \"work\"].value","value":"x"}`: NoTarget, `{"op":"replace","path":"emails[type eq \"work\" or type eq \"home\"].value","value":"x"}`: NoTarget,
		`{"op":"replace","path":"active","value":"maybe"}`: InvalidValue, `{"op":"replace","path":"title","value":{"a":1}}`: InvalidValue, `{"op":"replace","path":"emails[type eq \"work\"]","value":7}`: InvalidValue,
		`{"op":"add","path":"` + Enterprise + `","value":"x"}`: InvalidValue,
	} {
		if got, _, err := patched(t, bare, operation); scimType(err) != want {
			t.Errorf("%s: %s, %v, want %s", operation, got, err, want)
		}
	}
	for _, body := range []string{
		`{"Operations":[{"op":"add","path":"title","value":"x"}]}`, `{"schemas":["` + PatchURI + `"]}`, `{"schemas":["` + PatchURI + `"],"Operations":[]}`, `{"schemas":["` + PatchURI + `"],"Operations":{}}`,
		`{"schemas":["` + PatchURI + `"],"Operations":[` + strings.TrimSuffix(strings.Repeat(`{"op":"remove","path":"title"},`, 1001), ",") + `]}`,
	} {
		if _, err := Operations(object(t, body)); scimType(err) != InvalidSyntax {
			t.Errorf("%.80s: %v", body, err)
		}
	}
	if _, n, err := patched(t, bare, `{"op":"add","value":{"shoeSize":1,"id":"x","urn:a:b:c":1,"password":"p"}}`); err != nil || keys(n) != "read_only id, password password, unknown shoeSize, schema urn:a:b:c" {
		t.Errorf("notes: %s, %v", keys(n), err)
	}
}

func TestGroupsChangeByWhatComesAndGoes(t *testing.T) {
	ids := func(s ...string) *[]string { return &s }
	for _, c := range []struct {
		name, operations string
		want             GroupChange
	}{
		{"RFC 7644: add one", `{"op":"add","path":"members","value":[{"display":"Babs","$ref":"https://example.com/v2/Users/usr_1","value":"usr_1"}]}`, GroupChange{Add: []string{"usr_1"}}},
		{"RFC 7644: remove one", `{"op":"remove","path":"members[value eq \"usr_1\"]"}`, GroupChange{Remove: []string{"usr_1"}}},
		{"RFC 7644: remove all", `{"op":"remove","path":"members"}`, GroupChange{Members: ids()}},
		{"RFC 7644: one goes, one comes", `{"op":"remove","path":"members[value eq \"a\"]"},{"op":"add","path":"members","value":[{"value":"b"}]}`, GroupChange{Add: []string{"b"}, Remove: []string{"a"}}},
		{"RFC 7644: replace all", `{"op":"replace","path":"members","value":[{"value":"a"},{"value":"b"},{"value":"a"}]}`, GroupChange{Members: ids("a", "b")}},
		{"Entra: Remove members with values", `{"op":"Remove","path":"members","value":[{"value":"a"},{"value":"b"}]}`, GroupChange{Remove: []string{"a", "b"}}},
		{"Entra: Remove with an empty list", `{"op":"Remove","path":"members","value":[]}`, GroupChange{}},
		{"Entra: Add", `{"op":"Add","path":"members","value":[{"$ref":null,"value":"a"}]}`, GroupChange{Add: []string{"a"}}},
		{"Okta: name with the id", `{"op":"replace","value":{"id":"grp_1","displayName":"N"}}`, GroupChange{Name: new("N")}},
		{"all: members without path", `{"op":"replace","value":{"members":[{"value":"a"}]}}`, GroupChange{Members: ids("a")}},
		{"all: add without path", `{"op":"add","value":{"members":[{"value":"a"}],"foo":1}}`, GroupChange{Add: []string{"a"}}},
		{"name and external id", `{"op":"replace","path":"displayName","value":"N"},{"op":"add","path":"externalId","value":"7"}`, GroupChange{Name: new("N"), ExternalID: new("7")}},
		{"external id goes", `{"op":"remove","path":"externalId"}`, GroupChange{ExternalID: new("")}},
		{"the last word counts", `{"op":"add","path":"members","value":[{"value":"a"}]},{"op":"remove","path":"members[value eq \"a\"]"}`, GroupChange{Add: []string{}, Remove: []string{"a"}}},
		{"after all were replaced", `{"op":"replace","path":"members","value":[{"value":"a"}]},{"op":"add","path":"members","value":[{"value":"b"}]},{"op":"remove","path":"members[value eq \"a\"]"}`, GroupChange{Members: ids("b")}},
		{"several by or", `{"op":"remove","path":"members[value eq \"a\" or value eq \"b\"]"}`, GroupChange{Remove: []string{"a", "b"}}},
		{"by reference", `{"op":"add","path":"members","value":[{"$ref":"https://x/scim/v2/src/Users/usr_9"}]}`, GroupChange{Add: []string{"usr_9"}}},
		{"a schema of others", `{"op":"add","path":"urn:x:y:z","value":"a"}`, GroupChange{}},
		{"by its own schema", `{"op":"replace","path":"` + GroupURI + `:displayName","value":"N"}`, GroupChange{Name: new("N")}},
	} {
		ops, err := Operations(object(t, `{"schemas":["`+PatchURI+`"],"Operations":[`+c.operations+`]}`))
		if err != nil {
			t.Fatal(err)
		}
		got, err := PatchGroup(ops, &Notes{})
		if err != nil || !same(got, c.want) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	for operation, want := range map[string]string{
		`{"op":"remove","path":"displayName"}`: Mutability, `{"op":"replace","path":"displayName","value":""}`: InvalidValue, `{"op":"replace","path":"id","value":"x"}`: Mutability,
		`{"op":"add","path":"members","value":[{"value":"x","type":"Group"}]}`: InvalidValue, `{"op":"add","path":"members","value":[{"type":"User"}]}`: InvalidValue, `{"op":"add","path":"members","value":[7]}`: InvalidValue,
		`{"op":"remove","path":"members[type eq \"User\"]"}`: InvalidPath, `{"op":"remove","path":"members[value sw \"u\"]"}`: InvalidPath, `{"op":"remove","path":"members[not (value eq \"u\")]"}`: InvalidPath,
		`{"op":"add","path":"members[value eq \"x\"]","value":{}}`: NoTarget, `{"op":"replace","path":"members[value eq \"x\"].value","value":"y"}`: Mutability, `{"op":"add","path":"members.value","value":"y"}`: Mutability,
		`{"op":"add","path":"members[","value":"x"}`: InvalidPath, `{"op":"add","path":"userName","value":"x"}`: InvalidPath, `{"op":"add","value":7}`: InvalidValue,
	} {
		ops, err := Operations(object(t, `{"schemas":["`+PatchURI+`"],"Operations":[`+operation+`]}`))
		if err == nil {
			_, err = PatchGroup(ops, &Notes{})
		}
		if scimType(err) != want {
			t.Errorf("%s: %v, want %s", operation, err, want)
		}
	}
}

func same(a, b GroupChange) bool {
	if len(a.Add) == 0 && len(b.Add) == 0 {
		a.Add, b.Add = nil, nil
	}
	if len(a.Remove) == 0 && len(b.Remove) == 0 {
		a.Remove, b.Remove = nil, nil
	}
	if a.Members != nil && b.Members != nil && len(*a.Members) == 0 && len(*b.Members) == 0 {
		a.Members, b.Members = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

func TestGroupOfAWholeDocument(t *testing.T) {
	o, err := Group().Judge(object(t, `{"displayName":"G","externalId":"7","members":[{"value":"a","display":"A"},{"value":"a"},"b"]}`), &Notes{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := GroupOf(o)
	if want := (GroupChange{Name: new("G"), ExternalID: new("7"), Members: &[]string{"a", "b"}}); err != nil || !same(c, want) {
		t.Errorf("%+v, %v", c, err)
	}
	if o, err = Group().Judge(object(t, `{"displayName":"G"}`), &Notes{}); err != nil {
		t.Fatal(err)
	}
	if c, err = GroupOf(o); err != nil || c.Members != nil {
		t.Errorf("a group without members says %v, %v", c.Members, err)
	}
	if _, err = Group().Judge(object(t, `{"members":[]}`), &Notes{}); scimType(err) != InvalidValue {
		t.Errorf("a group without a name: %v", err)
	}
}

// Whatever is sent, what comes out is a user again, and of what is in one schema.
func FuzzPatch(f *testing.F) {
	for _, q := range quirks {
		f.Add(q.before, q.operation)
	}
	f.Fuzz(func(t *testing.T, before, operation string) {
		v, err := Read([]byte(before))
		if err != nil {
			return
		}
		o, err := User().Judge(v, &Notes{})
		if err != nil {
			return
		}
		op, err := Read([]byte(`{"schemas":["` + PatchURI + `"],"Operations":[` + operation + `]}`))
		if err != nil {
			return
		}
		ops, err := Operations(op)
		if err != nil || User().Patch(o, ops, &Notes{}) != nil {
			return
		}
		again, err := User().Judge(clone(t, o), &Notes{})
		if err != nil || string(Canonical(again)) != string(Canonical(o)) {
			t.Fatalf("%s becomes %s, %v", Canonical(o), Canonical(again), err)
		}
		_, _ = PatchGroup(ops, &Notes{})
		_ = PersonOf(o)
	})
}

func clone(t *testing.T, o Object) any {
	v, err := Read(Canonical(o))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"emails[type eq \"work\"].value", "name.givenName", Enterprise + ":manager", "members[", Enterprise, "urn:x:y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, k := range []*Kind{User(), Group()} {
			p, err := k.ParsePath(s)
			if err != nil && scimType(err) != InvalidPath {
				t.Fatalf("%q: %v", s, err)
			}
			leads := p.ref.attr != nil || p.root != "" || p.foreign || strings.EqualFold(strings.TrimSpace(s), k.Schema)
			if err == nil && !leads {
				t.Fatalf("%q leads nowhere: %+v", s, p)
			}
		}
	})
}

func BenchmarkPatch(b *testing.B) {
	body := `{"schemas":["` + PatchURI + `"],"Operations":[{"op":"Replace","path":"emails[type eq \"work\"].value","value":"n@example.com"},{"op":"Replace","path":"active","value":"True"}]}`
	user := []byte(rfcUser)
	for b.Loop() {
		v, _ := Read(user)
		sent, _ := Read([]byte(body))
		ops, err := Operations(sent)
		if err != nil || User().Patch(v.(Object), ops, &Notes{}) != nil {
			b.Fatal(err)
		}
		Canonical(v.(Object))
	}
}
