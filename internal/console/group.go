package console

import (
	"context"
	"slices"
	"time"

	"parvis/internal/administration"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/naming"
	"parvis/internal/page"
	"parvis/internal/provisioning"
)

var (
	groupsFields     = page.Fields{"name"}
	groupFields      = page.Fields{"name", "person[]"}
	addMembersFields = page.Fields{"person[]"}
)

var errNoMember = fault.New(fault.Invalid, "console.group.nobody")

// groupsPage lists an organization's groups.
type groupsPage struct {
	Groups    []directory.Group
	Longest   int // of a name
	MayChange bool
	Deleted   bool
}

func (s *Server) showGroups(v *page.Viewer) error {
	all, err := directory.Groups(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID)
	if err != nil {
		return err
	}
	p := groupsPage{Groups: all, Longest: naming.MaxGroupName, MayChange: rules(v.User.Role), Deleted: v.Just("deleted")}
	v.FormIf(p.MayChange)
	return v.Render("console-groups", p)
}

func (s *Server) createGroup(v *page.Viewer) error {
	ctx := v.R.Context()
	var g directory.Group
	if err := s.site.DB.Update(ctx, func(tx *db.Tx) (err error) {
		g, err = directory.CreateGroup(ctx, tx, v.User.AsActor(), v.User.OrgID, v.Form.Get("name"))
		return err
	}); err != nil {
		return err
	}
	return v.Redirect(v.Path("admin/groups", g.ID) + "?created")
}

// groupPage shows a group with people who can be ticked: its members, or those who are not
// members.
type groupPage struct {
	Group     directory.Group
	Source    provisioning.Source // the directory that keeps the group here; zero for none
	Query     query
	Rows      []personRow
	Pages     page.Pages
	Form      string // the form that the ticks belong to
	Longest   int
	MayChange bool
	Done      string // catalogue key of what was just done
	ticked    []directory.UserID
}

// Ticked reports whether somebody was chosen before fresh proof was asked for.
func (p groupPage) Ticked(id directory.UserID) bool { return slices.Contains(p.ticked, id) }

// groupWith reads the group in the path and a page of its members, or of the people outside it.
// Ticked people come first, whichever page of the list they were on, so that nobody is
// forgotten unseen.
func (s *Server) groupWith(v *page.Viewer, outside bool, parts ...string) (groupPage, error) {
	id := v.ID()
	q, err := readQuery(v.R.URL.Query(), peopleFilter)
	if err != nil {
		return groupPage{}, err
	}
	ticked, err := tickedIn(v)
	if err != nil {
		return groupPage{}, err
	}
	ctx, now := v.R.Context(), s.site.DB.Now()
	p := groupPage{Query: q, Longest: naming.MaxGroupName, ticked: ticked}
	var found administration.Page
	var people []administration.Line
	if err := s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		people = nil
		if p.Group, err = directory.GroupByID(ctx, tx, v.User.AsActor(), v.User.OrgID, id); err != nil {
			return err
		}
		if p.Group.SourceID != "" {
			if p.Source, err = provisioning.SourceByID(ctx, tx, v.User.AsActor(), v.User.OrgID, p.Group.SourceID); err != nil {
				return err
			}
		}
		for _, id := range ticked {
			u, err := directory.UserByID(ctx, tx, v.User.OrgID, id)
			if err != nil {
				return err
			}
			people = append(people, administration.Line{User: &u})
		}
		wanted := q.people()
		if wanted.Group = id; outside {
			wanted.Group, wanted.Outside = "", id
		}
		found, err = administration.People(ctx, tx, v.User.AsActor(), v.User.OrgID, wanted)
		return err
	}); err != nil {
		return groupPage{}, err
	}
	for _, person := range found.Lines {
		if !p.Ticked(person.User.ID) {
			people = append(people, person)
		}
	}
	for _, person := range people {
		p.Rows = append(p.Rows, rowOf(v, person, now))
	}
	p.Pages = q.pagesOf(v.Path(append([]string{"admin/groups", id}, parts...)...), "state", page.Place{At: time.UnixMicro(found.Next.Number), ID: found.Next.ID})
	p.MayChange = rules(v.User.Role) && p.Group.SourceID == ""
	v.FormIf(p.MayChange)
	return p, nil
}

