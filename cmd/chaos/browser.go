package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const (
	// answersIn is how long a node may take, also while its database is silent (docs/limits.md), with
	// what a busy machine adds.
	answersIn = 12 * time.Second
	// givesUp is when a visitor's own program stops waiting.
	givesUp = 20 * time.Second
	// comesBack is the longest that a visitor waits before trying again.
	comesBack = 10 * time.Second
)

// answer is what came of one request; its status is 0 if no answer arrived.
type answer struct {
	status int
	header http.Header
	body   string
	began  time.Time
	node   *node
}

// to returns the path that an answer leads to.
func (a answer) to() string {
	u, err := url.Parse(a.header.Get("Location"))
	if a.status != http.StatusSeeOther && a.status != http.StatusFound || err != nil {
		return ""
	}
	return u.RequestURI()
}

func (a answer) into(v any) error { return json.Unmarshal([]byte(a.body), v) }

// visitor is a browser, or a program that calls the API or a protocol. Each comes from a network of
// its own, as people do.
type visitor struct {
	w       *world
	network string
	jar     map[string]string
	header  http.Header
}

func (w *world) visitor() *visitor {
	return &visitor{w: w, network: fmt.Sprintf("10.%d.%d.%d", rand.IntN(250), rand.IntN(250), 1+rand.IntN(250)), jar: map[string]string{}, header: http.Header{}}
}

// copy returns another browser with the same cookies.
func (v *visitor) copy() *visitor {
	c := v.w.visitor()
	for name, value := range v.jar {
		c.jar[name] = value
	}
	return c
}

// ask sends one request to a node, and judges the answer.
func (v *visitor) ask(n *node, method, path, body string) answer {
	ctx, cancel := context.WithTimeout(context.Background(), givesUp)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, v.w.base+path, strings.NewReader(body))
	if err != nil {
		v.w.judge.find("%s cannot be asked for: %v", path, err)
		return answer{node: n}
	}
	r.Header = v.header.Clone()
	r.Header.Set("X-Forwarded-For", v.network)
	if method == http.MethodPost && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for name, value := range v.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	a := answer{began: time.Now(), node: n}
	res, err := n.transport().RoundTrip(r)
	if err == nil {
		var text []byte
		text, err = io.ReadAll(res.Body)
		res.Body.Close()
		a.status, a.header, a.body = res.StatusCode, res.Header, string(text)
	}
	if err != nil {
		a.status = 0
	} else {
		for _, c := range res.Cookies() {
			if v.jar[c.Name] = c.Value; c.MaxAge < 0 {
				delete(v.jar, c.Name)
			}
		}
	}
	v.w.judged(a, method+" "+path, err)
	return a
}

// transport leads every connection to the node, as a balancer does.
func (n *node) transport() *http.Transport {
	return &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, n.http.Address())
	}}
}

// judged looks at one answer: what nothing explains is found.
func (w *world) judged(a answer, what string, err error) {
	ended := time.Now()
	n, took := a.node.number, ended.Sub(a.began)
	what, _, _ = strings.Cut(what, "?")
	if w.judge.count("answers " + strconv.Itoa(a.status)); a.status >= 400 && a.status < 500 {
		parts := strings.Split(what, "/")
		w.judge.count(fmt.Sprintf("answers %d to %s", a.status, strings.Join(parts[:min(2, len(parts))], "/")))
	}
	if !w.judge.explained(n, a.began, ended, ofNode|ofDatabase) {
		w.judge.count("answers while nothing was broken for the node")
	}
	switch {
	case a.status == 0 && !w.judge.explained(n, a.began, ended, ofNode):
		w.judge.find("node %d does not answer %s, after %s: %v", n, what, took, err)
	case a.status > 500 && a.status != http.StatusServiceUnavailable, a.status == http.StatusInternalServerError:
		w.judge.find("node %d answers %s with %d: %.300s\n%s", n, what, a.status, a.body, a.why())
	case a.status == http.StatusServiceUnavailable:
		if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || seconds < 1 || seconds > 60 {
			w.judge.find("node %d answers %s with 503 and Retry-After %q", n, what, a.header.Get("Retry-After"))
		}
		if !strings.Contains(strings.ToLower(a.body), "reference") {
			w.judge.find("node %d answers %s with 503 and no reference: %.300s", n, what, a.body)
		}
		if !w.judge.explained(n, a.began, ended, ofDatabase) {
			w.judge.find("node %d answers %s with 503 after %s, and nothing was wrong with its database: %s", n, what, took, a.why())
		}
	}
	if a.status != 0 && took > answersIn && !w.judge.explained(n, a.began, ended, ofNode) {
		w.judge.find("node %d answers %s with %d after %s", n, what, a.status, took)
	}
}

var reference = regexp.MustCompile(`\breq_[a-z0-9]+`)

// why returns what the log of the node says under the reference of an answer.
func (a answer) why() string {
	text, err := os.ReadFile(a.node.log())
	if err != nil {
		return err.Error()
	}
	said := ""
	for line := range strings.Lines(string(text)) {
		if id := reference.FindString(a.body); id != "" && strings.Contains(line, id) {
			said += line
		}
	}
	return said
}

// press sends a request until it is answered, as somebody does who comes back when the answer says
// so. unsure reports that an earlier try may have done it already.
func (v *visitor) press(method, path, body string) (a answer, unsure bool) {
	n := v.w.any()
	for tries := 1; ; tries++ {
		a = v.ask(n, method, path, body)
		if a.status != 0 && a.status != http.StatusServiceUnavailable || tries == 20 {
			v.w.judge.pressed(tries)
			return a, unsure
		}
		unsure = true
		wait := time.Second
		if seconds, err := strconv.Atoi(a.header.Get("Retry-After")); err == nil {
			wait = min(time.Duration(seconds)*time.Second, comesBack)
		}
		time.Sleep(wait)
		n = v.w.nodes[(n.number+1)%len(v.w.nodes)]
	}
}

func (v *visitor) get(path string) answer {
	a, _ := v.press(http.MethodGet, path, "")
	return a
}

func (v *visitor) post(path string, form url.Values) (a answer, unsure bool) {
	return v.press(http.MethodPost, path, form.Encode())
}

// any returns a node by chance, as a balancer without sticky sessions does.
func (w *world) any() *node { return w.nodes[rand.IntN(len(w.nodes))] }

// ask asks a node for a page past its wire and the judge: does it answer?
func (n *node) ask(path string) (status int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.listen+path, nil)
	if err != nil {
		return 0, err
	}
	r.Host = strings.TrimPrefix(n.w.base, "http://")
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return 0, err
	}
	return res.StatusCode, res.Body.Close()
}

// call calls the API as the machine that administers the organization. With a key, what was sent
// twice is done once.
func (w *world) call(method, path, body, key string) (a answer, unsure bool) {
	v := w.visitor()
	v.header.Set("Authorization", "Bearer "+w.bearer())
	v.header.Set("Content-Type", "application/json")
	if key != "" {
		v.header.Set("Idempotency-Key", key)
	}
	return v.press(method, "/api/v1"+path, body)
}
