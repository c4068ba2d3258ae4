package credential

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // RFC 6238 §1.2: what every authenticator app computes.
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/secret"
)

// The faults of authenticator apps.
var (
	ErrCodeWrong    = fault.Field("code", "credential.code_wrong")
	ErrNoPendingApp = fault.New(fault.Gone, "credential.no_pending_app")
)

const (
	totpStep   = 30 * time.Second
	totpDigits = 6
	seedBytes  = 20 // 160 bits (RFC 4226 §4 R6)

	// EnrolmentLifetime is how long an app that was begun waits for its code.
	EnrolmentLifetime = 15 * time.Minute
)

// App is an authenticator app of a user.
type App struct {
	ID        string
	Name      string
	CreatedAt time.Time
	UsedAt    time.Time // zero before the first use after enrolling
	seed      string    // sealed
	lastStep  int64
}

// Authenticators keeps authenticator apps. Build it once.
type Authenticators struct{ seeds secret.Box }

// NewAuthenticators seals seeds under a key of the ring.
func NewAuthenticators(sealing *secret.Ring) *Authenticators {
	return &Authenticators{secret.NewBox(sealing, seedsBox)}
}

// seedsBox is what seeds are sealed for.
const seedsBox = "totp seeds"

// Sealed are the columns of this package that a rotation of keys seals again.
var Sealed = []secret.Column{{
	Table: "totp_seeds", Name: "seed", Purpose: seedsBox, Row: []string{"org_id", "user_id", "id"},
	For: func(row []string) string {
		return seedRow(Owner{directory.OrgID(row[0]), directory.UserID(row[1])}, row[2])
	},
}}

// totp returns the code of a step (RFC 6238 §4, RFC 4226 §5.3).
func totp(seed []byte, step int64, digits int) string {
	m := hmac.New(sha1.New, seed)
	var counter [8]byte
	binary.BigEndian.PutUint64(counter[:], uint64(step)) //nolint:gosec // Steps since 1970 are positive.
	m.Write(counter[:])
	sum := m.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	value := uint64(binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff)
	modulus := uint64(1)
	for range digits {
		modulus *= 10
	}
	return fmt.Sprintf("%0*d", digits, value%modulus)
}

// foldDigits brings a typed code into one form: the digits of any script, without the spaces
// and hyphens that people and apps put between them. Any other character stays, and makes the
// code wrong.
func foldDigits(typed string) string {
	var b strings.Builder
	for _, r := range typed {
		switch {
		case unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) || unicode.Is(unicode.Cf, r):
		case unicode.Is(unicode.Nd, r):
			b.WriteByte('0' + digitValue(r))
		default:
			b.WriteRune(r)
		}
		if b.Len() > 20 {
			break
		}
	}
	return b.String()
}

// digitValue returns the value of a decimal digit, a rune of unicode.Nd: Unicode keeps those of
// a script in runs of ten, zero first (Unicode Standard §4.6).
func digitValue(r rune) byte {
	for _, t := range unicode.Nd.R16 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) {
			return byte((r - rune(t.Lo)) % 10) //nolint:gosec // Below ten.
		}
	}
	for _, t := range unicode.Nd.R32 {
		if rune(t.Lo) <= r && r <= rune(t.Hi) { //nolint:gosec // Code points fit.
			return byte((r - rune(t.Lo)) % 10) //nolint:gosec // As above.
		}
	}
	return 0
}

// matchingStep returns the step whose code was typed, within so many steps of now and later
// than the last one accepted; false if there is none.
func matchingStep(seed []byte, typed string, last, tolerance int64, now time.Time) (int64, bool) {
	code := foldDigits(typed)
	if len(code) != totpDigits {
		return 0, false
	}
	at := now.Unix() / int64(totpStep/time.Second)
	found, matched := int64(0), false
	for step := at - tolerance; step <= at+tolerance; step++ {
		if subtle.ConstantTimeCompare([]byte(totp(seed, step, totpDigits)), []byte(code)) == 1 && step > last && !matched {
			found, matched = step, true
		}
	}
	return found, matched
}

// Enrolment is an app that is being enrolled, as its page shows it.
type Enrolment struct {
	App
	Secret string // Base32 in groups of four, for typing
	URI    string // otpauth://, for the QR code and for an app on the same device
}

