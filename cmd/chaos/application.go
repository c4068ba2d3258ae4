package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk-and-more"
	// refreshGrace is how long a refresh token that was replaced is answered with the same successor.
	refreshGrace = 30 * time.Second
)

// tokens are what an application holds of a person.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Error   string `json:"error"`
}

// token calls the token endpoint as an application does, once.
func (w *world) token(by client, n *node, form url.Values) (answer, tokens) {
	v := w.visitor()
	v.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(by.id+":"+by.secret)))
	v.header.Set("Content-Type", "application/x-www-form-urlencoded")
	a := v.ask(n, http.MethodPost, "/token", form.Encode())
	var t tokens
	if err := a.into(&t); err != nil && a.status == http.StatusOK {
		w.judge.find("/token answers %s", a.body)
	}
	return a, t
}

// bearer returns the token of the machine, which lasts ten minutes.
func (w *world) bearer() string {
	w.machine.Lock()
	defer w.machine.Unlock()
	if time.Since(w.machine.at) > 4*time.Minute {
		a, t := w.tokens(w.seeded.machine, url.Values{"grant_type": {"client_credentials"}, "resource": {w.base + "/api"}})
		if t.Access == "" && a.status != 0 && a.status != http.StatusServiceUnavailable {
			w.judge.find("the machine gets no token: %d %s", a.status, a.body)
		}
		w.machine.token, w.machine.at = t.Access, a.began
	}
	return w.machine.token
}

// usesApplication gets a code, exchanges it once or twice at once, and refreshes.
func (l *ledger) usesApplication(ctx context.Context, p *person) {
	if p.refresh != "" && rand.IntN(2) == 0 {
		l.refreshesTwice(p)
		return
	}
	if p.here == nil || p.app == "" && rand.IntN(4) == 0 {
		l.signsIn(ctx, p)
	}
	if p.here == nil {
		return
	}
	sum := sha256.Sum256([]byte(verifier))
	a := p.here.get("/authorize?" + url.Values{
		"client_id": {l.seeded.books.id}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid profile email"}, "state": {"state"}, "nonce": {"nonce"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode())
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil || !strings.HasPrefix(to.String(), callback) || to.Query().Get("code") == "" {
		l.judge.count("no code, because nobody was signed in any more")
		p.here = nil
		return
	}
	if p.refresh, p.granted = l.exchange(to.Query().Get("code")), p.here; p.refresh != "" {
		l.refreshesTwice(p)
	}
}

// exchange exchanges a code once, or twice at once: then one is answered at most, and what that got
// has ended with the other. It returns a refresh token that works.
func (l *ledger) exchange(code string) string {
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
	var mu sync.Mutex
	var got []tokens
	refused, lost := 0, 0
	var both sync.WaitGroup
	times := 1 + rand.IntN(2)
	for range times {
		both.Go(func() {
			a, t := l.token(l.seeded.books, l.any(), form)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case a.status == http.StatusOK:
				got = append(got, t)
			case t.Error == "invalid_grant":
				refused++
			case a.status == 0 || a.status == http.StatusServiceUnavailable:
				lost++
			default:
				l.judge.find("a code is answered %d %s", a.status, a.body)
			}
		})
	}
	both.Wait()
	switch {
	case len(got) > 1:
		l.judge.find("a code was exchanged %d times", len(got))
	case len(got) == 1 && refused > 0:
		l.judge.count("a code was exchanged once, and its second use ended it")
		if a, _ := l.tokens(l.seeded.books, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got[0].Refresh}}); a.status == http.StatusOK {
			l.judge.find("a code was used twice, and what it got goes on")
		}
	case len(got) == 0 && lost == 0 && times == 1:
		l.judge.find("a code that is new was refused")
	case len(got) == 1 && lost == 0:
		l.judge.count("a code was exchanged once")
		return got[0].Refresh
	}
	return ""
}

// tokens calls the token endpoint until it is answered.
func (w *world) tokens(by client, form url.Values) (answer, tokens) {
	for tries := 0; ; tries++ {
		a, t := w.token(by, w.any(), form)
		if a.status != 0 && a.status != http.StatusServiceUnavailable || tries == 20 {
			return a, t
		}
		time.Sleep(time.Second)
	}
}

// refreshes refreshes once. Where that took longer than a token that was replaced is answered, the
// refusal is right, and so is the end of the grant.
func (l *ledger) refreshes(p *person) answer {
	began := time.Now()
	a, t := l.tokens(l.seeded.books, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {p.refresh}})
	switch {
	case a.status == http.StatusOK:
		p.refresh = t.Refresh
	case time.Since(began) > refreshGrace/2:
		p.refresh = ""
	}
	return a
}

// refreshesTwice sends the same refresh token twice at once, as an application does that has two
// processes. Both get the same successor, which works.
func (l *ledger) refreshesTwice(p *person) {
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {p.refresh}}
	alive := l.alive(p)
	began := time.Now()
	var mu sync.Mutex
	next := map[string]bool{}
	refused := false
	var both sync.WaitGroup
	for range 1 + rand.IntN(2) {
		both.Go(func() {
			a, t := l.token(l.seeded.books, l.any(), form)
			mu.Lock()
			defer mu.Unlock()
			if a.status == http.StatusOK {
				next[t.Refresh] = true
			}
			refused = refused || t.Error == "invalid_grant"
		})
	}
	both.Wait()
	switch {
	case len(next) > 1:
		l.judge.find("a refresh token has two successors")
	case refused && alive && time.Since(began) < refreshGrace/2:
		l.judge.find("a refresh token of %s, whose session goes on, was refused", p.email)
	}
	if refused || len(next) > 1 {
		p.refresh = ""
		return
	}
	for token := range next {
		p.refresh = token
		l.judge.count("a refresh token was exchanged")
	}
}

// alive reports whether the browser in which the grant was given is still signed in.
func (l *ledger) alive(p *person) bool {
	return p.granted != nil && p.granted.get(home).status == http.StatusOK
}
