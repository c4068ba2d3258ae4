package main

import (
	"context"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"parvis/internal/idptest"
)

// enrols gives somebody who has none an authenticator app.
func (l *ledger) enrols(p *person) {
	l.signsIn(context.Background(), p)
	if p.here == nil || p.app != "" {
		return
	}
	at := door + "/account/security/add"
	p.here.get(at)
	a, _ := p.here.post(at, url.Values{"device": {"Phone"}, "kind": {"app"}})
	if to := a.to(); to != "" {
		at = to
		a = p.here.get(at)
	}
	secret := idptest.SecretIn(a.body)
	if secret == "" {
		l.judge.count("no app was enrolled")
		return
	}
	p.step = time.Now().Unix() / 30
	done, _ := p.here.post(at, url.Values{"code": {idptest.Code(secret, time.Now())}})
	switch {
	case strings.Contains(done.to(), "/account/security") && !strings.Contains(done.to(), "/add"):
		p.app = secret
		l.judge.count("an app was enrolled")
	case done.status == 0 || done.status == http.StatusServiceUnavailable || done.status == http.StatusSeeOther:
		p.app, p.unsureApp = secret, true
	default:
		l.judge.count("no app was enrolled")
	}
}

// alert is what a page says that refuses.
var alert = regexp.MustCompile(`(?s)role="alert".{0,400}`)

// secondStep types the same code in two browsers at once: one of them is in.
func (l *ledger) secondStep(ctx context.Context, p *person) {
	l.settle(p)
	now := time.Now().Unix() / 30
	step := max(p.step+1, now-1)
	if p.app == "" || p.unsureApp || p.shut[0] || step > now+1 || len(p.passwords) != 1 {
		l.signsIn(ctx, p)
		return
	}
	type attempt struct {
		v  *visitor
		to string
	}
	var attempts []attempt
	browsers := 1
	if p.twice < 4 && rand.IntN(2) == 0 { // a code that was refused is counted, and people who guess are slowed
		browsers, p.twice = 2, p.twice+1
	}
	for range browsers {
		v, to := l.proves(p, p.passwords[0])
		if v == nil || !strings.HasPrefix(to, "/sign-in/att_") {
			l.judge.find("%s has an app, and the password leads to %q", p.email, to)
			return
		}
		v.get(to)
		attempts = append(attempts, attempt{v, to})
	}
	p.step = step
	code := idptest.Code(p.app, time.Unix(step*30, 0))
	var mu sync.Mutex
	var in []*visitor
	var said []string
	lost := false
	var both sync.WaitGroup
	for _, t := range attempts {
		both.Go(func() {
			a := t.v.ask(l.any(), http.MethodPost, t.to, url.Values{"code": {code}}.Encode())
			mu.Lock()
			defer mu.Unlock()
			switch {
			case strings.HasPrefix(a.to(), home):
				in = append(in, t.v)
			case a.status == 0 || a.status == http.StatusServiceUnavailable:
				lost = true
			}
			said = append(said, strconv.Itoa(a.status)+" "+alert.FindString(a.body))
		})
	}
	both.Wait()
	switch {
	case len(in) > 1:
		l.judge.find("a code of %s was taken twice", p.email)
	case len(in) == 1:
		p.here = in[0]
		l.judge.count("a code was taken once")
		l.everywhere(p, in[0], true)
	case !lost && time.Now().Unix()/30 <= step+1:
		l.judge.find("a code of %s, which is of now, was refused: %q", p.email, said)
	}
}
