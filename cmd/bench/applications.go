package main

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

const (
	callback = "https://books.example/callback"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk-and-more"
)

// application is one that is registered for the measurement.
type relyingParty struct{ id, secret string }

// tokens are what an application holds of a person.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
}

// applications measures what applications ask, where everybody has a session and a
// grant.
func (b *bench) applications() error {
	const users = 100_000
	data := b.work + "/applications"
	s, err := b.start(data)
	if err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	people, err := seed(data, users)
	if err != nil {
		return err
	}
	signed, opaque, err := register(data)
	if err != nil {
		return err
	}
	if s, err = b.start(data); err != nil {
		return err
	}
	defer s.stop()
	bare, err := b.startBare()
	if err != nil {
		return err
	}
	defer bare.stop()
	if err := b.exchanges(s, signed, people); err != nil {
		return err
	}
	return b.questions(s, bare, signed, opaque, people)
}

// exchanges measures what writes: a code for a session that is there and its exchange,
// and a refresh, beside the signature and the durable write without which neither can be.
func (b *bench) exchanges(s *server, a relyingParty, people []person) error {
	held := make(chan tokens, len(people))
	for _, p := range people {
		t, err := a.enter(redirectless(), s, p)
		if err != nil {
			return err
		}
		held <- t
	}
	var next atomic.Int64
	var signature, write, code, codes, refresh, refreshes, stored, storedAgain, others []float64
	for range b.rounds {
		signed, err := bareSignature(b.length / 4)
		if err != nil {
			return err
		}
		written, err := bareWrite(b.work+"/bare.db", b.length/4)
		if err != nil {
			return err
		}
		signature, write = append(signature, signed*1e6), append(write, written*1e6)
		in := s.load(b.length, 4, func(c *http.Client) error {
			_, err := a.enter(c, s, people[int(next.Add(1))%len(people)])
			return err
		})
		again := s.load(b.length, 4, func(c *http.Client) error {
			t, err := a.token(c, s, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {(<-held).Refresh}})
			held <- t
			return err
		})
		if err := errors.Join(in.err, again.err); err != nil {
			return fmt.Errorf("%d of %d failed: %w", in.errors+again.errors, in.done+again.done, err)
		}
		code, codes = append(code, in.cpuEach*1000), append(codes, in.perSecond)
		refresh, refreshes = append(refresh, again.cpuEach*1000), append(refreshes, again.perSecond)
		stored, storedAgain = append(stored, in.storedEach*1000), append(storedAgain, again.storedEach*1000)
		others = append(others, in.others, again.others)
	}
	beside := func(stored []float64) string {
		if b.postgres == "" {
			return ""
		}
		return fmt.Sprintf(" and %.2f ms of PostgreSQL", medianF(stored))
	}
	b.row("bare ES256 signature, CPU", "–", "%.0f µs", medianF(signature))
	b.row("bare durable write of one row, CPU", "–", "%.0f µs", medianF(write))
	b.row("code with PKCE and a live session, exchanged, CPU", "≤ 1.2 ms", "%.2f ms%s, %.0f a second%s", medianF(code), beside(stored), medianF(codes), marked(others))
	b.row("refresh with rotation, CPU", "≤ 0.8 ms", "%.2f ms%s, %.0f a second%s", medianF(refresh), beside(storedAgain), medianF(refreshes), marked(others))
	return nil
}

