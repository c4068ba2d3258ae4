package application

import (
	"slices"
	"time"

	"parvis/internal/directory"
	"parvis/internal/session"
)

// Step is what an authorization request gets next.
type Step int

const (
	Refuse  Step = iota // the application is told why not
	SignIn              // the person signs in, or proves again who they are
	Choose              // the person picks one of the people who are signed in here
	Deny                // the person is told that this application is not for them
	Consent             // the person is asked what it may know
	Issue               // the application gets a code
	Anew                // the application's own start makes a new request
)

// Question is everything that Decide looks at.
type Question struct {
	Asked  time.Time // when the request was made
	ReadAt time.Time // when what follows was read: now
	Waited bool      // the request is stored, and the person may have done something for it
	Stale  bool      // the application has forgotten it, and has a start of its own

	None, Login, Select, Consent bool // values of prompt

	MaxAge *time.Duration // of the proof; nil if any is accepted
	Two    bool           // one factor does not satisfy acr_values

	Hints Hints
	Open  []session.Visit          // in this browser
	Lacks map[directory.OrgID]bool // organizations that do not have the application

	Known    Known // of the session that is meant
	Answered bool  // consent was given for this very request
}

// Known are facts about the session that is meant, read from the database.
type Known struct {
	Access    Access
	ACR       string // its assurance now
	Provable  bool   // its user has a second step, or an identity provider that may have one
	Consented bool   // consent was given before, or is not needed
}

// Cause is why an application gets nothing.
type Cause int

const (
	NotRefused   Cause = iota
	NobodyFits         // nobody who fits is signed in, or the proof is too old
	SomebodyElse       // another person signed in than the one the application expects
	MustChoose         // a page would have to ask who is meant
	NotForThem         // the application is not for this person
	MustProve          // a page would have to ask for a second factor
	CannotProve        // the person has no second factor to show
	MustConsent        // a page would have to ask for consent
)

// Decision is the answer of Decide.
type Decision struct {
	Step    Step
	Cause   Cause         // if Step is Refuse
	Open    bool          // a session fits the request
	Session session.Visit // the one that fits
	Access  Access        // its person's to the application
	ACR     string        // its assurance
	ReadAt  time.Time     // when it was read
}

// Meant returns the session that a request means, and whether the person picked it for this
// request. If no session fits, it first drops the picked session, which may have ended, and
// then the address of login_hint, if somebody signed in for this request with another one.
func (q Question) Meant() (v session.Visit, found, picked bool) {
	h := q.Hints
	picked = h.Session != ""
	v, found = pick(h, q.Open, q.Lacks)
	if !found && picked {
		h.Session, picked = "", false
		v, found = pick(h, q.Open, q.Lacks)
	}
	if !found && q.Waited && h.Address != "" {
		h.Address = ""
		v, found = pick(h, q.Open, q.Lacks)
		found = found && q.provedFor(v)
	}
	// A person who signed in for this request need not pick an account too.
	return v, found, found && (picked || provedFor(q.Asked, q.shown(v, v.Session.StartedAt), q.ReadAt))
}

// provedFor reports whether the person of a session proved who they are for this request.
func (q Question) provedFor(v session.Visit) bool {
	return provedFor(q.Asked, q.shown(v, v.Session.ProvedAt), q.ReadAt)
}

// shown returns when the browser that asks proved something, of which its session says at. If
// it showed its old token, a proof since the request belongs to the browser with the newer one.
func (q Question) shown(v session.Visit, at time.Time) time.Time {
	if v.Browser.Superseded && !at.Before(q.Asked) {
		return q.Asked.Add(-1)
	}
	return at
}

