package mail

import (
	"cmp"
	"errors"
	netmail "net/mail"
	"strings"

	"parvis/internal/naming"
	"parvis/internal/picture"
)

// A Letterhead is what all letters of an organization have in common. The zero Letterhead is
// that of the installation.
type Letterhead struct {
	Organization string // its display name
	Contact      string // where its people ask for help; may be empty
	Logo         []byte // a PNG; nil for none
}

// ErrNoLetters is what a letterhead is answered for an organization that writes to nobody any more:
// its letters are given up.
var ErrNoLetters = errors.New("the organization writes to nobody any more")

// product is who writes what no organization does.
const product = "Parvis"

// A head is a letterhead that is ready to be put on letters.
type head struct {
	Letterhead
	sender netmail.Address
	logo   picture.PNG // on paper
}

func newHead(l Letterhead, from string) (head, error) {
	h := head{Letterhead: l, sender: netmail.Address{Name: cmp.Or(senderName(l.Organization), product), Address: from}}
	if len(l.Logo) == 0 {
		return h, nil
	}
	var err error
	h.logo, err = picture.OnPaper(l.Logo, picture.Letterhead)
	return h, err
}

// name is what stands on top of a letter, beside the logo.
func (h head) name() string { return cmp.Or(plain(h.Organization), product) }

// longestSender is as much of a sender's name as lists of letters show.
const longestSender = 64

// senderName returns what mail programs may show in place of our address. They often show
// nothing else, so a name that looks like an address of somebody else is not used, nor is one
// that a program could decode into another name (RFC 2047).
func senderName(organization string) string {
	name := clean(organization, longestSender)
	if strings.ContainsAny(name, "@＠﹫<>\"\\") || strings.Contains(name, "=?") {
		return ""
	}
	return name
}

// ask says whom to ask about a letter.
func (h head) ask(w writer, c content) []naming.Part {
	switch {
	case h.Organization == "":
		return []naming.Part{{Text: w.say("mail.ask.your_administrator")}}
	case h.Contact == "" && c.ToAdministrators:
		return []naming.Part{{Text: w.say("mail.ask.operator")}}
	case h.Contact == "":
		return []naming.Part{{Text: w.say("mail.ask.administrator", "Organization", h.Organization)}}
	}
	parts := []naming.Part{{Text: w.say("mail.ask.contact", "Organization", h.Organization) + " "}}
	for _, p := range naming.ContactParts(clean(h.Contact, naming.MaxContact)) {
		if p.Link == "" || c.ToStranger {
			p = naming.Part{Text: unlinked(p.Text)}
		}
		parts = append(parts, p)
	}
	return parts
}
