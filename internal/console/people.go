package console

import (
	"net/url"
	"slices"
	"time"

	"parvis/internal/administration"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/page"
)

// The states of people and invitations as a page shows them.
var (
	activeChip      = chip{"console.state.active", "ok"}
	deactivatedChip = chip{"console.state.deactivated", "bad"}
	deletedChip     = chip{"console.state.deleted", "bad"}

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

// What the list of people can be filtered by, besides the states of the directory.
const (
	peopleFilter      = "state"
	withoutSecondStep = "no-second-step"
)

// peoplePage lists users and open invitations.
type peoplePage struct {
	Query     query
	Rows      []personRow
	Pages     page.Pages
	MayInvite bool
	Deeds     []deed // what may be done to people
	Roles     []deed // that may be given to them
	Everyone  []deed // what may be done to everyone
	NoContact bool   // nobody has entered one yet, and the viewer may
}

// personRow is a user, or an invitation to somebody who is not one yet.
type personRow struct {
	Name, Email string
	Role        directory.Role
	State       chip
	Refused     string    // catalogue key: why the mail server refused the letter
	LastSignIn  time.Time // zero before the first
	Path        string
	UserID      directory.UserID // empty for an invitation
}

func (s *Server) people(v *page.Viewer) error {
	q, err := readQuery(v, peopleFilter, withoutSecondStep, string(administration.Active), string(administration.Deactivated), string(administration.Invited), string(administration.Deleted))
	if err != nil {
		return err
	}
	ctx, now := v.R.Context(), s.site.DB.Now()
	wanted := q.people()
	if wanted.WithoutSecondStep = q.Filter == withoutSecondStep; !wanted.WithoutSecondStep {
		wanted.State = administration.State(q.Filter)
	}
	var found administration.Page
	err = s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		found, err = administration.People(ctx, tx, v.User.AsActor(), v.User.OrgID, wanted)
		return err
	})
	if err != nil {
		return err
	}
	p := peoplePage{Query: q, MayInvite: invites(v.User.Role)}
	p.Pages = q.pagesOf(v.Path("admin/people"), peopleFilter, page.Place{At: found.Next.CreatedAt, ID: found.Next.ID})
	p.Deeds, p.Roles = deedsFor(v.User.Role)
	if rules(v.User.Role) && q == (query{}) {
		p.NoContact = v.Organization.Contact == ""
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
			LastSignIn: u.LastSignInAt, Path: v.Path("admin/people", string(u.ID)), UserID: u.ID,
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
	Unlinked  bool   // a link was removed just now
	Reset     bool   // shown right after a reset
	SendAgain bool   // the viewer may send a refused letter again
	Entries   string // address of the person's audit entries; empty for viewers who may not read them
	Deeds     []deed // what the viewer may do to the person
	Roles     []deed // roles that the viewer may give to the person
	Done      *deed  // what was just done
}

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
		return nil
	}); err != nil {
		return err
	}
	p.State, p.Language, p.Own = stateOf(p.User), s.languageName(string(p.User.Language)), ownedBy(p.Factors)
	p.Deeds, p.Roles = shownDeeds(p.Person.Deeds), shownDeeds(p.Person.Roles)
	if len(p.Roles) == 1 {
		p.Roles = nil // the one that the person has
	}
	if p.Refused != nil {
		p.SendAgain = slices.ContainsFunc(p.Deeds, func(d deed) bool { return d.Name == "reset" })
	}
	p.Reset, p.Unlinked = v.Just("reset"), v.Just("unlinked")
	if d, known := administration.DeedNamed(v.R.URL.Query().Get("done")); known {
		done := shownDeed(d)
		p.Done = &done
	}
	if readsAudit(v.User.Role) {
		p.Entries = v.Path("admin/audit") + "?" + url.Values{"q": {id}}.Encode()
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