// BeginApp starts to enrol an app for a user, bound to the attempt or session that asked for it
// (R-MFA-05). An app that this attempt or session began before gets the new name and keeps its
// secret, which an app may have scanned in another tab.
func (a *Authenticators) BeginApp(ctx context.Context, tx *db.Tx, o Owner, boundTo, name string) error {
	n, err := tx.Exec(ctx, `
		update totp_seeds set name = $1, created_at = $2
		where org_id = $3 and user_id = $4 and bound_to = $5 and confirmed_at is null and created_at > $6`,
		name, db.Time(tx.Now()), string(o.OrgID), string(o.UserID), boundTo, db.Time(tx.Now().Add(-EnrolmentLifetime)))
	if err != nil || n > 0 {
		return err
	}
	id := secret.NewID("app")
	_, err = tx.Exec(ctx, `
		insert into totp_seeds (org_id, id, user_id, name, seed, bound_to, last_step, created_at)
		values ($1, $2, $3, $4, $5, $6, 0, $7)`,
		string(o.OrgID), id, string(o.UserID), name, a.seeds.Seal(secret.Bytes(seedBytes), seedRow(o, id)), boundTo, db.Time(tx.Now()))
	return err
}

// seedRow is what a seed is sealed for: moved to another user it cannot be opened.
func seedRow(o Owner, id string) string {
	return "totp_seeds " + string(o.OrgID) + " " + string(o.UserID) + " " + id
}

// PendingApp returns the app that was begun, for the page that shows its secret: it stays the
// same however often the page is loaded or a wrong code is typed.
func (a *Authenticators) PendingApp(ctx context.Context, r db.Reader, o Owner, boundTo, issuer, account string, now time.Time) (Enrolment, error) {
	apps, err := a.apps(ctx, r, o, `and bound_to = $3 and confirmed_at is null and created_at > $4`, boundTo, db.Time(now.Add(-EnrolmentLifetime)))
	if err != nil {
		return Enrolment{}, err
	}
	if len(apps) == 0 {
		return Enrolment{}, ErrNoPendingApp
	}
	seed, err := a.seeds.Open(apps[0].seed, seedRow(o, apps[0].ID))
	if err != nil {
		return Enrolment{}, err
	}
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(seed)
	e := Enrolment{App: apps[0], URI: otpauth(issuer, account, text)}
	for i := 0; i < len(text); i += 4 {
		e.Secret = strings.TrimSpace(e.Secret + " " + text[i:min(i+4, len(text))])
	}
	return e, nil
}

// A QR code is shown as large as a page has room for, so its content decides how large its
// modules are: 362 bytes are version 14 at level M, 73 modules (ISO/IEC 18004 table 7). A
// letter of another script than Latin takes six or nine bytes, and the issuer is in it twice.
const (
	maxURI    = 362
	maxIssuer = 90
)

// otpauth returns the address that apps read from the QR code (the key URI format of Google
// Authenticator, which all of them follow). Names that are too long for it are shortened: an
// app only shows them.
func otpauth(issuer, account, seed string) string {
	// A colon separates the two in the label, and neither may contain one.
	issuer, account = strings.ReplaceAll(issuer, ":", " "), strings.ReplaceAll(account, ":", " ")
	issuer = shorten(issuer, maxIssuer)
	write := func(account string) string {
		return "otpauth://totp/" + escape(issuer) + ":" + escape(account) +
			"?secret=" + seed + "&issuer=" + escape(issuer) + "&algorithm=SHA1&digits=6&period=30"
	}
	return write(shorten(account, maxURI-len(write(""))))
}

// escape writes a text so that every app reads it the same: some read a plus as a space
// wherever it stands.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// shorten leaves out the middle of a text that would be longer than so many bytes when escaped.
// The ends stay, since branches of one company differ in the last word.
func shorten(text string, most int) string {
	all := []rune(text)
	short := text
	for keep := len(all) - 1; len(escape(short)) > most && keep >= 0; keep-- {
		head, tail := string(all[:(keep+1)/2]), string(all[len(all)-keep/2:])
		short = strings.TrimSpace(head) + "…" + strings.TrimLeftFunc(tail, func(r rune) bool { return unicode.In(r, unicode.White_Space, unicode.M) })
	}
	return short
}

