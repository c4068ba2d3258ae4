package signin

import (
	"fmt"
	"testing"
	"time"

	"parvis/internal/directory"
)

// The walk visits every state that an attempt can be in and asserts what must
// hold in each. It was written before Next.
func TestWalkOverEveryState(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	ages := []time.Duration{-time.Minute, 0, 9 * time.Minute, 10 * time.Minute, 10*time.Minute + time.Microsecond}
	fresh := []time.Duration{0, 10 * time.Minute}
	methods := []Method{Invitation, Password, Reset}

	// Per method: not proved, or proved at one of the ages.
	var states, done int
	walk := func(user directory.UserID, want time.Duration, mustChange bool, at [3]int) {
		a := Attempt{UserID: user, Fresh: want, MustChange: mustChange}
		for i, age := range at {
			if age >= 0 {
				a.Evidence = append(a.Evidence, Evidence{methods[i], now.Add(-ages[age])})
			}
		}
		counts := func(i int) bool { // proved, not in the future, fresh enough
			age := at[i]
			return age >= 0 && ages[age] >= 0 && (want == 0 || ages[age] <= want)
		}
		const invitation, password, reset = 0, 1, 2
		states++
		step := Next(a, now)
		state := fmt.Sprintf("user %q, must change %v, fresh %v, evidence %v: step %d", user, mustChange, want, a.Evidence, step)
		if step == Done {
			done++
		}
		if step == Done && (user == "" || !counts(password)) {
			t.Errorf("done without a first factor of a known user: %s", state)
		}
		if step == Done && mustChange {
			t.Errorf("done though a new password was asked for: %s", state)
		}
		if step == CreateFirst && (user != "" || !counts(invitation)) {
			t.Errorf("a credential is created only by who holds an invitation and is nobody yet: %s", state)
		}
		if step == CreatePassword && (user == "" || !counts(reset) && !(mustChange && counts(password))) {
			t.Errorf("a password is created only by who holds a reset or was asked for it and proved the old one: %s", state)
		}
		if user != "" && counts(password) && !mustChange && step != Done {
			t.Errorf("a proved password of a known user leads in: %s", state)
		}
		if user == "" && !counts(invitation) && step != Identify {
			t.Errorf("nobody is named, so the page must ask: %s", state)
		}
		if user != "" && !counts(password) && !counts(reset) && step != ProveFirst {
			t.Errorf("somebody is named and has proved nothing that counts: %s", state)
		}
	}
	for _, user := range []directory.UserID{"", "usr_1"} {
		for _, want := range fresh {
			for _, mustChange := range []bool{false, true} {
				for invited := -1; invited < len(ages); invited++ {
					for password := -1; password < len(ages); password++ {
						for reset := -1; reset < len(ages); reset++ {
							walk(user, want, mustChange, [3]int{invited, password, reset})
						}
					}
				}
			}
		}
	}
	if states != 1728 || done == 0 {
		t.Errorf("walked %d states, %d of them done", states, done)
	}
}
