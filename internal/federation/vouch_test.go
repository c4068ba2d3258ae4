package federation_test

import (
	"testing"

	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/idptest"
)

// vouches sets that the administrator vouches for the provider's addresses.
func vouches(c *federation.Connection) error {
	c.Vouches = true
	return nil
}

// emailFrom takes the address from another attribute.
func emailFrom(name string) federation.Change {
	return func(c *federation.Connection) error {
		c.Mapping.Email = name
		return nil
	}
}

// RPO-4: a provider's no to an address counts more than the administrator's yes to all, and its word
// about its claim email counts for no other claim.
func TestRPO4TheProvidersOwnNoCountsMore(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	i := w.issuer(nil)
	w.allow(i.host())
	vouching := w.oidcConnection(w.org, i, vouches)
	for name, claims := range map[string]map[string]any{
		"a boolean":      {"email_verified": false},
		"a text":         {"email_verified": "False"},
		"a number":       {"email_verified": 0},
		"Entra's":        {"email_verified": nil, "xms_edov": false},
		"Entra's number": {"email_verified": true, "xms_edov": 0},
	} {
		t.Run(name, func(t *testing.T) {
			said := claimsOf("sub of "+name, ada)
			for claim, value := range claims {
				said[claim] = value
			}
			b := w.Browser(t)
			trace := w.refused(b, w.enterOIDC(b, i, vouching, said), vouching, "email_verified")
			wrong := trace.Checks[len(trace.Checks)-1]
			if got := federation.Advice(federation.OIDC, wrong); got != "federation.fix.email_verified.false" {
				t.Errorf("%+v is answered with %s", wrong, got)
			}
		})
	}

	// The provider speaks of email, and not of the address that is taken.
	byName := w.oidcConnection(w.org, i, emailFrom("preferred_username"))
	said := claimsOf("eve", "eve@evil.example")
	said["preferred_username"] = ada
	b := w.Browser(t)
	w.refused(b, w.enterOIDC(b, i, byName, said), byName, "email_verified")
	said["email"] = "Ada@alpha.example"
	idptest.Want(t, w.enterOIDC(w.Browser(t), i, byName, said), idptest.Path("/o/alpha/home"))

	// With SAML it is the same; where the provider says nothing, the administrator's word counts.
	idp := w.idp()
	bySAML := w.samlConnection(w.org, idp)
	b = w.Browser(t)
	w.refused(b, w.enter(b, idp, bySAML, person(ada, "email_verified", "false")), bySAML, "email_verified")
	idptest.Want(t, w.enter(w.Browser(t), idp, bySAML, person(ada, "email_verified", "true")), idptest.Path("/o/alpha/home"))
}
