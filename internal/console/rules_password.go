package console

import (
	"context"
	"slices"
	"strconv"
	"time"

	"parvis/internal/administration"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/number"
	"parvis/internal/page"
	"parvis/internal/signin"
)

var passwordRulesFields = page.Fields{
	"preset", "minimum_length", "maximum_length", page.Tick("digit"), page.Tick("upper_case"), page.Tick("lower_case"), page.Tick("special"), "history", "reset_lifetime",
}

// passwordRulesPage shows an organization's password rules and, to people who may change them,
// the form for that.
type passwordRulesPage struct {
	Now         credential.Rules   // in force
	Presets     []credential.Rules // the presets, each with its own values
	Shown       credential.Rules   // what the form says; its numbers are shown as typed
	Least, Most int                // bounds of the minimum length
	SecondStep  bool               // is required of everybody, so that modern ones may be shorter
	Lifetimes   []time.Duration    // of a reset's link, to choose from
	Classes     []classField
	People      int     // how many have a password
	ToModern    *review // what changing to the modern preset would do; nil if it is in force
	Unchanged   bool    // it was asked what would change, and nothing would
	MayChange   bool
	Saved       bool
}

// classField is a kind of character that classic rules may ask for.
type classField struct {
	Field   string
	Key     string // catalogue key of its line in the form
	Setting string // catalogue key of its line among the changes
	Wanted  bool
}

func classFields(r credential.Rules) []classField {
	return []classField{
		{"digit", "credential.rule.digit", "audit.field.digit", r.Digit},
		{"lower_case", "credential.rule.lower_case", "audit.field.lower_case", r.LowerCase},
		{"upper_case", "credential.rule.upper_case", "audit.field.upper_case", r.UpperCase},
		{"special", "credential.rule.special", "audit.field.special", r.Special},
	}
}

// resetLifetimes are offered, within the bounds that credential checks.
var resetLifetimes = []time.Duration{
	10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// A review says, before anything is saved, what a change of rules does and whom it affects.
type review struct {
	Rules   credential.Rules
	Changes []ruleChange
	Reach   credential.Reach
}

// ruleChange is one setting that would change.
type ruleChange struct {
	Setting       string // catalogue key; empty for one without, which Name names
	Name          string
	Before, After string // empty for a setting that is only switched
	Effect        string // catalogue key: what it means for security
	Strength      chip   // without a key if it is neither stronger nor weaker
}

var (
	stronger = chip{"console.rules.stronger", "ok"}
	weaker   = chip{"console.rules.weaker", "warn"}
)

// showPasswordRules shows the rules, or what was typed.
func (s *Server) showPasswordRules(v *page.Viewer) error {
	ctx := v.R.Context()
	var p passwordRulesPage
	if err := s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		p = passwordRulesPage{MayChange: rules(v.User.Role), Saved: v.Just("saved")}
		second, err := signin.SecondStepRulesOf(ctx, tx, v.User.OrgID)
		if err != nil {
			return err
		}
		p.SecondStep = second.OfEveryone(tx.Now())
		if p.Now, err = credential.RulesOf(ctx, tx, v.User.OrgID); err != nil {
			return err
		}
		if p.Shown, err = shownRules(v, p.Now); err != nil {
			return err
		}
		reach, err := credential.ReachOf(ctx, tx, v.User.OrgID, p.Now, tx.Now())
		if err != nil {
			return err
		}
		p.People = reach.People
		if p.Now.Preset != credential.PresetModern {
			if p.ToModern, err = reviewOf(ctx, tx, v, p.Now, filled(credential.PresetModern, p.Now)); err != nil {
				return err
			}
		}
		p.Unchanged = v.Form.Has("preset") && v.Form.Asked() == "review" && !v.Form.Refused() && p.Shown == p.Now
		return nil
	}); err != nil {
		return err
	}
	preset, _ := p.Shown.Preset.Rules()
	p.Presets = []credential.Rules{credential.Classic, credential.Modern}
	p.Least, p.Most = p.Shown.Preset.Least(p.SecondStep), preset.MaximumLength
	p.Classes = classFields(p.Shown)
	p.Lifetimes = withOwn(resetLifetimes, p.Now.ResetLifetime)
	v.FormIf(p.MayChange)
	return v.Render("console-password-rules", p)
}

// withOwn adds the value in force to those offered.
func withOwn(offered []time.Duration, own time.Duration) []time.Duration {
	if slices.Contains(offered, own) {
		return offered
	}
	all := append(slices.Clone(offered), own)
	slices.Sort(all)
	return all
}

// shownRules returns what was typed, else the preset that the address names, else the rules in
// force.
func shownRules(v *page.Viewer, now credential.Rules) (credential.Rules, error) {
	if v.Form.Has("preset") {
		return typedRules(v.Form), nil
	}
	preset := credential.Preset(v.R.URL.Query().Get("preset"))
	if preset == "" || preset == now.Preset {
		return now, nil
	}
	if _, known := preset.Rules(); !known {
		return credential.Rules{}, page.ErrQuery
	}
	return filled(preset, now), nil
}

// filled returns a preset's values. The lifetime of a reset's link is not part of a preset: it
// stays.
func filled(preset credential.Preset, now credential.Rules) credential.Rules {
	r, _ := preset.Rules()
	r.ResetLifetime = now.ResetLifetime
	return r
}

