package op

import (
	"testing"
	"time"

	"parvis/internal/session"
)

// The walk visits every state that a request can be in and asserts what must hold in
// each. It was written before decide.
func TestWalkOverEveryStateOfARequest(t *testing.T) {
	asked := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	hour, zero := time.Hour, time.Duration(0)
	proofs := []time.Duration{-2 * time.Hour, -30 * time.Minute, -time.Microsecond, 0, time.Minute, 26*time.Hour - time.Minute}
	nows := []time.Duration{0, 30 * time.Second, 2 * time.Minute, 11 * time.Minute, 70 * time.Minute, 26 * time.Hour} // a request waits for a day
	states, steps := 0, map[step]int{}
	yes := []bool{false, true}
	check := func(q question, proved time.Duration) {
		d := decide(q)
		states++
		steps[d.step]++
		wrong := func(what string) {
			if !t.Failed() { // one is enough to read
				t.Errorf("%s: %+v for %+v", what, d, q)
			}
		}
		since, now := proved, q.readAt.Sub(asked)
		if q.session.Browser.Superseded && since >= 0 {
			since = -1
		}
		// Decision 0042: after the later of the request and ten minutes ago; and younger
		// than that now, but for the minute in which the application gets its answer.
		made := since >= max(0, now-10*time.Minute)
		fresh := (!q.login || made) && (q.maxAge == nil || now-since <= *q.maxAge || made && now-since <= time.Minute)
		sure := !q.two || q.acr == session.TwoFactors
		agreed := q.answered || q.consented && !q.consent
		one := !q.select_ || q.picked
		if d.step == issue != (q.open && one && q.access == allowed && fresh && sure && agreed) {
			wrong("a code is issued exactly where nothing is missing")
		}
		if q.none && d.step != issue && d.step != refuse {
			wrong("prompt=none shows no page")
		}
		if (d.step == refuse) != (d.code != "") {
			wrong("a refusal has a code, and nothing else has")
		}
		if d.step == issue && q.open && (q.login || q.maxAge != nil) && now-since > max(10*time.Minute, hour) {
			wrong("what was proved long ago counts for a request that was resumed")
		}
		switch d.step {
		case refuse:
			if !q.none && (d.code != errUnmetAuthentication || sure || q.provable && !made) {
				wrong("without prompt=none only what nobody here can prove is refused")
			}
			if d.code == errLoginRequired && q.open && fresh || d.code == errConsentRequired && agreed || d.code == errAccessDenied && q.access == allowed {
				wrong("refused for what is not missing")
			}
			if d.code == errUnmetAuthentication && (!q.open || q.access != allowed || !fresh) {
				wrong("says of somebody's factors what is not this application's to know")
			}
		case signIn:
			if q.open && fresh && (sure || !q.provable || made) {
				wrong("asks for a proof that is there, or that would change nothing")
			}
			if q.open && q.access != allowed {
				wrong("asks for a proof in vain")
			}
		case choose:
			if !q.open || q.picked || !q.select_ {
				wrong("asks to choose among nobody, or again")
			}
		case deny:
			if !q.open || q.access == allowed {
				wrong("denies what is allowed")
			}
		case consent:
			if agreed || !q.open || q.access != allowed || !fresh || !sure {
				wrong("asks for consent before all else is there, or again")
			}
		case issue:
		}
	}
	for _, at := range pairs(proofs, nows) {
		proved := at[0]
		for bits := range 1 << 11 {
			bit := func(n int) bool { return bits>>n&1 == 1 }
			for _, maxAge := range []*time.Duration{nil, &zero, &hour} {
				for _, a := range []access{allowed, forbidden, notYours} {
					for _, superseded := range yes {
						q := question{
							asked: asked, readAt: asked.Add(at[1]), none: bit(0), login: bit(1), select_: bit(2), consent: bit(3), two: bit(4), open: bit(5),
							provable: bit(6), picked: bit(7), consented: bit(8), answered: bit(9), maxAge: maxAge, access: a, acr: session.OneFactor,
						}
						if bit(10) {
							q.acr = session.TwoFactors
						}
						if q.open {
							q.session.Session.ProvedAt = asked.Add(proved)
							q.session.Browser.Superseded = superseded
						}
						check(q, proved)
					}
				}
			}
		}
	}
	t.Logf("%d states: %v", states, steps)
	for _, s := range []step{refuse, signIn, choose, deny, consent, issue} {
		if steps[s] == 0 {
			t.Errorf("no state leads to step %d", s)
		}
	}
}

// pairs are a proof and a now that is no earlier, each since the request.
func pairs(proofs, nows []time.Duration) (all [][2]time.Duration) {
	for _, proved := range proofs {
		for _, now := range nows {
			if proved <= now {
				all = append(all, [2]time.Duration{proved, now})
			}
		}
	}
	return all
}
