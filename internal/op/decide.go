package op

import (
	"slices"
	"time"

	"parvis/internal/directory"
	"parvis/internal/session"
)

// step is what an authorization request gets next.
type step int

const (
	refuse  step = iota // the application is told why not
	signIn              // somebody proves who they are, at all or afresh
	choose              // the person picks one of who is signed in here
	deny                // the person is told that this application is not for them
	consent             // the person is asked what it may know
	issue               // the application gets a code
	anew                // the application's own start makes a new request
)

// access says whether an application is there for somebody.
type access int

const (
	allowed   access = iota
	forbidden        // the organization does not have it, or turned it off
	notYours         // it is for groups that the person is in none of
)

// question is all that decide looks at.
type question struct {
	asked  time.Time // when the request was made
	readAt time.Time // when what follows was read: now
	waited bool      // the request is stored, and the person may have done something for it
	stale  bool      // the application has forgotten it, and has a start of its own

	none, login, select_, consent bool // values of prompt

	maxAge *time.Duration // of the proof, now
	two    bool           // of acr_values, none is satisfied by one factor

	hints hints
	open  []session.Visit          // in this browser
	lacks map[directory.OrgID]bool // organizations that do not have the application

	known    known // of the session that is meant
	answered bool  // consent was given for this very request
}

// known is what has to be read about the session that is meant.
type known struct {
	access    access
	acr       string // its assurance now
	provable  bool   // its user has a second step, or a provider that may have one
	consented bool   // consent was given before, or is not needed
}

// cause is why an application gets nothing.
type cause int

const (
	notRefused   cause = iota
	nobodyFits         // nobody is signed in who fits, or not lately enough
	somebodyElse       // another person signed in than the one the application expects
	mustChoose         // a page would have to ask who is meant
	notForThem         // the application is not for this person
	mustProve          // a page would have to ask for a second factor
	cannotProve        // the person has no second factor to show
	mustConsent        // a page would have to ask for consent
)

// decision is what decide answers.
type decision struct {
	step    step
	cause   cause         // of refuse
	open    bool          // a session fits the request
	session session.Visit // that one,
	access  access        // whether the application is there for it,
	acr     string        // its assurance,
	readAt  time.Time     // and when that was read
}

// meant finds the session that a request means, and says whether the person picked it for
// this request. What is only hinted at gives way: the choice of a session that has ended,
// and the address of login_hint where somebody signed in for this very request under
// another one.
func (q question) meant() (v session.Visit, found, picked bool) {
	h := q.hints
	picked = h.Session != ""
	v, found = pick(h, q.open, q.lacks)
	if !found && picked {
		h.Session, picked = "", false
		v, found = pick(h, q.open, q.lacks)
	}
	if !found && q.waited && h.Address != "" {
		h.Address = ""
		v, found = pick(h, q.open, q.lacks)
		found = found && q.provedFor(v)
	}
	// Who signed in for this request need not pick an account too.
	return v, found, found && (picked || provedFor(q.asked, v.Session.StartedAt, q.readAt))
}

// provedFor reports whether the person of a session proved something for this request.
func (q question) provedFor(v session.Visit) bool {
	return provedFor(q.asked, v.Session.ProvedAt, q.readAt)
}

// decide says what an authorization request gets, and whose session is meant. It is the
// only place that does.
func decide(q question) decision {
	v, found, picked := q.meant()
	d := decision{session: v, open: found, access: q.known.access, acr: q.known.acr, readAt: q.readAt}
	to := func(s step) decision {
		d.step = s
		return d
	}
	refused := func(why cause) decision {
		d.step, d.cause = refuse, why
		return d
	}
	// Under prompt=none no page is shown, whatever is missing (OIDC Core §3.1.2.1).
	page := func(s step, none cause) decision {
		switch {
		case q.none:
			return refused(none)
		case s == signIn && q.waited && q.hints.Subject != "" && slices.ContainsFunc(q.open, q.provedFor):
			return refused(somebodyElse) // than the one who is expected (OIDC Core §3.1.2.1)
		case s == consent && q.stale:
			return to(anew)
		}
		return to(s)
	}
	proved := v.Session.ProvedAt
	if v.Browser.Superseded && !proved.Before(q.asked) {
		proved = q.asked.Add(-1) // the proof belongs to the newer token, not to the old one that was shown
	}
	forThis, age := provedFor(q.asked, proved, q.readAt), q.readAt.Sub(proved)
	switch {
	case q.select_ && !picked && found:
		return page(choose, mustChoose)
	case !found:
		return page(signIn, nobodyFits)
	case q.known.access != allowed:
		return page(deny, notForThem)
	case q.login && !forThis, q.maxAge != nil && age > *q.maxAge && !(forThis && age <= handOver):
		return page(signIn, nobodyFits)
	case q.two && q.known.acr != session.TwoFactors:
		// Who proved something for this very request and has no more to show, or has
		// nothing more at all, would be asked for ever (OIDC Core §3.1.2.6, RFC 9470 §5).
		if forThis || !q.known.provable {
			return refused(cannotProve)
		}
		return page(signIn, mustProve)
	case q.consent && !q.answered, !q.known.consented && !q.answered:
		return page(consent, mustConsent)
	case q.stale:
		return to(anew)
	}
	return to(issue)
}

// provedWithin is how old a proof may be that was made for a request. handOver is how long
// a person who proved who they are for max_age has until the application gets its answer;
// without it max_age=0 could never be satisfied.
const (
	provedWithin = 10 * time.Minute
	handOver     = time.Minute
)

// provedFor reports whether a proof was made for a request: after it came and lately, since a
// request may wait for a day (decision 0042).
func provedFor(asked, proved, now time.Time) bool {
	return !proved.Before(asked) && !proved.Before(now.Add(-provedWithin))
}

// hints say which session a request means; what is empty says nothing.
type hints struct {
	Organization string // short name or id
	Subject      string // of the ID token that was sent along
	SubjectOrg   directory.OrgID
	Address      string          // key of the e-mail address in login_hint
	ClientOrg    directory.OrgID // the only organization that the application has
	Session      string          // that the person picked
	Since        time.Time       // only who proved something since then

	subjectOf func(session.Visit) string // what the client knows somebody by
}

// pick finds the session that hints mean among those open in a browser: the one chosen
// last of all that fit. One whose organization has the application goes before one whose
// organization lacks it.
func pick(h hints, open []session.Visit, lacks map[directory.OrgID]bool) (session.Visit, bool) {
	fits := slices.Collect(func(yield func(session.Visit) bool) {
		for _, v := range open {
			if h.fit(v) && !yield(v) {
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

func (h hints) fit(v session.Visit) bool {
	switch {
	case h.Session != "" && v.Session.ID != h.Session,
		h.ClientOrg != "" && v.Session.OrgID != h.ClientOrg,
		h.Organization != "" && !h.names(v.Organization),
		h.Subject != "" && (v.Session.OrgID != h.SubjectOrg || h.subjectOf(v) != h.Subject),
		v.Session.ProvedAt.Before(h.Since),
		h.Address != "" && v.User.AddressKey() != h.Address:
		return false
	}
	return true
}

func (h hints) names(o directory.Organization) bool {
	return h.Organization == string(o.ID) || o.Called(h.Organization)
}
