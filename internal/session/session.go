// Package session keeps the result of a finished sign-in: a browser, known by one random token
// in one cookie, and in it at most one session per organization.
//
// The token changes whenever a session in the browser gains authority. For half a minute the
// superseded token still opens what it opened before, for parallel tabs and lost answers;
// anybody who shows it after that has copied the cookie.
//
// The package owns browsers, sessions, session_rules, active_people and active_days, and never
// sees a request.
package session

import (
	"cmp"
	"context"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/lifetime"
	"parvis/internal/mail"
	"parvis/internal/secret"
)

// Lifetimes of a session. An organization may set the first two within their
// bounds; on a loopback address the configuration may set any, for tests.
const (
	Idle             = 20 * 24 * time.Hour // without any act of the person
	Absolute         = 90 * 24 * time.Hour // whatever the person does
	ModernAbsolute   = 30 * 24 * time.Hour // the absolute end advised where a password is the only proof (NIST SP 800-63B-4); no preset sets it
	ShortestIdle     = 5 * time.Minute
	LongestIdle      = 20 * 24 * time.Hour
	ShortestAbsolute = time.Hour
	LongestAbsolute  = 180 * 24 * time.Hour

	// Pause is how long somebody must do nothing for their next act to count as coming back:
	// what opened the administration must then be proved again.
	Pause = time.Hour
	// Superseded is how long a superseded token is honoured.
	Superseded = 30 * time.Second
	// Kept is how long ended sessions and their reasons are kept.
	Kept = 30 * 24 * time.Hour
	// PerBrowser is how many sessions a browser holds at most, and PerUser how many a user has
	// open at most. One more ends the one unused longest.
	PerBrowser = 10
	PerUser    = 50
)

// Reason says why a session ended.
type Reason string

// The reasons.
const (
	SignedOut            Reason = "signed out"
	EndedElsewhere       Reason = "ended elsewhere" // the person ended it from another session, or ended all
	Replaced             Reason = "replaced"        // signed in again in the same browser and organization
	WentIdle             Reason = "idle"
	ReachedEnd           Reason = "absolute end"
	Copied               Reason = "cookie copied"
	PasswordChanged      Reason = "password changed"
	AuthenticatorRemoved Reason = "second step removed"
	Disowned             Reason = "disowned" // the person said 'this was not me'
	Voided               Reason = "voided"   // the user was deactivated, deleted, or had everything voided
	Crowded              Reason = "too many organizations in one browser"
	TooMany              Reason = "too many sessions of one user"

	EndedByAdministrator Reason = "ended by an administrator"
	EndedByProvider      Reason = "ended by the identity provider"
	ProviderLeft         Reason = "identity provider left" // it was turned off or removed, or the person's link to it was
	OnlyFederated        Reason = "single sign-on only"    // the organization turned native sign-in off
)

// Browser is one browser, known by its token.
type Browser struct {
	ID         string
	Superseded bool         // the token shown is the one before the current one
	RotatedAt  time.Time    // when the current token came into force
	copied     bool         // superseded for too long: the cookie was copied
	token      secret.Token // the token that was shown
	probe      bool         // the token belongs to no browser: see Unknown
}

// Unknown returns a browser that has no token yet. probe is what one of our pages made it keep:
// it opens nothing, and tells this browser from others that send the same form.
func Unknown(probe secret.Token) Browser { return Browser{token: probe, probe: true} }

// Shown returns the hash of the token that was shown, for statements that ask whether it is
// still the current one; empty where none was.
func (b Browser) Shown() string {
	switch {
	case b.token.IsZero():
		return ""
	case b.probe:
		return b.token.Hash(secret.Probe)
	}
	return b.token.Hash(secret.Browser)
}

// Session records that a user is signed in to an organization in one browser.
type Session struct {
	OrgID      directory.OrgID
	ID         string
	UserID     directory.UserID
	BrowserID  string
	Generation int    // generation of the user when the session began
	Methods    string // amr values (RFC 8176), separated by spaces
	StartedAt  time.Time
	ProvedAt   time.Time // when a factor was last proved
	SecondAt   time.Time // when a second factor was; zero if never
	SeenAt     time.Time // when the person last did something, roughly
	ResumedAt  time.Time // when the person came back after a Pause; zero if never
	SwitchedAt time.Time // when the person last chose it among those of the browser; zero if never
	Network    string
	Agent      string

	ConnectionID string    // the identity provider that vouched; empty for a native sign-in
	Until        time.Time // the end that this provider set; zero where it set none
}

// acts lets the log have the session and its methods in what its user does in this request.
func (s Session) acts(ctx context.Context) {
	audit.Admitted(ctx, audit.Admission{Actor: string(s.UserID), Session: s.ID, Method: s.method()})
}

// method returns how the session's user proved who they are. A provider may not have said.
func (s Session) method() string { return cmp.Or(s.Methods, audit.ByProvider) }

