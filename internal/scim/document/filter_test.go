package document

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// person is what the filters of RFC 7644 §3.4.2.2 are asked of.
const person = `{"id":"usr_1","userName":"bjensen@example.com","externalId":"X7","title":"Guide","userType":"Employee","active":true,"name":{"familyName":"O'Malley","givenName":"Barb"},
"emails":[{"value":"bjensen@example.com","type":"work","primary":true},{"value":"babs@jensen.org","type":"home"}],"meta":{"lastModified":"2011-05-13T04:42:34Z"},
"` + Enterprise + `":{"department":"Tour","manager":{"value":"usr_2"}}}`

// asked is every filter of RFC 7644 §3.4.2.2, and the ones that providers send. scim2/filter-parser
// v2.3.1 takes the same, except for not(, \u and a chain without parentheses, and refuses the same.
var asked = map[string]bool{
	`userName eq "bjensen@example.com"`:                          true,
	`userName Eq "BJENSEN@example.com"`:                          true,
	`USERNAME eq "other"`:                                        false,
	`name.familyName co "O'Malley"`:                              true,
	`userName sw "J"`:                                            false,
	`userName sw "BJ"`:                                           true,
	`userName ew ".com"`:                                         true,
	`urn:ietf:params:scim:schemas:core:2.0:User:userName sw "b"`: true,
	`title pr`:    true,
	`nickName pr`: false,
	`meta.lastModified gt "2011-05-13T04:42:34Z"`:                                                       false,
	`meta.lastModified ge "2011-05-13T04:42:34Z"`:                                                       true,
	`meta.lastModified lt "2011-05-13T06:42:34+01:00"`:                                                  true,
	`meta.lastModified le "2011-05-13T04:42:34Z"`:                                                       true,
	`title pr and userType eq "Employee"`:                                                               true,
	`title pr or userType eq "Intern"`:                                                                  true,
	`userType eq "Employee" and (emails co "example.com" or emails.value co "example.org")`:             true,
	`userType ne "Employee" and not (emails co "example.com" or emails.value co "example.org")`:         false,
	`userType eq "Employee" and (emails.type eq "work")`:                                                true,
	`userType eq "Employee" and emails[type eq "work" and value co "@example.com"]`:                     true,
	`emails[type eq "work" and value co "@example.com"] or ims[type eq "xmpp" and value co "@foo.com"]`: true,
	`emails[type eq "home" and value co "@example.com"]`:                                                false,
	`emails[not (type eq "home")]`:                                                                      true,
	`externalId eq "X7"`:                                                                                true,
	`externalId eq "x7"`:                                                                                false,
	`id eq "usr_1"`:                                                                                     true,
	`id eq "USR_1"`:                                                                                     false,
	`active eq true`:                                                                                    true,
	`active eq "True"`:                                                                                  true,
	`active ne true`:                                                                                    false,
	`active eq false`:                                                                                   false,
	`nickName eq null`:                                                                                  true,
	`title eq null`:                                                                                     false,
	`nickName ne "x"`:                                                                                   true,
	Enterprise + `:department eq "tour"`:                                                                true,
	Enterprise + `:manager.value eq "usr_2"`:                                                            true,
	`emails eq "babs@jensen.org"`:                                                                       true,
	`emails.value ne "babs@jensen.org"`:                                                                 false,
	`not (active eq true) or userName pr and title eq "x"`:                                              false,
	`(title pr)`:            true,
	`not(title pr)`:         false,
	`title eq "Gu\u0069de"`: true,
	`title eq "\""`:         false,
}

