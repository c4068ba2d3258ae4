package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"parvis/internal/expect"
	"parvis/internal/secret"
)

// The answer at identityPath has the same names whatever is set, and another value for another setting.
func TestStrangersDoNotLearnWhichSettingsAreSet(t *testing.T) {
	keys := secret.NewKeys()
	proofs := func(env ...string) map[string]string {
		plan := loadConfig(servingFlags{}, append(env, "PARVIS_PUBLIC_ADDRESS=http://localhost:8080")).check()
		return sameProofs(keys.Lookup.Current(), "nonce", plan.shared)
	}
	few, more := proofs(), proofs("PARVIS_LINKS_HELP=https://help.your-company.com", "PARVIS_OUTBOUND_ALLOW=idp.your-company.lan", "PARVIS_REGION=eu")
	expect.Equal(t, "names", strings.Join(slices.Sorted(maps.Keys(more)), " "), strings.Join(slices.Sorted(maps.Keys(few)), " "))
	const help = "[links] help"
	if few[help] == "" || few[help] == more[help] {
		t.Errorf("one that is set is %q, and %q where it is not", more[help], few[help])
	}
}

// Of a server of another version, or of one from before settings were proved, no setting is known.
func TestSettingsOfAnotherVersionAreNotCompared(t *testing.T) {
	keys := secret.NewKeys()
	const nonce = "n_1"
	ours := map[string]string{versionName: "2", "[links] help": "https://help.your-company.com"}
	for name, c := range map[string]struct {
		has  map[string]string
		want string
	}{
		"the same":                {ours, ""},
		"another setting":         {map[string]string{versionName: "2", "[links] help": "https://other.your-company.com"}, "[links] help"},
		"another version":         {map[string]string{versionName: "1", "[links] help": "https://other.your-company.com", "new": "x"}, versionName},
		"one that proves nothing": {nil, versionName},
	} {
		k := keys.Lookup.Current()
		i := identity{Proof: identityProof(k, nonce), Same: sameProofs(k, nonce, c.has)}
		expect.Equal(t, name, strings.Join(i.differs(keys, nonce, ours), " "), c.want)
	}
}