// ConfirmApp turns on the app that was begun, if the code is right. That code cannot be used
// again, not to sign in either.
func (a *Authenticators) ConfirmApp(ctx context.Context, tx *db.Tx, o Owner, boundTo, typed string, tolerance int64) (App, error) {
	apps, err := a.apps(ctx, tx, o, `and bound_to = $3 and confirmed_at is null and created_at > $4`, boundTo, db.Time(tx.Now().Add(-EnrolmentLifetime)))
	if err != nil {
		return App{}, err
	}
	if len(apps) == 0 {
		return App{}, ErrNoPendingApp
	}
	step, right, err := a.match(o, apps[0], typed, tolerance, tx.Now())
	if err != nil {
		return App{}, err
	}
	if !right {
		return App{}, ErrCodeWrong
	}
	if err := removeStrayCodes(ctx, tx, o); err != nil {
		return App{}, err
	}
	n, err := tx.Exec(ctx, `
		update totp_seeds set confirmed_at = $1, last_step = $2, bound_to = ''
		where org_id = $3 and id = $4 and confirmed_at is null`,
		db.Time(tx.Now()), step, string(o.OrgID), apps[0].ID)
	if err == nil && n == 0 {
		err = ErrNoPendingApp // another tab was faster
	}
	if err == nil {
		err = keepSecondStep(ctx, tx, o)
	}
	return apps[0], err
}

// VerifyCode finds the user's app whose code was typed and uses the code up: of many requests
// that send one code at once, one is right. A wrong code is no error.
func (a *Authenticators) VerifyCode(ctx context.Context, tx *db.Tx, o Owner, typed string, tolerance int64) (App, bool, error) {
	apps, err := a.apps(ctx, tx, o, `and confirmed_at is not null`)
	if err != nil {
		return App{}, false, err
	}
	for _, app := range apps {
		step, right, err := a.match(o, app, typed, tolerance, tx.Now())
		if err != nil {
			return App{}, false, err
		}
		if !right {
			continue
		}
		n, err := tx.Exec(ctx, `
			update totp_seeds set last_step = $1, used_at = $2
			where org_id = $3 and id = $4 and last_step < $1`,
			step, db.Time(tx.Now()), string(o.OrgID), app.ID)
		return app, n == 1, err
	}
	return App{}, false, nil
}

// RepeatsCode reports whether a code is the one by which an app of the user was confirmed or
// last used, at that time or later: the same form, sent twice.
func (a *Authenticators) RepeatsCode(ctx context.Context, r db.Reader, o Owner, typed string, since time.Time) (bool, error) {
	apps, err := a.apps(ctx, r, o, `and (confirmed_at >= $3 or confirmed_at is not null and used_at >= $3)`, db.Time(since))
	if err != nil {
		return false, err
	}
	code := []byte(foldDigits(typed))
	for _, app := range apps {
		seed, err := a.seeds.Open(app.seed, seedRow(o, app.ID))
		if err != nil {
			return false, fmt.Errorf("opening the seed of app %s: %w", app.ID, err)
		}
		if subtle.ConstantTimeCompare([]byte(totp(seed, app.lastStep, totpDigits)), code) == 1 {
			return true, nil
		}
	}
	return false, nil
}

func (a *Authenticators) match(o Owner, app App, typed string, tolerance int64, now time.Time) (int64, bool, error) {
	seed, err := a.seeds.Open(app.seed, seedRow(o, app.ID))
	if err != nil {
		return 0, false, fmt.Errorf("opening the seed of app %s: %w", app.ID, err)
	}
	step, right := matchingStep(seed, typed, app.lastStep, tolerance, now)
	return step, right, nil
}

func (a *Authenticators) apps(ctx context.Context, r db.Reader, o Owner, which string, args ...any) ([]App, error) {
	return db.List(ctx, r, func(app *App) []any {
		return db.Into(&app.ID, &app.Name, &app.seed, &app.lastStep, (*db.Time)(&app.CreatedAt), (*db.Time)(&app.UsedAt))
	}, `
		select id, name, seed, last_step, created_at, used_at
		from totp_seeds
		where org_id = $1 and user_id = $2 `+which+`
		order by created_at, id`, append([]any{string(o.OrgID), string(o.UserID)}, args...)...)
}
