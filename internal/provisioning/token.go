package provisioning

import (
	"context"
	"fmt"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/secret"
)

const (
	// TokenPrefix begins the text of every source's token, so that scanners recognize one that
	// leaked.
	TokenPrefix = "psc_"
	// TokenLasts is how long a token lasts.
	TokenLasts = 365 * 24 * time.Hour
	// mostTokens is how many a source may have: the one in use, and the one that follows it.
	mostTokens = 2
	// noted is how long a use stands for the ones after it, so that calls seldom write.
	noted = time.Minute
)

// The faults of tokens.
var (
	// ErrToken answers a call whose token opens nothing at its address.
	ErrToken         = fault.New(fault.Unproven, "provisioning.token_unknown")
	ErrTooManyTokens = fault.New(fault.Conflict, "provisioning.too_many_tokens")
)

// Token is what is known of a token. Its text is shown once and not stored.
type Token struct {
	ID        string // pst_ and 26 characters
	CreatedAt time.Time
	EndsAt    time.Time
	UsedAt    time.Time // of the last use, to the minute; zero before the first
}

func (t *Token) targets() []any {
	return db.Into(&t.ID, (*db.Time)(&t.CreatedAt), (*db.Time)(&t.EndsAt), (*db.Time)(&t.UsedAt))
}

// Tokens lists the tokens of a source that have not ended, the newest first.
func Tokens(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, source string) ([]Token, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return nil, err
	}
	return tokensOf(ctx, r, org, source)
}

func tokensOf(ctx context.Context, r db.Reader, org directory.OrgID, source string) ([]Token, error) {
	return db.List(ctx, r, (*Token).targets, `
		select id, created_at, ends_at, used_at
		from source_tokens
		where org_id = $1 and source_id = $2 and ends_at > $3
		order by created_at desc, id`, string(org), source, db.Time(r.Now()))
}

// Issue makes a token for a source, and returns its text with it. The caller has asked for a fresh
// proof (R-SES-10).
func (s *Service) Issue(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string) (Token, string, error) {
	source, err := changeable(ctx, tx, actor, org, id)
	if err == nil && actor.Kind != directory.KindUser && actor.Kind != directory.KindOperator {
		err = directory.ErrDenied // no token makes another
	}
	if err != nil {
		return Token{}, "", err
	}
	has, err := tokensOf(ctx, tx, org, id)
	if err == nil && len(has) >= mostTokens {
		err = ErrTooManyTokens
	}
	if err != nil {
		return Token{}, "", err
	}
	text := secret.NewToken()
	t := Token{ID: secret.NewID("pst"), CreatedAt: tx.Now(), EndsAt: tx.Now().Add(TokenLasts)}
	if _, err := tx.Exec(ctx, `
		insert into source_tokens (org_id, id, source_id, token_hash, created_at, ends_at)
		values ($1, $2, $3, $4, $5, $6)`,
		string(org), t.ID, id, text.Hash(secret.SourceToken), db.Time(t.CreatedAt), db.Time(t.EndsAt)); err != nil {
		return Token{}, "", fmt.Errorf("keeping token %s: %w", t.ID, err)
	}
	e := source.event(actor, "source.token_issued")
	e.After = audit.Fields{"token": t.ID, "ends_at": t.EndsAt.UTC().Format(time.RFC3339)}
	return t, TokenPrefix + text.Reveal(), audit.Record(ctx, tx, e)
}

// Revoke ends a token at once.
func (s *Service) Revoke(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id, token string) error {
	source, err := changeable(ctx, tx, actor, org, id)
	if err != nil {
		return err
	}
	n, err := tx.Exec(ctx, `delete from source_tokens where org_id = $1 and source_id = $2 and id = $3`, string(org), id, token)
	if err == nil && n == 0 {
		err = directory.ErrNotFound
	}
	if err != nil {
		return err
	}
	e := source.event(actor, "source.token_revoked")
	e.Before = audit.Fields{"token": token}
	return audit.Record(ctx, tx, e)
}

// Authenticate returns the source whose token was sent to its address, or ErrToken: whether the
// source is another's, suspended or absent looks the same. Nothing is remembered between calls.
func (s *Service) Authenticate(ctx context.Context, id, sent string) (Source, error) {
	text, ours := strings.CutPrefix(sent, TokenPrefix)
	token := secret.ParseToken(text)
	if !ours || token.IsZero() {
		return Source{}, ErrToken
	}
	var source Source
	var key string
	var used time.Time
	found, err := s.DB.One(ctx, append(source.targets(), &key, (*db.Time)(&used)), `
		select `+sourceColumns+`, t.id, t.used_at
		from source_tokens t
		join sources s on s.org_id = t.org_id and s.id = t.source_id
		join organizations o on o.id = t.org_id and o.suspended_at is null
		where t.token_hash = $1 and t.ends_at > $2`, token.Hash(secret.SourceToken), db.Time(s.DB.Now()))
	if err != nil {
		return Source{}, err
	}
	if !found || source.ID != id {
		return Source{}, ErrToken
	}
	audit.Admitted(ctx, audit.Admission{Actor: source.ID, Method: audit.ByToken})
	if now := s.DB.Now(); now.Sub(source.UsedAt) >= noted || now.Sub(used) >= noted {
		err = s.note(ctx, source, key)
	}
	return source, err
}

// note stores that a source called just now, by a token.
func (s *Service) note(ctx context.Context, source Source, token string) error {
	return s.DB.UpdateLax(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, `update sources set used_at = $1, network = $2 where org_id = $3 and id = $4`,
			db.Time(tx.Now()), audit.OriginOf(ctx).Network, string(source.OrgID), source.ID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `update source_tokens set used_at = $1 where org_id = $2 and id = $3`, db.Time(tx.Now()), string(source.OrgID), token)
		return err
	})
}
