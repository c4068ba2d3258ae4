package federation

import (
	"strings"
	"testing"

	"parvis/internal/i18n"
	"parvis/internal/upstream"
)

// Every special advice is in the catalogues and can be reached: one that no failed check leads to
// would never be read.
func TestAdviceFitsTheProtocolAndWhatIsMissing(t *testing.T) {
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range advices {
		for _, language := range catalogue.Languages() {
			if strings.HasPrefix(catalogue.In(language.Tag).Text(key), "[") {
				t.Errorf("the catalogue in %s has no %s", language.Tag, key)
			}
		}
	}
	for _, m := range []struct {
		protocol          Protocol
		name, found, want string
	}{
		{SAML, "signature", "x", "signature"},
		{OIDC, "signature", "", "signature.oidc"},
		{SAML, "issuer", "https://other.example", "issuer"},
		{SAML, "issuer", "", "issuer.saml.missing"},
		{OIDC, "issuer", "", "issuer.oidc"},
		{SAML, "not_before", "", "not_before.missing"},
		{SAML, "not_before", "2026-11-22T09:05:00Z", "not_before"},
		{SAML, "not_on_or_after", "", "not_on_or_after.missing"},
		{SAML, "name_id", "", "name_id.missing"},
		{SAML, "structure", "saml:Conditions ×0", "structure.missing"},
		{SAML, "structure", "saml:Conditions ×2", "structure"},
		{OIDC, "email_verified", "email_verified: false", "email_verified.false"},
		{OIDC, "email_verified", "ada@alpha.example", "email_verified"},
		{SAML, "domain", "", "domain"},
	} {
		got := Advice(m.protocol, upstream.Check{Name: m.name, Found: m.found})
		if got != "federation.fix."+m.want {
			t.Errorf("%s %s found %q: %s, want %s", m.protocol, m.name, m.found, got, m.want)
		}
	}
}
