package signin

import (
	"fmt"
	"testing"
	"time"
)

// The walk visits every state that an attempt can be in and asserts what must
// hold in each. It was written before Next.
func TestWalkOverEveryState(t *testing.T) {
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	ages := []time.Duration{-time.Minute, 0, 9 * time.Minute, 10 * time.Minute, 10*time.Minute + time.Microsecond}
	fresh := []time.Duration{0, 10 * time.Minute}
	methods := []Method{Invitation, Password}

	// Per method: not proved, or proved at one of the ages.
	var states, done int
	for _, user := range []string{"", "usr_1"} {
		for _, want := range fresh {
			for invited := -1; invited < len(ages); invited++ {
				for password := -1; password < len(ages); password++ {
					a := Attempt{Fresh: want}
					if user != "" {
						a.UserID = "usr_1"
					}
					for i, age := range []int{invited, password} {
						if age >= 0 {
							a.Evidence = append(a.Evidence, Evidence{methods[i], now.Add(-ages[age])})
						}
					}
					counts := func(i int) bool { // proved, not in the future, fresh enough
						return i >= 0 && ages[i] >= 0 && (want == 0 || ages[i] <= want)
					}
					states++
					step := Next(a, now)
					state := fmt.Sprintf("user %q, fresh %v, evidence %v: step %d", user, want, a.Evidence, step)
					if step == Done {
						done++
					}
					if step == Done && (user == "" || !counts(password)) {
						t.Errorf("done without a first factor of a known user: %s", state)
					}
					if step == CreateFirst && (user != "" || !counts(invited)) {
						t.Errorf("a credential is created only by who holds an invitation and is nobody yet: %s", state)
					}
					if user != "" && counts(password) && step != Done {
						t.Errorf("a proved password of a known user leads in: %s", state)
					}
					if user == "" && !counts(invited) && step != Identify {
						t.Errorf("nobody is named, so the page must ask: %s", state)
					}
					if user != "" && !counts(password) && step != ProveFirst {
						t.Errorf("somebody is named and has proved nothing that counts: %s", state)
					}
				}
			}
		}
	}
	if states != 144 || done == 0 {
		t.Errorf("walked %d states, %d of them done", states, done)
	}
}
