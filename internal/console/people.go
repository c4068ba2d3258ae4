package console

import (
	"net/url"
	"slices"
	"time"

	"parvis/internal/administration"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/federation"
	"parvis/internal/page"
	"parvis/internal/provisioning"
)

// The states of people and invitations as a page shows them.
var (
	activeChip      = chip{"console.state.active", "ok"}
	deactivatedChip = chip{"console.state.deactivated", "bad"}
	deletedChip     = chip{"console.state.deleted", "bad"}
	noWayInChip     = chip{"console.state.no_way_in", "warn"}

	invitationChips = map[directory.InvitationState]chip{
		directory.InvitationWaiting:   {"console.state.waiting", "warn"},
		directory.InvitationSent:      {"console.state.sent", "warn"},
		directory.InvitationBounced:   {"console.state.bounced", "bad"},
		directory.InvitationLapsed:    {"console.state.lapsed", "bad"},
		directory.InvitationTaken:     {"console.state.taken", "bad"},
		directory.InvitationOpened:    {"console.state.opened", "warn"},
		directory.InvitationGivenUp:   {"console.state.given_up", "bad"},
		directory.InvitationExpired:   {"console.state.expired", "bad"},
		directory.InvitationAccepted:  {"console.state.accepted", "ok"},
		directory.InvitationWithdrawn: {"console.state.withdrawn", ""},
		directory.InvitationReplaced:  {"console.state.replaced", ""},
	}
)

// withoutSecondStep selects in the list whom signin.WithoutSecondStep counts.
const withoutSecondStep = "second=none&state=active&way=password"

// peopleFilter filters lists of people by state.
const peopleFilter = "state"

// peoplePage lists users and open invitations.
type peoplePage struct {
	Query     peopleQuery
	Rows      []personRow
	Heads     []head
	Pages     page.Pages
	Found     count // of the filter
	All       count // in the organization
	Groups    []directory.Group
	MayInvite bool
	Deeds     []deed // what may be done to people
	Roles     []deed // that may be given to them
	Everyone  []deed // what may be done to everyone
	Export    string // address of the page that exports them
}

// count is a number of people; from administration.MostCounted on, nobody counts.
type count int

// Many reports whether there are more than are counted.
func (c count) Many() bool { return c > administration.MostCounted }

// Int returns the number.
func (c count) Int() int { return int(c) }

// Most is how many people are counted.
func (peoplePage) Most() int { return administration.MostCounted }

// personRow is a user, or an invitation to somebody who is not one yet.
type personRow struct {
	Name, Email string
	Role        directory.Role
	Second      string // catalogue key; empty for an invitation
	State       chip
	Refused     string    // catalogue key: why the mail server refused the letter
	LastSignIn  time.Time // zero before the first
	Path        string
	UserID      directory.UserID // empty for an invitation
}

// Plain reports whether the state needs no attention: most people are active.
func (r personRow) Plain() bool { return r.State == activeChip }

// stepKeys name the kinds of second steps.
var stepKeys = map[directory.SecondStep]string{
	directory.NoSecondStep: "console.people.step.none",
	directory.StepByApp:    "console.people.step.app",
	directory.StepByKey:    "console.people.step.passkey",
	directory.StepByBoth:   "console.people.step.both",
}

func (s *Server) people(v *page.Viewer) error {
	q, err := readPeopleQuery(v, v.R.URL.Query())
	if err != nil {
		return err
	}
	ctx, now := v.R.Context(), s.site.DB.Now()
	p := peoplePage{Query: q, MayInvite: invites(v.User.Role), Heads: q.heads()}
	if q.NoDay {
		v.Status(fault.Invalid)
	}
	var found administration.Page
	if err := s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		actor, org := v.User.AsActor(), v.User.OrgID
		if found, err = administration.People(ctx, tx, actor, org, q.asked); err != nil {
			return err
		}
		p.Found, p.All = count(found.Found), count(found.Found)
		if q.Filtered() {
			n, err := administration.CountPeople(ctx, tx, actor, org, administration.Filter{}, administration.MostCounted+1)
			if err != nil {
				return err
			}
			p.All = count(n)
		}
		p.Groups, err = directory.GroupNames(ctx, tx, org, mostGroups)
		return err
	}); err != nil {
		return err
	}
	p.Pages, p.Export = q.pages(v, found.Next), withQuery(v.Path("admin/people/export"), q.kept())
	p.Deeds, p.Roles = deedsFor(v.User.Role)
	if rules(v.User.Role) && !q.Filtered() && !q.later {
		p.Everyone = slices.DeleteFunc(slices.Clone(p.Deeds), func(d deed) bool { return !d.Deed.Everyone })
	}
	for _, person := range found.Lines {
		p.Rows = append(p.Rows, rowOf(v, person, now))
	}
	return v.Render("console-people", p)
}

