package console

import (
	"net/url"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/page"
)

// The states of people and invitations as a page shows them.
var (
	activeChip      = chip{"console.state.active", "ok"}
	deactivatedChip = chip{"console.state.deactivated", "bad"}

	invitationChips = map[directory.InvitationState]chip{
		directory.InvitationWaiting:   {"console.state.waiting", "warn"},
		directory.InvitationSent:      {"console.state.sent", "warn"},
		directory.InvitationBounced:   {"console.state.bounced", "bad"},
		directory.InvitationLapsed:    {"console.state.lapsed", "bad"},
		directory.InvitationOpened:    {"console.state.opened", "warn"},
		directory.InvitationExpired:   {"console.state.expired", "bad"},
		directory.InvitationAccepted:  {"console.state.accepted", "ok"},
		directory.InvitationWithdrawn: {"console.state.withdrawn", ""},
		directory.InvitationReplaced:  {"console.state.replaced", ""},
	}
)

// peoplePage is the list of users and open invitations.
type peoplePage struct {
	Query     query
	Rows      []personRow
	Pages     pages
	MayInvite bool
}

// personRow is a user, or an invitation that waits for one.
type personRow struct {
	Name, Email string
	Role        directory.Role
	State       chip
	Reply       string    // what the mail server said, if it refused the letter
	LastSignIn  time.Time // zero before the first
	Path        string
}

func (s *Server) people(v *page.Viewer) error {
	const filter = "state"
	q, err := readQuery(v, filter, string(directory.PeopleActive), string(directory.PeopleDeactivated), string(directory.PeopleInvited))
	if err != nil {
		return err
	}
	ctx, now := v.R.Context(), s.site.DB.Now()
	var found directory.PeoplePage
	err = s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		found, err = directory.People(ctx, tx, v.User.AsActor(), directory.PeopleQuery{
			OrgID: v.Organization.ID, Search: q.Search, State: directory.PeopleState(q.Filter),
			Before: directory.PeopleCursor{CreatedAt: q.Before.At, ID: q.Before.ID},
		})
		return err
	})
	if err != nil {
		return err
	}
	p := peoplePage{Query: q, MayInvite: invites(v.User.Role)}
	p.Pages = q.pagesOf(v.Path("admin/people"), filter, place{found.Next.CreatedAt, found.Next.ID})
	for _, person := range found.People {
		p.Rows = append(p.Rows, rowOf(v, person, now))
	}
	return v.Render("console-people", p)
}

func rowOf(v *page.Viewer, p directory.Person, now time.Time) personRow {
	if u := p.User; u != nil {
		return personRow{
			Name: u.Name, Email: u.Email, Role: u.Role, State: stateOf(*u),
			LastSignIn: u.LastSignInAt, Path: v.Path("admin/people", string(u.ID)),
		}
	}
	i := p.Invitation
	row := personRow{
		Name: i.Name, Email: i.Email, Role: i.Role, State: invitationChips[i.State(now)],
		Path: v.Path("admin/invitations", i.ID),
	}
	if i.State(now) == directory.InvitationBounced {
		row.Reply = i.Reply
	}
	return row
}

func stateOf(u directory.User) chip {
	if u.DeactivatedAt.IsZero() {
		return activeChip
	}
	return deactivatedChip
}

// personPage is what there is to know about one user.
type personPage struct {
	User     directory.User
	State    chip
	Language string // its name in the language itself
	Entries  string // address of the person's audit entries; empty for who may not read them
}

func (s *Server) person(v *page.Viewer) error {
	id, err := idIn(v)
	if err != nil {
		return err
	}
	u, err := directory.UserByID(v.R.Context(), s.site.DB, v.Organization.ID, directory.UserID(id))
	if err != nil {
		return err
	}
	p := personPage{User: u, State: stateOf(u), Language: s.languageName(string(u.Language))}
	if readsAudit(v.User.Role) {
		p.Entries = v.Path("admin/audit") + "?" + url.Values{"q": {id}}.Encode()
	}
	return v.Render("console-person", p)
}

// languageName is a language's own name, or its tag where the catalogue has it
// no more.
func (s *Server) languageName(tag string) string {
	for _, l := range s.site.Catalogue.Languages() {
		if string(l.Tag) == tag {
			return l.Name
		}
	}
	return tag
}
