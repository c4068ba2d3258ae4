package page

import (
	"regexp"
	"strings"

	"parvis/internal/directory"
)

// Help says whom an organization's people can ask, in the organization's own words. It is the
// dot of the template "help".
type Help struct {
	Label string
	Parts []Part
}

// Part is a piece of text, and its link if it has one.
type Part struct{ Text, Link string }

// Which parts of a contact become links: addresses that are written out, in letters that cannot
// be mistaken for others, so that everybody sees where they lead.
var (
	plainAddress = regexp.MustCompile(`^[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)
	plainLink    = regexp.MustCompile(`^https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:[0-9]+)?(/[A-Za-z0-9._~/?#=&%+-]*)?$`)
)

// Help returns what an organization says about whom to ask; nil where it says nothing.
func (f Frame) Help(o directory.Organization) *Help {
	if o.Contact == "" {
		return nil
	}
	h := &Help{Label: f.T("page.ask_help")}
	for i, word := range strings.Split(o.Contact, " ") {
		if i > 0 {
			h.add(" ", "")
		}
		address := strings.Trim(word, "<>()[].,;:!?")
		before, after, _ := strings.Cut(word, address)
		switch {
		case plainAddress.MatchString(address):
			h.add(before, "")
			h.add(address, "mailto:"+address)
			h.add(after, "")
		case plainLink.MatchString(address):
			h.add(before, "")
			h.add(address, address)
			h.add(after, "")
		default:
			h.add(word, "")
		}
	}
	return h
}

// add appends a piece; pieces without a link are joined to one text.
func (h *Help) add(text, link string) {
	last := len(h.Parts) - 1
	switch {
	case text == "":
	case link == "" && last >= 0 && h.Parts[last].Link == "":
		h.Parts[last].Text += text
	default:
		h.Parts = append(h.Parts, Part{text, link})
	}
}
