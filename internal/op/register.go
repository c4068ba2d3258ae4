package op

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/picture"
	"parvis/internal/secret"
)

// secretPrefix makes a client's secret recognizable where one was left lying.
const secretPrefix = "pcs_"

// The faults of registrations. Each belongs to a field of the form.
var (
	ErrTooManyClients = fault.New(fault.Conflict, "op.too_many_clients")
	ErrTooManySecrets = fault.New(fault.Conflict, "op.too_many_secrets")
	ErrLastSecret     = fault.New(fault.Conflict, "op.last_secret")
	ErrNoSecret       = fault.New(fault.NotFound, "op.no_secret")
	ErrKeepsNoSecret  = fault.New(fault.Conflict, "op.keeps_no_secret")
	ErrClientTaken    = fault.New(fault.Conflict, "op.client_taken")
	ErrNotOwn         = fault.New(fault.Denied, "op.not_own")
	ErrNameTaken      = &fault.Error{Kind: fault.Conflict, Key: "op.field.name_taken", Field: "name"}
)

// Defaults are what an application of a kind begins with, beside its name and its
// addresses: what most of that kind need, and no more.
func Defaults(k Kind) Settings {
	people := []string{OpenID, ProfileInfo, EmailInfo}
	switch k {
	case Web:
		return Settings{Auth: Secret, Scopes: people}
	case SinglePage, Native:
		return Settings{Auth: NoAuth, Scopes: people, Refreshes: true} // nothing else renews what it was given
	case Machine:
		return Settings{Auth: Secret, OwnBehalf: true}
	case Link:
	}
	return Settings{Auth: NoAuth}
}

// mine returns an error unless an actor may change the application: administrators those of
// their organization, the operator all.
func (c Client) mine(ctx context.Context, r db.Reader, actor directory.Actor) error {
	switch {
	case actor.Kind == directory.KindOperator:
		return nil
	case c.OrgID == "":
		return ErrNotOwn
	}
	return actor.MaySetRules(ctx, r, c.OrgID)
}

// Register makes an application of an organization, or of the installation where org is
// empty. The secret is shown once; it is zero for a kind that has none. Names under the
// issuer are reserved.
func Register(ctx context.Context, tx *db.Tx, actor directory.Actor, issuer string, c Client) (Client, string, error) {
	if err := c.mine(ctx, tx, actor); err != nil {
		return Client{}, "", err
	}
	s, err := c.Settings.clean(c.Kind, issuer)
	if err == nil {
		err = errors.Join(c.among(ctx, tx, Settings{}, s), c.checkOthers(ctx, tx, Settings{}, s))
	}
	if err != nil {
		return Client{}, "", err
	}
	var there int
	if _, err := tx.One(ctx, db.Into(&there), `select count(*) from clients where coalesce(org_id, '') = $1`, string(c.OrgID)); err != nil {
		return Client{}, "", err
	}
	if there >= MostPerOrganization {
		return Client{}, "", ErrTooManyClients
	}
	if c.ID == "" {
		c.ID = ClientID(secret.NewID("app"))
	}
	if !isClientID(string(c.ID)) {
		return Client{}, "", fault.Field("id", "op.field.id")
	}
	c.Settings, c.CreatedAt, c.ChangedAt, c.registration = s, tx.Now(), tx.Now(), secret.NewID("reg")
	text, err := json.Marshal(s)
	if err != nil {
		return Client{}, "", err
	}
	n, err := tx.Exec(ctx, `
		insert into clients (id, org_id, kind, settings, listens, created_at, changed_at, registration) values ($1, $2, $3, $4, $5, $6, $6, $7)
		on conflict (id) do nothing`,
		string(c.ID), db.Text(c.OrgID), string(c.Kind), string(text), s.BackChannel != "", db.Time(tx.Now()), c.registration)
	if err != nil {
		return Client{}, "", fmt.Errorf("registering %s: %w", c.ID, err)
	}
	if n == 0 {
		return Client{}, "", ErrClientTaken
	}
	var shown string
	if c.HasSecrets() {
		if shown, err = addSecret(ctx, tx, c); err != nil {
			return Client{}, "", err
		}
	}
	return c, shown, audit.Record(ctx, tx, c.by(actor, "application.registered", nil, s.fields()))
}

