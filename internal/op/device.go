package op

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/application/proof"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/secret"
	"parvis/internal/session"
)

// ErrDeviceCode means that no device shows the code that was typed.
var ErrDeviceCode = fault.Field("user_code", "op.device.unknown")

// userCodeLetters form no words and are easy to tell apart (RFC 8628 §6.1).
const (
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	UserCodeLength  = 8
)

// deviceAnswer is the answer to a device that begins (RFC 8628 §3.2).
type deviceAnswer struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	URI        string `json:"verification_uri"`
	Complete   string `json:"verification_uri_complete"`
	ExpiresIn  int    `json:"expires_in"`
	Interval   int    `json:"interval"`
}

// askDevice begins a sign-in for a device without a browser (RFC 8628 §3.1).
func (p *Provider) askDevice(c *call) (answer, error) {
	if err := p.authenticate(c, application.Proved); err != nil {
		return nil, err
	}
	if !c.client.Settings.Devices {
		return nil, Wrong(UnauthorizedClient, "the client is not registered for device authorization")
	}
	var r Request
	if err := errors.Join(r.scope(c.client, c.form), p.cannot(c.client, c.form)); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(r.Scope, func(s string) bool { return access.Scope(s).Writes() }) {
		return nil, Wrong(InvalidScope, "a device may only read: sign in by a browser to write")
	}
	ctx, device, code := c.R.Context(), secret.NewToken(), newUserCode()
	if !c.client.Confidential() {
		if err := p.countBegun(ctx); err != nil {
			return nil, err
		}
	}
	err := p.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into device_codes (id, device_hash, user_code_hash, client_id, scope, created_at, network)
			values ($1, $2, $3, $4, $5, $6, $7)`,
			secret.NewID("dev"), device.Hash(secret.DeviceCode), userCodeHash(p.once.Current(), code), string(c.client.ID), strings.Join(r.Scope, " "), db.Time(tx.Now()),
			audit.OriginOf(ctx).Network)
		return err
	})
	shown := code[:UserCodeLength/2] + "-" + code[UserCodeLength/2:]
	return deviceAnswer{
		device.Reveal(), shown, p.Base + DevicePath, p.Base + DevicePath + "?user_code=" + shown,
		int(p.deviceLasts() / time.Second), int(DevicePollsEvery / time.Second),
	}, err
}

// newUserCode returns a random code of about 34 bits: enough for ten minutes behind a limiter.
func newUserCode() string {
	var code strings.Builder
	for code.Len() < UserCodeLength {
		for _, b := range secret.Bytes(UserCodeLength) {
			// 240 is the last multiple of 20 below 256: so every letter is equally likely.
			if b < 240 && code.Len() < UserCodeLength {
				code.WriteByte(userCodeLetters[int(b)%len(userCodeLetters)])
			}
		}
	}
	return code.String()
}

// userCodeHash returns a keyed hash, because a plain hash of so few bits could be reversed by
// trying every code.
func userCodeHash(k secret.Key, code string) string {
	return base64.RawURLEncoding.EncodeToString(secret.MAC(k.Bytes, "user code", code))
}

// CleanUserCode returns a typed code in capitals and without spaces and hyphens, or an empty
// text if it is not a code.
func CleanUserCode(typed string) string {
	if len(typed) > 100 {
		return ""
	}
	code := strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' || r == '‐' || r == '–' || r == '\u00a0' {
			return -1
		}
		return r
	}, strings.ToUpper(typed))
	if len(code) != UserCodeLength || strings.Trim(code, userCodeLetters) != "" {
		return ""
	}
	return code
}

// Device is a device that waits until a person lets it in or refuses.
type Device struct {
	ID      string
	Client  application.Application
	Scope   []string
	Network string // from where it asked; empty for one that asked before this was stored
}

func (p *Provider) DeviceByCode(ctx context.Context, r db.Reader, typed string) (Device, error) {
	code := CleanUserCode(typed)
	if code == "" {
		return Device{}, ErrDeviceCode
	}
	for _, key := range p.once.All() { // an earlier one may have hashed it
		var d Device
		found, err := r.One(ctx, append(d.Client.Targets(), &d.ID, db.Words(&d.Scope), &d.Network), `
			select `+application.Columns+`, d.id, d.scope, d.network
			from device_codes d
			join clients c on c.id = d.client_id
			where d.user_code_hash = $1 and d.answered_at is null and d.ended_at is null and d.created_at > $2`,
			userCodeHash(key, code), db.Time(p.DB.Now().Add(-p.deviceLasts())))
		if found || err != nil {
			return d, err
		}
	}
	return Device{}, ErrDeviceCode
}

// KeepAnswer stores the person's answer, once, and after a yes the grant that the device gets.
func (p *Provider) KeepAnswer(ctx context.Context, tx *db.Tx, d Device, w session.Visit, acr string, yes bool) error {
	n, err := tx.Exec(ctx, `
		update device_codes set answered_at = $1, org_id = $2
		where id = $3 and answered_at is null`, db.Time(tx.Now()), string(w.Session.OrgID), d.ID)
	if err == nil && n == 0 {
		err = ErrDeviceCode
	}
	if err != nil {
		return err
	}
	e := audit.Event{
		OrgID: string(w.Session.OrgID), Actor: string(w.User.ID), ActorName: w.User.Name, Action: "device.answered",
		Target: string(d.Client.ID), TargetName: d.Client.Settings.Name, After: audit.Fields{"allowed": yes, "scope": strings.Join(d.Scope, " ")},
	}
	if !yes {
		return audit.Record(ctx, tx, e)
	}
	g, err := newGrant(ctx, tx, Grant{
		OrgID: w.Session.OrgID, ClientID: d.Client.ID, UserID: w.User.ID, SessionID: w.Session.ID, Scope: Within(d.Client, w, d.Scope), EndsAt: tx.Now().Add(p.deviceLasts()), // until the device asks
		Details: Details{AuthTime: w.Session.ProvedAt.Unix(), ACR: acr, AMR: strings.Fields(w.Session.Methods), API: d.Client.ID == application.CommandLine, Device: true},
	}, "")
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `update device_codes set grant_id = $1 where id = $2`, g.ID, d.ID); err != nil {
		return err
	}
	if err := application.CountUse(ctx, tx, d.Client, w); err != nil {
		return err
	}
	return audit.Record(ctx, tx, e)
}

// byDevice answers a device that asks whether the person has answered (RFC 8628 §3.5).
func (p *Provider) byDevice(c *call) (tokens, error) {
	ctx, code := c.R.Context(), secret.ParseToken(c.form.Get("device_code"))
	var h holder
	var refresh string
	var refused *Error
	err := p.DB.Update(ctx, func(tx *db.Tx) error {
		var id string
		var org, grant db.Text
		var created, asked, answered time.Time
		found, err := tx.One(ctx, db.Into(&id, &org, &grant, (*db.Time)(&created), (*db.Time)(&asked), (*db.Time)(&answered)), `
			select id, org_id, grant_id, created_at, asked_at, answered_at from device_codes
			where device_hash = $1 and client_id = $2 and ended_at is null`, code.Hash(secret.DeviceCode), string(c.client.ID))
		if err != nil {
			return err
		}
		now := tx.Now()
		switch {
		case !found || code.IsZero():
			refused = Wrong(InvalidGrant, "device_code is unknown, was used, or belongs to another client")
		case !now.Before(created.Add(p.deviceLasts())):
			refused = Wrong(ExpiredToken, "device_code has expired; ask for another")
		case answered.IsZero() && now.Sub(asked) < DevicePollsEvery:
			refused = Wrong(SlowDown, "ask every 5 seconds at most")
		case answered.IsZero():
			refused = Wrong(AuthorizationPending, "the person has not answered yet")
		case grant == "":
			refused = Wrong(AccessDenied, "the person said no")
		default:
			h, refresh, refused, err = p.claimDevice(ctx, tx, id, directory.OrgID(org), string(grant), c.proof)
			return err
		}
		_, err = tx.Exec(ctx, `update device_codes set asked_at = $1 where id = $2`, db.Time(now), id)
		return err
	})
	if err := outcome(refused, err); err != nil {
		return tokens{}, err
	}
	return p.tokensFor(c, h, h.Scope, refresh)
}

// claimDevice ends a device code, and returns its grant with the first refresh token.
func (p *Provider) claimDevice(ctx context.Context, tx *db.Tx, id string, org directory.OrgID, grant string, by proof.Proof) (holder, string, *Error, error) {
	if _, err := tx.Exec(ctx, `update device_codes set ended_at = $1 where id = $2`, db.Time(tx.Now()), id); err != nil {
		return holder{}, "", nil, err
	}
	h, found, err := p.held(ctx, tx, `g.org_id = $1 and g.id = $2`, string(org), grant)
	if err != nil {
		return holder{}, "", nil, err
	}
	if !found || h.over(tx.Now()) {
		return holder{}, "", Wrong(InvalidGrant, "the session that let the device in has ended"), nil
	}
	h.EndsAt = p.endsAt(h, tx.Now())
	first := firstRefresh(h.client)
	if _, err := tx.Exec(ctx, `
		update grants set ends_at = $1, family_hash = $2, refresh_hash = $3
		where org_id = $4 and id = $5`, db.Time(h.EndsAt), first.familyHash, first.hash, string(h.OrgID), h.ID); err != nil {
		return holder{}, "", nil, err
	}
	return h, first.text, nil, p.begin(ctx, tx, &h, by)
}
