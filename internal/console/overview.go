package console

import (
	"cmp"
	"slices"
	"time"

	"parvis/internal/administration"
	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/federation"
	"parvis/internal/op"
	"parvis/internal/page"
)

// overviewPage is the first page of the administration: what needs attention, and pictures of the
// last 30 days with the numbers behind them.
type overviewPage struct {
	Concerns     []concern
	More         int // how many concerns are not listed
	SignIns      signIns
	Active       activePeople
	Steps        bars
	Elsewhere    figure // people without a second step here, whose provider asks for its own
	Invitations  bars
	Newest       int // how many open invitations these are of; 0 if of all
	Accepted     figure
	Applications bars
}

// concern is something that needs attention, with the button that leads to it.
type concern struct {
	Text         string
	Path, Button string // of the button; empty where the viewer can do nothing
}

// mostConcerns is how many concerns the page lists.
const mostConcerns = 8

// known is everything that the page is made of.
type known struct {
	administration.Overview
	Now          time.Time
	Troubles     []federation.Trouble
	Lone         []directory.User
	Applications []application.Application
	Channels     map[application.ID]op.Channel
	Restored     audit.Epoch // when the database was last restored
}

func (s *Server) overview(v *page.Viewer) error {
	ctx, actor, org := v.R.Context(), v.User.AsActor(), v.User.OrgID
	var k known
	err := s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		k = known{Now: tx.Now()}
		if k.Overview, err = administration.OverviewOf(ctx, tx, actor, org); err != nil {
			return err
		}
		if k.Troubles, err = federation.Troubles(ctx, tx, actor, org); err != nil {
			return err
		}
		if k.Lone, err = federation.LoneOwners(ctx, tx, actor, v.Organization); err != nil {
			return err
		}
		if k.Applications, err = application.Within(ctx, tx, actor, org); err != nil {
			return err
		}
		if k.Channels, err = op.ChannelsOf(ctx, tx, org); err != nil {
			return err
		}
		k.Restored, err = audit.Restored(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	p := overviewPage{
		Concerns: concernsOf(v, k), SignIns: signInsOf(v, k.Overview), Active: activeOf(v, k.Overview), Applications: applicationsOf(v, k),
	}
	if len(p.Concerns) > mostConcerns {
		p.Concerns, p.More = p.Concerns[:mostConcerns], len(p.Concerns)-mostConcerns
	}
	p.Steps, p.Elsewhere = stepsOf(v, k.Ownings)
	p.Invitations, p.Newest, p.Accepted = invitationsOf(v, k.Overview)
	return v.Render("console-overview", p)
}

// concernsOf lists what needs attention, the gravest first.
func concernsOf(v *page.Viewer, k known) []concern {
	var all []concern
	add := func(text, path, button string) { all = append(all, concern{text, path, v.Text(button)}) }
	if e := k.Restored; v.ToldOfRestore(e.At, k.Now) {
		r := page.Restored{At: e.At, MadeAt: e.MadeAt, By: e.By}
		add(r.Text(v), r.Path(v), "page.restored_log")
	}
	if k.Backlog.Letters > 0 {
		all = append(all, concern{Text: v.Text("console.overview.backlog", "Count", k.Backlog.Letters, "When", v.Date(k.Backlog.Since))})
	}
	for _, t := range k.Troubles {
		name, path := t.Connection.Name, v.Path("admin/connections", t.Connection.ID)
		switch {
		case t.Ends.IsZero():
		case t.Ends.Before(k.Now):
			add(v.Text("console.overview.certificate_ended", "Name", name, "When", v.Date(t.Ends)), path, "console.overview.renew")
		default:
			add(v.Text("console.overview.certificate_ends", "Name", name, "When", v.Date(t.Ends)), path, "console.overview.renew")
		}
		if t.Refused {
			add(v.Text("console.overview.provider_refuses", "Name", name), v.Path("admin/single-sign-on/attempts")+"?"+parameters("connection", t.Connection.ID).Encode(), "console.overview.see_attempts")
		}
		if t.Connection.Renewal != "" {
			add(v.Text("console.overview.not_renewed", "Name", name), path, "console.overview.open_provider")
		}
	}
	for _, a := range k.Applications {
		if k.Channels[a.ID].Failing() {
			add(v.Text("console.overview.not_told", "Name", a.Title(v.Language())), v.Path("admin/applications", string(a.ID)), "console.overview.open_application")
		}
	}
	for _, u := range k.Lone {
		if u.ID == v.User.ID {
			add(v.Text("console.overview.lone_self"), v.Path("account/security"), "console.overview.add_way")
		} else {
			add(v.Text("console.overview.lone", "Name", u.Name), v.Path("admin/people", string(u.ID)), "console.overview.open_person")
		}
	}
	if n := k.Invitations[directory.InvitationBounced] + k.Invitations[directory.InvitationGivenUp]; n > 0 {
		add(v.Text("console.overview.not_arrived", "Count", n), v.Path("admin/people")+"?state=invited", "console.overview.see_invitations")
	}
	for _, u := range k.Refusing {
		add(v.Text("console.overview.refusing", "Name", u.Name), v.Path("admin/people", string(u.ID)), "console.overview.open_person")
	}
	if k.NoContact && rules(v.User.Role) {
		add(v.Text("console.organization.contact_missing"), v.Path("admin/organization"), "console.organization.contact_set")
	}
	return all
}

// auditPath is the log of the days that the overview shows. It is empty for viewers who may not
// read the log.
func auditPath(v *page.Viewer, from, to time.Time, pairs ...string) string {
	if !readsAudit(v.User.Role) {
		return ""
	}
	q := parameters(pairs...)
	q.Set("from", from.Format(time.DateOnly))
	q.Set("to", to.Format(time.DateOnly))
	q.Set("zone", "utc")
	return v.Path("admin/audit") + "?" + q.Encode()
}

func peoplePath(v *page.Viewer, pairs ...string) string {
	return v.Path("admin/people") + "?" + parameters(pairs...).Encode()
}

// shownSteps are the kinds of second steps in the order of the page.
var shownSteps = []struct {
	step directory.SecondStep
	key  string
}{
	{directory.StepByBoth, "console.overview.step.both"},
	{directory.StepByKey, "console.overview.step.passkey"},
	{directory.StepByApp, "console.overview.step.app"},
	{directory.NoSecondStep, "console.overview.step.none"},
}

func stepsOf(v *page.Viewer, ownings []directory.Owning) (steps bars, elsewhere figure) {
	steps = bars{Caption: "console.rules.second_step", Names: "console.overview.kind", Numbers: "console.people.title"}
	counts := map[directory.SecondStep]int{}
	for _, o := range ownings {
		if counts[o.SecondStep] += o.People; o.SecondStep == directory.NoSecondStep && o.Linked && !o.Password {
			elsewhere.Count += o.People
		}
	}
	elsewhere.Path = peoplePath(v, "state", "active", "second", string(directory.NoSecondStep), "way", "provider")
	for _, s := range shownSteps {
		people := figure{counts[s.step], peoplePath(v, "state", "active", "second", string(s.step))}
		steps.Rows = append(steps.Rows, bar{Name: v.Text(s.key), figure: people, Hollow: s.step == directory.NoSecondStep})
	}
	return steps.scaled(), elsewhere
}

// shownInvitations are the states of open invitations in the order of the page: those that wait
// for the person, and those that wait for somebody here.
var shownInvitations = []struct {
	state  directory.InvitationState
	hollow bool
}{
	{directory.InvitationOpened, false},
	{directory.InvitationSent, false},
	{directory.InvitationWaiting, false},
	{directory.InvitationExpired, true},
	{directory.InvitationBounced, true},
	{directory.InvitationGivenUp, true},
	{directory.InvitationTaken, true},
	{directory.InvitationLapsed, true},
}

func invitationsOf(v *page.Viewer, o administration.Overview) (open bars, newest int, accepted figure) {
	open = bars{Caption: "console.overview.invitations", Names: "console.column.state", Numbers: "console.overview.invitations"}
	for _, s := range shownInvitations {
		if n := o.Invitations[s.state]; n > 0 {
			open.Rows = append(open.Rows, bar{Name: v.Text("console.overview.invitation." + string(s.state)), figure: figure{Count: n}, Hollow: s.hollow})
			newest += n
		}
	}
	if newest < directory.MostStates {
		newest = 0
	}
	for _, c := range o.Counts {
		if c.Action == audit.Accepted {
			accepted.Count += c.Events
		}
	}
	accepted.Path = auditPath(v, o.Days[0], o.Days[len(o.Days)-1], "action", string(audit.Accepted))
	return open.scaled(), newest, accepted
}

// mostApplications is how many applications the picture shows, the most used.
const mostApplications = 10

func applicationsOf(v *page.Viewer, k known) bars {
	uses := map[string]int{}
	for _, c := range k.Counts {
		if c.Action == audit.Opened && c.Result == audit.Done {
			uses[c.About] += c.Events
		}
	}
	all := bars{Caption: "console.application.title", Names: "console.column.name", Numbers: "console.overview.sign_ins"}
	for _, a := range k.Applications {
		if n := uses[string(a.ID)]; n > 0 {
			path := auditPath(v, k.Days[0], k.Days[len(k.Days)-1], "action", string(audit.Opened), auditFilter, string(audit.Done), "q", string(a.ID))
			all.Rows = append(all.Rows, bar{Name: a.Title(v.Language()), At: v.Path("admin/applications", string(a.ID)), figure: figure{n, path}})
		}
	}
	slices.SortStableFunc(all.Rows, func(a, b bar) int { return cmp.Compare(b.Count, a.Count) })
	all.Rows = all.Rows[:min(len(all.Rows), mostApplications)]
	return all.scaled()
}
