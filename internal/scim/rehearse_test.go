package scim_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/provisioning"
)

// A call that is only checked is said to do what the same call then does, and leaves no trace.
func TestACheckedCallIsJudgedAsItself(t *testing.T) {
	t.Parallel()
	w := start(t)
	on := w.alpha
	ana := on.hire(t, "ana@alpha.example").id()
	g := on.must(t, 201, "POST", "/Groups", group("Staff")).id()
	actor := directory.Operator()
	said := func(c provisioning.Call) string { return fmt.Sprint(c.Method, c.Path, c.Outcome, c.Did, c.Notes) }
	for _, c := range []struct{ method, path, body, says string }{
		{"POST", "/Users", user("new@alpha.example", `"password":"x"`, `"shoe":44`), "scim.note_password"},
		{"POST", "/Users", user("ANA@alpha.example"), "provisioning.uniqueness"},
		{"POST", "/Users", user("no address"), "scim.no_address"},
		{"PATCH", "/Users/" + ana, patch(`{"op":"Replace","path":"active","value":"False"}`), "provisioning.did.shut_out"},
		{"PATCH", "/Users/" + ana, patch(`{"op":"replace","path":"shoe[","value":1}`), ""},
		{"PUT", "/Users/" + ana, user("ana@alpha.example", `"displayName":"Ana Duarte"`, `"active":true`), "provisioning.did.let_in"},
		{"PUT", "/Users/" + ana, user("ana@alpha.example", `"displayName":"Ana Duarte"`), "done[] []"}, // nothing is left to change
		{"PATCH", "/Groups/" + g, patch(`{"op":"Add","path":"members","value":[{"value":"` + ana + `"}]}`), "provisioning.did.added"},
		{"DELETE", "/Users/" + ana, "", "provisioning.did.deleted"},
		{"DELETE", "/Users/" + ana, "", "directory.not_found"},
	} {
		w.Clock.Advance(time.Second) // calls of one instant have no order
		before := dump(t, w)
		got, err := w.Sources.Check(t.Context(), actor, on.org.ID, on.ID, provisioning.Sent{Method: c.method, Path: c.path, Body: []byte(c.body)})
		if err != nil {
			t.Fatal(err)
		}
		if dump(t, w) != before {
			t.Errorf("%s %s: something changed", c.method, c.path)
		}
		if !strings.Contains(said(got), c.says) {
			t.Errorf("%s %s %s: %s, want %q", c.method, c.path, c.body, said(got), c.says)
		}
		on.call(t, c.method, c.path, c.body)
		calls, err := provisioning.Calls(t.Context(), w.DB, actor, on.Source, provisioning.Call{}, 1)
		if err != nil || len(calls) != 1 {
			t.Fatal(len(calls), err)
		}
		if said(got) != said(calls[0]) {
			t.Errorf("%s %s %s:\nit would be %s\nand it was  %s", c.method, c.path, c.body, said(got), said(calls[0]))
		}
	}
}

// What cannot be read says where; what is no call of a source says what to write.
func TestACheckedBodySaysWhereItIsWrong(t *testing.T) {
	t.Parallel()
	w := start(t)
	check := func(s *source, method, path, body string) (provisioning.Call, error) {
		return w.Sources.Check(t.Context(), directory.Operator(), w.alpha.org.ID, s.ID, provisioning.Sent{Method: method, Path: path, Body: []byte(body)})
	}
	for body, want := range map[string][2]int{
		"": {1, 1}, "{\n  \"userName\": \"é\",\n  \"active\" true }": {3, 12}, `{"a": "b" "c": 1}`: {1, 11}, "{\"a\":\n[1, 2}": {2, 6}, `{"a": "\x"}`: {1, 8}, `{} {}`: {1, 4}, "\"é\n": {1, 3},
	} {
		got, err := check(w.alpha, "POST", "/Users", body)
		if err != nil || got.Outcome != provisioning.Refused || len(got.Notes) != 1 {
			t.Errorf("%q: %+v, %v", body, got, err)
			continue
		}
		expect.Equal(t, body, fmt.Sprint(got.Notes[0].Args["Line"], " ", got.Notes[0].Args["Column"]), fmt.Sprint(want[0], " ", want[1]))
	}
	got, err := check(w.alpha, "POST", "/Users", `{"a":"`+strings.Repeat("x", 1<<20)+`"}`)
	if err != nil || len(got.Notes) != 1 || got.Notes[0].Key != "scim.large" {
		t.Errorf("a large one: %+v, %v", got, err)
	}
	for _, c := range []struct {
		method, path string
		want         error
	}{
		{"GET", "/Users/usr_1", provisioning.ErrSentMethod}, {"POST", "/Bulk", provisioning.ErrSentPath}, {"POST", "/Users/usr_1", provisioning.ErrSentPath},
		{"PUT", "/Users", provisioning.ErrSentPath}, {"PUT", "", provisioning.ErrSentPath}, {"PUT", "/Users/1/2", provisioning.ErrSentPath},
	} {
		if _, err := check(w.alpha, c.method, c.path, "{}"); !errors.Is(err, c.want) {
			t.Errorf("%s %s: %v, want %v", c.method, c.path, err, c.want)
		}
	}
	whole, err := check(w.alpha, "post", " "+w.URL+"/scim/v2/"+w.alpha.ID+"/Users?attributes=id ", user("new@alpha.example"))
	if err != nil || whole.Outcome != provisioning.Done || whole.Path != "/Users" {
		t.Errorf("a whole address: %+v, %v", whole, err)
	}
	if _, err := check(w.beta, "POST", "/Users", user("new@alpha.example")); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("a source of the neighbour: %v", err)
	}
}
