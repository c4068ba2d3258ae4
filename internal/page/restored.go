package page

import (
	"time"

	"parvis/internal/directory"
)

// Restored is when and by whom the database was last restored, as owners read it.
type Restored struct {
	At     time.Time
	MadeAt time.Time // of the backup; zero for a database that was put back by hand
	By     string
}

// saysRestored is for how long owners read that the database was restored.
const saysRestored = 30 * 24 * time.Hour

// ToldOfRestore reports whether a viewer is now to read that the database was restored at a time: an owner
// of an organization that was there then, whose log says what was done. It never was at the zero time.
func (v *Viewer) ToldOfRestore(at, now time.Time) bool {
	return v.User.Role == directory.Owner && v.Organization.CreatedAt.Before(at) && now.Sub(at) < saysRestored
}

// Text returns the sentence that says so.
func (r Restored) Text(v *Viewer) string {
	if r.MadeAt.IsZero() {
		return v.Text("page.put_back", "When", v.Date(r.At), "Who", r.By)
	}
	return v.Text("page.restored", "When", v.Date(r.At), "Who", r.By, "From", v.Date(r.MadeAt))
}

// Path is where the log says what was done.
func (r Restored) Path(v *Viewer) string { return v.Path("admin/audit") + "?q=audit.restored" }
