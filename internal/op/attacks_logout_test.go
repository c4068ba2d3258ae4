package op_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/secret"
)

const bye = "https://books.example/bye"

// in reports whether a browser is signed in to Meridian.
func in(b *idptest.Browser) bool { return b.Get("/o/meridian/home").URL.Path == "/o/meridian/home" }

// OPR-9, R-OPR-11: an application ends a session with its own ID token for that session; without
// one the person is asked. A browser is led only to an address that the application registered.
func TestOPR9EndSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.books()
	other := w.register("", application.Web, settings(func(s *application.Settings) { s.PostLogoutURIs = []string{"https://other.example/bye"} }))
	hint, hers, others := w.enter(w.bo, c).text("id_token"), w.enter(w.ana, c).text("id_token"), w.enter(w.bo, other).text("id_token")
	end := func(b *idptest.Browser, more ...string) *idptest.Page {
		return b.Get("/end-session?" + with(url.Values{}, more...).Encode())
	}
	for name, more := range map[string][]string{
		"a foreign address": {"id_token_hint", hint, "post_logout_redirect_uri", "https://evil.example/"}, "another application's": {"id_token_hint", hint, "post_logout_redirect_uri", "https://other.example/bye"},
		"a longer one": {"id_token_hint", hint, "post_logout_redirect_uri", bye + "/.."}, "a redirect address": {"id_token_hint", hint, "post_logout_redirect_uri", callback},
		"an address of nobody": {"post_logout_redirect_uri", bye}, "a script": {"client_id", string(c.ID), "post_logout_redirect_uri", "javascript:alert(1)"},
		"another client's hint": {"client_id", string(c.ID), "id_token_hint", others}, "an unknown client": {"client_id", "app_x"}, "a hint that is none": {"id_token_hint", "x.y.z"},
		"a forged hint": {"id_token_hint", sign(t, secret.NewECKey(), nil, claims{"iss": w.URL, "aud": string(c.ID)})}, "no text": {"client_id", "\xff\x00"},
	} {
		wantPage(t, name, end(w.bo, more...), http.StatusBadRequest)
	}
	wantPage(t, "two hints", w.bo.Get("/end-session?id_token_hint="+hint+"&id_token_hint="+hint), http.StatusBadRequest)
	// Nobody is signed out without a hint, or by one for somebody who is not signed in here.
	confirm := end(w.bo, "client_id", string(c.ID), "post_logout_redirect_uri", bye, "state", "s t")
	if confirm.URL.Path != "/end-session/confirm" || confirm.Status != http.StatusOK || answer(confirm) != nil {
		t.Errorf("without a hint: at %s", confirm.URL)
	}
	end(w.bo, "id_token_hint", hers, "post_logout_redirect_uri", bye)
	end(w.bo)
	r := w.post("/end-session?id_token_hint="+hint, nil)
	r.Method = http.MethodGet
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"} {
		r.Header.Set(name, value)
	}
	wantPage(t, "an image of another site", w.bo.Do(r), http.StatusForbidden)
	forged := w.post(confirm.URL.RequestURI(), confirm.Form("main").Check("session", sidOf(w, hint)).Values)
	forged.Header.Set("Sec-Fetch-Site", "cross-site")
	wantPage(t, "a form of another site", w.bo.Do(forged), http.StatusForbidden)
	w.bo.Post(confirm.URL.RequestURI(), url.Values{"session": {sidOf(w, hers)}})
	if !in(w.bo) || !in(w.ana) {
		t.Fatal("somebody was signed out")
	}
	// An expired hint still names the session (§2), and other sessions go on.
	w.Clock.Advance(time.Hour)
	p := end(w.bo, "id_token_hint", hint, "post_logout_redirect_uri", bye, "state", "s&t=<")
	to, err := url.Parse(p.Header.Get("Location"))
	if err != nil {
		t.Fatalf("led to %s", to)
	}
	expect.Equal(t, "state", to.Query().Get("state"), "s&t=<")
	if !strings.HasPrefix(to.String(), bye+"?") || in(w.bo) || !in(w.ana) {
		t.Errorf("led to %s", to)
	}
	// A form of another site brings no cookie, so the browser returns with a GET.
	if p := w.ana.CrossPost("/end-session", url.Values{"id_token_hint": {hers}, "post_logout_redirect_uri": {"https://evil.example/"}}); p.Status != http.StatusBadRequest || !in(w.ana) {
		t.Errorf("posted with a foreign address: %d", p.Status)
	}
	if w.ana.CrossPost("/end-session", url.Values{"id_token_hint": {hers}}); in(w.ana) {
		t.Error("posted: she is still signed in")
	}
}

