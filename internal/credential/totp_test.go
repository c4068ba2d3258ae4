package credential

import (
	"context"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
)

// sharedData reads a file of the test data that lies beside the checkout.
func sharedData(t testing.TB, name string) []byte {
	t.Helper()
	path := filepath.Join("../../../shared/data", name)
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("left out: %s is missing beside the checkout", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// apps are the authenticator apps of one user.
type apps struct {
	*Authenticators
	t     testing.TB
	d     *db.DB
	clock *dbtest.Clock
	owner Owner
}

func newApps(t testing.TB) *apps {
	t.Helper()
	d, clock := dbtest.Open(t)
	return &apps{NewAuthenticators(testPepper("k_one")), t, d, clock, newOwner(t, d, newOrg(t, d))}
}

// another returns another user of the same organization.
func (a apps) another() *apps {
	a.owner = newOwner(a.t, a.d, a.owner.OrgID)
	return &a
}

func (a *apps) begin(boundTo string) {
	a.t.Helper()
	update(a.t, a.d, func(ctx context.Context, tx *db.Tx) error {
		return a.BeginApp(ctx, tx, a.owner, boundTo, "Phone")
	})
}

func (a *apps) pending(boundTo string) (Enrolment, error) {
	return a.PendingApp(a.t.Context(), a.d, a.owner, boundTo, "Acme", "ada@example.com", a.d.Now())
}

// seedOf reads the secret that the page shows, as an app does.
func (a *apps) seedOf(boundTo string) []byte {
	a.t.Helper()
	e, err := a.pending(boundTo)
	if err != nil {
		a.t.Fatal(err)
	}
	seed, err := base32.StdEncoding.DecodeString(strings.ReplaceAll(e.Secret, " ", ""))
	if err != nil {
		a.t.Fatal(err)
	}
	return seed
}

func (a *apps) confirm(boundTo, typed string) error {
	return a.d.Update(a.t.Context(), func(tx *db.Tx) error {
		_, err := a.ConfirmApp(a.t.Context(), tx, a.owner, boundTo, typed, 1)
		return err
	})
}

// verify does what a sign-in does with a typed code.
func (a *apps) verify(typed string, tolerance int64) bool {
	a.t.Helper()
	var right bool
	update(a.t, a.d, func(ctx context.Context, tx *db.Tx) (err error) {
		_, right, err = a.VerifyCode(ctx, tx, a.owner, typed, tolerance)
		return err
	})
	return right
}

// enrol turns an app on and returns its seed. The step of its first code is over afterwards.
func (a *apps) enrol() []byte {
	a.t.Helper()
	a.begin("ses_1")
	seed := a.seedOf("ses_1")
	if err := a.confirm("ses_1", a.code(seed, 0)); err != nil {
		a.t.Fatal(err)
	}
	a.clock.Advance(5 * time.Minute)
	return seed
}

// code returns what an app shows whose clock is off.
func (a *apps) code(seed []byte, off time.Duration) string {
	return totp(seed, a.d.Now().Add(off).Unix()/30, totpDigits)
}

func TestMFA5CodesAreThoseOfRFC6238(t *testing.T) {
	var data struct {
		Secrets map[string]struct{ Hex string }
		Vectors []struct {
			Time      int64 `json:"time_unix"`
			Algorithm string
			Code      string
			Six       string `json:"code_6_digits"`
		}
	}
	if err := json.Unmarshal(sharedData(t, "totp/rfc6238.json"), &data); err != nil {
		t.Fatal(err)
	}
	seed, err := hex.DecodeString(data.Secrets["SHA1"].Hex)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, v := range data.Vectors {
		if v.Algorithm != "SHA1" { // the one that every app knows, and ours
			continue
		}
		compared++
		if got := totp(seed, v.Time/30, 8); got != v.Code {
			t.Errorf("at %d: %s, want %s", v.Time, got, v.Code)
		}
		if step, ok := matchingStep(seed, v.Six, 0, 0, time.Unix(v.Time, 0)); !ok || step != v.Time/30 {
			t.Errorf("%s at %d: step %d, %v", v.Six, v.Time, step, ok)
		}
	}
	if compared != 6 {
		t.Errorf("compared with %d vectors, want the 6 of SHA-1", compared)
	}
}

func TestMFA5OneCanonicalFormDecides(t *testing.T) {
	seed := []byte("12345678901234567890")
	var step int64 = 1 // find a code that begins with a zero, to drop the zero
	for totp(seed, step, 6)[0] != '0' {
		step++
	}
	code := totp(seed, step, 6)
	in := func(zero rune) string {
		return strings.Map(func(r rune) rune { return zero + r - '0' }, code)
	}
	tests := map[string]struct {
		typed string
		want  bool
	}{
		"plain":                       {code, true},
		"a space":                     {code[:3] + " " + code[3:], true},
		"spaces and a line around":    {"  " + code + "\r\n", true},
		"a no-break space":            {code[:3] + "\u00a0" + code[3:], true},
		"a narrow no-break space":     {code[:3] + "\u202f" + code[3:], true},
		"an ideographic space":        {code[:3] + "\u3000" + code[3:], true},
		"a hyphen":                    {code[:3] + "-" + code[3:], true},
		"an en dash":                  {code[:3] + "–" + code[3:], true},
		"a zero-width space":          {"\u200b" + code, true},
		"a direction mark":            {"\u200e" + code + "\u202c", true},
		"full-width":                  {in('０'), true},
		"Arabic-Indic":                {in('٠'), true},
		"extended Arabic-Indic":       {in('۰'), true},
		"Devanagari":                  {in('०'), true},
		"mathematical bold":           {in('𝟎'), true},
		"two scripts":                 {in('٠')[:len(in('٠'))/2] + code[3:], true},
		"no leading zero":             {code[1:], false},
		"seven digits":                {code + "0", false},
		"seven digits with a zero":    {"0" + code, false},
		"twice":                       {code + code, false},
		"nothing":                     {"", false},
		"spaces only":                 {"   ", false},
		"letters":                     {"abcdef", false},
		"a letter O for the zero":     {"O" + code[1:], false},
		"a number in another base":    {"0x" + code[2:], false},
		"a sign":                      {"+" + code, false},
		"a decimal point":             {code[:3] + "." + code[3:], false},
		"superscripts":                {"⁰¹²³⁴⁵", false},
		"Roman numerals":              {"ⅠⅡⅢⅣⅤⅥ", false},
		"NUL":                         {code + "\x00", false},
		"no Unicode":                  {"\xff" + code, false},
		"a JSON number":               {code + ".0", false},
		"a megabyte":                  {strings.Repeat("1", 1<<20), false},
		"a megabyte of spaces behind": {code + strings.Repeat(" ", 1<<20), true},
	}
	for name, test := range tests {
		if _, got := matchingStep(seed, test.typed, 0, 0, time.Unix(step*30, 0)); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}

// The digits of every script that Unicode knows have their value.
func TestMFA5DigitsOfEveryScriptCount(t *testing.T) {
	scripts := 0
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !unicode.Is(unicode.Nd, r) {
			continue
		}
		// Runs of ten, whose first is a zero, as Unicode promises.
		for value := range 10 {
			if got := foldDigits(string(r)); got != string(rune('0'+value)) {
				t.Errorf("%U is %q, want %d", r, got, value)
			}
			r++
		}
		r--
		scripts++
	}
	if scripts < 60 {
		t.Errorf("%d scripts with digits", scripts)
	}
}

func TestMFA5ClocksMayDifferByOneStepOrNone(t *testing.T) {
	t.Parallel()
	a := newApps(t) // its clock stands at the beginning of a step
	for tolerance, accepted := range map[int64]string{0: "0s 15s", 1: "-30s -15s 0s 15s 30s 45s"} {
		var got []string
		for off := -90 * time.Second; off <= 90*time.Second; off += 15 * time.Second {
			u := a.another()
			seed := u.enrol()
			if u.verify(u.code(seed, off), tolerance) {
				got = append(got, off.String())
			}
		}
		if strings.Join(got, " ") != accepted {
			t.Errorf("tolerance %d accepts %s, want %s", tolerance, got, accepted)
		}
	}
}

func TestMFA2EachStepIsUsableOnce(t *testing.T) {
	t.Parallel()
	a := newApps(t)
	seed := a.enrol()
	now, older, newer := a.code(seed, 0), a.code(seed, -30*time.Second), a.code(seed, 30*time.Second)
	if !a.verify(now, 1) {
		t.Fatal("the right code is refused")
	}
	if a.verify(now, 1) {
		t.Error("a code works twice")
	}
	if a.verify(spaced(now), 1) {
		t.Error("a code works again in another spelling")
	}
	if a.verify(older, 1) {
		t.Error("an older code works after a newer one")
	}
	restarted := *a
	restarted.Authenticators = NewAuthenticators(testPepper("k_one"))
	if restarted.verify(now, 1) {
		t.Error("a code works again after a restart or on another node")
	}
	if !a.verify(newer, 1) {
		t.Error("the next code is refused")
	}
	a.clock.Advance(30 * time.Second)
	if a.verify(newer, 1) {
		t.Error("a code that was used early works again in its own step")
	}
	a.clock.Advance(30 * time.Second)
	if !a.verify(a.code(seed, 0), 0) {
		t.Error("the code of the step after that is refused")
	}
	a.clock.Advance(-time.Hour)
	if a.verify(a.code(seed, 0), 1) {
		t.Error("a clock that jumps back makes old codes good again")
	}
}

func spaced(code string) string { return " " + code[:3] + "\u00a0" + code[3:] }

func TestMFA2EnrolmentCodeSignsNobodyIn(t *testing.T) {
	t.Parallel()
	a := newApps(t)
	a.begin("att_1")
	seed := a.seedOf("att_1")
	code := a.code(seed, 0)
	if a.verify(code, 1) {
		t.Error("an app that is not turned on yet signs in")
	}
	if err := a.confirm("att_1", code); err != nil {
		t.Fatal(err)
	}
	if a.verify(code, 1) {
		t.Error("the code that turned the app on signs in")
	}
	a.clock.Advance(30 * time.Second)
	if !a.verify(a.code(seed, 0), 1) {
		t.Error("the code after it is refused")
	}
}

func TestMFA2OneOfManyAtOnceIsRight(t *testing.T) {
	t.Parallel()
	a := newApps(t)
	for name, try := range map[string]func() func() (bool, error){
		"sign-in": func() func() (bool, error) {
			u := a.another()
			seed := u.enrol()
			code := u.code(seed, 0)
			return func() (right bool, err error) {
				err = u.d.Update(t.Context(), func(tx *db.Tx) (err error) {
					_, right, err = u.VerifyCode(t.Context(), tx, u.owner, code, 1)
					return err
				})
				return right, err
			}
		},
		"enrolment": func() func() (bool, error) {
			u := a.another()
			u.begin("ses_1")
			code := u.code(u.seedOf("ses_1"), 0)
			return func() (bool, error) {
				err := u.confirm("ses_1", code)
				if errors.Is(err, ErrNoPendingApp) {
					return false, nil
				}
				return err == nil, err
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 5 {
				atOnce(t, 8, try())
			}
		})
	}
}

// atOnce wants exactly one of n calls at once to succeed, and none to fail with an error.
func atOnce(t *testing.T, n int, try func() (bool, error)) {
	t.Helper()
	var wg sync.WaitGroup
	start := make(chan struct{})
	results := make(chan bool, n)
	for range n {
		wg.Go(func() {
			<-start
			ok, err := try()
			if err != nil {
				t.Error(err)
			}
			results <- ok
		})
	}
	close(start)
	wg.Wait()
	close(results)
	won := 0
	for ok := range results {
		if ok {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d of %d succeeded, want one", won, n)
	}
}

func TestMFA6WrongCodeKeepsTheSecret(t *testing.T) {
	t.Parallel()
	a := newApps(t)
	a.begin("att_1")
	before, err := a.pending("att_1")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := a.confirm("att_1", "000000x"); !errors.Is(err, ErrCodeWrong) {
			t.Fatalf("a wrong code: %v", err)
		}
	}
	after, err := a.pending("att_1")
	if err != nil {
		t.Fatalf("after wrong codes: %+v, %v, want %+v", after, err, before)
	}
	expect.Equal(t, "Secret", after.Secret, before.Secret)
	expect.Equal(t, "URI", after.URI, before.URI)
	expect.Equal(t, "ID", after.ID, before.ID)
	if err := a.confirm("att_1", a.code(a.seedOf("att_1"), 0)); err != nil {
		t.Errorf("the right code after wrong ones: %v", err)
	}
}

func TestMFA6PendingAppBelongsToWhatBeganIt(t *testing.T) {
	t.Parallel()
	a := newApps(t)
	a.begin("att_1")
	code := a.code(a.seedOf("att_1"), 0)
	other := a.another()
	for name, try := range map[string]func() error{
		"another attempt sees it":   func() error { _, err := a.pending("att_2"); return err },
		"another attempt turns it":  func() error { return a.confirm("att_2", code) },
		"no attempt turns it on":    func() error { return a.confirm("", code) },
		"another user sees it":      func() error { _, err := other.pending("att_1"); return err },
		"another user turns it on":  func() error { return other.confirm("att_1", code) },
		"another organization does": func() error { o := *a; o.owner.OrgID = newOrg(t, a.d); return o.confirm("att_1", code) },
	} {
		if err := try(); !errors.Is(err, ErrNoPendingApp) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What another attempt begins does not change this one.
	a.begin("att_2")
	if got := a.code(a.seedOf("att_1"), 0); got != code {
		t.Error("another attempt changed the secret")
	}
	a.begin("att_1")
	if got := a.code(a.seedOf("att_1"), 0); got != code {
		t.Error("beginning again made void what an app may have scanned")
	}
	code = a.code(a.seedOf("att_1"), EnrolmentLifetime)
	a.clock.Advance(EnrolmentLifetime)
	if err := a.confirm("att_1", code); !errors.Is(err, ErrNoPendingApp) {
		t.Errorf("after its time: %v", err)
	}
	if _, err := a.pending("att_1"); !errors.Is(err, ErrNoPendingApp) {
		t.Errorf("its page after its time: %v", err)
	}
	a.begin("att_1")
	if err := a.confirm("att_1", code); !errors.Is(err, ErrCodeWrong) {
		t.Errorf("the code of a secret whose time was over: %v", err)
	}
}

func TestMFA6SecretIsSealedForItsOwnerAndShownNoMore(t *testing.T) {
	t.Parallel()
	a := newApps(t)
	a.begin("ses_1")
	seed := a.seedOf("ses_1")
	if len(seed) != 20 {
		t.Errorf("a secret of %d bits, want 160", 8*len(seed))
	}
	if err := a.confirm("ses_1", a.code(seed, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.pending("ses_1"); !errors.Is(err, ErrNoPendingApp) {
		t.Errorf("after it was turned on: %v", err)
	}
	f, err := a.FactorsOf(t.Context(), a.d, a.owner)
	if err != nil || len(f.Apps) != 1 {
		t.Fatalf("%+v, %v", f, err)
	}
	stored := dbtest.Dump(t, a.d, "totp_seeds") + fmt.Sprintf("%+v", f)
	for name, form := range map[string]string{
		"bytes": string(seed), "hex": hex.EncodeToString(seed),
		"Base32": base32.StdEncoding.EncodeToString(seed), "Base64": base64.RawStdEncoding.EncodeToString(seed),
	} {
		if strings.Contains(strings.ToUpper(stored), strings.ToUpper(form)) {
			t.Errorf("the secret can be read as %s", name)
		}
	}

	// A copy of the row under another user, or a stolen seed in one's own row, cannot be
	// opened.
	thief := a.another()
	update(t, a.d, func(ctx context.Context, tx *db.Tx) error {
		_, err := tx.Exec(ctx, `
			insert into totp_seeds (org_id, id, user_id, name, seed, bound_to, last_step, created_at, confirmed_at)
			select org_id, 'app_moved', $1, name, seed, bound_to, 0, created_at, confirmed_at from totp_seeds
			where org_id = $2 and user_id = $3`, string(thief.owner.UserID), string(a.owner.OrgID), string(a.owner.UserID))
		return err
	})
	dbtest.ByHand(t, a.d)
	a.clock.Advance(time.Minute)
	err = a.d.Update(t.Context(), func(tx *db.Tx) error {
		_, right, err := a.VerifyCode(t.Context(), tx, thief.owner, a.code(seed, 0), 1)
		if right {
			t.Error("a secret that was moved to another user opens")
		}
		return err
	})
	if err == nil {
		t.Error("a row that was tampered with is no error")
	}
}

func TestAppsReadTheAddressInTheQRCode(t *testing.T) {
	t.Parallel()
	a := newApps(t)
	a.begin("ses_1")
	for issuer, shown := range map[string]string{"Acme": "Acme", "Zürich & Söhne: 100 %?/#": "Zürich & Söhne  100 %?/#", "東京": "東京"} {
		e, err := a.PendingApp(t.Context(), a.d, a.owner, "ses_1", issuer, "ada+test@example.com", a.d.Now())
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(e.URI)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		if u.Scheme != "otpauth" || u.Host != "totp" || u.Path != "/"+shown+":ada+test@example.com" {
			t.Errorf("address %s", e.URI)
		}
		of := expect.Case(t, "parameters %v", q)
		expect.Equal(of, "secret", q.Get("secret"), strings.ReplaceAll(e.Secret, " ", ""))
		expect.Equal(of, "issuer", q.Get("issuer"), shown)
		expect.Equal(of, "algorithm", q.Get("algorithm"), "SHA1")
		expect.Equal(of, "digits", q.Get("digits"), "6")
		expect.Equal(of, "period", q.Get("period"), "30")
		if strings.Contains(e.URI, "+") {
			t.Errorf("some apps show a space for a plus, others a plus for a space: %s", e.URI)
		}
	}
}

// The content of a QR code decides how large its modules can be shown.
func TestAQRCodeHoldsNoMoreThanCanBeRead(t *testing.T) {
	const seed = "AAAABBBBCCCCDDDDEEEEFFFFGGGGHHHH"
	longAddress := strings.Repeat("l", 64) + "@" + strings.Repeat("d", 63) + "." + strings.Repeat("d", 63) + ".example"
	for what, c := range map[string]struct{ issuer, account, label string }{
		"a short name stays as it is":        {"Meridian Freight", "ana@meridian.example", "Meridian Freight:ana@meridian.example"},
		"90 Latin letters stay":              {strings.Repeat("n", 90), "ana@meridian.example", strings.Repeat("n", 90) + ":ana@meridian.example"},
		"100 CJK letters":                    {strings.Repeat("京", 100), "ana@meridian.example", "京京京京京…京京京京:ana@meridian.example"},
		"branches of one company differ":     {strings.Repeat("Х", 46) + "Москва", "ana@meridian.example", "ХХХХХХХ…Москва:ana@meridian.example"},
		"no accent without its letter":       {strings.Repeat("n\u0301", 50), "a@b.example", ""},
		"the longest address":                {"Meridian Freight", longAddress, ""},
		"the longest name and address":       {strings.Repeat("京", 100), longAddress, ""},
		"an address in letters of a script":  {strings.Repeat("京", 100), strings.Repeat("ж", 32) + "@пример.example", ""},
		"a name of the widest letters":       {strings.Repeat("𠀀", 100), "ana@meridian.example", ""},
		"a name with spaces where it is cut": {strings.Repeat("n ", 50), "ana@meridian.example", ""},
	} {
		uri := otpauth(c.issuer, c.account, seed)
		if len(uri) > maxURI {
			t.Errorf("%s: %d bytes", what, len(uri))
		}
		u, err := url.Parse(uri)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		label := strings.TrimPrefix(u.Path, "/")
		if c.label != "" && label != c.label {
			t.Errorf("%s: label %q, want %q", what, label, c.label)
		}
		issuer, account, _ := strings.Cut(label, ":")
		if u.Query().Get("issuer") != issuer {
			t.Errorf("%s: the issuer is %q here and %q there", what, issuer, u.Query().Get("issuer"))
		}
		if issuer == "" || account == "" {
			t.Errorf("%s: label %q", what, label)
		}
		if strings.Contains(label, "…\u0301") || strings.Contains(label, " …") || strings.Contains(label, "… ") {
			t.Errorf("%s: cut at a bad place: %q", what, label)
		}
		if u.Query().Get("secret") != seed {
			t.Errorf("%s: the secret is %q", what, u.Query().Get("secret"))
		}
	}
}

func TestEachAppCountsItsOwnSteps(t *testing.T) {
	t.Parallel()
	a := newApps(t)
	phone, tablet := a.enrol(), a.enrol()
	if !a.verify(a.code(phone, 0), 1) || !a.verify(a.code(tablet, 0), 1) {
		t.Error("the second app of a user is refused after the first")
	}
	if a.verify(a.code(phone, 0), 1) || a.verify(a.code(tablet, 0), 1) {
		t.Error("a code works twice")
	}
	if other := a.another(); other.verify(other.code(phone, 30*time.Second), 1) {
		t.Error("the code of another user opens")
	}
}

func TestSweepRemovesWhatIsOver(t *testing.T) {
	t.Parallel()
	a := newApps(t)
	a.enrol()
	a.begin("att_old")
	a.clock.Advance(EnrolmentLifetime)
	a.begin("att_new")
	update(t, a.d, func(ctx context.Context, tx *db.Tx) error {
		for id, ends := range map[string]time.Duration{"over": 0, "open": time.Microsecond} {
			if _, err := tx.Exec(ctx, `insert into replays (id, expires_at) values ($1, $2)`, id, db.Time(tx.Now().Add(ends))); err != nil {
				return err
			}
		}
		return nil
	})
	if err := SweepOnce(t.Context(), a.d); err != nil {
		t.Fatal(err)
	}
	if n := count(t, a.d, `select count(*) from totp_seeds`); n != 2 {
		t.Errorf("%d apps are left, want the one that is on and the one just begun", n)
	}
	if n := count(t, a.d, `select count(*) from replays where id = 'open'`); n != 1 || count(t, a.d, `select count(*) from replays`) != 1 {
		t.Error("not just what is over was removed")
	}
}