// questions compares what only reads with a bare handler.
func (b *bench) questions(s, bare *server, signed, opaque relyingParty, people []person) error {
	held := map[relyingParty][]string{}
	for _, a := range []relyingParty{signed, opaque} {
		for _, p := range people {
			t, err := a.enter(redirectless(), s, p)
			if err != nil {
				return err
			}
			held[a] = append(held[a], t.Access)
		}
	}
	var next atomic.Int64
	one := func(a relyingParty) string { return held[a][int(next.Add(1))%len(people)] }
	get := func(path string) func(*http.Client) error {
		return func(c *http.Client) error { return visit(c, s.url+path, "", http.StatusOK) }
	}
	for _, of := range []struct {
		title, target string
		ask           func(*http.Client) error
	}{
		{"introspection of an opaque access token", "≥ 0.30", func(c *http.Client) error { return opaque.introspect(c, s, one(opaque)) }},
		{"introspection of a signed access token", "≥ 0.30", func(c *http.Client) error { return signed.introspect(c, s, one(signed)) }},
		{"UserInfo by an opaque access token", "≥ 0.30", func(c *http.Client) error { return userInfo(c, s, one(opaque)) }},
		{"UserInfo by a signed access token", "≥ 0.30", func(c *http.Client) error { return userInfo(c, s, one(signed)) }},
		{"JWKS", "–", get("/jwks")},
		{"discovery", "–", get("/.well-known/openid-configuration")},
	} {
		var ratio, others []float64
		for range b.rounds {
			limit := bare.load(b.length/2, 4, func(c *http.Client) error { return visit(c, bare.url+"/", "", http.StatusOK) })
			ours := s.load(b.length/2, 4, of.ask)
			if ours.err != nil {
				return fmt.Errorf("%s: %d of %d failed: %w", of.title, ours.errors, ours.done, ours.err)
			}
			ratio, others = append(ratio, limit.cpuEach/ours.cpuEach), append(others, limit.others, ours.others)
		}
		b.row(of.title+" against bare net/http, CPU each", of.target, "%.2f%s", medianF(ratio), marked(others))
	}
	return nil
}

// enter is the whole exchange: the browser with its session, then the application.
func (a relyingParty) enter(c *http.Client, s *server, p person) (tokens, error) {
	code, err := a.authorize(c, s, p)
	if err != nil {
		return tokens{}, err
	}
	return a.token(c, s, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}})
}

