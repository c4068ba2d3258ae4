// Package providertest runs an OpenID Provider that we did not write, npm's oidc-provider,
// and signs people in there as a browser would.
package providertest

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Options configure the provider, as e2e/provider.mjs reads them.
type Options struct {
	Host     string                    `json:"host,omitempty"` // of the issuer; 127.0.0.1 unless set
	Clients  []map[string]any          `json:"clients"`        // members as in dynamic registration
	Accounts map[string]map[string]any `json:"accounts"`       // each account's claims, by its sub
}

// Provider is a provider that runs until the test ends.
type Provider struct {
	Issuer string
}

// Host is the host that the outbound client must allow.
func (p *Provider) Host() string { return strings.TrimPrefix(p.Issuer, "http://") }

// Start runs a provider. On a machine without Node or the npm packages it skips the test;
// ./check all installs them before any test.
func Start(t testing.TB, o Options) *Provider {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	folder := filepath.Join(filepath.Dir(here), "..", "..", "..", "e2e")
	node, err := exec.LookPath("node")
	if _, missing := os.Stat(filepath.Join(folder, "node_modules", "oidc-provider")); err != nil || missing != nil {
		t.Skip("left out: it wants Node.js and the packages of e2e, as 'npm ci --prefix e2e' installs them")
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if p := start(t, node, filepath.Join(folder, "provider.mjs"), string(text)); p != nil {
			return p
		}
	}
	t.Fatal("the provider says nothing, three times")
	return nil
}

// startsWithin is how long Node may take until the provider says where it is. On a busy machine it was
// seen once that it never did.
const startsWithin = 30 * time.Second

// start runs the provider, and returns nil if it says nothing in time.
func start(t testing.TB, node, program, text string) *Provider {
	t.Helper()
	var complaints strings.Builder
	child := exec.CommandContext(t.Context(), node, program, text)
	child.Stderr = &complaints
	// The provider ends when its input does, so it ends even if this process is killed.
	input, err1 := child.StdinPipe()
	output, err2 := child.StdoutPipe()
	if err := errors.Join(err1, err2, child.Start()); err != nil {
		t.Fatal(err)
	}
	p := &Provider{}
	silent := time.AfterFunc(startsWithin, func() { _ = child.Process.Kill() })
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if !silent.Stop() {
		child.Wait() //nolint:errcheck // It was killed.
		return nil
	}
	t.Cleanup(func() {
		input.Close() //nolint:errcheck // It ends either way.
		child.Wait()  //nolint:errcheck // However it ended, it has.
	})
	if err != nil || json.Unmarshal(line, p) != nil {
		input.Close() //nolint:errcheck // It ends either way.
		child.Wait()  //nolint:errcheck // What it complained about is read then.
		t.Fatalf("the provider does not start: %v\n%s", err, complaints.String())
	}
	return p
}

// Browser keeps the provider's cookies.
type Browser struct {
	client http.Client
}

// NewBrowser returns a browser in which nobody has signed in.
func NewBrowser(t testing.TB) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &Browser{http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// Visit follows an address until it is back at one that begins with home, and returns the
// query that the browser brings there. If the provider asks who it is, it signs in as
// account; this provider refuses nobody.
func (b *Browser) Visit(t testing.TB, address, home, account string) url.Values {
	t.Helper()
	for range 10 {
		status, next := b.get(t, address)
		if status == http.StatusOK && strings.Contains(address, "/interaction/") {
			_, next = b.do(t, http.MethodPost, address, url.Values{"account": {account}}.Encode())
		} else if next == "" {
			t.Fatalf("%s answers %d and leads nowhere", address, status)
		}
		if address = next; strings.HasPrefix(address, home) {
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			return u.Query()
		}
	}
	t.Fatalf("it never comes back: %s", address)
	return nil
}

func (b *Browser) get(t testing.TB, address string) (status int, next string) {
	t.Helper()
	return b.do(t, http.MethodGet, address, "")
}

func (b *Browser) do(t testing.TB, method, address, form string) (status int, next string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	w, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	text, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if w.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s answers %d: %s", address, w.StatusCode, text)
	}
	if to, err := w.Location(); err == nil {
		next = to.String()
	}
	return w.StatusCode, next
}
