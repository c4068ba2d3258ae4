package console

import (
	"context"
	"time"

	"parvis/internal/db"
	"parvis/internal/number"
	"parvis/internal/page"
	"parvis/internal/session"
)

var sessionRulesFields = page.Fields{"idle", "absolute"}

// What the page lists, within the bounds that session checks.
var (
	idleOffered = []time.Duration{
		5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 4 * time.Hour, 8 * time.Hour,
		24 * time.Hour, 3 * 24 * time.Hour, 7 * 24 * time.Hour, 20 * 24 * time.Hour,
	}
	absoluteOffered = []time.Duration{
		time.Hour, 8 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
		30 * 24 * time.Hour, 90 * 24 * time.Hour, 180 * 24 * time.Hour,
	}
)

// sessionRulesPage says how long sessions of an organization stay open.
type sessionRulesPage struct {
	Now            session.Rules // in force
	Idle, Absolute []time.Duration
	MayChange      bool
	Saved          bool
}

func (s *Server) showSessionRules(v *page.Viewer) error {
	now, err := session.RulesOf(v.R.Context(), s.site.DB, v.User.OrgID)
	if err != nil {
		return err
	}
	p := sessionRulesPage{
		Now: now, Idle: withOwn(idleOffered, now.Idle), Absolute: withOwn(absoluteOffered, now.Absolute),
		MayChange: rules(v.User.Role), Saved: v.Just("saved"),
	}
	v.FormIf(p.MayChange)
	return v.Render("console-session-rules", p)
}

func typedSessionRules(f *page.Form) (r session.Rules) {
	for field, into := range map[string]*time.Duration{"idle": &r.Idle, "absolute": &r.Absolute} {
		if d, ok := number.Duration(f.Get(field)); ok {
			*into = d // a text that is no duration is out of bounds
		}
	}
	return r
}

// sessionRules asks before rules end anybody's session at once.
func (s asks) sessionRules(v *page.Viewer) (bool, error) {
	ctx, then := v.R.Context(), typedSessionRules(v.Form)
	ends, err := s.site.Administration.ReviewSessionRules(ctx, s.site.DB, v.User.AsActor(), v.User.OrgID, then, v.Session.ID)
	if err != nil || ends.Sessions == 0 {
		return false, err
	}
	now, err := session.RulesOf(ctx, s.site.DB, v.User.OrgID)
	if err != nil {
		return false, err
	}
	c := confirmation{
		Title: v.Text("console.sessions.review_title"), Button: v.Text("console.sessions.save_anyway"), Back: v.Path("admin/rules/sessions"),
		Affects: []string{v.Text("console.sessions.ends", "Count", ends.Sessions), v.Text("console.sessions.meets", "Count", ends.People)},
		Changes: []ruleChange{
			{Setting: "audit.field.idle", Before: v.Duration(now.Idle), After: v.Duration(then.Idle)},
			{Setting: "audit.field.absolute", Before: v.Duration(now.Absolute), After: v.Duration(then.Absolute)},
		},
	}
	if ends.Own {
		c.Affects = append(c.Affects, v.Text("console.sessions.own"))
	}
	return s.confirm(v, c, setsSessionRules(v, then))
}

func setsSessionRules(v *page.Viewer, r session.Rules) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		return session.SetRules(ctx, tx, v.User.AsActor(), v.User.OrgID, r)
	}
}

func (s *Server) changeSessionRules(v *page.Viewer) error {
	return v.Do(setsSessionRules(v, typedSessionRules(v.Form)), v.Path("admin/rules/sessions")+"?saved")
}
