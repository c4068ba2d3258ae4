package signin

import (
	"fmt"
	"testing"
	"time"

	"parvis/internal/directory"
)

// The walk visits every state that an attempt can be in and asserts what must
// hold in each (decision 0006). It was written before Next.
func TestWalkOverEveryState(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	methods := []Method{Invitation, Reset, Password, App, Passkey, VerifiedPasskey, Recovery}
	// Per method: not proved, proved at the edge of what is fresh, or just beyond it.
	ages := []time.Duration{10 * time.Minute, 10*time.Minute + time.Microsecond}
	var states int
	steps := map[Step]int{}
	at := make([]int, len(methods))
	check := func(a Attempt) {
		counts := map[Method]bool{} // proved, not in the future, fresh enough
		for i, age := range at {
			if age > 0 {
				age := ages[age-1]
				a.Evidence = append(a.Evidence, Evidence{methods[i], now.Add(-age)})
				counts[methods[i]] = a.Fresh == 0 || age <= a.Fresh
			}
		}
		step := Next(a, now)
		states++
		steps[step]++
		wrong := func(what string) {
			if t.Failed() {
				return // one is enough to read
			}
			t.Errorf("%s: %s", what, fmt.Sprintf("step %d of %+v", step, a))
		}
		owns := a.Owns.App || a.Owns.Passkey
		stepUp := a.Fresh > 0
		second := counts[App] || counts[Passkey] || counts[VerifiedPasskey] || counts[Recovery]
		first := counts[Password] || counts[VerifiedPasskey] && a.Passwordless && a.Owns.Passkey
		// A touch of a key that verifies nobody is not enough to raise a session (R-PSK-03).
		raises := counts[App] || counts[VerifiedPasskey] || counts[Recovery] || counts[Passkey] && counts[Password]
		known := a.UserID != ""
		switch step {
		case Identify:
			if known || counts[Invitation] {
				wrong("asks for a name that is known, or that an invitation has")
			}
		case CreateFirst:
			if known || !counts[Invitation] {
				wrong("a credential is created only by who holds an invitation and is nobody yet")
			}
		case ProveFirst:
			if !known || first && !(stepUp && owns) || stepUp && owns && (!second || raises) || counts[Reset] && !(stepUp && owns) {
				wrong("asks for a first factor that is proved, or in place of a stronger one")
			}
		case ProveSecond:
			if !known || !owns || second || !first && !counts[Reset] && !stepUp {
				wrong("asks for a second step before the first, of who has none, or again")
			}
		case EnrolFactor:
			if !known || owns || !a.Required || !counts[Password] || stepUp && owns || a.MustChange {
				wrong("enrols before a password, over a factor that there is, or before a new password that was asked for")
			}
		case CreatePassword:
			if !known || owns && !second || !counts[Reset] && !(a.MustChange && counts[Password]) {
				wrong("a password is created only by who holds a reset or was asked for it, and has proved the second step")
			}
		case Done:
			switch {
			case !known:
				wrong("done with nobody")
			case owns && !second:
				wrong("done without the second step that the user has")
			case stepUp && owns && !raises:
				wrong("a passkey that did not verify its user raises a session alone")
			case !first && !(stepUp && owns):
				wrong("done without a first factor")
			case !owns && a.Required:
				wrong("done without the second step that is required")
			case a.MustChange && counts[Password] && !(stepUp && owns):
				wrong("done though a new password was asked for")
			}
		default:
			wrong("no step")
		}
		if counts[Passkey] && !counts[VerifiedPasskey] && !counts[Password] && !stepUp && step == Done {
			wrong("a passkey that did not verify its user opens alone")
		}
	}
	var walk func(i int, a Attempt)
	walk = func(i int, a Attempt) {
		if i == len(methods) {
			check(a)
			return
		}
		for age := range len(ages) + 1 {
			at[i] = age
			walk(i+1, a)
		}
	}
	for bits := range 1 << 8 {
		has := func(bit int) bool { return bits&(1<<bit) > 0 }
		a := Attempt{
			MustChange: has(0), Owns: Owned{App: has(1), Passkey: has(2), Recovery: has(3)},
			Required: has(4), Passwordless: has(5),
		}
		if has(6) {
			a.UserID = directory.UserID("usr_1")
		}
		if has(7) {
			a.Fresh = 10 * time.Minute
		}
		walk(0, a)
	}
	if want := 256 * 2187; states != want {
		t.Errorf("walked %d states, want %d", states, want)
	}
	for step := Identify; step <= Done; step++ {
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
