package application

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/picture"
	"parvis/internal/secret"
)

// The faults of registrations. Each belongs to a field of the form.
var (
	ErrTooMany        = fault.New(fault.Conflict, "op.too_many_clients")
	ErrTooManySecrets = fault.New(fault.Conflict, "op.too_many_secrets")
	ErrLastSecret     = fault.New(fault.Conflict, "op.last_secret")
	ErrNoSecret       = fault.New(fault.NotFound, "op.no_secret")
	ErrKeepsNoSecret  = fault.New(fault.Conflict, "op.keeps_no_secret")
	ErrTaken          = fault.New(fault.Conflict, "op.client_taken")
	ErrNotOwn         = fault.New(fault.Denied, "op.not_own")
	ErrNameTaken      = &fault.Error{Kind: fault.Conflict, Key: "op.field.name_taken", Field: "name"}
)

// Defaults returns the settings that an application of a kind begins with, besides its name
// and addresses: only what most applications of that kind need.
func Defaults(k Kind) Settings {
	s := Settings{OwnBehalf: k == Machine, Refreshes: k == SinglePage || k == Native} // these cannot renew their tokens in another way
	if slices.Contains(people, k) {
		s.Scopes = []string{OpenID, ProfileInfo, EmailInfo}
	}
	return s
}

// mine returns an error unless an actor may change the application. Administrators may change
// those of their organization, the operator may change all.
func (c Application) mine(ctx context.Context, r db.Reader, actor directory.Actor) error {
	switch {
	case actor.Kind == directory.KindOperator:
		return nil
	case c.OrgID == "":
		return ErrNotOwn
	}
	return actor.MaySetRules(ctx, r, c.OrgID)
}

// inPerson returns an error if a token or a machine would change with what an application proves
// itself that acts on its own behalf: the one who knows that has its rights in the administration, and
// no token makes a stronger one.
func (c Application) inPerson(actor directory.Actor, then Settings) error {
	now := c.Settings
	same := now.OwnBehalf == then.OwnBehalf && now.Auth == then.Auth && now.KeysURL == then.KeysURL && string(now.Keys) == string(then.Keys) && now.BoundOnly == then.BoundOnly
	if (now.OwnBehalf || then.OwnBehalf) && !same && (actor.Kind == directory.KindToken || actor.Kind == directory.KindMachine) {
		return directory.ErrDenied
	}
	return nil
}

// Register stores an application of an organization, or of the installation if c has no OrgID.
// It returns the client secret, which is shown once; it is empty if the client has none. Names
// under the issuer are reserved.
func Register(ctx context.Context, tx *db.Tx, actor directory.Actor, issuer string, c Application) (Application, string, error) {
	if err := c.mine(ctx, tx, actor); err != nil {
		return Application{}, "", err
	}
	s, err := c.Settings.clean(c.Kind, issuer)
	if err == nil {
		err = errors.Join(c.among(ctx, tx, Settings{}, s), c.checkOthers(ctx, tx, Settings{}, s))
	}
	if err != nil {
		return Application{}, "", err
	}
	var there int
	if _, err := tx.One(ctx, db.Into(&there), `select count(*) from clients where coalesce(org_id, '') = $1`, string(c.OrgID)); err != nil {
		return Application{}, "", err
	}
	if there >= MostPerOrganization {
		return Application{}, "", ErrTooMany
	}
	if c.ID == "" {
		c.ID = ID(secret.NewID("app"))
	}
	if !isID(string(c.ID)) {
		return Application{}, "", fault.Field("id", "op.field.id")
	}
	c.Settings, c.CreatedAt, c.ChangedAt, c.Registration = s, tx.Now(), tx.Now(), secret.NewID("reg")
	text, err := json.Marshal(s)
	if err != nil {
		return Application{}, "", err
	}
	n, err := tx.Exec(ctx, `
		insert into clients (id, org_id, kind, settings, listens, created_at, changed_at, registration) values ($1, $2, $3, $4, $5, $6, $6, $7)
		on conflict (id) do nothing`,
		string(c.ID), db.Text(c.OrgID), string(c.Kind), string(text), s.BackChannel != "", db.Time(tx.Now()), c.Registration)
	if err != nil {
		return Application{}, "", fmt.Errorf("registering %s: %w", c.ID, err)
	}
	if n == 0 {
		return Application{}, "", ErrTaken
	}
	var shown string
	if c.HasSecrets() {
		if _, shown, err = addSecret(ctx, tx, c); err != nil {
			return Application{}, "", err
		}
	}
	return c, shown, audit.Record(ctx, tx, c.by(actor, "application.registered", nil, s.fields()))
}

