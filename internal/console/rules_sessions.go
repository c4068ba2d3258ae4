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
	Shown          session.Rules // the rules that the review is about
	Review         *session.Ends // whom they would affect; nil if nobody
	MayChange      bool
	Saved          bool
}

func (s *Server) showSessionRules(v *page.Viewer) error {
	return s.renderSessionRules(v, session.Rules{}, nil)
}

func (s *Server) renderSessionRules(v *page.Viewer, shown session.Rules, review *session.Ends) error {
	now, err := session.RulesOf(v.R.Context(), s.site.DB, v.User.OrgID)
	if err != nil {
		return err
	}
	p := sessionRulesPage{
		Now: now, Idle: withOwn(idleOffered, now.Idle), Absolute: withOwn(absoluteOffered, now.Absolute),
		Shown: shown, Review: review, MayChange: rules(v.User.Role), Saved: v.Just("saved"),
	}
	v.FormIf(p.MayChange)
	return v.Render("console-session-rules", p)
}

// changeSessionRules saves rules that end nobody's session at once. Other rules are shown with
// the people they affect, and saved by the button there.
func (s *Server) changeSessionRules(v *page.Viewer) error {
	ctx := v.R.Context()
	var r session.Rules
	for field, into := range map[string]*time.Duration{"idle": &r.Idle, "absolute": &r.Absolute} {
		if d, ok := number.Duration(v.Form.Get(field)); ok {
			*into = d // a text that is no duration is out of bounds
		}
	}
	if v.Form.Do() != "save" {
		ends, err := s.site.Administration.ReviewSessionRules(ctx, s.site.DB, v.User.AsActor(), v.User.OrgID, r, v.Session.ID)
		if err != nil {
			return err
		}
		if ends.Sessions > 0 {
			return s.renderSessionRules(v, r, &ends)
		}
	}
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return session.SetRules(ctx, tx, v.User.AsActor(), v.User.OrgID, r)
	}, v.Path("admin/rules/sessions")+"?saved")
}
