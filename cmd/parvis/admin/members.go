package admin

import (
	"fmt"
	"net/http"
	"net/url"

	"github.com/alecthomas/kong"
)

// changeMemberCommand adds people to a group, or removes them.
type changeMemberCommand struct {
	tried
	Group  string   `arg:"" help:"ID or name."`
	People []string `arg:"" name:"person" help:"IDs or addresses."`
}

// Run changes one after the other, and goes on past those for whom it is refused.
func (m *changeMemberCommand) Run(t *Terminal, k *kong.Context) error {
	c, group, err := m.groupAt(t, m.Group)
	if err != nil {
		return err
	}
	method, said := http.MethodPut, "added"
	if k.Selected().Name == "remove" {
		method, said = http.MethodDelete, "removed"
	}
	done := 0
	for _, named := range m.People {
		id, err := c.person(named)
		if err == nil {
			_, err = c.call(writes(method, group+"/members/"+url.PathEscape(id), nil, m.DryRun))
		}
		switch {
		case err != nil && (len(m.People) == 1 || !refused(err)):
			return err
		case err != nil:
			fmt.Fprintf(t.Err, "%s: %v\n", named, err)
			continue
		case !m.JSON && !m.DryRun:
			fmt.Fprintf(t.Out, "%s: %s\n", printable(named), said)
		}
		done++
	}
	m.changed(c)
	return partly(done, len(m.People))
}
