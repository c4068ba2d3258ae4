package console

import (
	"context"
	"errors"
	"strings"
	"time"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/signin"
)

var secondStepFields = page.Fields{"reason"}

// ownedSteps are the second steps that somebody has: how many, without names or secrets.
type ownedSteps struct {
	Kinds    []ownedKind
	Recovery int // codes left
}

// ownedKind is how many of one kind there are.
type ownedKind struct {
	Key   string // catalogue key of the kind, with its count
	Count int
	Used  time.Time // the last time; zero before the first
}

func ownedBy(f credential.Factors) ownedSteps {
	apps := ownedKind{Key: "console.second.apps", Count: len(f.Apps)}
	for _, a := range f.Apps {
		apps.use(a.UsedAt)
	}
	keys := ownedKind{Key: "console.second.passkeys", Count: len(f.Passkeys)}
	for _, k := range f.Passkeys {
		keys.use(k.UsedAt)
	}
	own := ownedSteps{Recovery: f.Recovery}
	for _, k := range []ownedKind{apps, keys} {
		if k.Count > 0 {
			own.Kinds = append(own.Kinds, k)
		}
	}
	return own
}

// Any reports whether there is something to reset.
func (o ownedSteps) Any() bool { return len(o.Kinds) > 0 || o.Recovery > 0 }

func (k *ownedKind) use(at time.Time) {
	if at.After(k.Used) {
		k.Used = at
	}
}

// secondStepPage says why a person's second step cannot be reset.
type secondStepPage struct {
	User   directory.User
	Closed string // catalogue key
}

// showSecondStep asks at once: the page has nothing else to show.
func (s *Server) showSecondStep(v *page.Viewer) error {
	user, c, err := s.resetting(v)
	if f, isFault := errors.AsType[*fault.Error](err); isFault && f.Kind == fault.Conflict {
		v.NoForm()
		return v.Render("console-second-step", secondStepPage{user, f.Key})
	}
	if err != nil {
		return err
	}
	return v.Render("console-confirm", c.at(v, reasonField))
}

func (s asks) secondStep(v *page.Viewer) (bool, error) {
	_, c, err := s.resetting(v)
	if err != nil {
		return false, err
	}
	return s.confirm(v, c)
}

// resetting asks before the second steps of a person are removed. A fault of kind Conflict says why
// they cannot be.
func (s *Server) resetting(v *page.Viewer) (user directory.User, c confirmation, err error) {
	ctx, id := v.R.Context(), v.ID()
	then := "console.second.reset_password_only"
	var own ownedSteps
	if err := s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		if user, err = directory.UserByID(ctx, tx, v.Organization.ID, directory.UserID(id)); err != nil {
			return err
		}
		_, factors, err := s.site.SignIn.Resettable(ctx, tx, v.User.AsActor(), user.OrgID, user.ID)
		if err != nil {
			return err
		}
		own = ownedBy(factors)
		rules, err := signin.SecondStepRulesOf(ctx, tx, user.OrgID)
		if rules.RequiredOf(user.Role, tx.Now()) && !v.Organization.FederatedOnly() {
			then = "console.second.reset_enrols"
		}
		return err
	}); err != nil {
		return user, confirmation{}, err
	}
	return user, confirmation{
		Title: v.Text("console.confirm.deed", "Deed", v.Text("console.second.reset"), "Whom", user.Name), First: v.Text("console.second.reset_check", "Name", user.Name),
		Affects: []string{own.said(v)}, Follows: []string{v.Text("console.second.reset_what", "Name", user.Name), v.Text(then)},
		Button: v.Text("console.second.reset"), Grave: true, Reason: true, Back: v.Path("admin/people", id),
	}, nil
}

// said lists what somebody has, for a sentence.
func (o ownedSteps) said(v *page.Viewer) string {
	var all []string
	for _, k := range o.Kinds {
		all = append(all, v.Text(k.Key, "Count", k.Count))
	}
	if o.Recovery > 0 {
		all = append(all, v.Text("console.second.recovery", "Count", o.Recovery))
	}
	return strings.Join(all, ", ") + "."
}

func (s *Server) resetSecondStep(v *page.Viewer) error {
	id := v.ID()
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return s.site.SignIn.ResetSecondStep(ctx, tx, v.User.AsActor(), v.Organization, directory.UserID(id), v.Form.Get("reason"))
	}, v.Path("admin/people", id)+"?reset")
}
