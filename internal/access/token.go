package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

const (
	// TokenPrefix begins the text of every token that a person made, so that scanners recognize
	// one that leaked.
	TokenPrefix = "pak_"
	// TokenLasts is how long a token lasts unless its maker says otherwise.
	TokenLasts = 90 * 24 * time.Hour
	// LongestToken and ShortestToken are how long one lasts at most and at least.
	LongestToken  = 365 * 24 * time.Hour
	ShortestToken = time.Hour

	// mostTokens is how many tokens a person may have.
	mostTokens = 20
	// keptFor is how long a token that ended stays in the list.
	keptFor = 30 * 24 * time.Hour
	// noted is how long a use stands for the ones after it, so that calls seldom write.
	noted = time.Hour
)

// Token is what is known of a token that a person made. Its text is shown once and not stored.
type Token struct {
	OrgID     directory.OrgID
	ID        string // tok_ and 26 characters
	UserID    directory.UserID
	Owner     string // the name of the user
	Name      string
	Scopes    []Scope
	CreatedAt time.Time
	EndsAt    time.Time
	UsedAt    time.Time // of the last use, to the hour; zero before the first
	Network   string    // from where that was
	Over      bool      // it no longer opens anything

	owner      directory.User
	generation int // of the owner when the token was made
}

// New is what somebody chooses of a new token.
type New struct {
	Name   string
	Scopes []Scope
	Lasts  time.Duration // TokenLasts if zero
}

