package admin

import (
	"net/http"
	"net/url"
	"strings"

	"parvis/internal/api/form"
)

type groupsCommands struct {
	List    listGroupsCommand   `cmd:"" help:"List groups."`
	Create  createGroupCommand  `cmd:"" help:"Create a group."`
	Rename  renameGroupCommand  `cmd:"" help:"Rename a group."`
	Delete  deleteGroupCommand  `cmd:"" help:"Delete a group; its members stay."`
	Members listMembersCommand  `cmd:"" help:"List the members of a group."`
	Add     changeMemberCommand `cmd:"" help:"Add people to a group."`
	Remove  changeMemberCommand `cmd:"" help:"Remove people from a group."`
}

var groups = list[form.Group]{
	names: []string{"ID", "NAME", "MEMBERS", "CREATED"},
	row: func(g form.Group) []string {
		return []string{g.ID, g.Name, count(g.Members), moment(&g.CreatedAt)}
	},
	none: "No group yet.",
}

type listGroupsCommand struct{ shown }

// Run lists groups.
func (l *listGroupsCommand) Run(t *Terminal) error {
	c, err := l.open(t)
	if err != nil {
		return err
	}
	return groups.show(c, reads("/groups"), l.JSON)
}

// group returns the id of a group that is named by id or name.
func (c *client) group(named string) (string, error) {
	var all form.Page[form.Group]
	if _, err := c.into(reads("/groups"), &all); err != nil {
		return "", err
	}
	for _, g := range all.Items {
		if g.ID == named || strings.EqualFold(g.Name, named) {
			return g.ID, nil
		}
	}
	return "", unknown("no group here is called " + named)
}

// groupAt returns a client and the path of a group.
func (w where) groupAt(t *Terminal, named string) (*client, string, error) {
	c, err := w.open(t)
	if err != nil {
		return nil, "", err
	}
	id, err := c.group(named)
	return c, "/groups/" + url.PathEscape(id), err
}

// oneGroup calls an operation that answers with a group, and shows it.
func (t tried) oneGroup(c *client, q request) error {
	var g form.Group
	r, err := c.into(q, &g)
	if err != nil {
		return err
	}
	t.changed(c)
	return t.print(c, r, func() error {
		return facts(c.t.Out, "ID", g.ID, "Name", g.Name, "Members", count(g.Members))
	})
}

type createGroupCommand struct {
	tried
	Name string `arg:"" help:"Its name."`
}

// Run creates a group.
func (g *createGroupCommand) Run(t *Terminal) error {
	c, err := g.open(t)
	if err != nil {
		return err
	}
	return g.oneGroup(c, writes(http.MethodPost, "/groups", form.GroupSettings{Name: g.Name}, g.DryRun))
}

type renameGroupCommand struct {
	tried
	Group string `arg:"" help:"ID or name."`
	Name  string `arg:"" help:"New name."`
}

// Run renames a group.
func (g *renameGroupCommand) Run(t *Terminal) error {
	c, path, err := g.groupAt(t, g.Group)
	if err != nil {
		return err
	}
	return g.oneGroup(c, writes(http.MethodPatch, path, form.GroupSettings{Name: g.Name}, g.DryRun))
}

type deleteGroupCommand struct {
	tried
	Group string `arg:"" help:"ID or name."`
}

// Run deletes a group.
func (g *deleteGroupCommand) Run(t *Terminal) error {
	_, path, err := g.groupAt(t, g.Group)
	if err != nil {
		return err
	}
	return g.silently(t, writes(http.MethodDelete, path, nil, g.DryRun), "Deleted.")
}

type listMembersCommand struct {
	shown
	Group string `arg:"" help:"ID or name."`
}

// Run lists the members of a group.
func (g *listMembersCommand) Run(t *Terminal) error {
	c, path, err := g.groupAt(t, g.Group)
	if err != nil {
		return err
	}
	q := reads(path + "/members")
	q.query.Set("limit", mostOfPage)
	return people.show(c, q, g.JSON)
}
