package console

import (
	"net/url"
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
	Review    *administration.SecondStepReview
	MayChange bool
	Saved     bool
}

// secondStepForm is what the form says.
type secondStepForm struct {
	Chosen, Everyone                    bool   // whether yes or no was chosen, and which
	From                                string // as typed, or a day of the viewer's calendar
	Privileged, Tolerance, Passwordless bool
}

func (s *Server) showSecondStepRules(v *page.Viewer) error { return s.renderSecondStepRules(v, nil) }

func (s *Server) renderSecondStepRules(v *page.Viewer, review *administration.SecondStepReview) error {
	ctx, now := v.R.Context(), s.site.DB.Now()
	p := secondStepRulesPage{
		Zone: v.User.TimeZone, Review: review, MayChange: rules(v.User.Role), Saved: v.Just("saved"),
		List: v.Path("admin/people") + "?" + url.Values{peopleFilter: {withoutSecondStep}}.Encode(),
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

// changeSecondStepRules saves rules that affect nobody who is not affected yet. Other rules are
// shown with the people they affect, and saved by the button there.
func (s *Server) changeSecondStepRules(v *page.Viewer) error {
	ctx := v.R.Context()
	var review *administration.SecondStepReview
	if err := s.site.DB.Update(ctx, func(tx *db.Tx) error {
		review = nil
		before, err := signin.SecondStepRulesOf(ctx, tx, v.User.OrgID)
		if err != nil {
			return err
		}
		then, err := typedSecondStep(v.Form).rulesIn(v, before, tx.Now())
		if err != nil {
			return err
		}
		if v.Form.Do() != "save" {
			meets, err := s.site.Administration.ReviewSecondStepRules(ctx, tx, v.User.AsActor(), v.User.OrgID, then)
			if err != nil {
				return err
			}
			if meets.Meets() {
				review = &meets
				return nil
			}
		}
		return signin.SetSecondStepRules(ctx, tx, v.User.AsActor(), v.User.OrgID, then)
	}); err != nil {
		return err
	}
	if review != nil {
		return s.renderSecondStepRules(v, review)
	}
	return v.Redirect(v.Path("admin/rules/second-step") + "?saved")
}
