package console

import (
	"errors"
	"slices"

	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/upstream"
)

const (
	attemptsShown  = 50 // of a page
	ownTestsShown  = 5  // behind a setup link
	attemptsFilter = "connection"
)

// attemptsPage lists what became of sign-ins by providers, newest first.
type attemptsPage struct {
	Query       query
	Connections []federation.Connection
	Rows        []attempt
	Pages       page.Pages
}

// attempt is one of these sign-ins, explained.
type attempt struct {
	federation.Trace
	Connection string // its name; empty for one that no longer exists
	Chip       chip
	Wrong      upstream.Check // what failed, if something did
	Advice     string         // catalogue key of what to change then
	Claims     []claim
	Arrival    string // catalogue key of how the person of a test is known; empty if they could not sign in
	Path       string
}

// claim is something that the provider said, with what we take it for.
type claim struct {
	upstream.Attribute
	Means string // catalogue key
}

var claimMeans = map[string]string{
	federation.MeansEmail: "console.attempts.is_email", federation.MeansName: "console.attempts.is_name",
	federation.MeansGroups: "console.attempts.is_groups", "": "console.attempts.is_unused",
	federation.MeansIdentity: "console.attempts.is_identity", federation.MeansIdentityEmail: "console.attempts.is_identity_and_email",
	federation.MeansPassing: "console.attempts.is_passing",
}

var arrivals = map[federation.Arrival]string{
	federation.ArrivedLinked: "console.attempts.linked", federation.ArrivedKnown: "console.attempts.known",
	federation.ArrivedInvited: "console.attempts.invited", federation.ArrivedNew: "console.attempts.new",
}

// identity is the row for the name by which the provider knows the person.
func identity(t federation.Trace, c federation.Connection) claim {
	row := claim{upstream.Attribute{Name: "sub", Values: []string{t.Rehearsal.Subject}}, claimMeans[c.Mapping.MeansSubject(t)]}
	if c.Protocol == federation.SAML {
		row.Name, row.Values = "NameID", append(row.Values, t.Rehearsal.Format)
	}
	return row
}

func attemptOf(t federation.Trace, c federation.Connection, path string) attempt {
	a := attempt{Trace: t, Connection: c.Name, Path: path}
	switch {
	case t.Refused == "" && t.Test:
		a.Chip = chip{"console.attempts.passed", "ok"}
	case t.Refused == "":
		a.Chip = chip{"console.attempts.in", "ok"}
	case t.Test:
		a.Chip = chip{"console.attempts.test_refused", "bad"}
	default:
		a.Chip = chip{"console.attempts.refused", "bad"}
	}
	trace := upstream.Trace{Checks: t.Checks}
	a.Wrong, _ = trace.Failed()
	a.Advice = federation.Advice(c.Protocol, a.Wrong)
	a.Arrival = arrivals[t.Rehearsal.Arrival]
	if t.Rehearsal.Subject != "" {
		a.Claims = append(a.Claims, identity(t, c))
	}
	for _, x := range t.Claims {
		a.Claims = append(a.Claims, claim{x, claimMeans[c.Mapping.Means(x.Name)]})
	}
	return a
}

func (s *Server) attempts(v *page.Viewer) error {
	ctx := v.R.Context()
	connections, err := federation.ConnectionsOf(ctx, s.site.DB, v.User.AsActor(), v.User.OrgID)
	if err != nil {
		return err
	}
	byID, ids := map[string]federation.Connection{}, []string{}
	for _, c := range connections {
		byID[c.ID], ids = c, append(ids, c.ID)
	}
	q, err := readQuery(v.R.URL.Query(), attemptsFilter, ids...)
	if err != nil {
		return err
	}
	p := attemptsPage{Query: q, Connections: connections}
	found, err := s.searched(v, q)
	if err != nil {
		return err
	}
	for _, t := range found {
		p.Rows = append(p.Rows, attemptOf(t, byID[t.ConnectionID], v.Path("admin/single-sign-on/attempts", t.ID)))
	}
	var next page.Place
	if len(found) == attemptsShown {
		last := found[len(found)-1]
		next = page.Place{At: last.At, ID: last.ID}
	}
	p.Pages = q.pagesOf(v.Path("admin/single-sign-on/attempts"), attemptsFilter, next)
	return v.Render("console-attempts", p)
}

// searched finds attempts by the reference that a person was shown or, if the text is not a
// reference, by person, address and connection.
func (s *Server) searched(v *page.Viewer, q query) ([]federation.Trace, error) {
	ctx := v.R.Context()
	if secret.IsID(q.Search) {
		t, err := federation.TraceOf(ctx, s.site.DB, v.User.OrgID, q.Search)
		if !errors.Is(err, directory.ErrNotFound) {
			return []federation.Trace{t}, err
		}
	}
	return federation.TracesOf(ctx, s.site.DB, federation.TraceQuery{
		OrgID: v.User.OrgID, Connection: q.Filter, Search: q.Search, Before: q.Before.At, Most: attemptsShown,
	})
}

func (s *Server) attempt(v *page.Viewer) error {
	ctx := v.R.Context()
	t, err := federation.TraceOf(ctx, s.site.DB, v.User.OrgID, v.ID())
	if err != nil {
		return err
	}
	c, err := federation.ConnectionOf(ctx, s.site.DB, v.User.AsActor(), v.User.OrgID, t.ConnectionID)
	if err != nil {
		return err
	}
	p := attemptPage{attempt: attemptOf(t, c, v.Path("admin/connections", c.ID)), Approved: v.Just("approved")}
	l, wanted, err := federation.Wanted(ctx, s.site.DB, v.User.OrgID, t.ID)
	if err != nil {
		return err
	}
	if wanted {
		p.Wanted = &shownLink{
			Link: l, Path: v.Path("admin/people", string(l.User.ID)), MayUndo: rules(v.User.Role) && v.User.Role.Governs(l.User.Role),
		}
	}
	v.FormIf(wanted && p.Wanted.MayUndo)
	return v.Render("console-attempt", p)
}

// attemptPage shows one attempt, with the link that was refused to it.
type attemptPage struct {
	attempt
	Wanted   *shownLink // may be approved, where MayUndo says so
	Approved bool
}

// ownTests returns the tests made by people who hold a setup link.
func (s *Server) ownTests(b bench) (own []attempt, err error) {
	all, err := federation.TracesOf(b.R.Context(), s.site.DB, federation.TraceQuery{OrgID: b.connection.OrgID, Connection: b.connection.ID, Most: attemptsShown})
	for _, t := range slices.DeleteFunc(all, func(t federation.Trace) bool { return t.Tester != b.tester }) {
		if len(own) < ownTestsShown {
			own = append(own, attemptOf(t, b.connection, ""))
		}
	}
	return own, err
}

// setupTested is where a test returns to that was begun behind a setup link. Its address does
// not contain the link's token, so it says only that the test is over.
func (s *Server) setupTested(v *page.Visitor) error {
	if !secret.IsID(v.R.PathValue("reference")) {
		return directory.ErrNotFound
	}
	return v.Render("connection-tested", nil)
}
