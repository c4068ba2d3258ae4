package signin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/limit"
	"parvis/internal/secret"
	"parvis/internal/session"
)

// AttemptLifetime is when an attempt ends, whatever it has proved (R-AUT-05).
const AttemptLifetime = 15 * time.Minute

// WhereToLasts is how long we keep where a browser was going, a path of ours or an
// application's request, and MostWhereTo how many of them a browser has (decision 0042). It
// proves nothing.
const (
	WhereToLasts = 24 * time.Hour
	MostWhereTo  = 20
)

// ErrAttemptGone answers for an attempt that ended, expired, never existed, or belongs to
// another browser: all look the same.
var ErrAttemptGone = fault.New(fault.Gone, "signin.attempt_gone")

// Begin stores an attempt that needs another request. form is what was typed into the page that
// asked for fresh proof, without secrets, which the caller leaves out; it is sealed for the
// person who typed it, and Typed returns it to nobody else.
func (s *Service) Begin(ctx context.Context, tx *db.Tx, b session.Browser, a Attempt, form url.Values) (Attempt, error) {
	a.ID, a.BrowserID, a.CreatedAt = cmp.Or(a.ID, newAttemptID()), b.ID, tx.Now()
	if !isLocalPath(a.Return) {
		return Attempt{}, fmt.Errorf("an attempt returns to a path of ours, not to %q", a.Return)
	}
	owner, sealed := a.UserID, ""
	var err error
	if owner == "" && form != nil {
		owner, err = s.Sessions.LastUser(ctx, tx, b, a.OrgID)
	}
	if err != nil {
		return Attempt{}, err
	}
	if owner != "" && form != nil {
		a.Return += "?typed=" + a.ID // the form's page asks for it by this parameter
		sealed = s.forms.Seal([]byte(form.Encode()), formOf(a.ID, owner))
	}
	if err := makeRoom(ctx, tx, b); err != nil {
		return Attempt{}, err
	}
	_, err = tx.Exec(ctx, `
		insert into attempts (id, browser_id, org_id, user_id, generation, reset_id, connection_id, invitation_id, link_request, client_id, login_hint, anew, evidence, fresh, return_path, form, created_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)`,
		a.ID, a.BrowserID, db.Text(a.OrgID), db.Text(a.UserID), a.Generation, db.Text(a.ResetID), db.Text(a.ConnectionID), db.Text(a.InvitationID),
		db.Text(a.LinkRequest), db.Text(a.ClientID), db.Text(a.LoginHint), a.Anew, evidenceText(a.Evidence), a.Fresh.Microseconds(),
		a.Return, db.Text(sealed), db.Time(a.CreatedAt))
	return a, err
}

// makeRoom makes room for one more attempt in a browser.
func makeRoom(ctx context.Context, tx *db.Tx, b session.Browser) error {
	_, err := tx.Exec(ctx, `
		delete from attempts
		where browser_id = $1 and id in (
			select o.id from attempts o
			where o.browser_id = $1
			order by o.created_at desc, o.id
			limit 1000 offset $2)`, b.ID, MostWhereTo-1)
	return err
}

// BeginFor stores an attempt for the browser behind a cookie, and makes a browser where there
// is none: cookie is then its new token. A network that begins too many gets ErrTooOften.
func (s *Service) BeginFor(ctx context.Context, token secret.Token, a Attempt, form url.Values) (cookie secret.Token, begun Attempt, err error) {
	counted := s.Limits.Key(PerNetworkBegun, network(ctx))
	if a.ConnectionID != "" {
		counted = s.Limits.Key(PerNetworkUpstream, network(ctx))
	}
	if a.UserID != "" && a.LinkRequest == "" { // people who are signed in are not slowed by their neighbours
		counted = s.Limits.Key(PerUserBegun, limit.Of(a.OrgID), limit.Of(a.UserID)).In(string(a.OrgID))
	}
	if _, err := s.take(ctx, counted); err != nil {
		return secret.Token{}, Attempt{}, err
	}
	err = s.DB.Update(ctx, func(tx *db.Tx) error {
		cookie = secret.Token{}
		b, known, err := s.Sessions.BrowserOf(ctx, tx, token, tx.Now())
		if err == nil && !known {
			b, cookie, err = s.Sessions.NewBrowser(ctx, tx)
		}
		if err != nil {
			return err
		}
		begun, err = s.Begin(ctx, tx, b, a, form)
		return err
	})
	return cookie, begun, err
}

// isLocalPath reports whether a path stays on our origin however a browser reads it (WEB-3): it
// begins with exactly one slash and contains nothing that is folded away.
func isLocalPath(p string) bool {
	return strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "//") && !strings.ContainsAny(p, "\\\t\r\n\x00")
}

// Load returns an open attempt of this browser.
func (s *Service) Load(ctx context.Context, r db.Reader, b session.Browser, id string, now time.Time) (Attempt, error) {
	a, _, err := s.load(ctx, r, b, id)
	if err != nil {
		return Attempt{}, err
	}
	if !s.goesOn(a, now) {
		return Attempt{}, ErrAttemptGone
	}
	return a, nil
}

