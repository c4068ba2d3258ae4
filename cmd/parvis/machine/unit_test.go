package machine_test

import (
	"strings"
	"testing"

	"parvis/cmd/parvis/machine"
)

// What is added to a unit counts as systemd counts it: the last word of a setting, and all folders of a
// list unless an empty line empties it.
func TestWhatAUnitMayWrite(t *testing.T) {
	const strict = "[Service]\nExecStart=/usr/bin/parvis serve --config /etc/parvis/parvis.toml\nUser=parvis\nProtectSystem=strict\nProtectHome=yes\nStateDirectory=parvis\n"
	at := func(folder string) string { return strict + "Environment=PARVIS_DATA=" + folder + "\n" }
	for name, c := range map[string]struct{ unit, folder, owner, says string }{
		"its own folder":                 {at("/var/lib/parvis"), "/var/lib/parvis", "parvis", ""},
		"a folder below it":              {at("/var/lib/parvis/eu"), "/var/lib/parvis/eu", "parvis", ""},
		"a folder beside it":             {at("/var/lib/parvis-eu"), "/var/lib/parvis-eu", "parvis", "ReadWritePaths=/var/lib/parvis-eu"},
		"a disk of its own":              {at("/srv/parvis"), "/srv/parvis", "parvis", "ReadWritePaths=/srv/parvis"},
		"which is named":                 {at("/srv/parvis") + "ReadWritePaths=-/srv", "/srv/parvis", "parvis", ""},
		"which is named no more":         {at("/srv/parvis") + "ReadWritePaths=/srv\nReadWritePaths=", "/srv/parvis", "parvis", "ReadWritePaths=/srv/parvis"},
		"without protection":             {at("/srv/parvis") + "ProtectSystem=full", "/srv/parvis", "parvis", ""},
		"a home":                         {at("/home/parvis") + "ReadWritePaths=/home/parvis", "/home/parvis", "parvis", "ProtectHome=no"},
		"a home that is seen":            {at("/home/parvis") + "ReadWritePaths=/home/parvis\nProtectHome=no", "/home/parvis", "parvis", ""},
		"another owner":                  {at("/var/lib/parvis"), "/var/lib/parvis", "root", "chown -R parvis: /var/lib/parvis"},
		"an owner that is not known":     {at("/var/lib/parvis"), "/var/lib/parvis", "", ""},
		"the folder of another":          {at("/var/lib/parvis"), "/srv/parvis", "root", ""},
		"a folder as an argument":        {strict + "ExecStart=\nExecStart=/usr/bin/parvis serve --data=/srv/parvis", "/srv/parvis", "parvis", "ReadWritePaths=/srv/parvis"},
		"a unit that says nothing of it": {strict, "/srv/parvis", "root", ""},
	} {
		said := machine.ReadUnit(c.unit).Trouble(c.folder, c.owner)
		if (said == "") != (c.says == "") || !strings.Contains(said, c.says) {
			t.Errorf("%s: %q, want %q", name, said, c.says)
		}
	}
}