// Proof is what a finished attempt proved.
type Proof struct {
	Methods      []string // amr values (RFC 8176)
	Second       bool     // one of them is a second factor
	ConnectionID string   // the identity provider that vouched, if one did
	Until        time.Time
	Deed         string // what was done, for Again; empty where nothing is answered twice
}

// The assurance of a session that applications read as acr, in the words of NIST SP 800-63B:
// one factor proved who the person is, or two did.
const (
	OneFactor  = "aal1"
	TwoFactors = "aal2"
)

// SecondLasts is how long a second factor counts where assurance decays.
const SecondLasts = 24 * time.Hour

// ACR returns the assurance of the session now. Under the modern rules it decays: two factors
// count as one a day after the second, and after a Pause without use, until the person proves
// it again; the session stays open (R-SES-04).
func (s Session) ACR(decays bool, now time.Time) string {
	age := now.Sub(s.SecondAt)
	if s.SecondAt.IsZero() || age < 0 ||
		decays && (age > SecondLasts || now.Sub(s.SeenAt) > Pause || s.ResumedAt.After(s.SecondAt)) {
		return OneFactor
	}
	return TwoFactors
}

// Rules are an organization's lifetimes.
type Rules struct {
	Idle     time.Duration
	Absolute time.Duration
}

// ChosenAt returns when the person last chose this session among those of the browser, by
// signing in or at the top of a page. An application that names no organization gets the one
// chosen last; last-seen is too coarse to say which that is.
func (s Session) ChosenAt() time.Time {
	if s.SwitchedAt.After(s.StartedAt) {
		return s.SwitchedAt
	}
	return s.StartedAt
}

// Visit is what one statement finds behind a cookie for one organization.
type Visit struct {
	Browser      Browser
	Session      Session
	User         directory.User
	Organization directory.Organization
	Rules        Rules // the rules that apply to this session

	// Company reports whether the browser may hold other sessions too: Neighbours knows.
	Company bool
}

// Door issues, finds and ends sessions.
type Door struct {
	Outbox *mail.Outbox
	Base   string       // the configured public address, without a slash at its end
	Keys   *secret.Ring // derive a browser's next token from the one that it shows

	Lifetimes lifetime.Overrides

	visits db.Recall[visitKey, found]
}

func (d *Door) superseded() time.Duration { return cmp.Or(d.Lifetimes.SupersededToken, Superseded) }

// effective fills in what neither the organization nor the configuration set.
func (d *Door) effective(r Rules) Rules {
	return Rules{Idle: cmp.Or(d.Lifetimes.SessionIdle, r.Idle, Idle), Absolute: cmp.Or(d.Lifetimes.SessionAbsolute, r.Absolute, Absolute)}
}

// IdleEnd returns when the session ends unless the person does something.
func (v Visit) IdleEnd() time.Time { return v.Session.SeenAt.Add(v.Rules.Idle) }

// AbsoluteEnd returns when the session ends whatever the person does: by the rules or, if that
// is sooner, when the identity provider said (SessionNotOnOrAfter, SAML Core §2.7.2).
func (v Visit) AbsoluteEnd() time.Time {
	end := v.Session.StartedAt.Add(v.Rules.Absolute)
	if !v.Session.Until.IsZero() && v.Session.Until.Before(end) {
		return v.Session.Until
	}
	return end
}

// over reports whether the session has ended by now, absolutely or by idleness, whether or not
// a sweep has recorded it.
func (v Visit) over(now time.Time) bool {
	return !now.Before(v.AbsoluteEnd()) || !now.Before(v.IdleEnd())
}

// Open reports whether time has not ended the session.
func (v Visit) Open(now time.Time) bool { return !v.over(now) }

// stale reports whether last-seen is old enough to be written again. It is coarse, so that a
// page view is only a read (decision 0002).
func (v Visit) stale(now time.Time) bool {
	return now.Sub(v.Session.SeenAt) >= min(time.Minute, v.Rules.Idle/10)
}

// Proved reports whether a factor was proved within the given time. A superseded token proves
// nothing fresh, nor does a proof from far in the future: after a clock was wrong and set
// right, that would stay fresh for long.
func (v Visit) Proved(within time.Duration, now time.Time) bool {
	return !v.Browser.Superseded && now.Sub(v.Session.ProvedAt).Abs() <= within
}

// SecondProved is Proved for a second factor.
func (v Visit) SecondProved(within time.Duration, now time.Time) bool {
	return !v.Browser.Superseded && now.Sub(v.Session.SecondAt).Abs() <= within
}

// Rested reports whether the person paused, and has proved nothing since: a proof is use, so a
// session that is still at rest has not been proved either.
func (v Visit) Rested(now time.Time) bool {
	return v.Session.ProvedAt.Before(v.Session.ResumedAt) || now.Sub(v.Session.SeenAt) > Pause
}
