package console

import (
	"context"
	"strings"
	"time"

	"parvis/internal/administration"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/signin"
)

var secondStepRulesFields = page.Fields{"everyone", "required_from", page.Tick("privileged"), page.Tick("tolerance"), page.Tick("passwordless")}

var (
	errEveryone = fault.Field("everyone", "console.second.choose")
	errDay      = fault.Field("required_from", "console.second.day")
)

// secondStepRulesPage says who needs a second step and, to people who may change it, shows the
// form for that.
type secondStepRulesPage struct {
	Now       signin.SecondStepRules // in force
	OfAll     bool                   // a second step is required of everybody now
	Shown     secondStepForm
	Zone      string // time zone in which a day begins; empty where the viewer chose none
	Without   signin.Meets
	List      string // address of the list of these people
	MayChange bool
	Saved     bool
}

// secondStepForm is what the form says.
type secondStepForm struct {
	Chosen, Everyone                    bool   // whether yes or no was chosen, and which
	From                                string // as typed, or a day of the viewer's calendar
	Privileged, Tolerance, Passwordless bool
}

func (s *Server) showSecondStepRules(v *page.Viewer) error {
	ctx, now := v.R.Context(), s.site.DB.Now()
	p := secondStepRulesPage{
		Zone: v.User.TimeZone, MayChange: rules(v.User.Role), Saved: v.Just("saved"),
		List: withoutSecondStepList(v),
	}
	if err := s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		if p.Now, err = signin.SecondStepRulesOf(ctx, tx, v.User.OrgID); err != nil {
			return err
		}
		p.Without, err = signin.WithoutSecondStep(ctx, tx, v.User.OrgID)
		return err
	}); err != nil {
		return err
	}
	p.OfAll = p.Now.OfEveryone(now)
	p.Shown = typedSecondStep(v.Form)
	if !v.Form.Filled() {
		p.Shown = secondStepForm{
			Chosen: true, Everyone: !p.Now.RequiredFrom.IsZero(), Privileged: p.Now.Privileged, Tolerance: p.Now.Tolerance > 0, Passwordless: p.Now.Passwordless,
			From: dayOf(p.Now.RequiredFrom, v),
		}
		if !p.Shown.Everyone {
			p.Shown.From = dayOf(now, v)
		}
	}
	v.FormIf(p.MayChange)
	return v.Render("console-second-step-rules", p)
}

func typedSecondStep(f *page.Form) secondStepForm {
	return secondStepForm{
		Everyone: f.Get("everyone") == "yes", Chosen: f.Get("everyone") == "yes" || f.Get("everyone") == "no", From: strings.TrimSpace(f.Get("required_from")),
		Privileged: f.Ticked("privileged"), Tolerance: f.Ticked("tolerance"), Passwordless: f.Ticked("passwordless"),
	}
}

func dayOf(t time.Time, v *page.Viewer) string { return t.In(v.Zone()).Format(time.DateOnly) }

// rulesIn returns the rules that a form means in place of those in force. Today and any earlier
// day mean at once. A day that nobody changed stays the instant that it was, because another
// administrator's midnight is at another time.
func (f secondStepForm) rulesIn(v *page.Viewer, before signin.SecondStepRules, now time.Time) (signin.SecondStepRules, error) {
	r := signin.SecondStepRules{Privileged: f.Privileged, Passwordless: f.Passwordless}
	if f.Tolerance {
		r.Tolerance = 1
	}
	if !f.Chosen {
		return r, errEveryone
	}
	if !f.Everyone {
		return r, nil
	}
	day, err := time.ParseInLocation(time.DateOnly, f.From, v.Zone())
	switch {
	case err != nil:
		return r, errDay
	case !before.RequiredFrom.IsZero() && (f.From == dayOf(before.RequiredFrom, v) || before.OfEveryone(now) && !day.After(now)):
		r.RequiredFrom = before.RequiredFrom
	case day.After(now):
		r.RequiredFrom = day
	default:
		r.RequiredFrom = now
	}
	return r, nil
}

// withoutSecondStepList returns the address of the list of these people.
func withoutSecondStepList(v *page.Viewer) string {
	return v.Path("admin/people") + "?" + withoutSecondStep
}

// secondStepRules asks before rules affect anybody who is not affected yet.
func (s asks) secondStepRules(v *page.Viewer) (bool, error) {
	ctx := v.R.Context()
	var r administration.SecondStepReview
	if err := s.site.DB.View(ctx, func(tx *db.Tx) error {
		before, err := signin.SecondStepRulesOf(ctx, tx, v.User.OrgID)
		if err != nil {
			return err
		}
		then, err := typedSecondStep(v.Form).rulesIn(v, before, tx.Now())
		if err != nil {
			return err
		}
		r, err = s.site.Administration.ReviewSecondStepRules(ctx, tx, v.User.AsActor(), v.User.OrgID, then)
		return err
	}); err != nil || !r.Meets() {
		return false, err
	}
	c := confirmation{
		Title: v.Text("console.second.review_title"), Button: v.Text("console.second.require"), Back: v.Path("admin/rules/second-step"), List: withoutSecondStepList(v),
		Follows: []string{v.Text("console.second.nobody_out")},
	}
	atOnce := v.Text("console.second.at_once") + " "
	if r.Privileged {
		c.Affects = append(c.Affects, atOnce+v.Text("console.second.meets_privileged", "Count", r.Without.Privileged))
	}
	if r.Everyone {
		when := atOnce
		if !r.From.IsZero() {
			when = v.Text("console.second.from_then", "When", v.DateTime(r.From)) + " "
		}
		c.Affects = append(c.Affects, when+v.Text("console.second.meets", "Count", r.Without.People), v.Text("console.second.without_privileged", "Count", r.Without.Privileged))
	}
	if r.Own {
		c.Affects = append(c.Affects, v.Text("console.second.own"))
	}
	return s.confirm(v, c, setsSecondStepRules(v))
}

func setsSecondStepRules(v *page.Viewer) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		before, err := signin.SecondStepRulesOf(ctx, tx, v.User.OrgID)
		if err != nil {
			return err
		}
		then, err := typedSecondStep(v.Form).rulesIn(v, before, tx.Now())
		if err != nil {
			return err
		}
		return signin.SetSecondStepRules(ctx, tx, v.User.AsActor(), v.User.OrgID, then)
	}
}

func (s *Server) changeSecondStepRules(v *page.Viewer) error {
	return v.Do(setsSecondStepRules(v), v.Path("admin/rules/second-step")+"?saved")
}
