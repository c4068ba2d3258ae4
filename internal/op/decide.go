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

	none, login, select_, consent bool // values of prompt

	maxAge *time.Duration // of the proof, now
	two    bool           // of acr_values, none is satisfied by one factor

	open     bool          // a session fits the request
	session  session.Visit // that one
	acr      string        // its assurance now
	provable bool          // its user has a second step, or a provider that may have one
	picked   bool          // the person chose it for this request

	access    access
	consented bool // given before, or not needed
	answered  bool // given for this very request
}

// decision is what decide answers: the code is for refuse.
type decision struct {
	step step
	code code
}

// decide says what an authorization request gets. It is the only place that does.
func decide(q question) decision {
	// Under prompt=none no page is shown, whatever is missing (OIDC Core §3.1.2.1).
	page := func(s step, none code) decision {
		if q.none {
			return decision{refuse, none}
		}
		return decision{step: s}
	}
	proved := q.session.Session.ProvedAt
	if q.session.Browser.Superseded && !proved.Before(q.asked) {
		proved = q.asked.Add(-1) // the proof belongs to the newer token, not to the old one that was shown
	}
	forThis, age := provedFor(q.asked, proved, q.readAt), q.readAt.Sub(proved)
	switch {
	case q.select_ && !q.picked && q.open:
		return page(choose, errAccountSelectionRequired)
	case !q.open:
		return page(signIn, errLoginRequired)
	case q.access != allowed:
		return page(deny, errAccessDenied)
	case q.login && !forThis, q.maxAge != nil && age > *q.maxAge && !(forThis && age <= handOver):
		return page(signIn, errLoginRequired)
	case q.two && q.acr != session.TwoFactors:
		// Whoever proved something for this very request and has no more to show, or
		// has nothing more at all, would be asked for ever (OIDC Core §3.1.2.6, RFC 9470 §5).
		if forThis || !q.provable {
			return decision{refuse, errUnmetAuthentication}
		}
		return page(signIn, errInteractionRequired)
	case q.consent && !q.answered, !q.consented && !q.answered:
		return page(consent, errConsentRequired)
	}
	return decision{step: issue}
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

// pick finds the session that a request means among those open in a browser: the one
// chosen last of all that fit. Without a hint, one whose organization has the
// application goes before one whose has not.
func pick(h hints, open []session.Visit, has func(directory.OrgID) bool) (session.Visit, bool) {
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
	if i := slices.IndexFunc(fits, func(v session.Visit) bool { return has(v.Session.OrgID) }); i >= 0 {
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