// Change puts other settings in the place of an application's. Its kind stays. What it
// holds goes on with them: a scope or an address that is registered no more gives nothing.
func Change(ctx context.Context, tx *db.Tx, actor directory.Actor, issuer string, c Client, s Settings) (Client, error) {
	if err := c.mine(ctx, tx, actor); err != nil {
		return Client{}, err
	}
	s, err := s.clean(c.Kind, issuer)
	if err == nil {
		err = errors.Join(c.among(ctx, tx, c.Settings, s), c.checkOthers(ctx, tx, c.Settings, s))
	}
	after := c
	after.Settings = s
	if err == nil && s.Pairwise && c.Settings.Pairwise && c.sector() != after.sector() {
		err = fault.Field("redirect_uris", "op.field.sector") // everybody would get another name there
	}
	if err != nil {
		return Client{}, err
	}
	text, err := json.Marshal(s)
	if err != nil {
		return Client{}, err
	}
	before := c.Settings.fields()
	c.Settings, c.ChangedAt = s, tx.Now()
	n, err := tx.Exec(ctx, `
		update clients set settings = $1, listens = $2, changed_at = $3, failed_since = null, checked_at = null
		where id = $4`, string(text), s.BackChannel != "", db.Time(tx.Now()), string(c.ID))
	if err == nil && n == 0 {
		err = ErrNoClient
	}
	if err != nil {
		return Client{}, err
	}
	return c, audit.Record(ctx, tx, c.by(actor, "application.changed", before, s.fields()))
}

// among checks what settings newly say of other things in the organization: a name that
// no other application has, so that a form sent twice makes one, and groups that are its
// own. What was registered before stays, though its group may be gone.
func (c Client) among(ctx context.Context, r db.Reader, before, s Settings) error {
	if c.OrgID == "" {
		return nil
	}
	if s.Name != before.Name {
		all, err := applications(ctx, r, c.OrgID, "")
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(a Application) bool {
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

// ownGroups refuses the id of a group that the organization has not.
func ownGroups(ctx context.Context, r db.Reader, org directory.OrgID, field string, ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	known, err := directory.Groups(ctx, r, directory.System(org), org)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !slices.ContainsFunc(known, func(g directory.Group) bool { return g.ID == id }) {
			return fault.Field(field, "op.field.groups_unknown")
		}
	}
	return nil
}

// SetLogo gives an application a picture, or none.
func SetLogo(ctx context.Context, tx *db.Tx, actor directory.Actor, c Client, logo picture.PNG) error {
	if err := c.mine(ctx, tx, actor); err != nil {
		return err
	}
	content := base64.StdEncoding.EncodeToString(logo.Bytes())
	if _, err := tx.Exec(ctx, `update clients set logo = $1, changed_at = $2 where id = $3`, db.Text(content), db.Time(tx.Now()), string(c.ID)); err != nil {
		return err
	}
	return audit.Record(ctx, tx, c.by(actor, "application.changed", audit.Fields{"logo": c.HasLogo}, audit.Fields{"logo": !logo.IsZero()}))
}

// Remove deletes an application with all that it was given.
func Remove(ctx context.Context, tx *db.Tx, actor directory.Actor, c Client) error {
	if err := c.mine(ctx, tx, actor); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `delete from clients where id = $1`, string(c.ID)); err != nil {
		return err
	}
	return audit.Record(ctx, tx, c.by(actor, "application.removed", c.Settings.fields(), nil))
}

// by is what an actor did to an application, in the log of the organization that has it.
func (c Client) by(actor directory.Actor, action audit.Action, before, after audit.Fields) audit.Event {
	e := actor.Event(c.OrgID, action)
	e.Target, e.TargetName, e.Before, e.After = string(c.ID), c.Settings.Name, before, after
	return e
}

// KeptSecret describes a secret of a client. Its text is not stored.
type KeptSecret struct {
	ID        string
	CreatedAt time.Time
	UsedAt    time.Time // coarsely; zero before
}

// Secrets lists those that are live, oldest first. Every organization sees the
// installation's applications, so theirs too.
func Secrets(ctx context.Context, r db.Reader, actor directory.Actor, c Client) ([]KeptSecret, error) {
	if err := actor.MayRead(ctx, r, cmp.Or(c.OrgID, actor.OrgID)); err != nil {
		return nil, err
	}
	return secretsOf(ctx, r, c)
}

func secretsOf(ctx context.Context, r db.Reader, c Client) ([]KeptSecret, error) {
	var all []KeptSecret
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var s KeptSecret
		err := scan(&s.ID, (*db.Time)(&s.CreatedAt), (*db.Time)(&s.UsedAt))
		all = append(all, s)
		return err
	}, `
		select id, created_at, used_at from client_secrets
		where client_id = $1
		order by created_at, id`, string(c.ID))
	return all, err
}

