package federation_test

import (
	"slices"
	"testing"

	"parvis/internal/federation"
)

// A change is applied to a connection and again to its copy in a transaction, which may run twice: each
// time it must say the same.
func TestDetailsThatAreSetTwiceStayTheSame(t *testing.T) {
	d := federation.Details{Scopes: []string{"openid", "email", "profile"}}
	for range 2 {
		c := federation.Connection{Protocol: federation.OIDC}
		if err := d.Change(&c); err != nil {
			t.Fatal(err)
		}
		if want := []string{"email", "profile"}; !slices.Equal(c.OIDC.Scopes, want) {
			t.Errorf("scopes are %q, want %q", c.OIDC.Scopes, want)
		}
	}
}
