package signin

import (
	"fmt"
	"testing"
	"time"

	"parvis/internal/directory"
)

// The walk visits every state that an attempt can be in and checks what must be true in each
// (decision 0006). It was written before Next, and is extended before Next is.
func TestWalkOverEveryState(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	methods := []Method{Invitation, Reset, Password, App, Passkey, VerifiedPasskey, Recovery, Federated}
	// Per method: not proved, proved just within what is fresh, or just beyond it.
	ages := []time.Duration{10 * time.Minute, 10*time.Minute + time.Microsecond}
	var states int
	steps := map[Step]int{}
	at := make([]int, len(methods))
	evidence := make([]Evidence, 0, len(methods))
	check := func(a Attempt) {
		var counted [8]bool // proved, not in the future, fresh enough
		evidence = evidence[:0]
		for i, age := range at {
			if age > 0 {
				age := ages[age-1]
				evidence = append(evidence, Evidence{methods[i], now.Add(-age)})
				counted[i] = a.Fresh == 0 || age <= a.Fresh
			}
		}
		a.Evidence = evidence
		invitation, reset, password, app, passkey, verified, recovery, federated := counted[0], counted[1], counted[2], counted[3], counted[4], counted[5], counted[6], counted[7]
		step := Next(a, now)
		states++
		steps[step]++
		wrong := func(what string) {
			if t.Failed() {
				return // one is enough to read
			}
			t.Errorf("%s: %s", what, fmt.Sprintf("step %d of %+v", step, a))
		}
		// Where single sign-on is the only way in, none of our factors counts for anybody
		// except a break-glass owner, and a password for nobody (R-AUT-07).
		ours := !a.SingleSignOnOnly || a.BreakGlass
		password = password && !a.SingleSignOnOnly
		reset = reset && !a.SingleSignOnOnly
		owns := ours && (a.Owns.App || a.Owns.Passkey)
		stepUp := a.Fresh > 0
		second := app || passkey || verified || recovery
		native := password || ours && verified && a.Passwordless && a.Owns.Passkey
		// A touch of a key that verifies nobody is not enough to raise a session (R-PSK-03).
		raises := app || verified || recovery || passkey && password
		known := a.UserID != ""
		switch step {
		case GoUpstream:
			if a.ConnectionID == "" || federated {
				wrong("leads to a provider that nobody chose, or that has vouched")
			}
		case Identify:
			if known || invitation {
				wrong("asks for a name that is known, or that an invitation has")
			}
		case CreateFirst:
			if known || !invitation {
				wrong("a credential is created only by who holds an invitation and is nobody yet")
			}
		case ProveFirst:
			if !known || native && !(stepUp && owns) || stepUp && owns && (!second || raises) || reset && !(stepUp && owns) {
				wrong("asks for a first factor that is proved, or in place of a stronger one")
			}
		case ProveSecond:
			if !known || !owns || second || !native && !reset && !stepUp {
				wrong("asks for a second step before the first, of who has none, or again")
			}
		case EnrolFactor:
			if !known || owns || !a.Required || !password || stepUp && owns || a.MustChange {
				wrong("enrols before a password, over a factor that there is, or before a new password that was asked for")
			}
		case CreatePassword:
			if !known || owns && !second || !reset && !(a.MustChange && password) {
				wrong("a password is created only by who holds a reset or was asked for it, and has proved the second step")
			}
		case Done:
			vouched := federated && !(stepUp && owns) // the provider answers for its own factors
			switch {
			case !known:
				wrong("done with nobody")
			case a.ConnectionID != "" && !federated:
				wrong("done without the provider that was chosen")
			case vouched:
			case owns && !second:
				wrong("done without the second step that the user has")
			case stepUp && owns && !raises:
				wrong("a passkey that did not verify its user raises a session alone")
			case !native && !(stepUp && owns):
				wrong("done without a first factor")
			case !owns && a.Required && !a.SingleSignOnOnly:
				wrong("done without the second step that is required")
			case a.MustChange && password && !(stepUp && owns):
				wrong("done though a new password was asked for")
			}
		default:
			wrong("no step")
		}
		if passkey && !verified && !password && !federated && !stepUp && step == Done {
			wrong("a passkey that did not verify its user opens alone")
		}
		if a.SingleSignOnOnly && !a.BreakGlass && !federated && step == Done {
			wrong("a native way in where single sign-on is the only one")
		}
	}
	var walk func(i int, a Attempt)
	walk = func(i int, a Attempt) {
		if i == len(methods) {
			check(a)
			return
		}
		distinct := len(ages)
		if a.Fresh == 0 {
			distinct = 1 // any age counts
		}
		for age := range distinct + 1 {
			at[i] = age
			walk(i+1, a)
		}
	}
	for bits := range 1 << 11 {
		has := func(bit int) bool { return bits&(1<<bit) > 0 }
		a := Attempt{
			MustChange: has(0), Owns: Owned{App: has(1), Passkey: has(2), Recovery: has(3)},
			Required: has(4), Passwordless: has(5), SingleSignOnOnly: has(8), BreakGlass: has(9),
		}
		if has(6) {
			a.UserID = directory.UserID("usr_1")
		}
		if has(7) {
			a.Fresh = 10 * time.Minute
		}
		if has(10) {
			a.ConnectionID = "con_1"
		}
		if a.BreakGlass && !a.SingleSignOnOnly {
			continue // it means nothing there
		}
		walk(0, a)
	}
	if want := 768 * (256 + 6561); states != want {
		t.Errorf("walked %d states, want %d", states, want)
	}
	for step := Identify; step <= Done; step++ {
		if steps[step] == 0 {
			t.Errorf("no state leads to step %d", step)
		}
	}
}