// sidOf returns the id of the session that an ID token was made for; its sid is a pseudonym. A
// person may have a session in another browser too, so it is the one where the token's client has
// a grant.
func sidOf(w *world, idToken string) string {
	w.t.Helper()
	var ids []string
	claims := w.claims(idToken, "JWT")
	err := w.DB.Rows(w.t.Context(), func(scan func(...any) error) error {
		var id string
		err := scan(&id)
		ids = append(ids, id)
		return err
	}, `select distinct session_id from grants where user_id = $1 and client_id = $2`, claims["sub"], claims["aud"])
	if err != nil || len(ids) != 1 {
		w.t.Fatalf("sessions of the token's client: %v, %v", ids, err)
	}
	return ids[0]
}

// OPR-9: the page that tells applications by frames may load only their frames, and no site may
// frame it.
func TestOPR9FrontChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.FrontChannel = "https://books.example/out?a=b" }))
	id := w.enter(w.bo, c).text("id_token")
	w.enter(w.ana, w.register("", application.Web, settings(func(s *application.Settings) { s.FrontChannel = "https://other.example/out" })))
	p := w.bo.Get("/end-session?" + url.Values{"id_token_hint": {id}}.Encode())
	sid, _ := w.claims(id, "JWT")["sid"].(string)
	policy := p.Header.Get("Content-Security-Policy")
	frame := "https://books.example/out?a=b&" + url.Values{"iss": {w.URL}, "sid": {sid}}.Encode()
	if !p.Has("iframe", "src", frame) || !strings.HasSuffix(policy, "; frame-src https://books.example") || !strings.Contains(policy, "frame-ancestors 'none'") {
		t.Errorf("%s\n%s", policy, p.Body)
	}
}

// OPR-9, Back-Channel Logout §2.4: a logout token has a type and a signature, is for one
// application and one session, is short-lived, and is sent once, by whichever node comes first.
func TestOPR9LogoutTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, named)
	other := w.node()
	heard, pairwise, never := w.receiver(http.StatusOK), w.receiver(http.StatusNoContent), w.receiver(http.StatusOK)
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.BackChannel = heard.URL }))
	d := w.register("", application.Web, settings(func(s *application.Settings) { s.BackChannel, s.Pairwise = pairwise.URL, true }))
	w.enter(w.ana, w.register("", application.Web, settings(func(s *application.Settings) { s.BackChannel = never.URL })))
	w.enter(w.bo, c)
	ids := []map[string]any{w.claims(w.enter(w.bo, c).text("id_token"), "JWT"), w.claims(w.enter(w.bo, d).text("id_token"), "JWT")}
	w.signOut(w.bo)
	nodes := []*world{w, other}
	together(4, func(i int) bool { nodes[i%2].sweep(); return true })
	w.Clock.Advance(time.Minute)
	w.sweep()
	if heard.times() != 1 || pairwise.times() != 1 || never.times() != 0 {
		t.Fatalf("told %d, %d and %d times", heard.times(), pairwise.times(), never.times())
	}
	for i, r := range []*receiver{heard, pairwise} {
		got := other.claims(r.token(t, 0), "logout+jwt")
		events, _ := got["events"].(map[string]any)
		event, isObject := events["http://schemas.openid.net/event/backchannel-logout"].(map[string]any)
		exp, _ := got["exp"].(float64)
		iat, _ := got["iat"].(float64)
		of := expect.Case(t, "told %v", got)
		expect.Equal[any](of, "iss", got["iss"], w.URL)
		expect.Equal[any](of, "aud", got["aud"], ids[i]["aud"])
		expect.Equal[any](of, "sub", got["sub"], ids[i]["sub"])
		expect.Equal[any](of, "sid", got["sid"], ids[i]["sid"])
		expect.Equal[any](of, "nonce", got["nonce"], nil)
		expect.Equal(of, "number of events", len(events), 1)
		expect.Equal(of, "number of event", len(event), 0)
		expect.Equal(of, "iat", iat, float64(start.Unix()))
		expect.Equal(of, "exp-iat", exp-iat, 120)
		if !isObject || got["jti"] == nil {
			t.Errorf("told %v, where the ID token said %v", got, ids[i])
		}
	}
	if ids[0]["sid"] == ids[1]["sid"] || ids[0]["sub"] == ids[1]["sub"] {
		t.Error("two applications know the session or the person by one name")
	}
}

