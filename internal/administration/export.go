package administration

import (
	"context"
	"strings"
	"time"

	"parvis/internal/administration/sheet"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
)

// ExportedFreely is how many people may be exported without a fresh proof.
const ExportedFreely = 500

// exportedColumns are the same in every language, so that two files can be compared and a script
// can read them. Invitations read the first three and the language from such a file.
var exportedColumns = []string{"email", "name", "role", "state", "language", "created_utc", "last_sign_in_utc", "given_name", "family_name", "external_id"}

// Export is the beginning of the list of people, as so many rows of a table.
type Export struct {
	Query Query
	Rows  int
	Into  *sheet.Table
}

// ExportPeople writes people into a table, after it recorded that the actor has them. The actor's
// right is read again for each page.
func (s *Service) ExportPeople(ctx context.Context, actor directory.Actor, org directory.OrgID, x Export) error {
	err := s.DB.Update(ctx, func(tx *db.Tx) error {
		if err := actor.MayRead(ctx, tx, org); err != nil {
			return err
		}
		e := actor.Event(org, "people.exported")
		e.Target = string(org)
		e.After = audit.Fields{"rows": x.Rows, "filter": x.Query.filter(), "search": x.Query.Text}
		return audit.Record(ctx, tx, e)
	})
	if err == nil {
		err = x.Into.Rows(exportedColumns)
	}
	if err != nil {
		return err
	}
	now := s.DB.Now()
	x.Query.Uncounted = x.Rows > MostCounted
	return s.eachPage(ctx, actor, org, x.Query, func(lines []Line) (bool, error) {
		lines = lines[:min(len(lines), x.Rows)]
		x.Rows -= len(lines)
		cells := make([][]string, 0, len(lines))
		for _, l := range lines {
			cells = append(cells, l.cells(now))
		}
		return x.Rows > 0, x.Into.Rows(cells...)
	})
}

// eachPage calls f for each page of the list until f says that it has enough. Each page is read by
// itself: a list of 100,000 people needs no memory, and keeps nobody from writing.
func (s *Service) eachPage(ctx context.Context, actor directory.Actor, org directory.OrgID, q Query, f func([]Line) (more bool, err error)) error {
	for {
		var p Page
		err := s.DB.View(ctx, func(tx *db.Tx) (err error) {
			p, err = People(ctx, tx, actor, org, q)
			return err
		})
		if err != nil {
			return err
		}
		if more, err := f(p.Lines); err != nil || !more || p.Next == (Place{}) {
			return err
		}
		q.After = p.Next
	}
}

// filter says in the audit log which people a query is for, except for the text they have in
// common, which may be personal.
func (q Query) filter() string {
	var all []string
	for _, part := range []struct{ name, value string }{
		{"state", string(q.State)}, {"role", string(q.Role)}, {"group", q.Group}, {"outside", q.Outside}, {"second step", string(q.SecondStep)}, {"way in", string(q.WayIn)}, {"last sign-in before", instant(q.SignedInBefore)},
	} {
		if part.value != "" {
			all = append(all, part.name+": "+part.value)
		}
	}
	return strings.Join(all, ", ")
}

// cells returns what a table has of a line.
func (l Line) cells(now time.Time) []string {
	if i := l.Invitation; i != nil {
		state := "invitation " + strings.ReplaceAll(string(i.State(now)), "_", " ")
		return []string{i.Email, i.Name, string(i.Role), state, string(i.Language), instant(i.CreatedAt), "", "", "", ""}
	}
	u, state := l.User, Active
	switch {
	case !present(*u):
		state = Deleted
	case !active(*u):
		state = Deactivated
	}
	return []string{u.Email, u.Name, string(u.Role), string(state), string(u.Language), instant(u.CreatedAt), instant(u.LastSignInAt), u.GivenName, u.FamilyName, u.ExternalID}
}

// instant writes an instant as spreadsheets read it.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateTime)
}
