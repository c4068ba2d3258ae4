package op_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"parvis/internal/application"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/op"
)

// A failing back channel is shown until the application accepts the notice, and only to the
// organization whose session ended.
func TestAFailingBackChannelShows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	heard := w.receiver(http.StatusServiceUnavailable)
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.BackChannel = heard.URL }))
	w.enter(w.bo, c)
	w.signOut(w.bo)
	w.sweep()

	of := func() op.Channel {
		t.Helper()
		channel, err := op.ChannelOf(t.Context(), w.DB, w.org.ID, c.ID)
		if err != nil {
			t.Fatal(err)
		}
		return channel
	}
	got := of()
	expect.Equal(t, "Reply", got.Reply, "503 Service Unavailable")
	expect.Equal(t, "Waiting", got.Waiting, 1)
	if !got.Failing() || got.NextTry.IsZero() {
		t.Errorf("a refused call shows as %+v", got)
	}
	if other, err := op.ChannelOf(t.Context(), w.DB, w.other.ID, c.ID); err != nil || other != (op.Channel{}) {
		t.Errorf("the neighbour sees %+v, %v", other, err)
	}
	page := "/o/meridian/admin/applications/" + string(c.ID)
	idptest.Want(t, w.ana.Get(page), idptest.Status(200),
		idptest.Says("console.application.channel_answer", "Status", "503 Service Unavailable"))

	heard.mu.Lock()
	heard.status = http.StatusOK
	heard.mu.Unlock()
	w.Clock.Advance(time.Minute)
	w.sweep()
	if got := of(); got.Failing() || got.Waiting != 0 {
		t.Errorf("once it took the call it shows as %+v", got)
	}
	idptest.Want(t, w.ana.Get(page), idptest.Status(200), idptest.Says("console.application.channel"),
		idptest.SaysNot("console.application.channel_answer", "Status", "503 Service Unavailable"))
	all, err := op.Channels(t.Context(), w.DB)
	if err != nil || all[c.ID].TriedAt.IsZero() {
		t.Errorf("the operator sees %+v, %v", all, err)
	}
}

// An address that Parvis would have to call but never could is refused when it is entered.
func TestAnAddressThatIsNeverCalledIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register(w.org.ID, application.Web, web())
	for address, key := range map[string]string{
		"http://127.0.0.1/out":         "op.unreachable.scheme",
		"https://10.1.2.3/out":         "op.unreachable.address",
		"https://127.0.0.1:8443/out":   "op.unreachable.address",
		"https://[fd00::1]/out":        "op.unreachable.address",
		"https://books.localhost/out":  "op.unreachable.address",
		"https://169.254.169.254/data": "op.unreachable.address",
	} {
		form := w.ana.Get("/o/meridian/admin/applications/"+string(c.ID)).Form("sign-in").Fill("back_channel", address)
		idptest.Want(t, form.Submit(""), idptest.Status(422), idptest.Says(key), idptest.Input("back_channel", address))
	}
	form := w.ana.Get("/o/meridian/admin/applications/"+string(c.ID)).Form("sign-in").Fill("back_channel", "https://1.1.1.1/out")
	idptest.Want(t, form.Submit(""), idptest.Status(200), idptest.Input("back_channel", "https://1.1.1.1/out"))
}

// Addresses to call are counted for the organization before their names are looked up. Unchanged
// addresses are neither counted nor looked up.
func TestAddressesThatAreLookedUpAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := web()
	s.BackChannel = "https://1.1.1.1/out"
	c := w.register(w.org.ID, application.Web, s)
	path := "/o/meridian/admin/applications/" + string(c.ID)
	form := w.ana.Get(path).Form("sign-in")
	idptest.Want(t, form.Submit(""), idptest.Status(200)) // unchanged
	for i := range directory.PerOrganizationHosts.Free {
		if p := form.Fill("back_channel", fmt.Sprintf("https://10.1.2.%d/out", i)).Submit(""); p.Status != 422 {
			t.Fatalf("address %d: %d %s", i, p.Status, p.Text())
		}
	}
	p := form.Fill("back_channel", "https://10.1.3.1/out").Submit("")
	idptest.Want(t, p, idptest.Status(429), idptest.Says("op.reach_too_often", "Wait", "10 seconds"), idptest.Input("back_channel", "https://10.1.3.1/out"))
	if p.Header.Get("Retry-After") != "10" {
		t.Errorf("Retry-After: %q", p.Header.Get("Retry-After"))
	}
	idptest.Want(t, form.Fill("back_channel", s.BackChannel).Submit(""), idptest.Status(200))

	eva := stopping(w.Join(t, w.other, "eva@lumen.example", "Eva Roy", directory.Owner))
	theirs := w.register(w.other.ID, application.Web, web())
	neighbour := eva.Get("/o/lumen/admin/applications/"+string(theirs.ID)).Form("sign-in").Fill("back_channel", "https://10.1.2.3/out")
	idptest.Want(t, neighbour.Submit(""), idptest.Status(422), idptest.Says("op.unreachable.address"))
}
