package op

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"parvis/internal/application"
	"parvis/internal/application/proof"
	"parvis/internal/db"
	"parvis/internal/secret"
)

// pushedAnswer gives the application the name of its stored request (RFC 9126 §2.2).
type pushedAnswer struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int    `json:"expires_in"`
}

// push stores an authorization request that an application's server sends before the browser
// arrives (RFC 9126).
func (p *Provider) push(c *call) (answer, error) {
	if err := p.authenticate(c, application.Proved); err != nil {
		return nil, err
	}
	if !c.client.Code() {
		return nil, Wrong(UnauthorizedClient, "nobody signs in to this client in a browser")
	}
	ctx := c.R.Context()
	r, err := p.understand(ctx, c.client, c.form)
	if _, ok := errors.AsType[*Mismatch](err); ok {
		return nil, Wrong(InvalidRequest, "redirect_uri is missing, doubled, or not one that is registered")
	}
	if err != nil {
		return nil, err
	}
	shown, err := p.proved(c.R, application.Application{}, "")
	if err != nil {
		return nil, err
	}
	if shown.Thumbprint != "" {
		if r.Thumbprint != "" && r.Thumbprint != shown.Thumbprint {
			return nil, Wrong(InvalidDPoP, "the DPoP proof is by another key than dpop_jkt names")
		}
		r.Thumbprint = shown.Thumbprint
	}
	token, err := p.store(ctx, c.client, r, !c.client.Confidential(), shown)
	c.status = http.StatusCreated
	return pushedAnswer{RequestURI + token.Reveal(), int(PushedLasts / time.Second)}, err
}

// Store stores a request until its browser arrives. anybody means that the sender did not
// authenticate; such requests are limited by network.
func (p *Provider) Store(ctx context.Context, c application.Application, r Request, anybody bool) (secret.Token, error) {
	return p.store(ctx, c, r, anybody, proof.Proof{})
}

// store does that, and uses the DPoP proof that the request came with.
func (p *Provider) store(ctx context.Context, c application.Application, r Request, anybody bool, shown proof.Proof) (secret.Token, error) {
	if anybody {
		if err := p.countBegun(ctx); err != nil {
			return secret.Token{}, err
		}
	}
	token := secret.NewToken()
	asked, err := json.Marshal(r)
	if err != nil {
		return secret.Token{}, err
	}
	return token, p.DB.Update(ctx, func(tx *db.Tx) error {
		if err := p.useProof(ctx, tx, shown); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			insert into pushed_requests (hash, client_id, asked, created_at) values ($1, $2, $3, $4)`,
			token.Hash(secret.Pushed), string(c.ID), string(asked), db.Time(tx.Now()))
		return err
	})
}

// pushed returns a request that the same client stored, once (RFC 9126 §4).
func (p *Provider) pushed(ctx context.Context, c application.Application, text string) (Request, error) {
	token := secret.ParseToken(text)
	var asked string
	var found bool
	err := p.DB.Update(ctx, func(tx *db.Tx) (err error) {
		found, err = tx.One(ctx, db.Into(&asked), `
			update pushed_requests set used_at = $1
			where hash = $2 and client_id = $3 and used_at is null and created_at > $4
			returning asked`,
			db.Time(tx.Now()), token.Hash(secret.Pushed), string(c.ID), db.Time(tx.Now().Add(-PushedLasts)))
		return err
	})
	if err != nil {
		return Request{}, err
	}
	var r Request
	if found {
		err = json.Unmarshal([]byte(asked), &r)
	}
	if err == nil && (!found || token.IsZero() || !r.holds(c)) {
		err = &Mismatch{Key: "op.mismatch.request_uri", Client: c.Settings.Name}
	}
	return r, err
}
