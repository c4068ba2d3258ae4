package federation_test

import (
	"testing"

	crewjam "github.com/crewjam/saml"

	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/idptest"
)

// attribute makes one more attribute of an assertion, with one value.
func attribute(name, value string) crewjam.Attribute {
	return crewjam.Attribute{
		Name: name, NameFormat: "urn:oasis:names:tc:SAML:2.0:attrname-format:basic",
		Values: []crewjam.AttributeValue{{Type: "xs:string", Value: value}},
	}
}

// A common product's default is one attribute for each role. Their values join, and an attribute that
// nothing is read from keeps nobody out.
func TestRolesThatComeOneByOneAreRead(t *testing.T) {
	w := start(t)
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates, func(c *federation.Connection) error {
		c.Mapping.Groups, c.Mapping.Roles = "Role", []federation.GroupRole{{Group: "desk", Role: directory.Helpdesk}}
		return nil
	})
	says := func(more ...crewjam.Attribute) func(*crewjam.Assertion) {
		return func(a *crewjam.Assertion) {
			a.AttributeStatements[0].Attributes = append(a.AttributeStatements[0].Attributes, more...)
		}
	}
	u := person("new@alpha.example")
	u.Change = says(attribute("Role", "uma_authorization"), attribute("Role", "desk"), attribute("shoe", "42"), attribute("Shoe", "43"), attribute("shoe", "44"))
	idptest.Want(t, w.enter(w.Browser(t), idp, c, u), idptest.Path("/o/alpha/home"))
	if role := w.user(w.org, "new@alpha.example").Role; role != directory.Helpdesk {
		t.Errorf("the role is %s", role)
	}
	// An attribute that we read can still be read in only one way.
	u.Change = says(attribute("Role", "desk"), attribute("role", "other"))
	b := w.Browser(t)
	w.refused(b, w.enter(b, idp, c, u), c, "attributes")
	u.Change = says(attribute("email", "eve@alpha.example"))
	u.NameID = "another"
	b = w.Browser(t)
	w.refused(b, w.enter(b, idp, c, u), c, "attributes") // the format is another
}