// authorize is the browser's part of it, which ends with a code.
func (a relyingParty) authorize(c *http.Client, s *server, p person) (string, error) {
	sum := sha256.Sum256([]byte(verifier))
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url+"/authorize?"+url.Values{
		"client_id": {a.id}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid profile email"}, "state": {"state"}, "nonce": {"nonce"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode(), nil)
	if err != nil {
		return "", err
	}
	r.Header.Set("Cookie", "parvis="+p.cookie)
	res, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	to, err := res.Location()
	if err != nil || !strings.HasPrefix(to.String(), callback) {
		return "", fmt.Errorf("no code but %d: %w", res.StatusCode, err)
	}
	return to.Query().Get("code"), nil
}

func (a relyingParty) token(c *http.Client, s *server, form url.Values) (tokens, error) {
	var t tokens
	err := a.call(c, s, "/token", form, &t)
	return t, err
}

func (a relyingParty) introspect(c *http.Client, s *server, token string) error {
	var said struct{ Active bool }
	err := a.call(c, s, "/introspect", url.Values{"token": {token}}, &said)
	if err == nil && !said.Active {
		err = errors.New("the token is not active")
	}
	return err
}

// call posts a form as the application, by client_secret_basic.
func (a relyingParty) call(c *http.Client, s *server, path string, form url.Values, into any) error {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(a.id, a.secret)
	res, err := c.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("POST %s: %d %s", path, res.StatusCode, text)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func userInfo(c *http.Client, s *server, token string) error {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url+"/userinfo", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return expect(c, r, http.StatusOK)
}

// register makes two applications, and gives everybody a session and a grant of the
// first: by plain rows, as in seed.
func register(data string) (signed, opaque relyingParty, err error) {
	return registerAt(databaseOf(data))
}

// registerAt is register for a database elsewhere.
func registerAt(address string) (signed, opaque relyingParty, err error) {
	ctx := context.Background()
	d, err := db.Open(ctx, address)
	if err != nil {
		return signed, opaque, err
	}
	defer d.Close()
	if err := d.Update(ctx, func(tx *db.Tx) error {
		for name, a := range map[string]*relyingParty{"Books": &signed, "Ledger": &opaque} {
			c, shown, err := application.Register(ctx, tx, directory.Operator(), "", application.Application{Kind: application.Web, Settings: application.Settings{
				Name: name, Auth: application.Secret, RedirectURIs: []string{callback}, Scopes: []string{application.OpenID, application.ProfileInfo, application.EmailInfo},
				Refreshes: true, Opaque: a == &opaque, AccessFor: application.LongestAccess,
			}})
			if err != nil {
				return err
			}
			*a = relyingParty{string(c.ID), shown}
		}
		return nil
	}); err != nil {
		return signed, opaque, err
	}
	for _, begins := range "abcdefghijklmnopqrstuvwxyz234567" { // a transaction ends within seconds on PostgreSQL, or is ended
		if err := d.Update(ctx, func(tx *db.Tx) error { return admitted(ctx, tx, string(begins)) }); err != nil {
			return signed, opaque, err
		}
	}
	return signed, opaque, nil
}

// admitted gives everybody whose id begins so a session, and a grant of it to an application. Ids and
// hashes stand among those of new rows in every index, as real ones do: where the new ones came together
// on few pages, PostgreSQL would have transactions lose races that they do not lose in life.
func admitted(ctx context.Context, tx *db.Tx, begins string) error {
	for _, statement := range []string{
		`insert into browsers (id, token_hash, rotated_at, created_at)
			select 'brw_' || substr(u.id, 5), case when substr(u.id, 6, 1) < 'n' then upper(substr(u.id, 5)) else substr(u.id, 5) end, cast($1 as bigint), cast($1 as bigint) from users u
			where substr(u.id, 5, 1) = $2 and not exists (select 1 from sessions s where s.org_id = u.org_id and s.user_id = u.id)`,
		`insert into sessions (org_id, id, user_id, browser_id, generation, methods, started_at, proved_at, seen_at, network, agent)
			select u.org_id, 'ses_' || substr(u.id, 5), u.id, b.id, u.generation, 'pwd', cast($1 as bigint), cast($1 as bigint), cast($1 as bigint), '', ''
			from users u
			join browsers b on b.id = 'brw_' || substr(u.id, 5)
			where substr(u.id, 5, 1) = $2`,
		`insert into grants (org_id, id, client_id, user_id, session_id, scope, details, code_hash, code_used_at, family_hash, refresh_hash, created_at, ends_at)
			select s.org_id, 'gr_' || substr(s.user_id, 5), (select min(c.id) from clients c where c.id like 'app_%'), s.user_id, s.id, 'openid', '{}', s.hash, cast($1 as bigint), s.hash, s.hash, cast($1 as bigint), cast($1 as bigint) + 1000000000000
			from (select org_id, id, user_id, case when substr(user_id, 6, 1) < 'n' then upper(substr(user_id, 5)) else substr(user_id, 5) end hash from sessions) s
			where substr(s.user_id, 5, 1) = $2`,
	} {
		if _, err := tx.Exec(ctx, statement, db.Time(tx.Now()), begins); err != nil {
			return err
		}
	}
	return nil
}

// bareSignature is the CPU of one ES256 signature, in seconds.
func bareSignature(length time.Duration) (float64, error) {
	key, digest := secret.NewECKey(), sha256.Sum256([]byte("claims"))
	return each(length, func() error {
		_, err := key.Sign(nil, digest[:], crypto.SHA256)
		return err
	})
}

// bareWrite is the CPU of one durable write of one row, in seconds.
func bareWrite(path string, length time.Duration) (float64, error) {
	ctx := context.Background()
	d, err := db.Open(ctx, path)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	write := func(statement string) error {
		return d.Update(ctx, func(tx *db.Tx) error {
			_, err := tx.Exec(ctx, statement)
			return err
		})
	}
	if err := write(`create table if not exists bare (id text primary key, n bigint)`); err != nil {
		return 0, err
	}
	if err := write(`insert into bare (id, n) values ('row', 0) on conflict (id) do nothing`); err != nil {
		return 0, err
	}
	return each(length, func() error { return write(`update bare set n = n + 1 where id = 'row'`) })
}

// each is the CPU that one call takes in this process, in seconds.
func each(length time.Duration, op func() error) (float64, error) {
	done, cpu, began := 0.0, selfCPU(), time.Now()
	for time.Since(began) < length {
		if err := op(); err != nil {
			return 0, err
		}
		done++
	}
	return (selfCPU() - cpu) / done, nil
}