// OPR-9: an application that was down is told again, with a new token. A slow one delays nobody
// else.
func TestOPR9TellingIsRetriedAndWaitsForNobody(t *testing.T) {
	w := newWorld(t)
	down, slow, quick := w.receiver(http.StatusServiceUnavailable), w.receiver(http.StatusOK), w.receiver(http.StatusOK)
	slow.wait = make(chan struct{})
	all := []client{}
	for _, r := range []*receiver{slow, down, quick} {
		c := w.register("", application.Web, settings(func(s *application.Settings) { s.BackChannel = r.URL }))
		w.enter(w.bo, c)
		all = append(all, c)
	}
	w.signOut(w.bo)
	w.sweep()
	if down.times() != 1 || quick.times() != 1 {
		t.Errorf("told %d and %d times", down.times(), quick.times())
	}
	for _, c := range all[1:] { // while the slow one still waits, others sign out and are told
		w.enter(w.ana, c)
	}
	w.signOut(w.ana)
	w.sweep()
	if quick.times() != 2 {
		t.Errorf("the quick one was told %d times of two", quick.times())
	}
	down.mu.Lock()
	down.status = http.StatusOK
	down.mu.Unlock()
	for range 3 {
		w.Clock.Advance(time.Minute)
		w.sweep()
	}
	close(slow.wait)
	var told int
	for until := time.Now().Add(5 * time.Second); told < 5 && time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		told = w.countWhere("logouts", "told_at is not null")
	}
	if down.times() != 4 || quick.times() != 2 || told != 5 {
		t.Errorf("down was told %d times, the quick one %d, %d know", down.times(), quick.times(), told)
	}
	var ids []any
	for i := range down.times() {
		ids = append(ids, w.claims(down.token(t, i), "logout+jwt")["jti"])
	}
	slices.SortFunc(ids, func(a, b any) int { return strings.Compare(a.(string), b.(string)) }) //nolint:forcetypeassert // All ids are texts.
	if len(slices.Compact(ids)) != 4 {
		t.Error("a token was sent twice")
	}
}

// OPR-9: an application that is not reached for a day is told no more, which the log of the person's
// organization says once.
func TestOPR9WhoIsNeverToldIsInTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	down := w.receiver(http.StatusServiceUnavailable)
	c := w.register("", application.Web, settings(func(s *application.Settings) { s.BackChannel = down.URL }))
	w.enter(w.bo, c)
	w.signOut(w.bo)
	const longest = 30 * time.Minute // between two tries
	tries := func() {
		t.Helper()
		w.sweep()
		tried := fmt.Sprintf("tried_at = %d", w.DB.Now().UnixMicro())
		for began := time.Now(); w.countWhere("logouts", tried) == 0; time.Sleep(5 * time.Millisecond) {
			if time.Since(began) > 10*time.Second {
				t.Fatal("what the application answered is not stored")
			}
		}
	}
	for at := time.Duration(0); at < 24*time.Hour-longest; at += longest {
		tries()
		expect.Equal(t, "events while it is still tried", w.audited("application.logout_failed", "refused"), 0)
		w.Clock.Advance(longest)
	}
	w.Clock.Advance(time.Second)
	tries()
	expect.Equal(t, "notices that are tried", w.countWhere("logouts", "next_try_at is not null"), 0)
	all, err := audit.List(t.Context(), w.DB, audit.Query{OrgID: string(w.org.ID), Action: "application.logout_failed"})
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Events) != 1 {
		t.Fatalf("%d events in the person's organization, want 1", len(all.Events))
	}
	expect.Equal(t, "events in any", w.audited("application.logout_failed", "refused"), 1)
	expect.Equal(t, "application", all.Events[0].Target, string(c.ID))
	expect.Equal[any](t, "person", all.Events[0].After["user"], string(w.userOf(w.org, "bo@meridian.example")))
}

// OPR-9: addresses of an organization inside our network are never called, and redirects are
// never followed.
func TestOPR9NoCallsInside(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	inside, beyond := w.receiver(http.StatusOK), w.receiver(http.StatusOK)
	leads := w.receiver(http.StatusOK)
	leads.Config.Handler = http.RedirectHandler(beyond.URL, http.StatusTemporaryRedirect)
	own := w.register(w.org.ID, application.Web, settings(func(s *application.Settings) { s.BackChannel, s.Address = inside.URL, inside.URL }))
	far := w.register("", application.Web, settings(func(s *application.Settings) { s.BackChannel = leads.URL }))
	w.enter(w.bo, own)
	w.enter(w.bo, far)
	w.signOut(w.bo)
	w.sweep()
	if err := w.Provider.Reach.Sweep(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
	if inside.times()+beyond.times() != 0 || w.countWhere("logouts", "told_at is not null") != 0 {
		t.Errorf("inside was called %d times, beyond %d", inside.times(), beyond.times())
	}
	keys := w.register(w.org.ID, application.Web, settings(func(s *application.Settings) { s.Name, s.Auth, s.KeysURL = "Keys", application.PrivateKey, inside.URL }))
	form := url.Values{"token": {"x"}, "client_assertion": {assert(t, secret.NewECKey(), w.URL, claims{"iss": string(keys.ID), "sub": string(keys.ID)})}, "client_assertion_type": {assertionType}}
	w.wantError("keys inside", w.do(w.post("/introspect", form)), http.StatusUnauthorized, "invalid_client")
	if inside.times() != 0 {
		t.Error("keys were fetched inside")
	}
}
