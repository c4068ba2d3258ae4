package demo

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/idptest"
)

// start runs the demo with its temporary files in a folder of their own, and returns what it
// printed, its log and a function that ends it.
func start(t *testing.T) (told Addresses, log *lockedText, temporary string, end func()) {
	t.Helper()
	temporary = t.TempDir()
	t.Setenv("TMPDIR", temporary)
	ctx, cancel := context.WithCancel(t.Context())
	reading, writing := io.Pipe()
	ended := make(chan error, 1)
	log = &lockedText{}
	go func() {
		err := Run(ctx, Options{JSON: true, Out: writing, Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn}))})
		writing.CloseWithError(err)
		ended <- err
	}()
	line, err := bufio.NewReader(reading).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, &told); err != nil {
		t.Fatal(err)
	}
	return told, log, temporary, func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the demo ended with %v", err)
		}
	}
}

// lockedText can be read while the demo writes to it.
type lockedText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newBrowser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient()
	c.Jar = jar
	return c
}

func do(t *testing.T, c *http.Client, r *http.Request) (status int, address, body string) {
	t.Helper()
	w, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Body.Close()
	b, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.StatusCode, w.Request.URL.String(), string(b)
}

func request(t *testing.T, address string, form url.Values) *http.Request {
	t.Helper()
	if form == nil {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return r
}

func TestEveryOwnerGetsInWithTheLinkThatIsTold(t *testing.T) {
	told, log, temporary, end := start(t)
	defer end()
	for short, password := range map[string]string{
		"meridian": "Seven zebras ride 9 trams!",   // classic rules want every kind of character
		"lumen":    "seven zebras ride nine trams", // modern rules want only length
		"cobalt":   "Seven zebras ride 9 trams!",
	} {
		c, link, region := newBrowser(t), told.Links[short], told.Address
		if short == "cobalt" {
			region = told.Other
		}
		if !strings.HasPrefix(link, region+"/invitation/") {
			t.Fatalf("%s has the link %q", short, link)
		}
		if status, _, body := do(t, c, request(t, link, nil)); status != http.StatusOK {
			t.Fatalf("%s: the link is answered %d\n%s", short, status, body)
		}
		home := "/home"
		status, at, body := do(t, c, request(t, link, url.Values{"name": {"Owner"}, "password": {password}, "repetition": {password}}))
		if short == "lumen" { // it requires a second step of everybody
			if _, _, body = do(t, c, request(t, at, url.Values{"device": {"Phone"}, "kind": {"app"}})); idptest.SecretIn(body) == "" {
				t.Fatalf("%s: no secret at %s\n%s", short, at, body)
			}
			status, at, body = do(t, c, request(t, at, url.Values{"code": {idptest.Code(idptest.SecretIn(body), time.Now())}}))
			home = "/account/security/codes?next=%2Fo%2Flumen%2Fhome"
		}
		if status != http.StatusOK || at != region+"/o/"+short+home {
			t.Errorf("%s: arrived at %s (%d)\n%s", short, at, status, body)
		}
	}
	if log.String() != "" {
		t.Errorf("it warned:\n%s", log)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) != 1 {
		t.Errorf("in the temporary folder are %v, %v, want the demo's", left, err)
	}
}

func TestTheMailboxShowsLettersUnderItsOwnNameOnly(t *testing.T) {
	told, _, temporary, end := start(t)
	mailbox, err := url.Parse(told.Mailbox)
	if err != nil || mailbox.Hostname() != "mailbox.localhost" {
		t.Fatalf("the mailbox is at %s, %v", told.Mailbox, err)
	}
	c := newBrowser(t)
	status, _, body := do(t, c, request(t, told.Mailbox, nil))
	if status != http.StatusOK || !strings.Contains(body, "Meridian Freight") || !strings.Contains(body, "Lumen Health") {
		t.Errorf("status %d\n%s", status, body)
	}
	// A page elsewhere whose name was made to point here is redirected away.
	rebound := request(t, "http://127.0.0.1:"+mailbox.Port()+"/", nil)
	rebound.Host = "evil.test:" + mailbox.Port()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if status, _, body := do(t, c, rebound); status != http.StatusTemporaryRedirect || strings.Contains(body, "Meridian") {
		t.Errorf("under another name: %d\n%s", status, body)
	}
	end()
	left, err := os.ReadDir(temporary)
	if err != nil || len(left) != 0 {
		t.Errorf("after its end the demo left %v, %v", left, err)
	}
}

func TestTheOtherRegionIsReachedAndSharesNothing(t *testing.T) {
	told, _, _, end := start(t)
	defer end()
	c := newBrowser(t)
	password := "Seven zebras ride 9 trams!"
	for _, short := range []string{"meridian", "cobalt"} {
		form := url.Values{"name": {"Owner"}, "password": {password}, "repetition": {password}}
		do(t, c, request(t, told.Links[short], nil))
		if status, at, _ := do(t, c, request(t, told.Links[short], form)); status != http.StatusOK || !strings.HasSuffix(at, "/o/"+short+"/home") {
			t.Fatalf("%s: arrived at %s (%d)", short, at, status)
		}
	}
	// One browser is signed in at two doors, and neither shows what is behind the other.
	for region, short := range map[string]string{told.Address: "meridian", told.Other: "cobalt"} {
		_, at, _ := do(t, c, request(t, region, nil))
		if at != region+"/o/"+short+"/home" {
			t.Errorf("%s leads to %s", region, at)
		}
		other := map[string]string{"meridian": "cobalt", "cobalt": "meridian"}[short]
		// It asks the other region, which knows the name, and leads there.
		there := map[string]string{told.Address: told.Other, told.Other: told.Address}[region]
		if _, at, what := do(t, c, request(t, region+"/o/"+other, nil)); !strings.Contains(what, `href="`+there+`/`) {
			t.Errorf("%s leads to %s for %s: %s", region, at, other, what)
		}
	}
	// Somebody who is not known in the first region is led to the other one.
	_, _, body := do(t, c, request(t, told.Address+"/organization", url.Values{"organization": {"cobalt"}, "region": {"us"}}))
	if !strings.Contains(body, `href="`+told.Other+`/organization?organization=cobalt"`) {
		t.Errorf("no way to the other region:\n%s", body)
	}
}

// The staff directory hires, renames, moves, lets go and hires again, and Parvis follows: its
// console shows it to Ana, and it lets Bea in or not.
func TestParvisFollowsTheStaffDirectory(t *testing.T) {
	told, log, _, end := start(t)
	defer end()
	ana, bea, hr := newBrowser(t), newBrowser(t), newBrowser(t)
	form := url.Values{"name": {"Ana Duarte"}, "password": {"Seven zebras ride 9 trams!"}, "repetition": {"Seven zebras ride 9 trams!"}}
	do(t, ana, request(t, told.Links["meridian"], nil))
	do(t, ana, request(t, told.Links["meridian"], form))
	organization := told.Address + "/o/meridian"
	deed := func(path string, form url.Values) {
		t.Helper()
		form.Set("person", "m-2001")
		status, at, body := do(t, hr, request(t, told.Directory+path, form))
		if status != http.StatusOK || at != told.Directory+"/" || !strings.Contains(body, "Parvis has followed.") {
			t.Fatalf("%s: %d\n%s", path, status, body)
		}
	}
	shows := func(c *http.Client, page, want string) {
		t.Helper()
		if status, _, body := do(t, c, request(t, page, nil)); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d, without %q\n%s", page, status, want, body)
		}
	}
	groups := func(want string) {
		t.Helper()
		_, _, body := do(t, ana, request(t, organization+"/admin/people", nil))
		found := regexp.MustCompile(`/admin/people/usr_[0-9a-z]+"><bdi>Bea `).FindString(body)
		if found == "" {
			t.Fatalf("Bea is not among the people:\n%s", body)
		}
		id, _, _ := strings.Cut(found, `"`)
		shows(ana, organization+id, want)
	}

	deed("/switch", url.Values{"hired": {"true"}})
	groups("Drivers")
	shows(ana, organization+"/admin/provisioning", "Staff directory")
	letter := letterTo(t, told, "bea@meridian.example")
	form.Set("name", "Bea Lindqvist")
	do(t, bea, request(t, letter, nil))
	if status, at, body := do(t, bea, request(t, letter, form)); status != http.StatusOK || at != organization+"/home" {
		t.Fatalf("Bea arrived at %s (%d)\n%s", at, status, body)
	}

	deed("/change", url.Values{"given": {"Bea"}, "family": {"Ångström"}, "department": {"Drivers"}})
	shows(bea, organization+"/home", "Bea Ångström")
	deed("/change", url.Values{"given": {"Bea"}, "family": {"Ångström"}, "department": {"Dispatch"}})
	groups("Dispatch")

	out := func() {
		t.Helper()
		if _, at, _ := do(t, bea, request(t, organization+"/home", nil)); at == organization+"/home" {
			t.Error("Bea is still in")
		}
	}
	deed("/switch", url.Values{"hired": {"false"}})
	out()
	deed("/switch", url.Values{"hired": {"true"}})
	groups("Dispatch")
	_, at, _ := do(t, bea, request(t, told.Address+"/o/meridian", nil))
	if status, at, body := do(t, bea, request(t, at, url.Values{"email": {"bea@meridian.example"}, "password": form["password"]})); status != http.StatusOK || at != organization+"/home" {
		t.Errorf("hired again, Bea arrives at %s (%d)\n%s", at, status, body)
	}
	do(t, hr, request(t, told.Directory+"/habits", url.Values{"okta": {"true"}}))
	deed("/switch", url.Values{"hired": {"false"}})
	out()
	if log.String() != "" {
		t.Errorf("it warned:\n%s", log)
	}
}

