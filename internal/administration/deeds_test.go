package administration_test

import (
	"strings"
	"testing"

	"parvis/internal/expect"
)

// A deed that is added is grave or is not: this test asks which.
func TestGraveDeedsCloseAWayInOrGiveEveryRight(t *testing.T) {
	t.Parallel()
	var grave []string
	for _, d := range everyDeed() {
		if d.Grave {
			grave = append(grave, d.Name)
		}
	}
	expect.Equal(t, "grave", strings.Join(grave, " "), "deactivate delete role-owner")
}
