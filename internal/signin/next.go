// Package signin decides. An attempt is one walk towards a session: it gathers
// evidence, and Next says what is missing. No other line of the program decides
// whether somebody may sign in.
//
// It owns attempts.
package signin

import (
	"slices"
	"time"

	"parvis/internal/directory"
)

// Method is one way to prove something.
type Method string

// The methods so far.
const (
	Invitation Method = "invitation" // holds an invitation's link
	Password   Method = "password"
	Reset      Method = "reset" // holds the link that a forgotten password is replaced with
)

// Evidence is one proof made now.
type Evidence struct {
	Method Method
	At     time.Time
}

// Attempt is one walk towards a session, bound to the browser that began it.
type Attempt struct {
	ID        string // empty while it needs no second request
	BrowserID string
	OrgID     directory.OrgID
	UserID    directory.UserID // empty until somebody is identified
	// Generation is that user's when the attempt began: once it is an earlier
	// one, the attempt is void.
	Generation int
	// MustChange tells that a new password was asked for and is not there yet.
	MustChange bool
	Evidence   []Evidence
	Fresh      time.Duration // proofs older than this do not count; 0: any made in the attempt do
	Return     string        // path on our own origin to go to afterwards
	CreatedAt  time.Time
	EndedAt    time.Time
}

// Step is what an attempt needs next.
type Step int

// The steps.
const (
	Identify       Step = iota // nobody is named yet
	CreateFirst                // an invitation is held: create the first credential
	ProveFirst                 // somebody is named: prove a first factor
	CreatePassword             // a reset is held, or a new password was asked for: create it
	Done                       // issue the session, or raise it
)

// Next decides what a still lacks. It is the only place that decides.
func Next(a Attempt, now time.Time) Step {
	proved := func(m Method) bool {
		return slices.ContainsFunc(a.Evidence, func(e Evidence) bool {
			return e.Method == m && !e.At.After(now) && (a.Fresh == 0 || now.Sub(e.At) <= a.Fresh)
		})
	}
	switch {
	case a.UserID == "" && proved(Invitation):
		return CreateFirst
	case a.UserID == "":
		return Identify
	case !proved(Password) && proved(Reset):
		return CreatePassword
	case !proved(Password):
		return ProveFirst
	case a.MustChange:
		return CreatePassword
	default:
		return Done
	}
}
