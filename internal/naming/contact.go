package naming

import (
	"regexp"
	"strings"
)

// A Part is a piece of a text, and its link if it has one.
type Part struct{ Text, Link string }

// Which parts of a contact become links: addresses that are written out, in letters that cannot
// be mistaken for others, so that everybody sees where they lead.
var (
	plainAddress = regexp.MustCompile(`^[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)
	plainLink    = regexp.MustCompile(`^https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+(:[0-9]+)?(/[A-Za-z0-9._~/?#=&%+-]*)?$`)
)

// ContactParts cuts what an organization says about where to ask for help into text and links.
func ContactParts(contact string) []Part {
	if contact == "" {
		return nil
	}
	var parts []Part
	add := func(text, link string) {
		last := len(parts) - 1
		switch {
		case text == "":
		case link == "" && last >= 0 && parts[last].Link == "":
			parts[last].Text += text // pieces without a link are joined to one text
		default:
			parts = append(parts, Part{text, link})
		}
	}
	for i, word := range strings.Split(contact, " ") {
		if i > 0 {
			add(" ", "")
		}
		address := strings.Trim(word, "<>()[].,;:!?")
		before, after, _ := strings.Cut(word, address)
		switch {
		case plainAddress.MatchString(address):
			add(before, "")
			add(address, "mailto:"+address)
			add(after, "")
		case plainLink.MatchString(address):
			add(before, "")
			add(address, address)
			add(after, "")
		default:
			add(word, "")
		}
	}
	return parts
}
