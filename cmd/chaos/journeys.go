package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	door = "/o/" + shortName
	home = door + "/home"
	// felt is when what one node ended is over on every other one (decision 0078).
	felt = time.Second + 50*time.Millisecond
	// letterIn is how long a letter may take: a node that dies with it delays it by a minute.
	letterIn = 3 * time.Minute
	// mostChanges is how often a person changes their password. Each new one is compared with all that
	// they had within a day, and each comparison takes as long as a sign-in: after forty changes in half
	// an hour one more takes seconds, and after fifty it is refused (decision 41).
	mostChanges = 10
)

// join is an invitation by the API, its letter, and a password.
func (l *ledger) join(ctx context.Context) {
	p := &person{email: l.fresh("person") + "@chaos.example", letters: map[string]bool{}}
	p.name = []string{p.email}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := l.fresh("invitation-")
	a, _ := l.call(http.MethodPost, "/invitations", fmt.Sprintf(`{"email": %q, "name": %q, "role": "member", "language": "en"}`, p.email, p.email), key)
	if a.status != http.StatusCreated {
		if a.status != 0 && a.status != http.StatusServiceUnavailable {
			l.judge.find("inviting %s with a key of its own is answered %d: %s", p.email, a.status, a.body)
		}
		return
	}
	link := l.letter(ctx, p, "/invitation/")
	if link == "" {
		return
	}
	p.shut = []bool{false}
	p.passwords, _ = l.twiceAtOnce(link, url.Values{"name": {p.email}})
	l.settle(p)
	if u, ok := l.user(p.email); ok {
		p.id = u.ID
	}
	l.mu.Lock()
	l.people = append(l.people, p)
	l.mu.Unlock()
	if rand.IntN(2) == 0 {
		l.enrols(p)
	}
}

// letter waits for a letter with a link that was not used yet, and returns its path. It was
// promised, so it must come.
func (l *ledger) letter(ctx context.Context, p *person, prefix string) string {
	until := time.Now().Add(letterIn)
	for ; time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		for _, r := range l.mail.Letters() {
			if !strings.EqualFold(r.To, p.email) {
				continue
			}
			for _, link := range r.Links {
				if path, ours := strings.CutPrefix(link, l.base); ours && strings.HasPrefix(path, prefix) && !p.letters[path] {
					p.letters[path] = true
					return path
				}
			}
		}
		if ctx.Err() != nil { // nothing is broken any more, and a minute is enough
			until = earlier(until, time.Now().Add(75*time.Second))
			ctx = context.Background()
		}
	}
	l.judge.find("the letter to %s with %s never came", p.email, prefix)
	return ""
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// twiceAtOnce uses a link in two browsers at once, with another password each, or in one. It returns
// the passwords of which one is right now, if the link was used at all, which used says.
func (l *ledger) twiceAtOnce(link string, form url.Values) (maybe []string, used bool) {
	var mu sync.Mutex
	in := 0
	try := func(again bool) {
		v, own := l.visitor(), url.Values{}
		for name, values := range form {
			own[name] = values
		}
		password := l.password()
		own.Set("password", password)
		own.Set("repetition", password)
		v.get(link)
		var a answer
		var unsure bool
		if again {
			a, unsure = v.post(link, own)
		} else {
			a = v.ask(l.any(), http.MethodPost, link, own.Encode())
		}
		mu.Lock()
		defer mu.Unlock()
		switch {
		case strings.HasPrefix(a.to(), home):
			in++
			maybe = append(maybe, password)
		case unsure || a.status == 0 || a.status == http.StatusServiceUnavailable:
			maybe = append(maybe, password)
		}
	}
	var both sync.WaitGroup
	for range 1 + rand.IntN(2) {
		both.Go(func() { try(false) })
	}
	both.Wait()
	if in == 0 {
		try(true) // as somebody does who was not told that it worked
	}
	if in > 1 {
		l.judge.find("the link %.14s… was used by %d browsers", link, in)
	}
	return maybe, in > 0
}

// settle finds out which of the passwords, and of the other things, is the right one after an
// answer that was lost.
func (l *ledger) settle(p *person) {
	if len(p.shut) > 1 {
		if u, ok := l.user(p.email); ok {
			p.shut = []bool{u.State == "deactivated"}
		}
	}
	if len(p.passwords) == 1 || p.shut[0] {
		return
	}
	var right []string
	for _, password := range p.passwords {
		if v, _ := l.proves(p, password); v != nil {
			right = append(right, password)
		}
	}
	if len(right) != 1 {
		l.judge.find("of the passwords %q of %s, one of which was answered or lost on its way, %d are right", p.passwords, p.email, len(right))
		return
	}
	p.passwords = right
}

// proves types a password at the door of the organization, and returns the browser and where that
// led; no browser if it was refused.
func (l *ledger) proves(p *person, password string) (*visitor, string) {
	v := l.visitor()
	v.get(door)
	a, _ := v.post(door, url.Values{"email": {p.email}, "password": {password}})
	if a.status == http.StatusTooManyRequests {
		l.judge.find("%s is answered %d", p.email, a.status)
	}
	if to := a.to(); strings.HasPrefix(to, home) || strings.HasPrefix(to, "/sign-in/att_") {
		return v, to
	}
	return nil, ""
}

