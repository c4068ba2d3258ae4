package administration

import (
	"context"
	"fmt"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/mail"
	"parvis/internal/session"
)

const (
	// OverviewDays is how many days the overview shows, today among them. Each begins at
	// midnight in UTC, for all its readers alike.
	OverviewDays = 30
	// overdue is how long a letter waits before it needs attention.
	overdue = 15 * time.Minute
	// refusedWithin is how long a refused letter needs attention.
	refusedWithin = 30 * 24 * time.Hour
)

// Overview is what an organization's administrators see first. What rooms above this one know,
// providers and applications that fail, is theirs to say.
type Overview struct {
	Days []time.Time // the days that are shown, oldest first

	NoContact bool             // nobody entered whom its people ask for help
	Backlog   mail.Backlog     // letters that do not leave
	Refusing  []directory.User // whose mail server refuses letters, the last refused first

	Counts      []audit.Count // sign-ins, sign-ins to applications, accepted invitations
	Active      []session.Day
	Ownings     []directory.Owning
	Invitations map[directory.InvitationState]int // of the newest that are open
}

// OverviewOf returns the overview of an organization.
func OverviewOf(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) (Overview, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return Overview{}, err
	}
	o, err := directory.OrganizationByID(ctx, r, org)
	if err != nil {
		return Overview{}, err
	}
	v := Overview{NoContact: o.Contact == ""}
	today := db.Day(r.Now())
	for i := range OverviewDays {
		v.Days = append(v.Days, today.AddDate(0, 0, i+1-OverviewDays))
	}
	if v.Backlog, err = mail.BacklogOf(ctx, r, string(org), r.Now().Add(-overdue)); err != nil {
		return Overview{}, fmt.Errorf("reading letters that wait: %w", err)
	}
	refused, err := mail.RefusedTo(ctx, r, string(org), r.Now().Add(-refusedWithin))
	if err == nil {
		v.Refusing, err = directory.Addressed(ctx, r, org, refused)
	}
	if err != nil {
		return Overview{}, fmt.Errorf("reading refused letters: %w", err)
	}
	if v.Counts, err = audit.Days(ctx, r, string(org), v.Days[0]); err != nil {
		return Overview{}, err
	}
	if v.Active, err = session.ActiveSince(ctx, r, org, v.Days[0]); err != nil {
		return Overview{}, err
	}
	if v.Ownings, err = directory.Ownings(ctx, r, org); err != nil {
		return Overview{}, err
	}
	v.Invitations, err = directory.InvitationStates(ctx, r, org)
	return v, err
}
