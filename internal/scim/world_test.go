package scim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/provisioning"
	"parvis/internal/scim/document"
	"parvis/internal/secret"
)

type object = document.Object

// world is a server with two organizations, each with a source that is turned on.
type world struct {
	*idptest.Server
	wire        http.RoundTripper
	alpha, beta *source
}

// source is a directory of a customer that calls.
type source struct {
	w *world
	provisioning.Source
	org   directory.Organization
	token string
}

func start(t testing.TB) *world {
	t.Helper()
	w := &world{Server: idptest.Start(t)}
	w.wire = w.Browser(t).Client.Transport
	w.alpha = w.source(t, w.Organization(t, "Alpha Freight", "alpha"), provisioning.On, true)
	w.beta = w.source(t, w.Organization(t, "Beta Shipping", "beta"), provisioning.On, true)
	return w
}

// source adds a source to an organization.
func (w *world) source(t testing.TB, org directory.Organization, state provisioning.State, brake bool) *source {
	t.Helper()
	s := &source{w: w, org: org}
	w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
		actor := directory.Operator()
		settings := provisioning.Settings{Name: "Directory " + secret.NewID("src"), Provider: "entra"}
		if s.Source, err = w.Sources.Create(ctx, tx, actor, org.ID, settings, brake); err != nil {
			return err
		}
		if state != provisioning.Watching {
			if err := w.Sources.Turn(ctx, tx, actor, org.ID, s.ID, state); err != nil {
				return err
			}
		}
		_, s.token, err = w.Sources.Issue(ctx, tx, actor, org.ID, s.ID)
		return err
	})
	return s
}

// reply is what a call was answered.
type reply struct {
	status int
	header http.Header
	body   object
	text   string
}

func (r reply) get(path ...string) any {
	var v any = r.body
	for _, name := range path {
		o, _ := v.(object)
		v = o[name]
	}
	return v
}

func (r reply) id() string { s, _ := r.get("id").(string); return s }

// resources are the resources of a list.
func (r reply) resources() (all []object) {
	list, _ := r.get("Resources").([]any)
	for _, one := range list {
		o, _ := one.(object)
		all = append(all, o)
	}
	return all
}

// send makes a call as it is written.
func (w *world) send(t testing.TB, method, address, token, body string, header ...string) reply {
	t.Helper()
	r := newRequest(t.Context(), method, address, token, body)
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	got, err := w.wire.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	a, err := read(got)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newRequest(ctx context.Context, method, address, token, body string) *http.Request {
	r, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if err != nil {
		panic(err) // the test made up an address that is none
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

func read(got *http.Response) (reply, error) {
	defer got.Body.Close()
	all, err := io.ReadAll(got.Body)
	if err != nil {
		return reply{}, err
	}
	a := reply{status: got.StatusCode, header: got.Header, text: string(all)}
	if len(bytes.TrimSpace(all)) > 0 {
		if err := json.Unmarshal(all, &a.body); err != nil {
			return reply{}, fmt.Errorf("%d: %s", got.StatusCode, all)
		}
	}
	return a, nil
}

// try calls the source's own address without the network, which takes as long as the call. A
// goroutine that is not the test's own may do it.
func (s *source) try(ctx context.Context, c request) (reply, error) {
	answer := httptest.NewRecorder()
	r := newRequest(ctx, c.method, s.w.URL+"/scim/v2/"+s.ID+c.path, s.token, c.body)
	r.RemoteAddr = "127.0.0.1:4000"
	s.w.Site.ServeHTTP(answer, r)
	return read(answer.Result())
}

// call calls the source's own address.
func (s *source) call(t testing.TB, method, path, body string, header ...string) reply {
	t.Helper()
	return s.w.send(t, method, s.w.URL+"/scim/v2/"+s.ID+path, s.token, body, header...)
}

// must is a call that has to be answered with a status.
func (s *source) must(t testing.TB, status int, method, path, body string, header ...string) reply {
	t.Helper()
	r := s.call(t, method, path, body, header...)
	if r.status != status {
		t.Fatalf("%s %s %s: %d instead of %d: %s", method, path, body, r.status, status, r.text)
	}
	return r
}

// refused is a call that has to be refused, with the word of SCIM for it.
func (s *source) refused(t testing.TB, status int, word, method, path, body string, header ...string) {
	t.Helper()
	r := s.call(t, method, path, body, header...)
	got, _ := r.get("scimType").(string)
	detail, _ := r.get("detail").(string)
	if r.status != status || got != word {
		t.Errorf("%s %s %.200s: %d %q instead of %d %q: %s", method, path, body, r.status, got, status, word, r.text)
	}
	if detail == "" || strings.HasPrefix(detail, "scim.") {
		t.Errorf("%s %s %.200s says %q", method, path, body, detail)
	}
}

func user(name string, more ...string) string {
	return `{"schemas":["` + document.UserURI + `"],"userName":"` + name + `"` + strings.Join(append([]string{""}, more...), ",") + `}`
}

func group(name string, members ...string) string {
	all := []string{}
	for _, id := range members {
		all = append(all, `{"value":"`+id+`"}`)
	}
	return `{"schemas":["` + document.GroupURI + `"],"displayName":"` + name + `","members":[` + strings.Join(all, ",") + `]}`
}

func patch(operations ...string) string {
	return `{"schemas":["` + document.PatchURI + `"],"Operations":[` + strings.Join(operations, ",") + `]}`
}

// hire makes a person.
func (s *source) hire(t testing.TB, name string, more ...string) reply {
	t.Helper()
	return s.must(t, http.StatusCreated, "POST", "/Users", user(name, more...))
}