// signsIn signs somebody in, who is then in on every node; or not in, if they were shut out.
func (l *ledger) signsIn(_ context.Context, p *person) {
	l.settle(p)
	if len(p.passwords) != 1 || len(p.shut) != 1 {
		return
	}
	v, to := l.proves(p, p.passwords[0])
	switch {
	case p.shut[0] && v != nil:
		l.judge.find("%s is shut out, and came to %s", p.email, to)
	case !p.shut[0] && v == nil:
		l.judge.find("%s has a password that was answered, and does not come in", p.email)
	case v == nil:
	case strings.HasPrefix(to, home):
		if p.app != "" && !p.unsureApp {
			l.judge.find("%s has an app, and came in without it", p.email)
		}
		p.here = v
		l.everywhere(p, v, true)
	case p.app == "":
		l.judge.find("%s has no app, and came to %s", p.email, to)
	default:
		p.unsureApp = false
	}
}

// everywhere looks whether a browser is let in, at every node.
func (l *ledger) everywhere(p *person, v *visitor, in bool) {
	for _, n := range l.nodes {
		a := v.copy().ask(n, http.MethodGet, home, "")
		switch let := a.status == http.StatusOK; {
		case a.status == 0 || a.status == http.StatusServiceUnavailable:
		case in && !let:
			l.judge.find("%s is in, and node %d answers %d to %s", p.email, n.number, a.status, a.to())
		case !in && let:
			l.judge.find("%s is out since more than a second, and node %d lets them in", p.email, n.number)
		}
	}
}

// changesPassword changes a password in one browser, which shuts the other one out.
func (l *ledger) changesPassword(ctx context.Context, p *person) {
	// With an app a second step would be asked for.
	if p.app != "" || p.changes == mostChanges {
		return
	}
	l.signsIn(ctx, p)
	other := p.here
	l.signsIn(ctx, p)
	if other == nil || p.here == other || p.shut[0] {
		return
	}
	p.changes++
	password := l.password()
	v := p.here
	v.get(door + "/account/password")
	a, unsure := v.post(door+"/account/password", url.Values{"current_password": p.passwords, "password": {password}, "repetition": {password}})
	switch {
	case strings.Contains(a.to(), "?saved"):
		p.passwords = []string{password}
		time.Sleep(felt)
		l.everywhere(p, other, false)
	case unsure || a.status == 0:
		p.passwords = append(p.passwords, password)
	default:
		l.judge.find("changing the password of %s is answered %d to %s", p.email, a.status, a.to())
	}
	l.settle(p)
}

// recovers asks for a link and uses it, in one browser or in two at once.
func (l *ledger) recovers(ctx context.Context, p *person) {
	l.settle(p)
	if p.app != "" || p.shut[0] || p.asked == 3 || len(p.passwords) != 1 {
		return
	}
	p.asked++
	v := l.visitor()
	v.get("/forgot-password")
	if a, unsure := v.post("/forgot-password", url.Values{"email": {p.email}, "organization": {shortName}}); !strings.Contains(a.to(), "?sent") || unsure {
		p.asked = 3 // two letters may be on their way
		return
	}
	link := l.letter(ctx, p, "/reset/")
	if link == "" {
		return
	}
	before := p.here
	maybe, used := l.twiceAtOnce(link, url.Values{})
	if !used {
		maybe = append(maybe, p.passwords...)
	}
	p.passwords = maybe
	if before != nil && used {
		time.Sleep(felt)
		l.everywhere(p, before, false)
		p.here = nil
	}
	l.settle(p)
}

// isRenamed changes a name by the API.
func (l *ledger) isRenamed(_ context.Context, p *person) {
	if p.id == "" {
		return
	}
	name := l.fresh("Kim ")
	a, unsure := l.call(http.MethodPatch, "/users/"+p.id, fmt.Sprintf(`{"name": %q}`, name), "")
	switch {
	case a.status == http.StatusOK:
		p.name = []string{name}
	case a.status == 0 || a.status == http.StatusServiceUnavailable:
		p.name = append(p.name, name)
	default:
		l.judge.find("renaming %s is answered %d (unsure %v): %s", p.email, a.status, unsure, a.body)
	}
}

// mostGroups leaves room below the 500 that an organization may have.
const mostGroups = 400

// makesGroup makes a group by the API, with a key by which it is made once.
func (l *ledger) makesGroup() {
	l.mu.Lock()
	made := len(l.groups)
	l.mu.Unlock()
	if made >= mostGroups {
		return
	}
	name := l.fresh("Group ")
	a, _ := l.call(http.MethodPost, "/groups", fmt.Sprintf(`{"name": %q}`, name), l.fresh("group-"))
	if !slices.Contains([]int{0, http.StatusServiceUnavailable, http.StatusCreated}, a.status) {
		l.judge.find("making %s with a key of its own is answered %d: %s", name, a.status, a.body)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.groups[name] = a.status == http.StatusCreated
}

// isShutOut deactivates somebody, who is out on every node a second later, and lets them in again.
func (l *ledger) isShutOut(ctx context.Context, p *person) {
	if p.id == "" {
		return
	}
	l.signsIn(ctx, p)
	deed := func(verb string, shut bool) bool {
		a, _ := l.call(http.MethodPost, "/users/"+p.id+"/"+verb, "", l.fresh(verb+"-"))
		switch a.status {
		case http.StatusOK, http.StatusConflict: // it was done by a try whose answer was lost
			p.shut = []bool{shut}
			return true
		case 0, http.StatusServiceUnavailable:
			p.shut = []bool{true, false}
		default:
			l.judge.find("%s of %s is answered %d: %s", verb, p.email, a.status, a.body)
		}
		return false
	}
	if !p.shut[0] && deed("deactivate", true) {
		time.Sleep(felt)
		if p.here != nil {
			l.everywhere(p, p.here, false)
		}
		if p.refresh != "" {
			if a := l.refreshes(p); a.status == http.StatusOK {
				l.judge.find("%s is shut out, and their application gets tokens", p.email)
			}
		}
		p.here, p.refresh = nil, ""
	}
	deed("reactivate", false)
	l.settle(p)
	l.signsIn(ctx, p)
}
