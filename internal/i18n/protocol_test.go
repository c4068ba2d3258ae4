package i18n

import (
	"regexp"
	"strings"
	"testing"
)

// The names of standards and the words of protocols, in both languages. People who sign in, or
// look after people, need none of them.
var ofProtocols = regexp.MustCompile(`(?i:\b(openid( connect)?|oidc|saml|totp|webauthn|fido2?|pkce|scim|oauth|rfc|nist|asvs|jwts?|jwks|json|xml|dns|txt|tls|smtp|https?|ur[il]s?|pem|base64|dpop|cbc|` +
	`tokens?|jetons?|claims?|scopes?|nonces?|redirects?|redirections?|issuers?|metadata|métadonnées|endpoints?|nameid|assertions?|userinfo|audience|entity id|client id|hash(es)?|back-channel|front-channel)\b)|\bPAR\b|\w_ur[il]s?\b`)

// Where they are set up they may be named: single sign-on with its domains, and applications; what
// the command line says of an application; the letters about both; and what programs call the
// administration with.
var named = []string{
	"console.sso.", "console.trust.", "console.setup.", "console.attempts.", "console.domain.", "directory.proof_", "federation.",
	"console.application.", "console.setting.", "op.mismatch.", "op.setting.", "op.field.", "op.address.", "op.channel.", "op.unreachable.", "op.client_taken",
	"mail.federation.", "mail.domain.", "mail.connection_setup.",
	"api.", "scim.", "intake.", "console.audit.format.", "console.check.", "access.", "console.access.", "audit.action.token.", "audit.object.token", "audit.field.token", "audit.action.source.",
	"provisioning.", "console.provisioning.", "mail.source.", "webhook.", "console.webhook.",
}

// Sentences that may say such a word elsewhere, with the reason.
var namedElsewhere = map[string]string{
	"console.organization.contact_why": "says how to type a link",
}

// Where they are named, a plain word stands beside them, except for what are names of others.
var onlyNames = []string{"federation.protocol.", "federation.label.", "console.setting.algorithm.", "console.setting.auth.", "federation.method.", "op.mismatch."}

func TestStandardsAreNamedOnlyWhereTheyAreSetUpAndBesideThePlainWord(t *testing.T) {
	begins := func(key string, with []string) bool {
		for _, prefix := range with {
			if strings.HasPrefix(key, prefix) {
				return true
			}
		}
		return false
	}
	plain := regexp.MustCompile(`\p{L}{3,}`)
	for tag, texts := range load(t).texts {
		for key, m := range texts.every() {
			for _, text := range m.every() {
				var sentence strings.Builder
				for i := 0; i < len(text); i += 2 {
					sentence.WriteString(text[i] + " ")
				}
				words := ofProtocols.FindAllString(sentence.String(), -1)
				switch {
				case len(words) == 0 || namedElsewhere[key] != "":
				case !begins(key, named):
					t.Errorf("%s: %s says %q to people who need not know: %q", tag, key, words, sentence.String())
				case !begins(key, onlyNames) && !plain.MatchString(ofProtocols.ReplaceAllString(sentence.String(), "")):
					t.Errorf("%s: %s has no plain word beside %q", tag, key, words)
				}
			}
		}
	}
}
