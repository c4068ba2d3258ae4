package op

import (
	"context"
	"encoding/base64"
	"errors"
	"net/url"
	"strings"
	"time"

	"parvis/internal/application"
	"parvis/internal/application/proof"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/jose"
	"parvis/internal/secret"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// credentials are what a call sent to authenticate its client, and the method it used.
type credentials struct {
	id     string
	method application.AuthMethod
	secret string // or the assertion
}

// shown reads the credentials of a call. Two methods at once are refused (RFC 6749 §2.3).
func (c *call) shown() (credentials, error) {
	head, form := c.R.Header.Values("Authorization"), c.form
	used := 0
	var got credentials
	if len(head) > 0 {
		used++
		text, basic := cutScheme(head[0], "Basic")
		raw, err := base64.StdEncoding.DecodeString(text)
		id, password, colon := strings.Cut(string(raw), ":")
		if !basic || err != nil || !colon || len(head) > 1 {
			return credentials{}, Wrong(InvalidClient, "the Authorization header cannot be read as Basic")
		}
		// RFC 6749 §2.3.1: both are form-encoded first.
		plainID, err1 := url.QueryUnescape(id)
		plainSecret, err2 := url.QueryUnescape(password)
		if err1 != nil || err2 != nil {
			return credentials{}, Wrong(InvalidClient, "client id and secret must be form-encoded in the Authorization header")
		}
		got = credentials{plainID, application.Secret, plainSecret}
	}
	if form.Get("client_secret") != "" { // an empty one counts as absent (RFC 6749 §3.2)
		used++
		got = credentials{form.Get("client_id"), application.Secret, form.Get("client_secret")}
	}
	if form.Has("client_assertion") || form.Has("client_assertion_type") {
		used++
		if form.Get("client_assertion_type") != assertionType {
			return credentials{}, Wrong(InvalidClient, "client_assertion_type is not "+assertionType)
		}
		got = credentials{proof.ClientOf(form.Get("client_assertion")), application.PrivateKey, form.Get("client_assertion")}
	}
	if used == 0 {
		got = credentials{form.Get("client_id"), application.NoAuth, ""}
	}
	if used > 1 {
		return credentials{}, Wrong(InvalidRequest, "the client authenticates in more than one way")
	}
	if id := form.Get("client_id"); id != "" && id != got.id {
		return credentials{}, Wrong(InvalidClient, "client_id is not the client that authenticates")
	}
	return got, nil
}

// cutScheme removes the scheme from an Authorization header, ignoring case (RFC 9110 §11.1).
func cutScheme(header, scheme string) (string, bool) {
	said, rest, _ := strings.Cut(header, " ")
	return strings.TrimSpace(rest), strings.EqualFold(said, scheme)
}

// prover finds the client of a call: application.Proved, or Recalled of application.Provers for a
// call that changes nothing.
type prover func(ctx context.Context, d *db.DB, id string, by application.AuthMethod, text string) (application.Application, bool, error)

// authenticate checks the credentials of a call and sets its client. It accepts only the
// method that the client registered (R-OPR-07). Its errors help the developer; whether a
// client exists is public.
func (p *Provider) authenticate(c *call, prove prover) error {
	got, err := c.shown()
	if err != nil {
		return err
	}
	ctx := c.R.Context()
	client, fits, err := prove(ctx, p.DB, got.id, got.method, got.secret)
	if errors.Is(err, application.ErrUnknown) {
		return Wrong(InvalidClient, "no such client")
	}
	if err != nil {
		return err
	}
	switch {
	case client.Kind == application.Link:
		return Wrong(InvalidClient, "no such client")
	case got.method != client.Settings.Auth:
		err = Wrong(InvalidClient, "the client is registered for "+strings.Join(methodNames(client.Settings.Auth), " or ")+", and used "+strings.Join(methodNames(got.method), " or "))
	case got.method == application.PrivateKey:
		err = p.assertion(ctx, client, got.secret)
	case got.method != application.NoAuth:
		if !fits {
			err = Wrong(InvalidClient, "the client secret is wrong, or was removed")
		}
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Code == InvalidClient {
		if kept := p.refusedClient(ctx, client, got.method); kept != nil {
			return kept
		}
	}
	if err != nil {
		return err
	}
	c.client = client
	audit.Admitted(ctx, audit.Admission{Actor: string(client.ID), Method: string(got.method)})
	return nil
}

// refusedClient records that a client failed to authenticate. A limit on each network keeps
// the audit log from filling the disk.
func (p *Provider) refusedClient(ctx context.Context, c application.Application, method application.AuthMethod) error {
	if err := p.CountTry(ctx, PerNetworkClient); err != nil {
		return err
	}
	return p.DB.Update(ctx, func(tx *db.Tx) error {
		e := byClient(c, "client.refused")
		e.Actor, e.ActorName, e.Result = audit.Anonymous, audit.Anonymous, audit.Refused
		e.After = audit.Fields{"method": method}
		return audit.Record(ctx, tx, e)
	})
}

// assertion checks the signed assertion of a client (RFC 7523 §3). Each is accepted once,
// on whichever node it arrives.
func (p *Provider) assertion(ctx context.Context, c application.Application, text string) error {
	keys, err := p.keysOf(ctx, c, false)
	if err != nil {
		return err
	}
	check := func(keys []jose.Key) (string, time.Time, error) {
		return proof.Assertion(text, proof.AssertionExpectation{
			ClientID: string(c.ID), Audiences: []string{p.Base, p.Base + tokenPath}, Keys: keys, Now: p.DB.Now(), Since: p.DB.Restored,
		})
	}
	id, expires, err := check(keys)
	if err != nil && c.Settings.KeysURL != "" {
		// The client may have rotated its keys: we fetch them again, but not too often.
		fresh, fetched := p.keysOf(ctx, c, true)
		if fetched != nil {
			return fetched
		}
		id, expires, err = check(fresh)
	}
	if err != nil {
		return Wrong(InvalidClient, "the client assertion was refused: "+err.Error())
	}
	return p.DB.Update(ctx, func(tx *db.Tx) error {
		first, err := p.useOnce(ctx, tx, "assertion", string(c.ID), id, expires)
		if err == nil && !first {
			err = Wrong(InvalidClient, "the client assertion was used before (jti)")
		}
		return err
	})
}

// useOnce stores an id that may be used once, and reports whether it was new. It is stored under each
// of our keys: one that is taken out lets no proof come again.
func (p *Provider) useOnce(ctx context.Context, tx *db.Tx, what, whose, id string, expires time.Time) (first bool, err error) {
	first = true
	for _, key := range p.once.All() {
		n, err := tx.Exec(ctx, `
			insert into used_proofs (id, expires_at) values ($1, $2)
			on conflict (id) do nothing`,
			base64.RawURLEncoding.EncodeToString(secret.MAC(key.Bytes, what, whose, id)), db.Time(expires))
		if err != nil {
			return false, err
		}
		first = first && n == 1
	}
	return first, nil
}
