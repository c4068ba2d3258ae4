package op_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"parvis/internal/idptest"
)

// receiver is an application's back channel, on loopback.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	heard  []string // logout tokens
	wait   chan struct{}
}

// receiver starts one that answers with a status.
func (w *world) receiver(status int) *receiver {
	w.t.Helper()
	r := &receiver{status: status}
	r.Server = httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		r.heard = append(r.heard, q.PostFormValue("logout_token"))
		status, wait := r.status, r.wait
		r.mu.Unlock()
		if wait != nil {
			<-wait
		}
		answer.WriteHeader(status)
	}))
	w.t.Cleanup(r.Close)
	return r
}

// times is how often it was told.
func (r *receiver) times() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.heard)
}

// token is what it was told at that time.
func (r *receiver) token(t testing.TB, i int) string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.heard) <= i {
		t.Fatalf("it was told %d times", len(r.heard))
	}
	return r.heard[i]
}

// sweep does what a node does each second.
func (w *world) sweep() {
	w.t.Helper()
	begun := time.Now()
	if err := w.Site.Sessions.SweepVoid(w.t.Context(), w.DB); err != nil {
		w.t.Fatal(err)
	}
	if err := w.Provider.Sweep(w.t.Context(), w.DB); err != nil {
		w.t.Fatal(err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		w.t.Errorf("the sweep took %s", took)
	}
}

// signOut does what the button at the top of every page does.
func (w *world) signOut(b *idptest.Browser) {
	w.t.Helper()
	if p := b.Post("/o/"+w.org.ShortName+"/sign-out", nil); p.Status >= http.StatusBadRequest {
		w.t.Fatalf("signing out: %d %s", p.Status, p.Text())
	}
}