func rowOf(v *page.Viewer, p administration.Line, now time.Time) personRow {
	if u := p.User; u != nil {
		return personRow{
			Name: u.Name, Email: u.Email, Role: u.Role, State: stateOf(*u),
			Second: stepKeys[u.SecondStep], LastSignIn: u.LastSignInAt, Path: v.Path("admin/people", string(u.ID)), UserID: u.ID,
		}
	}
	i := p.Invitation
	row := personRow{
		Name: i.Name, Email: i.Email, Role: i.Role, State: invitationChips[i.State(now)],
		Path: v.Path("admin/invitations", i.ID),
	}
	if i.State(now) == directory.InvitationBounced {
		row.Refused = i.Letter.Answer.Key()
	}
	return row
}

func stateOf(u directory.User) chip {
	switch {
	case !u.DeletedAt.IsZero():
		return deletedChip
	case u.Closed() != nil:
		return deactivatedChip
	case !u.HasWayIn():
		return noWayInChip
	}
	return activeChip
}

// personPage shows what is known about one user.
type personPage struct {
	administration.Person
	State     chip
	Language  string // its name in the language itself
	Own       ownedSteps
	Links     shownLinks
	Source    provisioning.Source // the directory that keeps the person here; zero for none
	Unlinked  bool                // a link was removed just now
	Reset     bool                // shown right after a reset
	SendAgain bool                // the viewer may send a refused letter again
	Entries   string              // address of the person's audit entries; empty for viewers who may not read them
	Export    string              // address of the page that exports the person; empty for viewers who may not
	Deeds     []deed              // what the viewer may do to the person
	Roles     []deed              // roles that the viewer may give to the person
	Done      *deed               // what was just done
}

// NoWayIn reports whether the person may sign in and has nothing to do it with.
func (p personPage) NoWayIn() bool { return p.State == noWayInChip }

func (s *Server) person(v *page.Viewer) error {
	id := v.ID()
	ctx := v.R.Context()
	var p personPage
	if err := s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		p = personPage{}
		if p.Person, err = s.site.Administration.Person(ctx, tx, v.User.AsActor(), v.User.OrgID, directory.UserID(id)); err != nil {
			return err
		}
		links, err := federation.LinksOf(ctx, tx, p.User.OrgID, p.User.ID)
		if err != nil {
			return err
		}
		p.Links = shownLinks{Rows: linksShownTo(v, links), At: v.Path("admin/people", id, "links")}
		if p.User.Provisioned() {
			p.Source, err = provisioning.SourceByID(ctx, tx, v.User.AsActor(), v.User.OrgID, p.User.SourceID)
		}
		return err
	}); err != nil {
		return err
	}
	p.State, p.Language, p.Own = stateOf(p.User), s.languageName(string(p.User.Language)), ownedBy(p.Factors)
	p.Deeds, p.Roles = shownDeeds(p.Person.Deeds), shownDeeds(p.Person.Roles)
	for i, d := range p.Deeds {
		if d.Name == "reset" && p.NoWayIn() {
			p.Deeds[i].Button = "console.deed.reset_invites"
		}
	}
	if len(p.Roles) == 1 {
		p.Roles = nil // the one that the person has
	}
	if p.Refused != nil {
		p.SendAgain = slices.ContainsFunc(p.Deeds, func(d deed) bool { return d.Name == "reset" })
	}
	p.Reset, p.Unlinked = v.Just("reset"), v.Just("unlinked")
	if d, known := administration.DeedNamed(v.R.URL.Query().Get("done")); known {
		done := shownDeed(d)
		if d.Name == "reset" && p.NoWayIn() {
			done.Done = "console.deed.reset_invited"
		}
		p.Done = &done
	}
	if readsAudit(v.User.Role) {
		p.Entries = v.Path("admin/audit") + "?" + url.Values{"q": {id}}.Encode()
	}
	if rules(v.User.Role) && v.User.Role.Governs(p.User.Role) {
		p.Export = v.Path("admin/people", id, "export")
	}
	v.NoForm() // its forms are buttons
	return v.Render("console-person", p)
}

// languageName returns a language's own name, or its tag if the catalogue no longer has it.
func (s *Server) languageName(tag string) string {
	for _, l := range s.site.Catalogue.Languages() {
		if string(l.Tag) == tag {
			return l.Name
		}
	}
	return tag
}