func TestFilters(t *testing.T) {
	o := object(t, person)
	for s, want := range asked {
		f, err := User().ParseFilter(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if f.Match(o) != want {
			t.Errorf("%s: %v", s, !want)
		}
	}
}

func TestFiltersThatAreRefused(t *testing.T) {
	for _, s := range []string{
		"", " ", "(((", `a`, `title`, `title eq`, `title eq x`, `title pr and`, `(title pr`, `title pr)`, `title eq "x`, `and`, `""`, `title xx "x"`, `emails[]`, `title  pr or`, strings.Repeat("(", 1000), strings.Repeat("(", 100_000), strings.Repeat("not (", 9) + "title pr" + strings.Repeat(")", 9),
		`password sw "a"`, `password pr`, `PASSWORD eq "x"`, UserURI + `:password eq "x"`, `nope eq "x"`, `name.nope pr`, `userName regex "x"`, `active gt true`, `active co "x"`,
		`x509Certificates.value gt "AA"`, `name eq "x"`, `name co "x"`, `meta eq "x"`, `meta.lastModified gt "yesterday"`, `title gt null`, `title eq 7`,
		`userName eq "x" -- comment`, `userName eq "x" /* c */`, `userName eq 'x'`, `userName eq "x"; drop table users`, `userName eq "a" "b"`,
		`emails[type eq "work"`, `emails[emails[type pr]]`, `emails[type eq "work"].value eq "x"`, `userName[value eq "x"]`, `members[`, `eq "x"`, `userName eq "x" and`, `title eq 01`,
		strings.Repeat(`title pr or `, 32) + `title pr`, `title eq "` + strings.Repeat("x", 2048) + `"`, "userName\teq \"x\"", "userName eq \"x\x00\"",
	} {
		if _, err := User().ParseFilter(s); scimType(err) != InvalidFilter {
			t.Errorf("%.60s: %v", s, err)
		}
	}
	if _, err := User().ParseFilter(strings.Repeat(`title pr or `, 31) + `title pr`); err != nil {
		t.Errorf("32 comparisons: %v", err)
	}
	if _, err := User().ParseFilter(strings.Repeat("(", 8) + `title pr` + strings.Repeat(")", 8)); err != nil {
		t.Errorf("8 parentheses: %v", err)
	}
	f, err := Group().ParseAny(`userName eq "x" or displayName eq "G"`)
	if err != nil || !f.Match(object(t, `{"displayName":"g"}`)) || f.Match(object(t, `{"displayName":"h"}`)) {
		t.Errorf("a filter on several kinds: %v", err)
	}
}

func TestEqualities(t *testing.T) {
	for s, want := range map[string]struct {
		all   []Equal
		whole bool
	}{
		`userName eq "x"`:                      {[]Equal{{"userName", "x"}}, true},
		`userName eq "x" and active eq "True"`: {[]Equal{{"userName", "x"}, {"active", true}}, true},
		`userName eq "x" and title pr`:         {[]Equal{{"userName", "x"}}, false},
		`userName eq "x" or id eq "y"`:         {nil, false},
		`not (userName eq "x")`:                {nil, false},
		`emails[value eq "x"]`:                 {[]Equal{{"emails.value", "x"}}, true},
		`emails eq "x"`:                        {[]Equal{{"emails.value", "x"}}, true},
		`emails[type eq "a" and value eq "x"]`: {[]Equal{{"emails.type", "a"}, {"emails.value", "x"}}, false},
		`userName eq null`:                     {nil, false},
		Enterprise + `:department eq "x"`:      {nil, false},
		`userName co "x"`:                      {nil, false},
	} {
		f, err := User().ParseFilter(s)
		if err != nil {
			t.Fatal(err)
		}
		if all, whole := f.Equals(); !reflect.DeepEqual(all, want.all) || whole != want.whole {
			t.Errorf("%s: %v, %v", s, all, whole)
		}
	}
	if all, whole := (*Filter)(nil).Equals(); all != nil || !whole {
		t.Error("no filter demands something")
	}
}

func FuzzFilter(f *testing.F) {
	for s := range asked {
		f.Add(s)
	}
	o := object(f, person)
	f.Fuzz(func(t *testing.T, s string) {
		p, err := User().ParseFilter(s)
		if err != nil && scimType(err) != InvalidFilter {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		all, _ := p.Equals()
		for _, e := range all {
			if p.Match(o) && !strings.Contains(e.Name, ".") && !equal(o[e.Name], e.Value) {
				t.Fatalf("%q matches without %v", s, e)
			}
		}
	})
}

func equal(a, b any) bool {
	x, isText := a.(string)
	y, also := b.(string)
	return isText && also && strings.EqualFold(x, y) || a == b
}

func BenchmarkParseFilter(b *testing.B) {
	for b.Loop() {
		if _, err := User().ParseFilter(`userName eq "x"`); err != nil {
			b.Fatal(err)
		}
	}
}

func keyed(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"k%d":1,`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func BenchmarkHostile(b *testing.B) {
	for name, s := range map[string]string{
		"parentheses": strings.Repeat("(", 1<<20), "lists": strings.Repeat("[", 1<<20), "text": `{"userName":"` + strings.Repeat("x", 1<<20) + `"}`,
		"keys": "{" + keyed(100_000) + "}", "escapes": `{"userName":"` + strings.Repeat(`\u0041`, 1<<17) + `"}`,
	} {
		b.Run(name, func(b *testing.B) {
			body := []byte(s)
			for b.Loop() {
				_, _ = Read(body)
				_, _ = User().ParseFilter(s)
				_, _ = User().ParsePath(s)
			}
		})
	}
}
