package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parvis/internal/expect"
)

// wire answers requests in place of a server.
type wire func(*http.Request) (*http.Response, error)

func (w wire) RoundTrip(r *http.Request) (*http.Response, error) { return w(r) }

// answers returns an answer with a body of a type.
func answers(r *http.Request, status int, media string, body io.Reader) (*http.Response, error) {
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {media}}, Body: io.NopCloser(body), Request: r}, nil
}

// screen is what a person sees.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func over(ctx context.Context, w wire) (c *client, out, said *screen) {
	out, said = &screen{}, &screen{}
	return &client{
		profile: &profile{Address: "https://id.example.com", Organization: "meridian", Token: "pak_one"},
		t:       &Terminal{Context: ctx, In: strings.NewReader(""), Out: out, Err: said}, http: &http.Client{Transport: w, Timeout: answerIn},
	}, out, said
}

const oneEvent = `{"id":"evt_%d","sequence":%d,"at":"2026-11-22T09:00:00Z","action":"group.created","result":"done","actor":{"id":"usr_a","name":"Ana"},"object":{"type":"group","id":"grp_a","name":"Drivers %d"},"before":{},"after":{},"network":"","agent":"","reference":"","session":"","method":"","region":"","erased":false}`

// A server that is restarted is asked again until it is there, from where the log was read to; it is
// said once. Ctrl-C is how it ends well.
func TestFollowingSurvivesARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, interrupt := context.WithCancel(t.Context())
		asked := 0
		c, out, said := over(ctx, func(r *http.Request) (*http.Response, error) {
			asked++
			switch {
			case asked == 2, asked == 3:
				return nil, errors.New("connection refused")
			case asked == 4:
				return answers(r, http.StatusBadGateway, "text/html", strings.NewReader("<h1>Bad gateway</h1>"))
			case asked == 5:
				return answers(r, http.StatusServiceUnavailable, "application/problem+json", strings.NewReader(`{"status":503,"detail":"Not now."}`))
			case r.URL.Query().Get("after") == "6" && asked > 5:
				return answers(r, http.StatusOK, "application/json", strings.NewReader(`{"items":[`+fmt.Sprintf(oneEvent, 7, 7, 7)+`],"next":null,"count":null}`))
			}
			return answers(r, http.StatusOK, "application/json", strings.NewReader(`{"items":[],"next":null,"count":null}`))
		})
		ended := make(chan error, 1)
		go func() { ended <- (&eventsCommand{Follow: true}).follow(c, 6) }()
		time.Sleep(time.Minute)
		interrupt()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		expect.Equal(t, "how often the event is shown", strings.Count(out.String(), "Drivers 7"), 1)
		expect.Equal(t, "what is said", said.String(), "id.example.com does not answer: connection refused. This goes on once the server is back; Ctrl-C stops.\nThe server is back.\n")
	})
}

// What a server refuses is no absence: following ends with it.
func TestFollowingEndsWhereItIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, _, _ := over(t.Context(), func(r *http.Request) (*http.Response, error) {
			return answers(r, http.StatusForbidden, "application/problem+json", strings.NewReader(`{"status":403,"detail":"No."}`))
		})
		err := (&eventsCommand{Follow: true}).follow(c, 6)
		if err == nil || err.Error() != "No." {
			t.Errorf("it ended with %v", err)
		}
	})
}

// endless never ends and sends nothing.
type endless struct{ context.Context }

func (e endless) Read([]byte) (int, error) {
	<-e.Done()
	return 0, e.Err()
}

// Half an export never has the name of a whole one, whichever way it ended.
func TestHalfAnExportIsSaidToBeIncomplete(t *testing.T) {
	t.Parallel()
	const begun = `{"log":{}}` + "\n" + `{"leaf":0}` + "\n"
	for name, one := range map[string]struct {
		format string
		body   func(context.Context) io.Reader
		why    string
	}{
		"no last line":  {"jsonl", func(context.Context) io.Reader { return strings.NewReader(begun) }, "the export has no last line"},
		"half a line":   {"jsonl", func(context.Context) io.Reader { return strings.NewReader(begun + `{"end":{"events":1}}`) }, "the export has no last line"},
		"broken off":    {"csv", func(context.Context) io.Reader { return io.MultiReader(strings.NewReader("a,b\n"), broken{}) }, "the export broke off after 1 lines: unexpected EOF"},
		"gone silent":   {"csv", func(c context.Context) io.Reader { return io.MultiReader(strings.NewReader("a,b\n"), endless{c}) }, "the export broke off after 1 lines: id.example.com sent nothing for 30s"},
		"whole":         {"jsonl", func(context.Context) io.Reader { return strings.NewReader(begun + `{"end":{"events":1}}` + "\n") }, ""},
		"whole, as CSV": {"csv", func(context.Context) io.Reader { return strings.NewReader("a,b\n") }, ""},
	} {
		dir := t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			t0 := expect.Case(t, "%s", name)
			c, _, said := over(t.Context(), func(r *http.Request) (*http.Response, error) {
				return answers(r, http.StatusOK, "application/jsonl", one.body(r.Context()))
			})
			to := filepath.Join(dir, "log")
			err := (&exportCommand{Format: one.format, Output: to}).into(c)
			_, whole := os.Stat(to)
			_, half := os.Stat(to + partial)
			expect.Equal(t0, "the whole file is there", whole == nil, one.why == "")
			expect.Equal(t0, "half a file is there", half == nil, one.why != "")
			if one.why == "" {
				expect.Equal(t0, "what is said", strings.HasPrefix(said.String(), to+" has "), true)
				return
			}
			expect.Equal(t0, "why", fmt.Sprint(err), one.why+"\n"+to+partial+" is incomplete; the same command writes all of it anew")
		})
	}
}

// broken is a connection that ends in the middle of an answer.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// The command asks for a code's answer as seldom as it is told, and says in words how it ended.
func TestADeviceWaitsAsItIsTold(t *testing.T) {
	t.Parallel()
	for last, why := range map[string]string{
		`{"error":"expired_token"}`: "nobody allowed the code while it lasted. The same command shows another",
		`{"error":"access_denied"}`: "the sign-in was refused in the browser",
		`{"error":"invalid_grant","error_description":"device_code is unknown"}`: "the sign-in was refused: device_code is unknown",
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			var polls []time.Duration
			c, _, said := over(t.Context(), func(r *http.Request) (*http.Response, error) {
				switch r.URL.Path {
				case "/.well-known/oauth-authorization-server":
					return answers(r, http.StatusOK, "application/json", strings.NewReader(`{"issuer":"https://id.example.com","token_endpoint":"https://id.example.com/token","device_authorization_endpoint":"https://id.example.com/device_authorization"}`))
				case "/device_authorization":
					return answers(r, http.StatusOK, "application/json", strings.NewReader(`{"device_code":"d","user_code":"BCDF-GHJK","verification_uri":"https://id.example.com/device","expires_in":600,"interval":5}`))
				}
				polls = append(polls, time.Since(began))
				body := `{"error":"authorization_pending"}`
				switch len(polls) {
				case 2:
					body = `{"error":"slow_down"}`
				case 4:
					body = last
				}
				return answers(r, http.StatusBadRequest, "application/json", strings.NewReader(body))
			})
			c.ReadOnly = true
			err := c.device()
			expect.Equal(t, "why", fmt.Sprint(err), why)
			expect.Equal(t, "when it was asked", fmt.Sprint(polls), "[5s 10s 20s 30s]")
			expect.Equal(t, "the code is shown", strings.Contains(said.String(), "\n  BCDF-GHJK\n"), true)
		})
	}
}
