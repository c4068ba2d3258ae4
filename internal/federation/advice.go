package federation

import (
	"slices"
	"strings"

	"parvis/internal/federation/upstream"
)

// advices are what to change where the check alone does not say it: it depends on the
// protocol, or on how the check failed.
var advices = []string{
	"federation.fix.email_verified.false",
}

// Advice is the catalogue key of what to change so that a check which failed holds.
func Advice(p Protocol, failed upstream.Check) string {
	key := "federation.fix." + failed.Name
	for _, special := range []string{how(failed), string(p)} {
		if slices.Contains(advices, key+"."+special) {
			return key + "." + special
		}
	}
	return key
}

// how a check failed: what it looks for was not there, or said no itself.
func how(failed upstream.Check) string {
	switch {
	case failed.Found == "":
		return "missing"
	case strings.HasSuffix(failed.Found, ": false"):
		return "false"
	}
	return ""
}
