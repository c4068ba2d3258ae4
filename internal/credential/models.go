package credential

import (
	_ "embed"
	"fmt"
	"strings"
)

// models names the models of authenticators: an AAGUID, a space and a name on
// each line. It is shipped, so that nothing is asked of the network.
//
//go:embed models.txt
var models string

// Model is the name of the authenticator's model; empty where the authenticator
// does not say, or says one that is not known here.
func (p Passkey) Model() string {
	a := p.AAGUID()
	if len(a) != 16 {
		return ""
	}
	_, found, _ := strings.Cut(models, fmt.Sprintf("\n%x-%x-%x-%x-%x ", a[:4], a[4:6], a[6:8], a[8:10], a[10:]))
	name, _, _ := strings.Cut(found, "\n")
	return name
}
