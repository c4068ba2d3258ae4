package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"parvis/internal/api/form"
)

const (
	root       = "/api/v1"
	answerIn   = 30 * time.Second
	mostAnswer = 16 << 20
)

// client calls the API as one profile says.
type client struct {
	*profile
	t    *Terminal
	kept *profiles
	name string // of the profile; empty before it is kept
	http *http.Client
}

// open returns a client for the profile that is meant.
func (w where) open(t *Terminal) (*client, error) {
	kept, err := loadProfiles()
	if err != nil {
		return nil, err
	}
	name, one, err := kept.named(w.Profile)
	if err != nil {
		return nil, err
	}
	return &client{profile: one, t: t, kept: kept, name: name, http: newHTTP()}, nil
}

// newHTTP returns a client that follows no redirect, because a token is for one address, and that
// takes every name below localhost for this machine, as browsers do (RFC 6761 §6.3).
func newHTTP() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forbidigo // The address is the caller's own, has a time limit below, and may be in a private network.
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err == nil && strings.HasSuffix(host, ".localhost") {
			address = net.JoinHostPort("localhost", port)
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return &http.Client{Timeout: answerIn, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// request is a call of the API.
type request struct {
	method, path string // below root
	query        url.Values
	body         []byte            // JSON, or nil
	header       map[string]string // besides those of every call
}

// writes returns a request with a body, that only tries if dry is set.
func writes(method, path string, body any, dry bool) request {
	q := request{method: method, path: path, query: url.Values{}}
	if dry {
		q.query.Set("dry_run", "true")
	}
	if body != nil {
		q.body, _ = json.Marshal(body) // forms always encode
	}
	return q
}

func reads(path string) request {
	return request{method: http.MethodGet, path: path, query: url.Values{}}
}

// reply is what was answered.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// call sends a request until it is answered: it waits where there were too many, renews what the
// token may where that ended, and has the person prove who they are where that is too long ago.
func (c *client) call(q request) (reply, error) {
	return c.answered(func() (reply, error) { return c.send(q) })
}

// answered is call for what is sent in another way.
func (c *client) answered(send func() (reply, error)) (reply, error) {
	renewed, proved := false, false
	for {
		r, err := send()
		switch {
		case err != nil:
			return reply{}, err
		case r.status < 300:
			return r, nil
		case r.status == http.StatusTooManyRequests:
			err = c.wait(r)
		case r.status == http.StatusUnauthorized && r.age() != "" && c.Refresh != "" && !proved:
			proved = true
			err = c.prove(r.age())
		case r.status == http.StatusUnauthorized && r.age() == "" && c.Refresh != "" && !renewed:
			renewed = true
			err = c.renew()
		default:
			err = c.refusal(r)
		}
		if err != nil {
			return reply{}, err
		}
	}
}

// into sends a request and reads the answer.
func (c *client) into(q request, v any) (reply, error) {
	r, err := c.call(q)
	if err == nil {
		err = json.Unmarshal(r.body, v)
	}
	return r, err
}

// send sends a request once.
func (c *client) send(q request) (reply, error) {
	r, err := c.request(q)
	if err != nil {
		return reply{}, err
	}
	return fetch(c.t.Context, c.http, r)
}

// request returns a request as HTTP has it.
func (c *client) request(q request) (*http.Request, error) {
	address := c.Address + root + q.path
	if len(q.query) > 0 {
		address += "?" + q.query.Encode()
	}
	r, err := http.NewRequestWithContext(c.t.Context, q.method, address, bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+c.Token)
	r.Header.Set("Accept-Language", "en")
	if q.body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if q.method == http.MethodPatch {
		r.Header.Set("Content-Type", "application/merge-patch+json")
	}
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	return r, nil
}

// away is an error of a server that is not there now, and may be there again in a moment.
type away struct{ error }

// Unwrap returns what was noticed of it.
func (a away) Unwrap() error { return a.error }

// isAway reports whether an error may go away by itself.
func isAway(err error) bool {
	_, ok := errors.AsType[away](err)
	p, refused := errors.AsType[*problem](err)
	return ok || refused && p.Status >= http.StatusInternalServerError
}

// do sends a request, and says in words why nobody answers.
func do(ctx context.Context, h *http.Client, r *http.Request) (*http.Response, error) {
	w, err := h.Do(r)
	if err == nil {
		return w, nil
	}
	if ctx.Err() != nil {
		return nil, errStopped
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	return nil, away{fmt.Errorf("%s does not answer: %w", r.URL.Host, err)}
}

// fetch sends a request, and says in words why nothing came of it.
func fetch(ctx context.Context, h *http.Client, r *http.Request) (reply, error) {
	w, err := do(ctx, h, r)
	if err != nil {
		return reply{}, err
	}
	return read(ctx, w)
}

// read reads an answer that is JSON.
func read(ctx context.Context, w *http.Response) (reply, error) {
	r := w.Request
	defer w.Body.Close()
	body, err := io.ReadAll(io.LimitReader(w.Body, mostAnswer))
	switch media, _, _ := mime.ParseMediaType(w.Header.Get("Content-Type")); {
	case ctx.Err() != nil:
		return reply{}, errStopped
	case err != nil:
		return reply{}, away{fmt.Errorf("the answer of %s broke off: %w", r.URL.Host, err)}
	case w.StatusCode >= 300 && w.StatusCode < 400:
		return reply{}, fmt.Errorf("%s leads on to %s: sign in with that address if it is the right one", r.URL.Host, printable(w.Header.Get("Location")))
	case w.StatusCode >= http.StatusInternalServerError && media != "application/problem+json": // of what stands before the server
		return reply{}, away{fmt.Errorf("%s answers with status %d", r.URL.Host, w.StatusCode)}
	case w.StatusCode != http.StatusNoContent && media != "application/json" && media != "application/problem+json":
		return reply{}, fmt.Errorf("nothing of Parvis answers at %s (status %d)", r.URL.Host, w.StatusCode)
	}
	return reply{w.StatusCode, w.Header, body}, nil
}

// wait waits as long as the server asks.
func (c *client) wait(r reply) error {
	seconds, err := strconv.Atoi(r.header.Get("Retry-After"))
	if err != nil || seconds < 1 {
		seconds = 1
	}
	if seconds > 1 {
		fmt.Fprintf(c.t.Err, "The server asks to wait %s. Ctrl-C stops.\n", time.Duration(seconds)*time.Second)
	}
	select {
	case <-c.t.Context.Done():
		return errStopped
	case <-time.After(time.Duration(seconds) * time.Second):
		return nil
	}
}

var maxAge = regexp.MustCompile(`error="insufficient_user_authentication".*\bmax_age="?(\d+)`)

// age returns how many seconds ago the person may have proved who they are (RFC 9470 §3), or an
// empty text if the server asks for no proof.
func (r reply) age() string {
	found := maxAge.FindStringSubmatch(r.header.Get("WWW-Authenticate"))
	if found == nil {
		return ""
	}
	return found[1]
}

// problem is a refusal of the API.
type problem struct {
	form.Problem
	raw []byte
}

// Error returns the sentence, then each wrong value with its name, then the reference.
func (p *problem) Error() string {
	if p.Reference == "" {
		return p.sentences()
	}
	return p.sentences() + "\n  Reference: " + printable(p.Reference)
}

func (p *problem) sentences() string {
	if len(p.Errors) == 1 && p.Errors[0].Detail == p.Detail {
		return printable(nameOf(p.Errors[0]) + ": " + p.Detail)
	}
	var b strings.Builder
	b.WriteString(p.Detail)
	for _, w := range p.Errors {
		fmt.Fprintf(&b, "\n  %s: %s", nameOf(w), w.Detail)
	}
	return printable(b.String())
}

// nameOf returns what the API calls a value that is wrong.
func nameOf(w form.Wrong) string {
	return cmp.Or(w.Name, strings.ReplaceAll(strings.TrimPrefix(w.Pointer, "/"), "/", "."), "body")
}

// refusal makes an error of an answer that is one.
func (c *client) refusal(r reply) error {
	p := &problem{raw: r.body}
	if err := json.Unmarshal(r.body, &p.Problem); err != nil || p.Detail == "" {
		return fmt.Errorf("%s answered with status %d, and said nothing that this program understands", c.Address, r.status)
	}
	if r.status == http.StatusUnauthorized {
		return exit{exitSignIn, fmt.Errorf("%w\nSign in again: parvis admin login %s --organization %s", p, c.Address, c.Organization)}
	}
	return p
}
