package saml

import (
	"encoding/json"
	"strings"

	"github.com/beevik/etree"
)

// The NameID formats that we know (Core §8.3).
const (
	FormatUnspecified  = "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"
	FormatEmailAddress = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
	FormatPersistent   = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	FormatTransient    = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
)

const maxNameID = 1024

// A nameID is a provider's name for a person (Core §2.2.3).
type nameID struct{ value, format, qualifier, spQualifier string }

// readNameID takes the whole text, exactly as it is. It drops a qualifier that means the same as
// none (Core §8.3.7), because providers send it in one message and not in the next.
func readNameID(el *etree.Element, e Expectation) (nameID, error) {
	value, ok := text(el)
	if !ok || squeeze(value) == "" || len(value) > maxNameID {
		return nameID{}, finding{"name_id", "saml:NameID", value}
	}
	id := nameID{value, attr(el, "Format"), attr(el, "NameQualifier"), attr(el, "SPNameQualifier")}
	if id.spQualifier != "" && id.spQualifier != e.ServiceProvider.EntityID {
		return nameID{}, finding{"name_id", "SPNameQualifier=" + e.ServiceProvider.EntityID, "SPNameQualifier=" + id.spQualifier}
	}
	id.spQualifier = ""
	if id.format == "" {
		id.format = FormatUnspecified
	}
	if id.qualifier == e.Connection.EntityID {
		id.qualifier = ""
	}
	return id, nil
}

// subject encodes what names a person, so that different names differ (R-SML-08).
func (id nameID) subject() string {
	joined, err := json.Marshal([]string{id.format, id.qualifier, id.value})
	if err != nil {
		panic(err) // strings always encode
	}
	return string(joined)
}

// SameSubject reports whether a logout message names the subject that a session was opened for.
// It ignores an unspecified format (Core §8.3.1), a missing qualifier, and white space around
// the name, because products write one person's name differently in different messages. A
// sign-in, by contrast, compares every byte.
func SameSubject(opened, named string) bool {
	a, errA := parseSubject(opened)
	b, errB := parseSubject(named)
	agree := func(x, y, nothing string) bool { return x == y || x == nothing || y == nothing }
	return errA == nil && errB == nil && strings.TrimSpace(a.value) == strings.TrimSpace(b.value) &&
		agree(a.format, b.format, FormatUnspecified) && agree(a.qualifier, b.qualifier, "")
}

// parseSubject undoes subject, to name the person to the provider.
func parseSubject(subject string) (nameID, error) {
	var parts [3]string
	if err := json.Unmarshal([]byte(subject), &parts); err != nil {
		return nameID{}, err
	}
	return nameID{format: parts[0], qualifier: parts[1], value: parts[2]}, nil
}

// SubjectName returns the NameID in a subject as the provider wrote it, for people to read.
func SubjectName(subject string) string {
	id, err := parseSubject(subject)
	if err != nil {
		return subject
	}
	return id.value
}
