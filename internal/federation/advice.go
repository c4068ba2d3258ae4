package federation

import (
	"slices"
	"strings"

	"parvis/internal/upstream"
)

// advices are the keys of advice that depends on the protocol, or on how the check
// failed, and not on the check alone.
var advices = []string{
	"federation.fix.email_verified.false",
	"federation.fix.signature.oidc", "federation.fix.issuer.oidc", "federation.fix.audience.oidc", "federation.fix.algorithm.oidc", "federation.fix.not_before.oidc",
	"federation.fix.issuer.saml.missing", "federation.fix.audience.saml.missing",
	"federation.fix.not_before.missing", "federation.fix.not_on_or_after.missing", "federation.fix.clock.missing",
	"federation.fix.destination.missing", "federation.fix.recipient.missing", "federation.fix.confirmation.missing",
	"federation.fix.structure.missing", "federation.fix.name_id.missing", "federation.fix.authn_context.missing",
	"federation.fix.expires.missing", "federation.fix.issued.missing",
}

// Advice returns the catalogue key of what to change so that a failed check passes.
func Advice(p Protocol, failed upstream.Check) string {
	key := "federation.fix." + failed.Name
	for _, special := range []string{string(p) + "." + how(failed), how(failed), string(p)} {
		if slices.Contains(advices, key+"."+special) {
			return key + "." + special
		}
	}
	return key
}

// how says in which way a check failed: the value was missing, or it was a plain no.
func how(failed upstream.Check) string {
	switch {
	case failed.Found == "" || strings.HasSuffix(failed.Found, " ×0"):
		return "missing"
	case strings.HasSuffix(failed.Found, ": false"):
		return "false"
	}
	return ""
}
