package op

import (
	"testing"
	"time"

	"parvis/internal/directory"
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
		open, picked := len(q.open) > 0, len(q.open) > 0 && q.hints.Session != ""
		if open { // somebody who signed in for this request picked an account by that
			picked = picked || !q.open[0].Session.StartedAt.Before(asked) && !q.open[0].Session.StartedAt.Before(q.readAt.Add(-10*time.Minute))
		}
		if d.open != open || open && d.session.Session.ID != q.open[0].Session.ID {
			t.Fatalf("means %v %q of %+v", d.open, d.session.Session.ID, q)
		}
		steps[d.step]++
		wrong := func(what string) {
			if !t.Failed() { // one is enough to read
				t.Errorf("%s: %+v for %+v", what, d, q)
			}
		}
		since, now := proved, q.readAt.Sub(asked)
		if open && q.open[0].Browser.Superseded && since >= 0 {
			since = -1
		}
		// Decision 0042: after the later of the request and ten minutes ago; and younger
		// than that now, but for the minute in which the application gets its answer.
		made := since >= max(0, now-10*time.Minute)
		fresh := (!q.login || made) && (q.maxAge == nil || now-since <= *q.maxAge || made && now-since <= time.Minute)
		sure := !q.two || q.known.acr == session.TwoFactors
		agreed := q.answered || q.known.consented && !q.consent
		one := !q.select_ || picked
		if (d.step == issue || d.step == anew && agreed) != (open && one && q.known.access == allowed && fresh && sure && agreed) {
			wrong("a code is issued exactly where nothing is missing")
		}
		if d.step == issue && q.stale || d.step == anew && !q.stale {
			wrong("a request that its application forgot begins anew, and no other")
		}
		if q.none && d.step != issue && d.step != refuse && !(d.step == anew && agreed) {
			wrong("prompt=none shows no page")
		}
		if (d.step == refuse) != (d.cause != notRefused) {
			wrong("a refusal has a cause, and nothing else has")
		}
		if d.step == issue && open && (q.login || q.maxAge != nil) && now-since > max(10*time.Minute, hour) {
			wrong("what was proved long ago counts for a request that was resumed")
		}
		switch d.step {
		case refuse:
			if !q.none && (d.cause != cannotProve || sure || q.known.provable && !made) {
				wrong("without prompt=none only what nobody here can prove is refused")
			}
			if d.cause == nobodyFits && open && fresh || d.cause == mustConsent && agreed || d.cause == notForThem && q.known.access == allowed {
				wrong("refused for what is not missing")
			}
			if d.cause == cannotProve && (!open || q.known.access != allowed || !fresh) {
				wrong("says of somebody's factors what is not this application's to know")
			}
		case signIn:
			if open && fresh && (sure || !q.known.provable || made) {
				wrong("asks for a proof that is there, or that would change nothing")
			}
			if open && q.known.access != allowed {
				wrong("asks for a proof in vain")
			}
		case choose:
			if !open || picked || !q.select_ {
				wrong("asks to choose among nobody, or again")
			}
		case deny:
			if !open || q.known.access == allowed {
				wrong("denies what is allowed")
			}
		case consent:
			if agreed || !open || q.known.access != allowed || !fresh || !sure {
				wrong("asks for consent before all else is there, or again")
			}
		case issue, anew:
		}
	}
	for _, at := range pairs(proofs, nows) {
		proved := at[0]
		for bits := range 1 << 12 {
			bit := func(n int) bool { return bits>>n&1 == 1 }
			for _, maxAge := range []*time.Duration{nil, &zero, &hour} {
				for _, a := range []access{allowed, forbidden, notYours} {
					for _, superseded := range yes {
						q := question{
							asked: asked, readAt: asked.Add(at[1]), none: bit(0), login: bit(1), select_: bit(2), consent: bit(3), two: bit(4),
							answered: bit(9), stale: bit(11), maxAge: maxAge,
							known: known{access: a, acr: session.OneFactor, provable: bit(6), consented: bit(8)},
						}
						if bit(10) {
							q.known.acr = session.TwoFactors
						}
						if bit(5) {
							v := session.Visit{Session: session.Session{ID: "ses_a", ProvedAt: asked.Add(proved), StartedAt: asked.Add(-24 * time.Hour)}}
							v.Browser.Superseded = superseded
							q.open = []session.Visit{v}
						}
						if bit(7) && bit(5) {
							q.hints.Session = "ses_a"
						}
						check(q, proved)
					}
				}
			}
		}
	}
	t.Logf("%d states: %v", states, steps)
	for _, s := range []step{refuse, signIn, choose, deny, consent, issue, anew} {
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

// The second walk visits which session a request can mean, among two people of two
// organizations who are signed in, or not, and asserts what must hold in each.
func TestWalkOverWhoIsMeant(t *testing.T) {
	asked := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	person := func(id string, org directory.OrgID, email string, chosen, proved time.Duration) session.Visit {
		v := session.Visit{User: directory.User{OrgID: org, ID: directory.UserID("usr_" + id), Email: email}, Organization: directory.Organization{ID: org, ShortName: string(org)}}
		v.Session = session.Session{ID: "ses_" + id, OrgID: org, StartedAt: asked.Add(chosen), ProvedAt: asked.Add(proved)}
		return v
	}
	subjectOf := func(v session.Visit) string { return "sub_" + string(v.User.ID) }
	states, means := 0, map[string]int{}
	for bits := range 1 << 13 {
		bit := func(n int) bool { return bits>>n&1 == 1 }
		now := time.Minute
		if bit(11) {
			now = 11 * time.Minute
		}
		proved := map[bool]time.Duration{false: -time.Hour, true: time.Second}
		ada, ben := person("ada", "alpha", "ada@x.example", -2*time.Hour, proved[bit(0)]), person("ben", "beta", "ben@x.example", -3*time.Hour, proved[bit(1)])
		q := question{asked: asked, readAt: asked.Add(now), waited: bit(2), select_: bit(12), lacks: map[directory.OrgID]bool{"alpha": bit(3)}, hints: hints{subjectOf: subjectOf}}
		if bit(4) {
			q.open = append(q.open, ada)
		}
		if bit(5) {
			q.open = append(q.open, ben)
		}
		if bit(6) {
			q.hints.Session = "ses_ben"
		}
		if bit(7) {
			q.hints.Address = "ben@x.example"
		}
		if bit(8) {
			q.hints.ClientOrg = "alpha"
		}
		if bit(9) {
			q.hints.Organization = "beta"
		}
		if bit(10) {
			q.hints.Subject, q.hints.SubjectOrg = "sub_usr_ben", "beta"
		}
		q.known = known{access: allowed, acr: session.OneFactor, consented: true}
		d := decide(q)
		states++
		means[d.session.Session.ID]++
		wrong := func(what string) {
			t.Helper()
			if !t.Failed() { // one is enough to read
				t.Errorf("%s: means %q, step %d, for %+v", what, d.session.Session.ID, d.step, q)
			}
		}
		// What the request demands binds, whatever is hinted at.
		if d.open && (q.hints.ClientOrg != "" && d.session.Session.OrgID != q.hints.ClientOrg ||
			q.hints.Organization != "" && string(d.session.Session.OrgID) != q.hints.Organization ||
			q.hints.Subject != "" && d.session.User.ID != "usr_ben") {
			wrong("means somebody whom the request excludes")
		}
		demanded := func(v session.Visit) bool {
			return (q.hints.ClientOrg == "" || v.Session.OrgID == "alpha") && (q.hints.Organization == "" || v.Session.OrgID == "beta") && (q.hints.Subject == "" || v.User.ID == "usr_ben")
		}
		ended := q.hints.Session != "" && !(bit(5) && demanded(ben)) // the picked session is not there any more, or does not fit
		if q.hints.Session != "" && !ended && d.session.Session.ID != "ses_ben" {
			wrong("what the person picked is not what is meant")
		}
		if d.open && q.hints.Address != "" && d.session.User.ID == "usr_ada" && !(q.waited && bit(0) && now <= 10*time.Minute) {
			wrong("another address than the one hinted at counts, though nobody signed in under it for this request")
		}
		if d.open && d.session.User.ID == "usr_ada" && q.lacks["alpha"] && bit(5) && demanded(ben) && q.hints.Address == "" {
			wrong("an organization without the application goes before one that has it")
		}
		if ended && !d.open && q.hints.Address == "" && (bit(4) && demanded(ada) || bit(5) && demanded(ben)) {
			wrong("the choice of a session that has ended keeps out everybody")
		}
		if d.step == choose && !ended && q.hints.Session != "" {
			wrong("asks again to choose")
		}
		expected := q.waited && q.hints.Subject != "" && (bit(4) && bit(0) || bit(5) && bit(1)) && now <= 10*time.Minute
		if (d.cause == somebodyElse) != (expected && !d.open) {
			wrong("says that somebody else signed in exactly where that is so")
		}
		if d.step == signIn && d.open {
			wrong("asks for a proof of somebody who is meant, though none was wanted")
		}
	}
	t.Logf("%d states: %v", states, means)
	for _, id := range []string{"", "ses_ada", "ses_ben"} {
		if means[id] == 0 {
			t.Errorf("no state means %q", id)
		}
	}
}