// A user without any credential, whom a directory named, can hold a link or be vouched for, and
// nothing else. The walk visits every such state: nobody enters but by a provider, or at the very
// moment at which a link makes a password.
func TestWalkOfAUserWithoutAnyCredential(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	provable := []Method{Invitation, Reset, Federated}
	steps := map[Step]int{}
	for bits := range 1 << 10 {
		has := func(bit int) bool { return bits&(1<<bit) > 0 }
		a := Attempt{UserID: "usr_1", Required: has(3), Passwordless: has(4), SingleSignOnOnly: has(5), BreakGlass: has(6), MustChange: has(7)}
		for i, m := range provable {
			if has(i) {
				a.Evidence = append(a.Evidence, Evidence{m, now})
			}
		}
		if has(8) {
			a.Fresh = 10 * time.Minute
		}
		if has(9) {
			a.ConnectionID = "con_1"
		}
		step := Next(a, now)
		steps[step]++
		reset, federated := has(1), has(2)
		var may bool
		switch step {
		case Done:
			may = federated
		case CreatePassword:
			may = reset && !a.SingleSignOnOnly
		case GoUpstream:
			may = a.ConnectionID != "" && !federated
		case ProveFirst: // the door says what it says to anybody
			may = !federated
		case Identify, CreateFirst, ProveSecond, EnrolFactor:
		}
		if !may {
			t.Fatalf("step %d of %+v", step, a)
		}
		a.Evidence = append(a.Evidence, Evidence{Password, now}) // which the link has just made
		held := a.SingleSignOnOnly || a.Required || a.MustChange
		if made := Next(a, now); made == Done && !federated && held {
			t.Fatalf("with a password, step %d of %+v", made, a)
		}
	}
	for _, step := range []Step{GoUpstream, ProveFirst, CreatePassword, Done} {
		if steps[step] == 0 {
			t.Errorf("no state leads to step %d", step)
		}
	}
}

func TestAProofInTheFutureCountsForNothing(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	a := Attempt{UserID: "usr_1", Evidence: []Evidence{{Password, now.Add(time.Microsecond)}}}
	if step := Next(a, now); step != ProveFirst {
		t.Errorf("a clock that went back leads to step %d", step)
	}
	if step := Next(a, now.Add(time.Microsecond)); step != Done {
		t.Errorf("at the instant of the proof: step %d", step)
	}
}
