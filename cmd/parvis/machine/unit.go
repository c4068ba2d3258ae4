package machine

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Unit is what systemd knows about the service, as far as it decides about the data folder.
type Unit struct {
	user   string
	data   string   // where the service has its data; empty where the unit does not say
	strict bool     // nothing is written but what is named
	homes  bool     // nothing below /home is seen
	writes []string // folders that may be written
}

// Service returns the unit of the service on this machine; false where there is none.
func Service(ctx context.Context) (Unit, bool) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	text, err := exec.CommandContext(ctx, "systemctl", "cat", "parvis.service").Output()
	if err != nil {
		return Unit{}, false
	}
	return ReadUnit(string(text)), true
}

// ReadUnit reads a unit with what was added to it, in the order in which systemd does.
func ReadUnit(text string) (u Unit) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.TrimSpace(value)
		switch name {
		case "User":
			u.user = value
		case "ProtectSystem":
			u.strict = value == "strict"
		case "ProtectHome":
			u.homes = value != "no" && value != "false" && value != "off" && value != "0" && value != ""
		case "StateDirectory":
			for _, folder := range strings.Fields(value) {
				u.writes = append(u.writes, filepath.Join("/var/lib", folder))
			}
		case "ReadWritePaths":
			if value == "" {
				u.writes = slices.DeleteFunc(u.writes, func(folder string) bool { return !strings.HasPrefix(folder, "/var/lib/") })
			}
			for _, folder := range strings.Fields(value) {
				u.writes = append(u.writes, filepath.Clean(strings.TrimLeft(folder, "-+")))
			}
		case "Environment":
			for _, one := range strings.Fields(value) {
				if folder, ok := strings.CutPrefix(strings.Trim(one, `"'`), "PARVIS_DATA="); ok {
					u.data = folder
				}
			}
		case "ExecStart":
			if words := strings.Fields(strings.ReplaceAll(value, "--data=", "--data ")); slices.Contains(words, "--data") {
				u.data = append(words, "")[slices.Index(words, "--data")+1]
			}
		}
	}
	return u
}

// Trouble says what keeps the service from its data folder, which belongs to owner as far as that is
// known. A unit that has its data elsewhere starts another installation.
func (u Unit) Trouble(folder, owner string) string {
	folder, err := filepath.Abs(folder)
	if err != nil || filepath.Clean(u.data) != folder {
		return ""
	}
	within := func(parent string) bool {
		return folder == parent || strings.HasPrefix(folder, strings.TrimSuffix(parent, "/")+"/")
	}
	switch {
	case u.homes && (within("/home") || within("/root") || within("/run/user")):
		return fmt.Sprintf("the unit parvis.service does not see %s (ProtectHome): run 'systemctl edit parvis', and write [Service] ProtectHome=no; or move the data.", folder)
	case u.strict && !slices.ContainsFunc(u.writes, within):
		return fmt.Sprintf("the unit parvis.service may not write to %s (ProtectSystem=strict): run 'systemctl edit parvis', and write [Service] ReadWritePaths=%s", folder, folder)
	case u.user != "" && owner != "" && u.user != owner:
		return fmt.Sprintf("%s belongs to %s, but the unit parvis.service runs as %s: chown -R %s: %s", folder, owner, u.user, u.user, folder)
	}
	return ""
}
