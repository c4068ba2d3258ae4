package credential

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"

	"github.com/go-webauthn/webauthn/webauthn"
)

// ofModel returns a passkey whose authenticator says that it is of a model.
func ofModel(t *testing.T, aaguid string) Passkey {
	t.Helper()
	bytes, err := hex.DecodeString(strings.ReplaceAll(aaguid, "-", ""))
	if err != nil {
		t.Fatal(err)
	}
	return Passkey{record: webauthn.Credential{Authenticator: webauthn.Authenticator{AAGUID: bytes}}}
}

func TestModelsOfAuthenticatorsAreNamedWhereTheyAreKnown(t *testing.T) {
	for aaguid, want := range map[string]string{
		"fbfc3007-154e-4ecc-8c0b-6e020557d7bd": "iCloud Keychain", // the first and the last of the list
		"42b4fb4a-2866-43b2-9bf7-6c6669c2e5d3": "Google Titan Security Key",
		"08987058-cadc-4b81-b6e1-30de50dcbe96": "Windows Hello",
		"00000000-0000-0000-0000-000000000000": "",
		"01020304-0506-0708-090a-0b0c0d0e0f10": "",
		"fbfc3007":                             "",
		"":                                     "",
	} {
		if got := ofModel(t, aaguid).Model(); got != want {
			t.Errorf("%s is %q, want %q", aaguid, got, want)
		}
	}
}

func TestEveryLineOfTheModelsIsFound(t *testing.T) {
	line := regexp.MustCompile(`^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) (\S.*\S)$`)
	seen := map[string]bool{}
	for text := range strings.Lines(models) {
		text = strings.TrimSuffix(text, "\n")
		if strings.HasPrefix(text, "#") {
			continue
		}
		m := line.FindStringSubmatch(text)
		switch {
		case m == nil:
			t.Errorf("%q is no line of the list", text)
		case seen[m[1]]:
			t.Errorf("%s stands twice", m[1])
		case ofModel(t, m[1]).Model() != m[2]:
			t.Errorf("%s is named %q, want %q", m[1], ofModel(t, m[1]).Model(), m[2])
		default:
			seen[m[1]] = true
		}
	}
	if len(seen) < 30 {
		t.Errorf("only %d models", len(seen))
	}
}
