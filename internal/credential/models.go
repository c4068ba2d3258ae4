package credential

import (
	_ "embed"
	"fmt"
	"strings"
)

// models names the models of authenticators: an AAGUID, a space and a name on each line. It is
// shipped, so that nobody has to be asked over the network.
//
//go:embed models.txt
var models string

// Model returns the name of the authenticator's model; empty if the authenticator does not say
// its model, or says one that is not known here.
func (p Passkey) Model() string {
	a := p.AAGUID()
	if len(a) != 16 {
		return ""
	}
	_, found, _ := strings.Cut(models, fmt.Sprintf("\n%x-%x-%x-%x-%x ", a[:4], a[4:6], a[6:8], a[8:10], a[10:]))
	name, _, _ := strings.Cut(found, "\n")
	return name
}