func (s *Service) goesOn(a Attempt, now time.Time) bool {
	return a.EndedAt.IsZero() && now.Before(a.CreatedAt.Add(s.attemptLifetime()))
}

// WhereTo returns where a browser was going by an attempt that cannot continue because it
// expired or ended. The result proves nothing, and names nobody except the user a step-up was
// for. It is ErrAttemptGone after a day, and where a first link began the attempt: that link is
// to be opened again, and nobody knows who holds an expired one.
func (s *Service) WhereTo(ctx context.Context, r db.Reader, b session.Browser, id string, now time.Time) (Attempt, error) {
	a, _, err := loadAny(ctx, r, b, id)
	if err == nil && (!now.Before(a.CreatedAt.Add(WhereToLasts)) || a.InvitationID != "" || a.ResetID != "") {
		err = ErrAttemptGone
	}
	if err != nil {
		return Attempt{}, err
	}
	to := Attempt{OrgID: a.OrgID, LinkRequest: a.LinkRequest, ClientID: a.ClientID, LoginHint: a.LoginHint, Anew: a.Anew, Return: a.Return, CreatedAt: a.CreatedAt, EndedAt: a.EndedAt}
	if q := a.query(); q.Has("typed") {
		to.Return = a.path() // what was typed is kept no longer than a proof
	}
	switch {
	case a.Fresh > 0:
		to.UserID, to.Generation, to.Fresh = a.UserID, a.Generation, a.Fresh
	case a.UserID != "" && !a.older:
		// This was typed in this browser, so it fills in the field.
		user, err := directory.UserByID(ctx, r, a.OrgID, a.UserID)
		if err != nil {
			return Attempt{}, err
		}
		to.LoginHint = user.Email
	}
	return to, nil
}

// Typed returns what was typed before fresh proof was asked for, to the same user in the same
// browser and on the same page, until the attempt ends.
func (s *Service) Typed(ctx context.Context, r db.Reader, v session.Visit, id, path string, now time.Time) (url.Values, error) {
	a, sealed, err := s.load(ctx, r, v.Browser, id)
	if err != nil {
		return nil, err
	}
	if sealed == "" || a.UserID != v.User.ID || a.OrgID != v.User.OrgID || a.path() != path ||
		!now.Before(a.CreatedAt.Add(s.attemptLifetime())) {
		return nil, ErrAttemptGone
	}
	text, err := s.forms.Open(sealed, formOf(a.ID, v.User.ID))
	if errors.Is(err, secret.ErrSealBroken) {
		return nil, ErrAttemptGone // somebody else typed it
	}
	if err != nil {
		return nil, err
	}
	return url.ParseQuery(string(text))
}

// formOf names what a form is sealed for: its attempt and the person who typed it.
func formOf(id string, owner directory.UserID) string { return "attempts " + id + " " + string(owner) }

func newAttemptID() string { return secret.NewID("att") }

// attemptID matches the ids of attempts; nothing else reaches the database.
var attemptID = regexp.MustCompile(`^att_[a-z2-7]{26}$`)

// path is Return without its query.
func (a Attempt) path() string {
	p, _, _ := strings.Cut(a.Return, "?")
	return p
}

// query returns the query of Return.
func (a Attempt) query() url.Values {
	_, q, _ := strings.Cut(a.Return, "?")
	values, err := url.ParseQuery(q)
	if err != nil {
		return url.Values{} // it is kept as it was written
	}
	return values
}

// load returns an attempt, with any evidence in it only for somebody who shows the current
// token.
func (s *Service) load(ctx context.Context, r db.Reader, b session.Browser, id string) (Attempt, string, error) {
	a, sealed, err := loadAny(ctx, r, b, id)
	if err == nil && a.older && len(a.Evidence) > 0 {
		// What was proved came with a newer token: somebody who planted or kept this one must
		// not continue with it (SES-1). One statement asks for both, since the token may have
		// changed after the request's browser was read.
		err = ErrAttemptGone
	}
	if err != nil {
		return Attempt{}, "", err
	}
	return a, sealed, s.describe(ctx, r, &a)
}

func loadAny(ctx context.Context, r db.Reader, b session.Browser, id string) (Attempt, string, error) {
	if b.ID == "" || !attemptID.MatchString(id) {
		return Attempt{}, "", ErrAttemptGone
	}
	var a Attempt
	var evidence string
	var sealed db.Text
	var fresh int64
	var current bool
	found, err := r.One(ctx, db.Into(&a.ID, &a.BrowserID, (*db.Text)(&a.OrgID), (*db.Text)(&a.UserID), &a.Generation, (*db.Text)(&a.ResetID), (*db.Text)(&a.ConnectionID), (*db.Text)(&a.InvitationID),
		(*db.Text)(&a.LinkRequest), (*db.Text)(&a.ClientID), (*db.Text)(&a.LoginHint), &a.Anew, &evidence, &fresh,
		&a.Return, &sealed, (*db.Time)(&a.CreatedAt), (*db.Time)(&a.EndedAt), &current), `
		select a.id, a.browser_id, a.org_id, a.user_id, a.generation, a.reset_id, a.connection_id, a.invitation_id, a.link_request, a.client_id, a.login_hint, a.anew, a.evidence, a.fresh,
			a.return_path, a.form, a.created_at, a.ended_at, b.token_hash = $1
		from attempts a
		join browsers b on b.id = a.browser_id
		left join users u on u.org_id = a.org_id and u.id = a.user_id
		where a.id = $2 and a.browser_id = $3
			and (a.user_id is null or (u.generation = a.generation and u.deactivated_at is null))`, b.Shown(), id, b.ID)
	if err != nil {
		return Attempt{}, "", err
	}
	if !found {
		return Attempt{}, "", ErrAttemptGone
	}
	a.Fresh = time.Duration(fresh) * time.Microsecond
	if a.Evidence, err = parseEvidence(evidence); err != nil {
		return Attempt{}, "", err
	}
	a.older = !current
	return a, string(sealed), nil
}