// AddSecret makes another secret, beside the one in use: two live while an application
// goes over. The text is shown once.
func AddSecret(ctx context.Context, tx *db.Tx, actor directory.Actor, c Client) (string, error) {
	if err := c.mine(ctx, tx, actor); err != nil {
		return "", err
	}
	if !c.HasSecrets() {
		return "", ErrKeepsNoSecret
	}
	live, err := secretsOf(ctx, tx, c)
	if err == nil && len(live) >= MostSecrets {
		err = ErrTooManySecrets
	}
	if err != nil {
		return "", err
	}
	shown, err := addSecret(ctx, tx, c)
	if err != nil {
		return "", err
	}
	return shown, audit.Record(ctx, tx, c.by(actor, "application.secret_added", nil, nil))
}

func addSecret(ctx context.Context, tx *db.Tx, c Client) (string, error) {
	token := secret.NewToken()
	_, err := tx.Exec(ctx, `
		insert into client_secrets (client_id, id, hash, created_at) values ($1, $2, $3, $4)`,
		string(c.ID), secret.NewID("sec"), token.Hash(secret.ClientSecret), db.Time(tx.Now()))
	return secretPrefix + token.Reveal(), err
}

// RemoveSecret ends one of two secrets at once; the last one stays.
func RemoveSecret(ctx context.Context, tx *db.Tx, actor directory.Actor, c Client, id string) error {
	if err := c.mine(ctx, tx, actor); err != nil {
		return err
	}
	live, err := secretsOf(ctx, tx, c)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(live, func(s KeptSecret) bool { return s.ID == id }) {
		return ErrNoSecret
	}
	if len(live) == 1 {
		return ErrLastSecret
	}
	if _, err := tx.Exec(ctx, `delete from client_secrets where client_id = $1 and id = $2`, string(c.ID), id); err != nil {
		return err
	}
	return audit.Record(ctx, tx, c.by(actor, "application.secret_removed", audit.Fields{"secret": id}, nil))
}

// Place decides how an organization has an application, its own or the installation's.
// One that is forbidden ends for everybody there, at once.
func Place(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, c Client, pl Placement) error {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return err
	}
	if c.OrgID != "" && c.OrgID != org {
		return ErrNoClient
	}
	before, err := placementOf(ctx, tx, org, c)
	if err != nil {
		return err
	}
	if err := pl.check(ctx, tx, org); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		insert into client_organizations (org_id, client_id, standing, audience, groups) values ($1, $2, $3, $4, $5)
		on conflict (org_id, client_id) do update set standing = excluded.standing, audience = excluded.audience, groups = excluded.groups`,
		string(org), string(c.ID), string(pl.Standing), string(pl.Audience), strings.Join(pl.Groups, " "))
	if err == nil && pl.Standing == Forbidden && before.Standing != Forbidden {
		_, err = endOf(ctx, tx, org, "", c.ID, "forbidden")
	}
	if err != nil {
		return err
	}
	e := c.by(actor, "application.placed", before.fields(), pl.fields())
	e.OrgID = string(org)
	return audit.Record(ctx, tx, e)
}

func (p Placement) check(ctx context.Context, r db.Reader, org directory.OrgID) error {
	if !slices.Contains([]Standing{AsRegistered, Approved, Forbidden}, p.Standing) {
		return fault.Field("standing", "op.field.standing")
	}
	if !slices.Contains(Audiences, p.Audience) {
		return fault.Field("audience", "op.field.audience")
	}
	if p.Audience == SomeGroups && len(p.Groups) == 0 {
		return fault.Field("groups", "op.field.groups")
	}
	return ownGroups(ctx, r, org, "groups", p.Groups)
}

func (p Placement) fields() audit.Fields {
	return audit.Fields{"standing": p.Standing, "audience": p.Audience, "groups": p.Groups}
}