// typedRules reads the form. A text that is no number becomes one out of bounds, so that one
// sentence, with the bounds, answers both.
func typedRules(f *page.Form) credential.Rules {
	count := func(field string) int {
		n, ok := number.Parse(f.Get(field))
		if !ok {
			return -1
		}
		return n
	}
	r := credential.Rules{
		Preset:        credential.Preset(f.Get("preset")),
		MinimumLength: count("minimum_length"), MaximumLength: count("maximum_length"), History: count("history"),
		Digit: f.Ticked("digit"), UpperCase: f.Ticked("upper_case"), LowerCase: f.Ticked("lower_case"), Special: f.Ticked("special"),
	}
	if lifetime, ok := number.Duration(f.Get("reset_lifetime")); ok {
		r.ResetLifetime = lifetime
	}
	return r
}

// passwordRules says what a change of rules would do.
func (s asks) passwordRules(v *page.Viewer) (bool, error) {
	ctx, then := v.R.Context(), typedRules(v.Form)
	var now credential.Rules
	var r *review
	if err := s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		if now, err = credential.RulesOf(ctx, tx, v.User.OrgID); err != nil {
			return err
		}
		r, err = reviewOf(ctx, tx, v, now, then)
		return err
	}); err != nil || now == then {
		return false, err
	}
	c := confirmation{
		Title: v.Text("console.password.review_title"), Changes: r.Changes, Button: v.Text("console.password.save"), Back: v.Path("admin/rules/password"),
		Affects: []string{v.Text("console.password.reach", "Count", r.Reach.People)},
	}
	if r.Reach.Hashes > 0 {
		c.Affects = append(c.Affects, v.Text("console.password.reach_hashes", "Count", r.Reach.Hashes))
	}
	return s.confirm(v, c, setsPasswordRules(v, then))
}

func setsPasswordRules(v *page.Viewer, r credential.Rules) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		return signin.SetPasswordRules(ctx, tx, v.User.AsActor(), v.User.OrgID, r)
	}
}

func (s *Server) changePasswordRules(v *page.Viewer) error {
	if !v.Form.Confirmed() {
		return s.showPasswordRules(v) // nothing would change
	}
	return v.Do(setsPasswordRules(v, typedRules(v.Form)), v.Path("admin/rules/password")+"?saved")
}

// reviewOf compares rules that could be saved with those in force.
func reviewOf(ctx context.Context, tx *db.Tx, v *page.Viewer, now, then credential.Rules) (*review, error) {
	reach, err := administration.ReviewPasswordRules(ctx, tx, v.User.AsActor(), v.User.OrgID, then)
	if err != nil {
		return nil, err
	}
	r := &review{Rules: then, Reach: reach}
	if now.Preset != then.Preset {
		c := ruleChange{Setting: "audit.field.preset", Before: v.Text(presetKey(now.Preset)), After: v.Text(presetKey(then.Preset))}
		c.Effect = "console.password.effect.classic"
		if then.Preset == credential.PresetModern {
			c.Effect = "console.password.effect.modern"
		}
		r.Changes = append(r.Changes, c)
	}
	r.number("audit.field.minimum_length", now.MinimumLength, then.MinimumLength,
		ruleChange{Effect: "console.password.effect.minimum_raised", Strength: stronger},
		ruleChange{Effect: "console.password.effect.minimum_lowered", Strength: weaker})
	r.number("audit.field.maximum_length", now.MaximumLength, then.MaximumLength,
		ruleChange{Effect: "console.password.effect.maximum_raised"},
		ruleChange{Effect: "console.password.effect.maximum_lowered", Strength: weaker})
	for i, class := range classFields(then) {
		if then.Preset == credential.PresetModern {
			break // the preset's own line says that none is asked for
		}
		switch was := classFields(now)[i].Wanted; {
		case class.Wanted && !was:
			r.Changes = append(r.Changes, ruleChange{Setting: class.Setting, Effect: "console.password.effect.class_added"})
		case was && !class.Wanted:
			r.Changes = append(r.Changes, ruleChange{Setting: class.Setting, Effect: "console.password.effect.class_dropped"})
		}
	}
	r.number("audit.field.history", now.History, then.History,
		ruleChange{Effect: "console.password.effect.history_raised"}, ruleChange{Effect: "console.password.effect.history_lowered"})
	longer, shorter := "console.password.effect.reset_longer", "console.password.effect.reset_shorter"
	switch before, after := v.Duration(now.ResetLifetime), v.Duration(then.ResetLifetime); {
	case then.ResetLifetime > now.ResetLifetime:
		r.Changes = append(r.Changes, ruleChange{Setting: "audit.field.reset_lifetime", Before: before, After: after, Effect: longer, Strength: weaker})
	case then.ResetLifetime < now.ResetLifetime:
		r.Changes = append(r.Changes, ruleChange{Setting: "audit.field.reset_lifetime", Before: before, After: after, Effect: shorter, Strength: stronger})
	}
	return r, nil
}

// number adds a setting that is a number, if it changes.
func (r *review) number(setting string, now, then int, raised, lowered ruleChange) {
	if now == then {
		return
	}
	c := raised
	if then < now {
		c = lowered
	}
	c.Setting, c.Before, c.After = setting, strconv.Itoa(now), strconv.Itoa(then)
	r.Changes = append(r.Changes, c)
}

// PresetKey returns the catalogue key of a preset's name.
func (passwordRulesPage) PresetKey(p credential.Preset) string { return presetKey(p) }

func presetKey(p credential.Preset) string {
	if p == credential.PresetModern {
		return "console.password.modern"
	}
	return "console.password.classic"
}