// Change replaces the settings of an application; its kind stays. Its grants go on under the
// new settings: a scope or address that is no longer registered has no effect.
func Change(ctx context.Context, tx *db.Tx, actor directory.Actor, issuer string, c Application, s Settings) (Application, error) {
	if err := c.mine(ctx, tx, actor); err != nil {
		return Application{}, err
	}
	s, err := s.clean(c.Kind, issuer)
	if err == nil {
		err = errors.Join(c.among(ctx, tx, c.Settings, s), c.checkOthers(ctx, tx, c.Settings, s), c.inPerson(actor, s))
	}
	after := c
	after.Settings = s
	if err == nil && s.Pairwise && c.Settings.Pairwise && c.Sector() != after.Sector() {
		err = fault.Field("redirect_uris", "op.field.sector") // everybody would get another sub
	}
	if err != nil {
		return Application{}, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return Application{}, err
	}
	before := c.Settings.tidied(c.Kind).fields()
	c.Settings, c.ChangedAt = s, tx.Now()
	n, err := tx.Exec(ctx, `
		update clients set settings = $1, listens = $2, changed_at = $3, failed_since = null, checked_at = null
		where id = $4`, string(text), s.BackChannel != "", db.Time(tx.Now()), string(c.ID))
	if err == nil && n == 0 {
		err = ErrUnknown
	}
	if err != nil {
		return Application{}, err
	}
	return c, audit.Record(ctx, tx, c.by(actor, "application.changed", before, s.fields()))
}

// among checks new settings against the rest of the organization: no other application has the
// name, so a form that is sent twice registers only one, and the groups of new roles are the
// organization's own. Unchanged settings stay, even if their group is gone.
func (c Application) among(ctx context.Context, r db.Reader, before, s Settings) error {
	if c.OrgID == "" {
		return nil
	}
	if s.Name != before.Name {
		all, err := placed(ctx, r, c.OrgID, "")
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(a Placed) bool {
			return a.OrgID == c.OrgID && a.ID != c.ID && strings.EqualFold(a.Settings.Name, s.Name)
		}) {
			return ErrNameTaken
		}
	}
	var named []string
	for _, role := range s.Roles {
		if !slices.ContainsFunc(before.Roles, func(b RoleOf) bool { return b.Group == role.Group }) {
			named = append(named, role.Group)
		}
	}
	return ownGroups(ctx, r, c.OrgID, "roles", named)
}

// SetLogo sets or removes the logo of an application.
func SetLogo(ctx context.Context, tx *db.Tx, actor directory.Actor, c Application, logo picture.PNG) error {
	if err := c.mine(ctx, tx, actor); err != nil {
		return err
	}
	content := base64.StdEncoding.EncodeToString(logo.Bytes())
	if _, err := tx.Exec(ctx, `update clients set logo = $1, changed_at = $2 where id = $3`, db.Text(content), db.Time(tx.Now()), string(c.ID)); err != nil {
		return err
	}
	return audit.Record(ctx, tx, c.by(actor, "application.changed", audit.Fields{"logo": c.HasLogo}, audit.Fields{"logo": !logo.IsZero()}))
}

// Logo returns the logo of an application, or ErrUnknown if it has none.
func Logo(ctx context.Context, r db.Reader, c Application) ([]byte, error) {
	var text db.Text
	if _, err := r.One(ctx, db.Into(&text), `select logo from clients where id = $1`, string(c.ID)); err != nil {
		return nil, err
	}
	if text == "" {
		return nil, ErrUnknown
	}
	return base64.StdEncoding.DecodeString(string(text))
}

// Remove deletes an application with all of its grants.
func Remove(ctx context.Context, tx *db.Tx, actor directory.Actor, c Application) error {
	if err := c.mine(ctx, tx, actor); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `delete from clients where id = $1`, string(c.ID)); err != nil {
		return err
	}
	return audit.Record(ctx, tx, c.by(actor, "application.removed", c.Settings.fields(), nil))
}

// by returns an audit event of an actor about an application, in the log of its organization.
func (c Application) by(actor directory.Actor, action audit.Action, before, after audit.Fields) audit.Event {
	e := actor.Event(c.OrgID, action)
	e.Target, e.TargetName, e.Before, e.After = string(c.ID), c.Settings.Name, before, after
	return e
}
