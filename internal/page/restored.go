package page

import "time"

// Restored is when and by whom the database was last restored, as owners read it.
type Restored struct {
	At     time.Time
	MadeAt time.Time // of the backup; zero for a database that was put back by hand
	By     string
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
