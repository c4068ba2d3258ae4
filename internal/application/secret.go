package application

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

// secretPrefix lets scanners recognize a client secret that leaked.
const secretPrefix = "pcs_"

// KeptSecret describes a secret of a client. Its text is not stored.
type KeptSecret struct {
	ID        string
	CreatedAt time.Time
	UsedAt    time.Time // to the hour; zero if never
}

// Secrets lists the secrets of an application, oldest first. Every organization sees the
// applications of the installation, so it sees their secrets too, but never a text.
func Secrets(ctx context.Context, r db.Reader, actor directory.Actor, c Application) ([]KeptSecret, error) {
	if err := actor.MayRead(ctx, r, cmp.Or(c.OrgID, actor.OrgID)); err != nil {
		return nil, err
	}
	return secretsOf(ctx, r, c)
}

func secretsOf(ctx context.Context, r db.Reader, c Application) ([]KeptSecret, error) {
	return db.List(ctx, r, func(s *KeptSecret) []any { return db.Into(&s.ID, (*db.Time)(&s.CreatedAt), (*db.Time)(&s.UsedAt)) }, `
		select id, created_at, used_at from client_secrets
		where client_id = $1
		order by created_at, id`, string(c.ID))
}

// AddSecret adds a second secret, so that both work while an application changes to the new
// one. The text is shown once.
func AddSecret(ctx context.Context, tx *db.Tx, actor directory.Actor, c Application) (KeptSecret, string, error) {
	err := c.mine(ctx, tx, actor)
	if err == nil {
		err = c.inPerson(actor, Settings{}) // as if it were another
	}
	if err != nil {
		return KeptSecret{}, "", err
	}
	if !c.HasSecrets() {
		return KeptSecret{}, "", ErrKeepsNoSecret
	}
	live, err := secretsOf(ctx, tx, c)
	if err == nil && len(live) >= MostSecrets {
		err = ErrTooManySecrets
	}
	if err != nil {
		return KeptSecret{}, "", err
	}
	kept, shown, err := addSecret(ctx, tx, c)
	if err != nil {
		return KeptSecret{}, "", err
	}
	return kept, shown, audit.Record(ctx, tx, c.by(actor, "application.secret_added", nil, nil))
}

func addSecret(ctx context.Context, tx *db.Tx, c Application) (KeptSecret, string, error) {
	token, kept := secret.NewToken(), KeptSecret{ID: secret.NewID("sec"), CreatedAt: tx.Now()}
	_, err := tx.Exec(ctx, `
		insert into client_secrets (client_id, id, hash, created_at) values ($1, $2, $3, $4)`,
		string(c.ID), kept.ID, token.Hash(secret.ClientSecret), db.Time(kept.CreatedAt))
	return kept, secretPrefix + token.Reveal(), err
}

// RemoveSecret removes one of two secrets at once. The last one cannot be removed.
func RemoveSecret(ctx context.Context, tx *db.Tx, actor directory.Actor, c Application, id string) error {
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

// usedEvery is how precisely the last use of a secret is stored.
const usedEvery = time.Hour

// Provers finds applications that prove themselves by a secret. Its zero value is ready.
type Provers struct {
	proved db.Recall[shownSecret, proved]
}

type shownSecret struct{ id, hash string }

type proved struct {
	application Application
	fits        bool
}

// Recalled is Proved for a call that only reads: a yes may be remembered, and a second old where
// another node removed the secret.
func (p *Provers) Recalled(ctx context.Context, d *db.DB, id string, by AuthMethod, text string) (Application, bool, error) {
	if by != Secret {
		return Proved(ctx, d, id, by, text)
	}
	got, err := p.proved.Ask(d, shownSecret{id, secretIn(text).Hash(secret.ClientSecret)}, func() (proved, []string, error) {
		c, fits, err := Proved(ctx, d, id, by, text)
		if err != nil || !fits {
			return proved{c, false}, nil, err
		}
		return proved{c, true}, []string{string(c.ID)}, nil
	})
	return got.application, got.fits, err
}

// Proved returns a registered application and reports whether it proved itself by a secret: no other
// method is judged here. It looks up the secret's hash, in the statement that finds the application. A
// secret has 256 random bits, so the time of that look-up reveals nothing.
func Proved(ctx context.Context, d *db.DB, id string, by AuthMethod, text string) (Application, bool, error) {
	if by != Secret {
		c, err := Registered(ctx, d, id)
		return c, false, err
	}
	if !isID(id) {
		return Application{}, false, ErrUnknown
	}
	var c Application
	var kept db.Text
	var used time.Time
	token := secretIn(text)
	found, err := d.One(ctx, append(c.Targets(), &kept, (*db.Time)(&used)), `
		select `+Columns+`, s.id, s.used_at
		from clients c
		left join client_secrets s on s.client_id = c.id and s.hash = $1
		where c.id = $2`, token.Hash(secret.ClientSecret), id)
	if err == nil && !found {
		err = ErrUnknown
	}
	if err != nil || kept == "" || token.IsZero() || c.Settings.Auth != Secret {
		return c, false, err
	}
	return c, true, noteSecret(ctx, d, string(kept), used)
}

// secretIn returns the random part of a secret, or nothing if the text is none.
func secretIn(text string) secret.Token {
	return secret.ParseToken(strings.TrimPrefix(text, secretPrefix))
}

// noteSecret notes that a secret was used, unless that was noted lately.
func noteSecret(ctx context.Context, d *db.DB, id string, used time.Time) error {
	if d.Now().Sub(used) < usedEvery {
		return nil
	}
	return d.UpdateLax(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `update client_secrets set used_at = $1 where id = $2`, db.Time(tx.Now()), id)
		return err
	})
}