// letterTo returns the link of the invitation in the mailbox.
func letterTo(t *testing.T, told Addresses, email string) string {
	t.Helper()
	for end := time.Now().Add(firstLetters); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		_, _, list := do(t, newBrowser(t), request(t, told.Mailbox, nil))
		for _, at := range regexp.MustCompile(`/letters/[^/"]+`).FindAllString(list, -1) {
			_, _, letter := do(t, newBrowser(t), request(t, told.Mailbox+at, nil))
			if link := regexp.MustCompile(regexp.QuoteMeta(told.Address) + `/invitation/[^"<\s]+`).FindString(letter); link != "" && strings.Contains(letter, email) {
				return link
			}
		}
	}
	t.Fatalf("no letter to %s", email)
	return ""
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken, err := strconv.Atoi(port(l))
	if err != nil {
		t.Fatal(err)
	}
	for flag, o := range map[string]Options{"--port": {Port: taken}, "--other-port": {OtherPort: taken}, "--mailbox-port": {MailboxPort: taken}, "--company-port": {CompanyPort: taken}, "--directory-port": {DirectoryPort: taken}} {
		err := Run(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "port "+port(l)) || !strings.Contains(err.Error(), flag+" 0") {
			t.Errorf("%s: got %v", flag, err)
		}
	}
}

func TestWhatIsPrintedNamesEveryAddress(t *testing.T) {
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	t.Setenv("TMPDIR", t.TempDir())
	err := Run(ctx, Options{Out: writer(func(p []byte) (int, error) { defer cancel(); return out.Write(p) }), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"http://localhost:", "http://us.localhost:", "http://mailbox.localhost:", "http://company.localhost:", "http://directory.localhost:", "/invitation/", "Ctrl-C"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
