package web

import (
	"io"
	"time"

	"parvis/internal/audit"
	"parvis/internal/page"
	"parvis/internal/personal"
)

// activityPage is what a user did and what was done to it, newest first.
type activityPage struct {
	Rows  []activityRow
	Pages page.Pages
}

// activityRow is an event as it is shown to the person it concerns. The place it was done from
// is shown for the person's own deeds and for strangers' attempts, not for administrators.
type activityRow struct {
	audit.Stored
	Refused bool
	Shown   bool
	By      string // who did it, if somebody else did
	Whom    string // to whom, if to somebody else
}

func (s account) showActivity(v *page.Viewer) error {
	before, err := page.ParsePlace(v.R.URL.Query().Get("before"))
	if err != nil {
		return err
	}
	me := string(v.User.ID)
	found, err := audit.Concerning(v.R.Context(), s.site.DB, string(v.User.OrgID), me, audit.Cursor{At: before.At, ID: before.ID})
	if err != nil {
		return err
	}
	var p activityPage
	for _, e := range found.Events {
		row := activityRow{Stored: e, Refused: e.Result == audit.Refused, Shown: e.Actor == me || e.Actor == audit.Anonymous}
		if !row.Shown && e.ActorName != e.Actor {
			row.By = e.ActorName
		}
		if e.Target != me {
			row.Whom = e.TargetName
		}
		p.Rows = append(p.Rows, row)
	}
	if before.ID != "" {
		p.Pages.Newest = v.Path("account/activity")
	}
	if found.Next.ID != "" {
		p.Pages.Older = v.Path("account/activity") + "?before=" + page.Place{At: found.Next.At, ID: found.Next.ID}.String()
	}
	return v.Render("account-activity", p)
}

// showNotMe asks for confirmation before everything is ended.
func (s account) showNotMe(v *page.Viewer) error { return v.Render("account-not-me", nil) }

// notMe ends everything that the user has open; after it, a new password is the only way back.
func (s account) notMe(v *page.Viewer) error {
	ctx := v.R.Context()
	if err := s.signIn.DisownHere(ctx, v.Visit); err != nil {
		return err
	}
	left, err := v.Visits(ctx)
	if err != nil {
		return err
	}
	v.Forget(len(left) == 0)
	return v.Redirect(v.Organization.Path() + "?disowned")
}

// showExport says what a user's own file has.
func (s account) showExport(v *page.Viewer) error { return v.Render("account-export", nil) }

// export answers with everything that is kept of the user.
func (s account) export(v *page.Viewer) error {
	ctx := v.R.Context()
	f, err := personal.Collect(ctx, s.site.DB, v.User.AsActor(), v.User.OrgID, v.User.ID)
	if err != nil {
		return err
	}
	return v.Download("parvis-"+f.At().Format(time.DateOnly)+".json", personal.Media, func(w io.Writer) error { return f.Write(ctx, w) })
}
