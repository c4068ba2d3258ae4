package op

import (
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"

	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

var (
	deviceFields = page.Fields{"user_code", "session"}

	errDeviceCode = fault.Field("user_code", "op.device.unknown")
)

// userCodeLetters make no words and are told apart easily (RFC 8628 §6.1).
const (
	userCodeLetters = "BCDFGHJKLMNPQRSTVWXZ"
	userCodeLength  = 8
)

// deviceAnswer is RFC 8628 §3.2.
type deviceAnswer struct {
	DeviceCode string `json:"device_code"`
	UserCode   string `json:"user_code"`
	URI        string `json:"verification_uri"`
	Complete   string `json:"verification_uri_complete"`
	ExpiresIn  int    `json:"expires_in"`
	Interval   int    `json:"interval"`
}

// askDevice begins a sign-in for a device that has no browser.
func (p *Provider) askDevice(c *call) (answer, error) {
	if err := p.authenticate(c); err != nil {
		return nil, err
	}
	if !c.client.Settings.Devices {
		return nil, wrong(errUnauthorizedClient, "the client is not registered for device authorization")
	}
	var r Request
	if err := errors.Join(r.scope(c.client, c.form), p.cannot(c.client, c.form)); err != nil {
		return nil, err
	}
	ctx, device, code := c.R.Context(), secret.NewToken(), newUserCode()
	if !c.client.Confidential() {
		if err := p.countBegun(ctx); err != nil {
			return nil, err
		}
	}
	err := p.DB.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into device_codes (id, device_hash, user_code_hash, client_id, scope, created_at)
			values ($1, $2, $3, $4, $5, $6)`,
			secret.NewID("dev"), device.Hash(secret.DeviceCode), p.userCodeHash(code), string(c.client.ID), strings.Join(r.Scope, " "), db.Time(tx.Now()))
		return err
	})
	shown := code[:userCodeLength/2] + "-" + code[userCodeLength/2:]
	return deviceAnswer{
		device.Reveal(), shown, p.Base + devicePath, p.Base + devicePath + "?user_code=" + shown,
		int(p.deviceLasts() / time.Second), int(DevicePollsEvery / time.Second),
	}, err
}

// newUserCode has about 34 bits: enough for ten minutes behind a limiter.
func newUserCode() string {
	var code strings.Builder
	for code.Len() < userCodeLength {
		for _, b := range secret.Bytes(userCodeLength) {
			// 240 is the last multiple of 20 below 256: no letter comes more often.
			if b < 240 && code.Len() < userCodeLength {
				code.WriteByte(userCodeLetters[int(b)%len(userCodeLetters)])
			}
		}
	}
	return code.String()
}

// userCodeHash is keyed, since so few bits are found again by trying.
func (p *Provider) userCodeHash(code string) string {
	return base64.RawURLEncoding.EncodeToString(secret.MAC(p.onceKey, "user code", code))
}

// cleanUserCode is a code as typed, in whatever case and with whatever between; empty
// for what is none.
func cleanUserCode(typed string) string {
	if len(typed) > 100 {
		return ""
	}
	code := strings.Map(func(r rune) rune {
		if r == '-' || r == ' ' || r == '‐' || r == '–' || r == '\u00a0' {
			return -1
		}
		return r
	}, strings.ToUpper(typed))
	if len(code) != userCodeLength || strings.Trim(code, userCodeLetters) != "" {
		return ""
	}
	return code
}

// deviceRow is a device that waits for an answer.
type deviceRow struct {
	id    string
	scope []string
}

func (p *Provider) deviceByCode(ctx context.Context, r db.Reader, typed string) (deviceRow, application.Application, error) {
	code := cleanUserCode(typed)
	if code == "" {
		return deviceRow{}, application.Application{}, errDeviceCode
	}
	var d deviceRow
	var scope string
	var c application.Row
	found, err := r.One(ctx, append(c.Targets(), &d.id, &scope), `
		select `+application.Columns+`, d.id, d.scope
		from device_codes d
		join clients c on c.id = d.client_id
		where d.user_code_hash = $1 and d.answered_at is null and d.ended_at is null and d.created_at > $2`,
		p.userCodeHash(code), db.Time(p.DB.Now().Add(-p.deviceLasts())))
	if err == nil && !found {
		err = errDeviceCode
	}
	if err != nil {
		return deviceRow{}, application.Application{}, err
	}
	d.scope = strings.Fields(scope)
	client, err := c.Read()
	return d, client, err
}

// devicePage asks for the code that a device shows, or whether it may come in.
type devicePage struct {
	asking
	Code   string
	Device bool // the code is known: asks
	None   bool // nobody who is signed in here may
	Done   bool
	No     bool
}

// Shown is the code as the device shows it.
func (d devicePage) Shown() string {
	if len(d.Code) != userCodeLength {
		return d.Code
	}
	return d.Code[:userCodeLength/2] + "-" + d.Code[userCodeLength/2:]
}

// showDevice asks for the code; with one in the address that fits, it asks at once.
func (p *Provider) showDevice(v *page.Visitor) error {
	q := v.R.URL.Query()
	if q.Has("done") || q.Has("no") {
		v.NoForm()
		return v.Render("op-device", devicePage{Done: q.Has("done"), No: q.Has("no")})
	}
	typed := v.Form.Get("user_code")
	if typed == "" {
		typed = q.Get("user_code")
	}
	if typed == "" || v.Form.Refused() {
		return v.Render("op-device", devicePage{Code: typed})
	}
	return p.askAboutDevice(v, typed)
}

// askAboutDevice shows what asks and for whom; whoever is not signed in does that first.
func (p *Provider) askAboutDevice(v *page.Visitor, typed string) error {
	ctx := v.R.Context()
	if err := p.takeFromNetwork(ctx, PerNetworkDevice); err != nil {
		return err
	}
	d, c, err := p.deviceByCode(ctx, p.DB, typed)
	if errors.Is(err, errDeviceCode) {
		v.Status(fault.Invalid)
		v.Form.Refuse("user_code", typed, errDeviceCode)
		return v.Render("op-device", devicePage{Code: typed})
	}
	if err != nil {
		return err
	}
	visits, err := p.whoMay(v, c)
	if err != nil {
		return err
	}
	if all, err := v.Visits(ctx); err != nil {
		return err
	} else if len(visits) == 0 && len(all) > 0 && v.Form.Do() != "other" {
		v.Status(fault.Denied)
		return v.Render("op-device", devicePage{asking: asking{Client: c, Title: c.Title(v.Language())}, Code: cleanUserCode(typed), None: true})
	}
	if len(visits) == 0 {
		begun, err := v.Begin(signin.Attempt{OrgID: c.OrgID, ClientID: string(c.ID), Return: devicePath + "?user_code=" + cleanUserCode(typed)}, nil)
		if err != nil {
			return err
		}
		return v.Redirect("/sign-in/" + begun.ID)
	}
	return v.Render("op-device", devicePage{
		asking: asking{Client: c, Title: c.Title(v.Language()), Scopes: d.scope, Visits: visits}, Code: cleanUserCode(typed), Device: true,
	})
}

// whoMay are those who are signed in here and may open an application.
func (p *Provider) whoMay(v *page.Visitor, c application.Application) ([]session.Visit, error) {
	all, err := v.Visits(v.R.Context())
	if err != nil {
		return nil, err
	}
	var may []session.Visit
	for _, w := range all {
		ok, err := application.May(v.R.Context(), p.DB, c, w)
		if err != nil {
			return nil, err
		}
		if ok == application.Allowed {
			may = append(may, w)
		}
	}
	return may, nil
}

// answerDevice lets a device in as somebody, or not.
func (p *Provider) answerDevice(v *page.Visitor) error {
	ctx := v.R.Context()
	if v.Form.Do() == "other" {
		return p.askAboutDevice(v, v.Form.Get("user_code"))
	}
	if v.Form.Do() != "allow" && v.Form.Do() != "deny" {
		return v.Redirect(devicePath + "?user_code=" + cleanUserCode(v.Form.Get("user_code")))
	}
	if err := p.takeFromNetwork(ctx, PerNetworkDevice); err != nil {
		return err
	}
	d, c, err := p.deviceByCode(ctx, p.DB, v.Form.Get("user_code"))
	if err != nil {
		return err
	}
	visits, err := p.whoMay(v, c)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(visits, func(w session.Visit) bool { return w.Session.ID == v.Form.Get("session") })
	if i < 0 {
		return errDeviceCode // who was shown is not signed in any more
	}
	acr, err := p.SignIn.Assurance(ctx, visits[i])
	if err != nil {
		return err
	}
	yes := v.Form.Do() == "allow"
	if err := p.DB.Update(ctx, func(tx *db.Tx) error { return p.keepAnswer(ctx, tx, d, c, visits[i], acr, yes) }); err != nil {
		return err
	}
	if yes {
		return v.Redirect(devicePath + "?done")
	}
	return v.Redirect(devicePath + "?no")
}

// keepAnswer claims the question, and keeps what the device gets.
func (p *Provider) keepAnswer(ctx context.Context, tx *db.Tx, d deviceRow, c application.Application, w session.Visit, acr string, yes bool) error {
	n, err := tx.Exec(ctx, `
		update device_codes set answered_at = $1, org_id = $2
		where id = $3 and answered_at is null`, db.Time(tx.Now()), string(w.Session.OrgID), d.id)
	if err == nil && n == 0 {
		err = errDeviceCode
	}
	if err != nil {
		return err
	}
	e := audit.Event{
		OrgID: string(w.Session.OrgID), Actor: string(w.User.ID), ActorName: w.User.Name, Action: "device.answered",
		Target: string(c.ID), TargetName: c.Settings.Name, After: audit.Fields{"allowed": yes, "scope": strings.Join(d.scope, " ")},
	}
	if !yes {
		return audit.Record(ctx, tx, e)
	}
	g, err := newGrant(ctx, tx, Grant{
		OrgID: w.Session.OrgID, ClientID: c.ID, UserID: w.User.ID, SessionID: w.Session.ID, Scope: d.scope, EndsAt: tx.Now().Add(p.refreshLasts(c.Settings)),
		Details: Details{AuthTime: w.Session.ProvedAt.Unix(), ACR: acr, AMR: strings.Fields(w.Session.Methods)},
	}, "")
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `update device_codes set grant_id = $1 where id = $2`, g.ID, d.id); err != nil {
		return err
	}
	if err := application.CountUse(ctx, tx, c, w); err != nil {
		return err
	}
	return audit.Record(ctx, tx, e)
}

// byDevice answers a device that asks whether the person has answered (RFC 8628 §3.5).
func (p *Provider) byDevice(c *call, thumbprint string) (tokens, error) {
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
			refused = wrong(errInvalidGrant, "device_code is unknown, was used, or belongs to another client")
		case !now.Before(created.Add(p.deviceLasts())):
			refused = wrong(errExpiredToken, "device_code has expired; ask for another")
		case answered.IsZero() && now.Sub(asked) < DevicePollsEvery:
			refused = wrong(errSlowDown, "ask every 5 seconds at most")
		case answered.IsZero():
			refused = wrong(errAuthorizationPending, "the person has not answered yet")
		case grant == "":
			refused = wrong(errAccessDenied, "the person said no")
		default:
			h, refresh, refused, err = p.claimDevice(ctx, tx, id, directory.OrgID(org), string(grant), thumbprint)
			return err
		}
		_, err = tx.Exec(ctx, `update device_codes set asked_at = $1 where id = $2`, db.Time(now), id)
		return err
	})
	if err := outcome(refused, err); err != nil {
		return tokens{}, err
	}
	return p.tokensFor(c, h, h.Scope, thumbprint, refresh)
}

// claimDevice ends the question, and gives what stands behind its answer, once.
func (p *Provider) claimDevice(ctx context.Context, tx *db.Tx, id string, org directory.OrgID, grant, thumbprint string) (holder, string, *Error, error) {
	if _, err := tx.Exec(ctx, `update device_codes set ended_at = $1 where id = $2`, db.Time(tx.Now()), id); err != nil {
		return holder{}, "", nil, err
	}
	h, found, err := p.held(ctx, tx, `g.org_id = $1 and g.id = $2`, string(org), grant)
	if err != nil {
		return holder{}, "", nil, err
	}
	if !found || h.over(tx.Now()) {
		return holder{}, "", wrong(errInvalidGrant, "the session that let the device in has ended"), nil
	}
	refresh, err := p.begin(ctx, tx, &h, thumbprint)
	return h, refresh, nil, err
}
