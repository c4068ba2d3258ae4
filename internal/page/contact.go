package page

import (
	"parvis/internal/directory"
	"parvis/internal/naming"
)

// Help says whom an organization's people can ask, in the organization's own words. It is the
// dot of the template "help".
type Help struct {
	Label string
	Parts []naming.Part
}

// Help returns what an organization says about whom to ask; nil where it says nothing.
func (f Frame) Help(o directory.Organization) *Help {
	if o.Contact == "" {
		return nil
	}
	return &Help{Label: f.T("page.ask_help"), Parts: naming.ContactParts(o.Contact)}
}