// Issue makes a token for the actor, and returns its text with it. Only a person makes one, and
// the caller of this function has asked for a fresh proof: no token makes a stronger one
// (R-SES-10).
func Issue(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, n New) (Token, string, error) {
	owner, scopes, err := chosen(ctx, tx, actor, org, &n)
	if err != nil {
		return Token{}, "", err
	}
	text := secret.NewToken()
	t := Token{
		OrgID: org, ID: secret.NewID("tok"), UserID: owner.ID, Owner: owner.Name, Name: n.Name, Scopes: scopes,
		CreatedAt: tx.Now(), EndsAt: tx.Now().Add(n.Lasts), owner: owner, generation: owner.Generation,
	}
	if _, err := tx.Exec(ctx, `
		insert into api_tokens (org_id, id, user_id, generation, token_hash, name, scopes, created_at, ends_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		string(org), t.ID, string(t.UserID), owner.Generation, text.Hash(secret.APIToken), t.Name, join(scopes),
		db.Time(t.CreatedAt), db.Time(t.EndsAt)); err != nil {
		return Token{}, "", fmt.Errorf("keeping token %s: %w", t.ID, err)
	}
	e := t.event(actor, "token.issued")
	e.After = audit.Fields{"scopes": join(scopes), "ends_at": t.EndsAt.UTC().Format(time.RFC3339)}
	return t, TokenPrefix + text.Reveal(), audit.Record(ctx, tx, e)
}

// chosen returns the owner of a token that is to be made, and what it may have.
func chosen(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, n *New) (directory.User, []Scope, error) {
	owner, err := person(ctx, tx, actor, org)
	if err == nil && !owner.Role.ReadsConsole() {
		err = directory.ErrDenied
	}
	if err != nil {
		return directory.User{}, nil, err
	}
	name, wrongName := naming.CleanName(n.Name, "name")
	scopes, wrongScopes := checked(owner.Role, n.Scopes)
	var wrongEnd error
	if n.Name = name; n.Lasts == 0 {
		n.Lasts = TokenLasts
	}
	if n.Lasts < ShortestToken || n.Lasts > LongestToken {
		wrongEnd = ErrLasts
	}
	if err := errors.Join(wrongName, wrongScopes, wrongEnd); err != nil {
		return directory.User{}, nil, err
	}
	var has int
	_, err = tx.One(ctx, db.Into(&has), `select count(*) from api_tokens where org_id = $1 and user_id = $2`, string(org), string(owner.ID))
	if err == nil && has >= mostTokens {
		err = ErrTooMany.With("Most", mostTokens)
	}
	return owner, scopes, err
}

// Revoke ends a token at once: its owner's own deed, or that of somebody who sets the rules and
// governs the owner.
func Revoke(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string) error {
	actor, err := actor.In(ctx, tx, org)
	if err != nil {
		return err
	}
	t, err := tokenByID(ctx, tx, org, id)
	switch {
	case err != nil:
		return err
	case actor.UserID == t.UserID:
	case !t.seenBy(actor):
		return directory.ErrNotFound
	case !actor.Role.SetsRules() || !actor.Role.Governs(t.owner.Role):
		return directory.ErrDenied
	}
	if _, err := tx.Exec(ctx, `delete from api_tokens where org_id = $1 and id = $2`, string(org), id); err != nil {
		return fmt.Errorf("revoking token %s: %w", id, err)
	}
	return audit.Record(ctx, tx, t.event(actor, "token.revoked"))
}

// OwnerRole returns the role of the owner now.
func (t Token) OwnerRole() directory.Role { return t.owner.Role }

func (t Token) event(actor directory.Actor, action audit.Action) audit.Event {
	e := actor.Event(t.OrgID, action)
	e.Target, e.TargetName = t.ID, t.Name
	if actor.UserID != t.UserID {
		e.Before = audit.Fields{"user": t.UserID}
	}
	return e
}

const tokenColumns = `t.org_id, t.id, t.user_id, t.generation, t.name, t.scopes, t.created_at, t.ends_at, t.used_at, t.network, ` + directory.UserColumns

const tokenJoins = `
	from api_tokens t
	join users u on u.org_id = t.org_id and u.id = t.user_id`

func (t *Token) targets() []any {
	return append(db.Into(&t.OrgID, &t.ID, &t.UserID, &t.generation, &t.Name, db.Words(&t.Scopes), (*db.Time)(&t.CreatedAt), (*db.Time)(&t.EndsAt),
		(*db.Time)(&t.UsedAt), &t.Network), t.owner.Targets()...)
}

// at returns t as it is at a time.
func (t Token) at(now time.Time) Token {
	t.Owner = t.owner.Name
	t.Over = !now.Before(t.EndsAt) || t.generation != t.owner.Generation || t.owner.Closed() != nil
	return t
}

// TokenByID returns a token, for its owner and for those who read the audit log.
func TokenByID(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, id string) (Token, error) {
	now, err := actor.In(ctx, r, org)
	if err != nil {
		return Token{}, err
	}
	t, err := tokenByID(ctx, r, org, id)
	if err == nil && !t.seenBy(now) {
		err = directory.ErrNotFound
	}
	return t, err
}

func (t Token) seenBy(a directory.Actor) bool { return a.UserID == t.UserID || a.Role.ReadsAudit() }

func tokenByID(ctx context.Context, r db.Reader, org directory.OrgID, id string) (Token, error) {
	var t Token
	found, err := r.One(ctx, t.targets(), `
		select `+tokenColumns+tokenJoins+`
		where t.org_id = $1 and t.id = $2`, string(org), id)
	if err == nil && !found {
		err = directory.ErrNotFound
	}
	return t.at(r.Now()), err
}

// Tokens lists the tokens of an organization that the actor may see, newest first: all of them, or
// the actor's own.
func Tokens(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) ([]Token, error) {
	now, err := actor.In(ctx, r, org)
	if err != nil {
		return nil, err
	}
	all, err := db.List(ctx, r, (*Token).targets, `
		select `+tokenColumns+tokenJoins+`
		where t.org_id = $1 and ($2 or t.user_id = $3)
		order by t.created_at desc, t.id`, string(org), now.Role.ReadsAudit(), string(now.UserID))
	for i := range all {
		all[i] = all[i].at(r.Now())
	}
	return all, err
}

// ByToken returns who calls with a token that a person made, as the person is now. It returns
// ErrUnknown for a text that is no such token, or one that has ended.
func ByToken(ctx context.Context, r db.Reader, text string) (Caller, error) {
	own, ours := strings.CutPrefix(text, TokenPrefix)
	token := secret.ParseToken(own)
	if !ours || token.IsZero() {
		return Caller{}, ErrUnknown
	}
	t, err := open(ctx, r, `t.token_hash = $1`, token.Hash(secret.APIToken))
	if err != nil {
		return Caller{}, err
	}
	audit.Admitted(ctx, audit.Admission{Actor: t.ID, Method: audit.ByToken})
	return Caller{Actor: t.actor(), Key: t.ID, Scopes: Within(t.owner.Role, t.Scopes), Until: t.EndsAt, usedAt: t.UsedAt}, nil
}

// open returns the token that where selects, or ErrUnknown if it opens nothing.
func open(ctx context.Context, r db.Reader, where string, args ...any) (Token, error) {
	var t Token
	found, err := r.One(ctx, t.targets(), `
		select `+tokenColumns+tokenJoins+`
		join organizations o on o.id = t.org_id and o.suspended_at is null
		where `+where, args...)
	if err == nil && (!found || t.at(r.Now()).Over) {
		err = ErrUnknown
	}
	return t, err
}

func (t Token) actor() directory.Actor {
	return directory.Actor{
		Kind: directory.KindToken, OrgID: t.OrgID, ID: t.ID, Name: t.owner.Name, Role: t.owner.Role, UserID: t.UserID,
		Again: func(ctx context.Context, r db.Reader) (directory.Actor, error) {
			now, err := open(ctx, r, `t.org_id = $1 and t.id = $2`, string(t.OrgID), t.ID)
			if err != nil {
				return directory.Actor{}, err
			}
			return now.actor(), nil
		},
	}
}

// Touch stores that a token or a machine calls, unless that was stored a short while ago. What a
// person at the command line does is use of their session.
func (c Caller) Touch(ctx context.Context, d *db.DB) error {
	if d.Now().Sub(c.usedAt) < noted {
		return nil
	}
	return d.UpdateLax(ctx, func(tx *db.Tx) (err error) {
		at, network, org := db.Time(tx.Now()), audit.OriginOf(ctx).Network, string(c.Actor.OrgID)
		switch c.Actor.Kind {
		case directory.KindToken:
			_, err = tx.Exec(ctx, `
				update api_tokens set used_at = $1, network = $2
				where org_id = $3 and id = $4`, at, network, org, c.Actor.ID)
		case directory.KindOperator:
			err = touchOperator(ctx, tx, c.Actor, at, network)
		case directory.KindMachine:
			if c.Operator {
				return touchOperator(ctx, tx, c.Actor, at, network)
			}
			_, err = tx.Exec(ctx, `
				update machine_rights set used_at = $1, network = $2
				where org_id = $3 and client_id = $4`, at, network, org, c.Actor.ID)
		case directory.KindUser, directory.KindSource, directory.KindSystem, directory.KindAnonymous:
		}
		return err
	})
}

func join(scopes []Scope) string {
	words := make([]string, len(scopes))
	for i, s := range scopes {
		words[i] = string(s)
	}
	return strings.Join(words, " ")
}