// Decide returns what an authorization request gets next, and whose session is meant. Nothing
// else decides that.
func Decide(q Question) Decision {
	v, found, picked := q.Meant()
	d := Decision{Session: v, Open: found, Access: q.Known.Access, ACR: q.Known.ACR, ReadAt: q.ReadAt}
	to := func(s Step) Decision {
		d.Step = s
		return d
	}
	refused := func(why Cause) Decision {
		d.Step, d.Cause = Refuse, why
		return d
	}
	// Under prompt=none no page is shown, whatever is missing (OIDC Core §3.1.2.1).
	page := func(s Step, none Cause) Decision {
		switch {
		case q.None:
			return refused(none)
		case s == SignIn && q.Waited && q.Hints.Subject != "" && slices.ContainsFunc(q.Open, q.provedFor):
			return refused(SomebodyElse) // not the expected person (OIDC Core §3.1.2.1)
		case s == Consent && q.Stale:
			return to(Anew)
		}
		return to(s)
	}
	forThis, age := q.provedFor(v), q.ReadAt.Sub(q.shown(v, v.Session.ProvedAt))
	switch {
	case q.Select && !picked && found:
		return page(Choose, MustChoose)
	case !found:
		return page(SignIn, NobodyFits)
	case q.Known.Access != Allowed:
		return page(Deny, NotForThem)
	case q.Login && !forThis, q.MaxAge != nil && age > *q.MaxAge && !(forThis && age <= handOver):
		return page(SignIn, NobodyFits)
	case q.Two && q.Known.ACR != session.TwoFactors:
		// A person who proved all they could for this request, or has no second factor, would
		// be asked for ever (OIDC Core §3.1.2.6, RFC 9470 §5).
		if forThis || !q.Known.Provable {
			return refused(CannotProve)
		}
		return page(SignIn, MustProve)
	case q.Consent && !q.Answered, !q.Known.Consented && !q.Answered:
		return page(Consent, MustConsent)
	case q.Stale:
		return to(Anew)
	}
	return to(Issue)
}

// ProvedWithin is how old a proof that was made for a request may be. handOver is how long
// after a proof for max_age the application may get its answer; without it max_age=0 could
// never be satisfied.
const (
	ProvedWithin = 10 * time.Minute
	handOver     = time.Minute
)

// provedFor reports whether a proof was made for a request: after the request came, and within
// ProvedWithin, because a request may wait for a day (decision 0042).
func provedFor(asked, proved, now time.Time) bool {
	return !proved.Before(asked) && !proved.Before(now.Add(-ProvedWithin))
}

// Hints say which session a request means. Empty fields allow any session.
type Hints struct {
	Organization string // short name or id
	Subject      string // of id_token_hint
	SubjectOrg   directory.OrgID
	Address      string          // key of the e-mail address in login_hint
	ClientOrg    directory.OrgID // the organization that owns the application
	Session      string          // id of the session that the person picked
	Since        time.Time       // only people who proved something since then

	SubjectOf func(session.Visit) string // the sub of a person for the client
}

// pick returns the session that hints mean among the open ones of a browser: of those that
// fit, the one chosen last. Sessions of organizations that lack the application come after all
// others.
func pick(h Hints, open []session.Visit, lacks map[directory.OrgID]bool) (session.Visit, bool) {
	fits := slices.Collect(func(yield func(session.Visit) bool) {
		for _, v := range open {
			if h.Fit(v) && !yield(v) {
				return
			}
		}
	})
	slices.SortStableFunc(fits, func(a, b session.Visit) int {
		return b.Session.ChosenAt().Compare(a.Session.ChosenAt())
	})
	if i := slices.IndexFunc(fits, func(v session.Visit) bool { return !lacks[v.Session.OrgID] }); i >= 0 {
		return fits[i], true
	}
	if len(fits) == 0 {
		return session.Visit{}, false
	}
	return fits[0], true
}

func (h Hints) Fit(v session.Visit) bool {
	switch {
	case h.Session != "" && v.Session.ID != h.Session,
		h.ClientOrg != "" && v.Session.OrgID != h.ClientOrg,
		h.Organization != "" && !h.Names(v.Organization),
		h.Subject != "" && (v.Session.OrgID != h.SubjectOrg || h.SubjectOf(v) != h.Subject),
		v.Session.ProvedAt.Before(h.Since),
		h.Address != "" && v.User.AddressKey() != h.Address:
		return false
	}
	return true
}

func (h Hints) Names(o directory.Organization) bool {
	return h.Organization == string(o.ID) || o.Called(h.Organization)
}

// Choices returns what binds a person who is asked to choose: the client's organization and
// id_token_hint, but not the other hints.
func (h Hints) Choices() Hints {
	h.Organization, h.Address, h.Session, h.Since = "", "", "", time.Time{}
	return h
}