func (s *Server) showGroup(v *page.Viewer) error {
	p, err := s.groupWith(v, false)
	if err != nil {
		return err
	}
	p.Form = "selection"
	for deed, key := range map[string]string{
		"created": "console.group.is_created", "renamed": "console.group.renamed",
		"added": "console.group.added", "removed": "console.group.removed",
	} {
		if v.Just(deed) {
			p.Done = key
		}
	}
	return v.Render("console-group", p)
}

// group asks before a group is deleted or loses members.
func (s asks) group(v *page.Viewer) (bool, error) {
	ctx, actor := v.R.Context(), v.User.AsActor()
	g, err := directory.GroupByID(ctx, s.site.DB, actor, v.User.OrgID, v.ID())
	if err != nil {
		return false, err
	}
	c := confirmation{Back: v.Path("admin/groups", g.ID)}
	switch v.Form.Asked() {
	case "delete":
		c.Title, c.Button, c.Grave = v.Text("console.confirm.group", "Group", g.Name), v.Text("console.group.delete"), true
		c.Affects, c.Follows = []string{v.Text("console.confirm.members", "Count", g.Members)}, []string{v.Text("console.group.delete_what")}
		return s.confirm(v, c, deleteGroup(v))
	case "remove":
		ticked, err := tickedIn(v)
		if err == nil && len(ticked) == 0 {
			err = errNoMember
		}
		if err != nil {
			return false, err
		}
		if c.Fates, err = s.named(ctx, v, ticked); err != nil {
			return false, err
		}
		c.Title, c.Button = v.Text("console.confirm.leave_group", "Count", len(ticked), "Group", g.Name), v.Text("console.confirm.leave_group_do")
		c.Follows = []string{v.Text("console.confirm.leave_group_what")}
		return s.confirm(v, c)
	}
	return false, nil
}

// named returns people whom a form names, for the list of those affected.
func (s asks) named(ctx context.Context, v *page.Viewer, ids []directory.UserID) (all []administration.Fate, err error) {
	for _, id := range ids {
		u, err := directory.UserByID(ctx, s.site.DB, v.User.OrgID, id)
		if err != nil {
			return nil, err
		}
		all = append(all, administration.Fate{User: u})
	}
	return all, nil
}

func deleteGroup(v *page.Viewer) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		return directory.DeleteGroup(ctx, tx, v.User.AsActor(), v.User.OrgID, v.ID())
	}
}

func (s *Server) changeGroup(v *page.Viewer) error {
	id := v.ID()
	actor, org := v.User.AsActor(), v.User.OrgID
	switch v.Form.Asked() {
	case "rename":
		return v.Do(func(ctx context.Context, tx *db.Tx) error {
			return directory.RenameGroup(ctx, tx, actor, org, id, v.Form.Get("name"))
		}, v.Path("admin/groups", id)+"?renamed")
	case "remove":
		return s.changeMembers(v, directory.RemoveMembers, "removed")
	case "delete":
		return v.Do(deleteGroup(v), v.Path("admin/groups")+"?deleted")
	}
	return s.showGroup(v)
}

func (s *Server) showAddMembers(v *page.Viewer) error {
	p, err := s.groupWith(v, true, "add")
	if err == nil && p.Group.SourceID != "" {
		err = directory.ErrProvisioned
	}
	if err != nil {
		return err
	}
	p.Form = "main"
	v.FormIf(len(p.Rows) > 0)
	return v.Render("console-group-add", p)
}

func (s *Server) addMembers(v *page.Viewer) error {
	return s.changeMembers(v, directory.AddMembers, "added")
}

// changeMembers adds or removes the ticked people.
func (s *Server) changeMembers(v *page.Viewer, change func(context.Context, *db.Tx, directory.Actor, directory.OrgID, string, []directory.UserID) (int, error), done string) error {
	id := v.ID()
	ticked, err := tickedIn(v)
	if err != nil {
		return err
	}
	if len(ticked) == 0 {
		return errNoMember
	}
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		_, err := change(ctx, tx, v.User.AsActor(), v.User.OrgID, id, ticked)
		return err
	}, v.Path("admin/groups", id)+"?"+done)
}
