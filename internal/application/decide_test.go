package application

import (
	"testing"
	"time"

	"parvis/internal/directory"
	"parvis/internal/session"
)

// The walk visits every state that a request can be in, and checks what must be true in each. It
// was written before Decide.
func TestWalkOverEveryStateOfARequest(t *testing.T) {
	asked := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	hour, zero := time.Hour, time.Duration(0)
	proofs := []time.Duration{-2 * time.Hour, -30 * time.Minute, -time.Microsecond, 0, time.Minute, 26*time.Hour - time.Minute}
	nows := []time.Duration{0, 30 * time.Second, 2 * time.Minute, 11 * time.Minute, 70 * time.Minute, 26 * time.Hour} // a request waits for a day
	states, steps := 0, map[Step]int{}
	yes := []bool{false, true}
	check := func(q Question, proved time.Duration) {
		d := Decide(q)
		states++
		open, picked := len(q.Open) > 0, len(q.Open) > 0 && q.Hints.Session != ""
		if open { // a person who signed in for this request picked an account by that
			picked = picked || !q.Open[0].Session.StartedAt.Before(asked) && !q.Open[0].Session.StartedAt.Before(q.ReadAt.Add(-10*time.Minute))
		}
		if d.Open != open || open && d.Session.Session.ID != q.Open[0].Session.ID {
			t.Fatalf("means %v %q of %+v", d.Open, d.Session.Session.ID, q)
		}
		steps[d.Step]++
		wrong := func(what string) {
			if !t.Failed() { // one is enough to read
				t.Errorf("%s: %+v for %+v", what, d, q)
			}
		}
		since, now := proved, q.ReadAt.Sub(asked)
		if open && q.Open[0].Browser.Superseded && since >= 0 {
			since = -1
		}
		// Decision 0042: a proof must be younger than the request and than ten minutes. It must
		// also be younger than max_age, except for the minute until the application is answered.
		made := since >= max(0, now-10*time.Minute)
		fresh := (!q.Login || made) && (q.MaxAge == nil || now-since <= *q.MaxAge || made && now-since <= time.Minute)
		sure := !q.Two || q.Known.ACR == session.TwoFactors
		agreed := q.Answered || q.Known.Consented && !q.Consent
		one := !q.Select || picked
		if (d.Step == Issue || d.Step == Anew && agreed) != (open && one && q.Known.Access == Allowed && fresh && sure && agreed) {
			wrong("a code is issued exactly where nothing is missing")
		}
		if d.Step == Issue && q.Stale || d.Step == Anew && !q.Stale {
			wrong("a request that its application forgot begins anew, and no other")
		}
		if q.None && d.Step != Issue && d.Step != Refuse && !(d.Step == Anew && agreed) {
			wrong("prompt=none shows no page")
		}
		if (d.Step == Refuse) != (d.Cause != NotRefused) {
			wrong("a refusal has a cause, and nothing else has")
		}
		if d.Step == Issue && open && (q.Login || q.MaxAge != nil) && now-since > max(10*time.Minute, hour) {
			wrong("what was proved long ago counts for a request that was resumed")
		}
		switch d.Step {
		case Refuse:
			if !q.None && (d.Cause != CannotProve || sure || q.Known.Provable && !made) {
				wrong("without prompt=none only what nobody here can prove is refused")
			}
			if d.Cause == NobodyFits && open && fresh || d.Cause == MustConsent && agreed || d.Cause == NotForThem && q.Known.Access == Allowed {
				wrong("refused for what is not missing")
			}
			if d.Cause == CannotProve && (!open || q.Known.Access != Allowed || !fresh) {
				wrong("says of somebody's factors what is not this application's to know")
			}
		case SignIn:
			if open && fresh && (sure || !q.Known.Provable || made) {
				wrong("asks for a proof that is there, or that would change nothing")
			}
			if open && q.Known.Access != Allowed {
				wrong("asks for a proof in vain")
			}
		case Choose:
			if !open || picked || !q.Select {
				wrong("asks to choose among nobody, or again")
			}
		case Deny:
			if !open || q.Known.Access == Allowed {
				wrong("denies what is allowed")
			}
		case Consent:
			if agreed || !open || q.Known.Access != Allowed || !fresh || !sure {
				wrong("asks for consent before all else is there, or again")
			}
		case Issue, Anew:
		}
	}
	for _, at := range pairs(proofs, nows) {
		proved := at[0]
		for bits := range 1 << 12 {
			bit := func(n int) bool { return bits>>n&1 == 1 }
			for _, maxAge := range []*time.Duration{nil, &zero, &hour} {
				for _, a := range []Access{Allowed, Absent, NotYours} {
					for _, superseded := range yes {
						q := Question{
							Asked: asked, ReadAt: asked.Add(at[1]), None: bit(0), Login: bit(1), Select: bit(2), Consent: bit(3), Two: bit(4),
							Answered: bit(9), Stale: bit(11), MaxAge: maxAge,
							Known: Known{Access: a, ACR: session.OneFactor, Provable: bit(6), Consented: bit(8)},
						}
						if bit(10) {
							q.Known.ACR = session.TwoFactors
						}
						if bit(5) {
							v := session.Visit{Session: session.Session{ID: "ses_a", ProvedAt: asked.Add(proved), StartedAt: asked.Add(-24 * time.Hour)}}
							v.Browser.Superseded = superseded
							q.Open = []session.Visit{v}
						}
						if bit(7) && bit(5) {
							q.Hints.Session = "ses_a"
						}
						check(q, proved)
					}
				}
			}
		}
	}
	t.Logf("%d states: %v", states, steps)
	for _, s := range []Step{Refuse, SignIn, Choose, Deny, Consent, Issue, Anew} {
		if steps[s] == 0 {
			t.Errorf("no state leads to step %d", s)
		}
	}
}

