package console

import (
	"context"
	"errors"
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

// secondStepPage asks before the second steps of a person are removed.
type secondStepPage struct {
	User     directory.User
	Own      ownedSteps
	Required bool   // the next sign-in sets one up again
	Closed   string // catalogue key: why there is nothing to reset
}

func (s *Server) showSecondStep(v *page.Viewer) error {
	ctx, id := v.R.Context(), v.ID()
	var p secondStepPage
	err := s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		p = secondStepPage{}
		if p.User, err = directory.UserByID(ctx, tx, v.Organization.ID, directory.UserID(id)); err != nil {
			return err
		}
		_, factors, err := s.site.SignIn.Resettable(ctx, tx, v.User.AsActor(), p.User.OrgID, p.User.ID)
		if f, isFault := errors.AsType[*fault.Error](err); isFault && f.Kind == fault.Conflict {
			p.Closed, err = f.Key, nil
		}
		if err != nil {
			return err
		}
		p.Own = ownedBy(factors)
		rules, err := signin.SecondStepRulesOf(ctx, tx, p.User.OrgID)
		p.Required = rules.RequiredOf(p.User.Role, tx.Now()) && !v.Organization.FederatedOnly()
		return err
	})
	if err != nil {
		return err
	}
	v.FormIf(p.Closed == "")
	return v.Render("console-second-step", p)
}

func (s *Server) resetSecondStep(v *page.Viewer) error {
	id := v.ID()
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return s.site.SignIn.ResetSecondStep(ctx, tx, v.User.AsActor(), v.Organization, directory.UserID(id), v.Form.Get("reason"))
	}, v.Path("admin/people", id)+"?reset")
}