// proved returns a with one more piece of evidence for user who. A stored attempt is reloaded
// inside the transaction, because its earlier evidence may have been voided.
func (s *Service) proved(ctx context.Context, tx *db.Tx, b session.Browser, a Attempt, who directory.User, m Method) (Attempt, error) {
	if a.ID != "" {
		var err error
		if a, err = s.Load(ctx, tx, b, a.ID, tx.Now()); err != nil {
			return Attempt{}, err
		}
		if a.OrgID != "" && a.OrgID != who.OrgID || a.UserID != "" && a.UserID != who.ID {
			return Attempt{}, ErrAttemptGone // it has become somebody else's
		}
	}
	a.OrgID, a.UserID, a.Generation = who.OrgID, who.ID, who.Generation
	a.Evidence = append(a.Evidence[:len(a.Evidence):len(a.Evidence)], Evidence{m, tx.Now()})
	return a, nil
}

// acts lets the log have what was proved so far in what the attempt's user does in this request.
func (a Attempt) acts(ctx context.Context) {
	if len(a.Evidence) == 0 {
		return
	}
	by := strings.Join(amr(a), " ")
	if a.has(Federated) {
		by = cmp.Or(strings.Join(a.vouched.Methods, " "), audit.ByProvider)
	}
	audit.Admitted(ctx, audit.Admission{Actor: string(a.UserID), Method: cmp.Or(by, audit.ByLink)})
}

// finish claims the end of an attempt: of two requests that complete it at once, one gets
// ErrAttemptGone. An attempt that was never stored has nothing to claim.
func finish(ctx context.Context, tx *db.Tx, a Attempt) error {
	if a.ID == "" {
		return nil
	}
	n, err := tx.Exec(ctx, `
		update attempts set ended_at = $1, evidence = $2, user_id = $3, org_id = $4, generation = $5
		where id = $6 and browser_id = $7 and ended_at is null`,
		db.Time(tx.Now()), evidenceText(a.Evidence), db.Text(a.UserID), db.Text(a.OrgID), a.Generation, a.ID, a.BrowserID)
	if err == nil && n == 0 {
		err = ErrAttemptGone
	}
	return err
}

// advance stores what an attempt has gathered, in the browser that goes on with it.
func advance(ctx context.Context, tx *db.Tx, a Attempt, b session.Browser) error {
	n, err := tx.Exec(ctx, `
		update attempts set evidence = $1, user_id = $2, org_id = $3, generation = $4, browser_id = $5
		where id = $6 and browser_id = $7 and ended_at is null`,
		evidenceText(a.Evidence), db.Text(a.UserID), db.Text(a.OrgID), a.Generation, b.ID, a.ID, a.BrowserID)
	if err == nil && n == 0 {
		err = ErrAttemptGone
	}
	return err
}

// Sweep erases what was proved and typed in attempts that nobody can continue, and removes
// those of which even the destination is no longer kept.
func (s *Service) Sweep(ctx context.Context, d *db.DB) error {
	if _, err := d.InParts(ctx, `
		update attempts set evidence = '', form = null
		where id in (select id from attempts where created_at <= $1 and (evidence <> '' or form is not null) limit $2)`,
		db.Time(d.Now().Add(-2*s.attemptLifetime()))); err != nil {
		return err
	}
	_, err := d.InParts(ctx, `delete from attempts where id in (select id from attempts where created_at <= $1 limit $2)`,
		db.Time(d.Now().Add(-max(WhereToLasts, 2*s.attemptLifetime()))))
	return err
}

func evidenceText(all []Evidence) string {
	words := make([]string, len(all))
	for i, e := range all {
		words[i] = string(e.Method) + "@" + strconv.FormatInt(e.At.UnixMicro(), 10)
	}
	return strings.Join(words, " ")
}

func parseEvidence(text string) ([]Evidence, error) {
	var all []Evidence
	for word := range strings.FieldsSeq(text) {
		method, at, _ := strings.Cut(word, "@")
		us, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("reading evidence %q: %w", word, err)
		}
		all = append(all, Evidence{Method(method), time.UnixMicro(us).UTC()})
	}
	return all, nil
}
