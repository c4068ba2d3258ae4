// Package signin decides who may sign in. An attempt is one walk towards a session: it gathers
// evidence, and Next says what is missing. No other line of the program decides whether
// somebody may sign in.
//
// The package owns attempts and second_step_rules.
package signin

import (
	"slices"
	"time"

	"parvis/internal/directory"
	"parvis/internal/session"
)

// Method is one way to prove something.
type Method string

// The methods.
const (
	Invitation      Method = "invitation"       // holds an invitation's link
	Reset           Method = "reset"            // holds the link that a forgotten password is replaced with
	Password        Method = "password"         //
	App             Method = "app"              // a code of an authenticator app
	Passkey         Method = "passkey"          // an assertion without user verification: one factor
	VerifiedPasskey Method = "verified_passkey" // an assertion whose authenticator verified its user: two in one
	Recovery        Method = "recovery"         // a recovery code, in place of an authenticator
	Federated       Method = "federated"        // an identity provider of the organization vouched
)

// Evidence is one proof, made now.
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
	// Generation is that user's when the attempt began: once the user has a later one, the
	// attempt is void.
	Generation int
	ResetID    string // the link that is held, if one is
	// ConnectionID is the identity provider that was chosen, if any, and InvitationID the
	// invitation that its answer will accept.
	ConnectionID string
	InvitationID string
	// LinkRequest is the request at a provider whose answer waits for this proof, if any. Such
	// an attempt opens no session; it proves who a new subject is.
	LinkRequest string
	// ClientID is the application that the attempt leads to, if any, and LoginHint what the
	// application said about who signs in: it fills in the field and proves nothing.
	ClientID  string
	LoginHint string
	Anew      bool // an identity provider must ask the person again, however recently it did
	Evidence  []Evidence
	Fresh     time.Duration // above zero for step-up: proofs older than this do not count
	Return    string        // path on our own origin to go to afterwards
	CreatedAt time.Time
	EndedAt   time.Time

	// What is true of the user and of the organization's rules, read each time.
	MustChange   bool // a new password was demanded and does not exist yet
	Owns         Owned
	Required     bool // a second step is required of this user
	Passwordless bool // a passkey that verified its user is enough

	SingleSignOnOnly bool // the organization has no native way in
	BreakGlass       bool // but this user's passkeys sign in nevertheless

	vouched session.Proof // said by the provider, in the request that ends the attempt
	older   bool          // loaded by a token that is not the current one
	deed    string        // what is being done, if it is no step of a stored attempt
}

// way returns by which method somebody came in. A link makes the credential that is proved
// with it, so it is the way even then; a second step is none.
func (a Attempt) way() Method {
	for _, m := range []Method{Federated, Invitation, Reset, Password} {
		if a.has(m) {
			return m
		}
	}
	return Passkey
}

// Owned says which second steps a user has.
type Owned struct{ App, Passkey, Recovery bool }

// Any reports whether the user has an authenticator. Recovery codes stand in for an authenticator,
// and are not one.
func (o Owned) Any() bool { return o.App || o.Passkey }

// Step is what an attempt needs next.
type Step int

// The steps.
const (
	Identify       Step = iota // nobody is named yet
	GoUpstream                 // an identity provider was chosen, and has not vouched yet
	CreateFirst                // an invitation is held: create the first credential
	ProveFirst                 // somebody is named: prove a first factor
	ProveSecond                // prove the second step that the user has
	EnrolFactor                // a second step is required, and the user has none yet
	CreatePassword             // a reset is held, or a new password was demanded: create it
	Done                       // issue the session, or raise it
)

// Next returns what a still lacks. It is the only place that decides.
func Next(a Attempt, now time.Time) Step {
	proved := func(methods ...Method) bool {
		return slices.ContainsFunc(a.Evidence, func(e Evidence) bool {
			return slices.Contains(methods, e.Method) && !e.At.After(now) && (a.Fresh == 0 || now.Sub(e.At) <= a.Fresh)
		})
	}
	// Where single sign-on is the only way in, a password counts for nothing, and only the
	// passkeys of a break-glass owner count (R-AUT-07).
	ours := !a.SingleSignOnOnly || a.BreakGlass
	password, reset := proved(Password) && !a.SingleSignOnOnly, proved(Reset) && !a.SingleSignOnOnly
	owns := ours && a.Owns.Any()
	first := password || ours && a.Passwordless && a.Owns.Passkey && proved(VerifiedPasskey)
	second := proved(App, Passkey, VerifiedPasskey, Recovery)
	switch {
	case a.ConnectionID != "" && !proved(Federated):
		return GoUpstream
	case a.UserID == "" && proved(Invitation):
		return CreateFirst
	case a.UserID == "":
		return Identify
	case a.Fresh > 0 && owns:
		// Step-up asks for the strongest factor that the user has; the session that it raises
		// has the first already. A passkey that did not verify its user shows only that
		// somebody is near it (R-PSK-03): the password must be proved beside it.
		switch {
		case !second:
			return ProveSecond
		case !proved(App, VerifiedPasskey, Recovery) && !password:
			return ProveFirst
		}
		return Done
	case proved(Federated):
		return Done // the provider answers for its own factors (decision 0030)
	case !password && reset:
		if owns && !second {
			return ProveSecond
		}
		return CreatePassword
	case !first:
		return ProveFirst
	case owns && !second:
		return ProveSecond
	case a.MustChange && password:
		return CreatePassword
	case !owns && a.Required:
		return EnrolFactor
	default:
		return Done
	}
}
