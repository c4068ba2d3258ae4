package mailbox

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/expect"
)

const sample = "From: Parvis <no-reply@parvis.example>\r\n" +
	"To: ada@example.org\r\n" +
	"Subject: =?UTF-8?q?Votre_invitation_=C3=A0_Exemple?=\r\n" +
	"Date: Sun, 22 Nov 2026 09:00:00 +0000\r\n" +
	"MIME-Version: 1.0\r\n" +
	"Content-Type: multipart/alternative; boundary=b\r\n\r\n" +
	"--b\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
	"R=C3=A9ponse : https://parvis.example/a=\r\n/b. Puis (http://x.example/c)\r\n" +
	"--b\r\nContent-Type: text/html; charset=UTF-8\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
	"PGhlYWQ+PC9oZWFkPjxwPmhpPC9wPjxzY3JpcHQ+YWxlcnQoMSk8L3NjcmlwdD4=\r\n" +
	"--b--\r\n"

func start(t *testing.T, o Options) *Mailbox {
	t.Helper()
	m, err := Start(t.Context(), "127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

func send1(t *testing.T, m *Mailbox, raw string, to ...string) {
	t.Helper()
	if err := smtp.SendMail(m.Address(), nil, "no-reply@parvis.example", to, []byte(raw)); err != nil {
		t.Fatal(err)
	}
}

func TestALetterIsReadAsItsRecipientWouldSeeIt(t *testing.T) {
	m := start(t, Options{})
	send1(t, m, sample, "ada@example.org")
	letters, err := m.Wait(t.Context(), "Ada@example.org", 1)
	if err != nil {
		t.Fatal(err)
	}
	r := letters[0]
	expect.Equal(t, "From", r.From, "no-reply@parvis.example")
	expect.Equal(t, "To", r.To, "ada@example.org")
	expect.Equal(t, "Subject", r.Subject, "Votre invitation à Exemple")
	expect.Equal(t, "Text", r.Text, "Réponse : https://parvis.example/a/b. Puis (http://x.example/c)")
	expect.Equal(t, "HTML", r.HTML, "<head></head><p>hi</p><script>alert(1)</script>")
	if !r.Date.Equal(time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)) {
		t.Errorf("got %+v", r)
	}
	if want := []string{"https://parvis.example/a/b", "http://x.example/c"}; !slices.Equal(r.Links, want) {
		t.Errorf("links are %q, want %q", r.Links, want)
	}
}

func TestEachRecipientGetsACopyAndTheNewestComesFirst(t *testing.T) {
	m := start(t, Options{})
	send1(t, m, sample, "a@x.example", "b@x.example")
	send1(t, m, "Subject: second\r\nDate: Sun, 22 Nov 2026 09:00:00 +0000\r\n\r\nhello\r\n", "a@x.example")
	got := m.Letters()
	if len(got) != 3 {
		t.Fatalf("got %+v", got)
	}
	expect.Equal(t, "Subject", got[0].Subject, "second")
	expect.Equal(t, "Text", got[0].Text, "hello\n")
	expect.Equal(t, "To", got[2].To, "a@x.example")
	if letters, err := m.Wait(t.Context(), "a@x.example", 2); err != nil || len(letters) != 2 || letters[0].Subject != "second" {
		t.Errorf("waiting gave %v, %v", letters, err)
	}
}

func TestWaitingEndsWithItsContext(t *testing.T) {
	m := start(t, Options{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := m.Wait(ctx, "nobody@x.example", 1); err == nil {
		t.Error("waited for a letter that never came, and got it")
	}
}

func TestOnlyTheLastLettersAreKept(t *testing.T) {
	m := start(t, Options{})
	for range mostLetters + 3 {
		m.keep(Received{})
	}
	if got := m.Letters(); len(got) != mostLetters || got[0].ID != mostLetters+3 {
		t.Errorf("%d letters, the newest is %d", len(got), got[0].ID)
	}
}

func TestWhatIsTooLargeOrNoLetterIsRefused(t *testing.T) {
	m := start(t, Options{})
	for name, raw := range map[string]string{
		"too large": sample + strings.Repeat("x\r\n", longestLetter/3),
		"no header": "\r\n: nothing",
		"no date":   "Subject: x\r\n\r\nx",
		"bad parts": strings.Replace(sample, "--b--", "", 1),
	} {
		if err := smtp.SendMail(m.Address(), nil, "a@x.example", []string{"b@x.example"}, []byte(raw)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if len(m.Letters()) != 0 {
		t.Errorf("%d letters were kept", len(m.Letters()))
	}
}

func TestItListensOnLoopbackOnly(t *testing.T) {
	if m, err := Start(t.Context(), "0.0.0.0:0", Options{}); err == nil {
		m.Close()
		t.Error("it listens on every address")
	}
}

func TestPagesShowLettersAndRunNothing(t *testing.T) {
	m := start(t, Options{})
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	if body := get("/").Body.String(); !strings.Contains(body, "No letter has come yet") {
		t.Errorf("the empty list is %s", body)
	}
	send1(t, m, strings.Replace(sample, "=?UTF-8?q?Votre_invitation_=C3=A0_Exemple?=", "<script>x</script>", 1), "ada@example.org")
	tests := map[string]struct {
		status       int
		policy, want string
	}{
		"/":               {200, pagePolicy, `<a href="/letters/1">&lt;script&gt;x&lt;/script&gt;</a>`},
		"/letters/1":      {200, pagePolicy, `<a href="https://parvis.example/a/b">`},
		"/letters/1/html": {200, letterPolicy, `<head><base target="_top"></head><p>hi</p>`},
		"/mailbox.css":    {200, pagePolicy, "color-scheme"},
		"/letters/2":      {404, "", "not found"},
		"/letters/x/html": {404, "", "not found"},
		"/other":          {404, "", "not found"},
	}
	for path, tt := range tests {
		t.Run(fmt.Sprint("of ", path), func(t *testing.T) {
			w := get(path)
			if w.Code != tt.status || w.Header().Get("Content-Security-Policy") != tt.policy || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("%d %q\n%s", w.Code, w.Header().Get("Content-Security-Policy"), w.Body)
			}
			if folder := os.Getenv("PARVIS_PAGES"); folder != "" && tt.policy == pagePolicy && path != "/mailbox.css" {
				keep(t, filepath.Join(folder, "mailbox"), path, w.Body.Bytes())
			}
		})
	}
	if body := get("/letters/1").Body.String(); strings.Contains(body, "<script") || strings.Contains(body, "style=") {
		t.Errorf("a page runs or styles what its policy forbids:\n%s", body)
	}
}

// A logo that came with a letter is shown; what would have to be fetched is not.
func TestAPictureInsideALetterIsShown(t *testing.T) {
	m := start(t, Options{})
	send1(t, m, "Subject: x\r\nDate: Sun, 22 Nov 2026 09:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n\r\n"+
		"--b\r\nContent-Type: text/html\r\n\r\n<img src=\"cid:logo\"><img src=\"cid:other\">\r\n"+
		"--b\r\nContent-Type: image/png\r\nContent-ID: <logo>\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEC\r\n--b--\r\n", "ada@example.org")
	expect.Equal(t, "the picture", string(m.Letters()[0].Inside["logo"]), "\x00\x01\x02")
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/letters/1/html", nil))
	expect.Equal(t, "what is shown", strings.TrimSpace(w.Body.String()), `<img src="data:image/png;base64,AAEC"><img src="cid:other">`)
}

// keep writes a page to a folder, where e2e/pages.mjs has it judged.
func keep(t *testing.T, folder, path string, page []byte) {
	t.Helper()
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	name := strings.Trim(strings.ReplaceAll("mailbox"+path, "/", "-"), "-") + ".html"
	if err := os.WriteFile(filepath.Join(folder, name), page, 0o600); err != nil {
		t.Fatal(err)
	}
}