// pairs returns each proof with each now that is not earlier, both relative to the request.
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

// The second walk checks which session a request means, when up to two people of two organizations
// are signed in.
func TestWalkOverWhoIsMeant(t *testing.T) {
	asked := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	person := func(id string, org directory.OrgID, email string, chosen, proved time.Duration) session.Visit {
		v := session.Visit{User: directory.User{OrgID: org, ID: directory.UserID("usr_" + id), Email: email}, Organization: directory.Organization{ID: org, ShortName: string(org)}}
		v.Session = session.Session{ID: "ses_" + id, OrgID: org, StartedAt: asked.Add(chosen), ProvedAt: asked.Add(proved)}
		return v
	}
	subjectOf := func(v session.Visit) string { return "sub_" + string(v.User.ID) }
	states, means := 0, map[string]int{}
	for bits := range 1 << 14 {
		bit := func(n int) bool { return bits>>n&1 == 1 }
		now := time.Minute
		if bit(11) {
			now = 11 * time.Minute
		}
		proved := map[bool]time.Duration{false: -time.Hour, true: time.Second}
		ada, ben := person("ada", "alpha", "ada@x.example", -2*time.Hour, proved[bit(0)]), person("ben", "beta", "ben@x.example", -3*time.Hour, proved[bit(1)])
		q := Question{Asked: asked, ReadAt: asked.Add(now), Waited: bit(2), Select: bit(12), Lacks: map[directory.OrgID]bool{"alpha": bit(3)}, Hints: Hints{SubjectOf: subjectOf}}
		if bit(4) {
			q.Open = append(q.Open, ada)
		}
		if bit(5) {
			q.Open = append(q.Open, ben)
		}
		if bit(6) {
			q.Hints.Session = "ses_ben"
		}
		if bit(7) {
			q.Hints.Address = "ben@x.example"
		}
		if bit(8) {
			q.Hints.ClientOrg = "alpha"
		}
		if bit(9) {
			q.Hints.Organization = "beta"
		}
		if bit(10) {
			q.Hints.Subject, q.Hints.SubjectOrg = "sub_usr_ben", "beta"
		}
		for i := range q.Open {
			q.Open[i].Browser.Superseded = bit(13)
		}
		q.Known = Known{Access: Allowed, ACR: session.OneFactor, Consented: true}
		d := Decide(q)
		states++
		means[d.Session.Session.ID]++
		wrong := func(what string) {
			t.Helper()
			if !t.Failed() { // one is enough to read
				t.Errorf("%s: means %q, step %d, for %+v", what, d.Session.Session.ID, d.Step, q)
			}
		}
		// Requirements of the request bind, whatever its hints say.
		if d.Open && (q.Hints.ClientOrg != "" && d.Session.Session.OrgID != q.Hints.ClientOrg ||
			q.Hints.Organization != "" && string(d.Session.Session.OrgID) != q.Hints.Organization ||
			q.Hints.Subject != "" && d.Session.User.ID != "usr_ben") {
			wrong("means somebody whom the request excludes")
		}
		demanded := func(v session.Visit) bool {
			return (q.Hints.ClientOrg == "" || v.Session.OrgID == "alpha") && (q.Hints.Organization == "" || v.Session.OrgID == "beta") && (q.Hints.Subject == "" || v.User.ID == "usr_ben")
		}
		ended := q.Hints.Session != "" && !(bit(5) && demanded(ben)) // the picked session has ended, or does not fit
		if q.Hints.Session != "" && !ended && d.Session.Session.ID != "ses_ben" {
			wrong("what the person picked is not what is meant")
		}
		if d.Open && q.Hints.Address != "" && d.Session.User.ID == "usr_ada" && !(q.Waited && bit(0) && !bit(13) && now <= 10*time.Minute) {
			wrong("another address than the one hinted at counts, though nobody signed in under it for this request")
		}
		if d.Open && d.Session.User.ID == "usr_ada" && q.Lacks["alpha"] && bit(5) && demanded(ben) && q.Hints.Address == "" {
			wrong("an organization without the application goes before one that has it")
		}
		if ended && !d.Open && q.Hints.Address == "" && (bit(4) && demanded(ada) || bit(5) && demanded(ben)) {
			wrong("the choice of a session that has ended keeps out everybody")
		}
		if d.Step == Choose && !ended && q.Hints.Session != "" {
			wrong("asks again to choose")
		}
		expected := q.Waited && q.Hints.Subject != "" && (bit(4) && bit(0) || bit(5) && bit(1)) && !bit(13) && now <= 10*time.Minute
		if (d.Cause == SomebodyElse) != (expected && !d.Open) {
			wrong("says that somebody else signed in exactly where that is so")
		}
		if d.Step == SignIn && d.Open {
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
