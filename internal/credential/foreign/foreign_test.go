package foreign

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

const password = "Vermilion otter bridges!"

var raw = base64.RawStdEncoding.EncodeToString

// forms are one password in every form that is read.
func forms(t *testing.T) map[string]string {
	t.Helper()
	must := func(b []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	salt := []byte("saltsaltsaltsalt")
	b := string(must(bcrypt.GenerateFromPassword([]byte(password), 4)))
	p := must(pbkdf2.Key(sha256.New, password, salt, 1000, 32))
	long := must(pbkdf2.Key(sha256.New, password, salt, 1000, 64))
	s := must(scrypt.Key([]byte(password), salt, 1<<10, 8, 1, 32))
	id := argon2.IDKey([]byte(password), salt, 2, 64, 2, 32)
	i := argon2.Key([]byte(password), salt, 2, 64, 1, 32)
	passlib := strings.ReplaceAll(raw(p), "+", ".")
	return map[string]string{
		"bcrypt":             b,
		"bcrypt of PHP":      "$2y$" + b[4:],
		"bcrypt of Django":   "bcrypt$" + b,
		"argon2id":           fmt.Sprintf("$argon2id$v=19$m=64,t=2,p=2$%s$%s", raw(salt), raw(id)),
		"argon2id of Django": fmt.Sprintf("argon2$argon2id$v=19$m=64,t=2,p=2$%s$%s", raw(salt), raw(id)),
		"argon2i":            fmt.Sprintf("$argon2i$v=19$m=64,t=2,p=1$%s$%s", raw(salt), raw(i)),
		"scrypt":             fmt.Sprintf("$scrypt$ln=10,r=8,p=1$%s$%s", raw(salt), raw(s)),
		"scrypt of Werkzeug": fmt.Sprintf("scrypt:1024:8:1$%s$%s", salt, hex.EncodeToString(s)),
		"PBKDF2":             fmt.Sprintf("$pbkdf2-sha256$i=1000$%s$%s", raw(salt), raw(p)),
		"PBKDF2 of Auth0":    fmt.Sprintf("$pbkdf2-sha256$i=1000,l=64$%s$%s", raw(salt), raw(long)),
		"PBKDF2 of passlib":  fmt.Sprintf("$pbkdf2-sha256$1000$%s$%s", raw(salt), passlib),
		"PBKDF2 of Django":   fmt.Sprintf("pbkdf2_sha256$1000$%s$%s", salt, base64.StdEncoding.EncodeToString(p)),
		"PBKDF2 of Werkzeug": fmt.Sprintf("pbkdf2:sha256:1000$%s$%s", salt, hex.EncodeToString(p)),
	}
}

func TestEveryFormIsReadAndCompared(t *testing.T) {
	t.Parallel()
	for name, text := range forms(t) {
		h, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := Parse(h.String())
		if err != nil || again.Cost() != h.Cost() {
			t.Errorf("%s: %s is not read again: %v", name, h, err)
		}
		if !h.Matches(password) || !again.Matches(password) {
			t.Errorf("%s: the right password is refused", name)
		}
		for _, wrong := range []string{"", password + "x", strings.ToUpper(password)} {
			if h.Matches(wrong) {
				t.Errorf("%s: %q is taken", name, wrong)
			}
		}
		if c, ok := ParseCost(h.Cost().String()); !ok || c != h.Cost() {
			t.Errorf("%s: its cost comes back as %s", name, c)
		}
		if h.Cost().Nobody().Matches(password) {
			t.Errorf("%s: nobody has a password", name)
		}
	}
}

func TestWhatIsTooCostlyIsNotTakenOver(t *testing.T) {
	t.Parallel()
	salt, sum := raw([]byte("saltsaltsaltsalt")), raw(make([]byte, 32))
	b := strings.Repeat(".", bcryptRest)
	for text, want := range map[string]error{
		"$2b$13$" + b:     nil,
		"$2b$14$" + b:     ErrCostly,
		"$2b$31$" + b:     ErrCostly,
		"$2b$32$" + b:     ErrUnknown,
		"$2b$03$" + b:     ErrUnknown,
		"$2x$10$" + b:     ErrUnknown,
		"$2b$10$" + b[1:]: ErrUnknown,
		"$argon2id$v=19$m=131072,t=4,p=1$" + salt + "$" + sum:              nil,
		"$argon2id$v=19$m=131072,t=5,p=1$" + salt + "$" + sum:              ErrCostly,
		"$argon2id$v=19$m=131073,t=1,p=1$" + salt + "$" + sum:              ErrCostly,
		"$argon2id$v=19$m=4294967295,t=4294967295,p=1$" + salt + "$" + sum: ErrCostly,
		"$argon2id$v=19$m=65536,t=1,p=17$" + salt + "$" + sum:              ErrCostly,
		"$argon2id$v=19$m=65536,t=0,p=1$" + salt + "$" + sum:               ErrUnknown,
		"$argon2id$v=16$m=65536,t=1,p=1$" + salt + "$" + sum:               ErrUnknown,
		"$argon2d$v=19$m=65536,t=1,p=1$" + salt + "$" + sum:                ErrUnknown,
		"$scrypt$ln=17,r=8,p=1$" + salt + "$" + sum:                        nil,
		"$scrypt$ln=18,r=8,p=1$" + salt + "$" + sum:                        ErrCostly,
		"$scrypt$ln=15,r=8,p=9$" + salt + "$" + sum:                        ErrCostly,
		"$scrypt$ln=40,r=8,p=1$" + salt + "$" + sum:                        ErrCostly,
		"$scrypt$ln=1,r=4294967295,p=1$" + salt + "$" + sum:                ErrCostly,
		"$scrypt$ln=1,r=524288,p=2$" + salt + "$" + sum:                    ErrCostly,
		"$scrypt$ln=64,r=8,p=1$" + salt + "$" + sum:                        ErrUnknown,
		"$pbkdf2-sha256$i=2000000$" + salt + "$" + sum:                     nil,
		"$pbkdf2-sha256$i=2000001$" + salt + "$" + sum:                     ErrCostly,
		"$pbkdf2-sha512$i=1000001$" + salt + "$" + sum:                     ErrCostly,
		"$pbkdf2-md5$i=1000$" + salt + "$" + sum:                           ErrUnknown,
		"$pbkdf2-sha256$i=1000$" + salt + "$" + raw(make([]byte, 8)):       ErrUnknown,
		"$pbkdf2-sha256$i=1000$$" + sum:                                    ErrUnknown,
		"":                                                                 ErrUnknown,
		"$":                                                                ErrUnknown,
		"$$$$$":                                                            ErrUnknown,
		"5f4dcc3b5aa765d61d8327deb882cf99":                                 ErrUnknown,
		"{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=":                               ErrUnknown,
		"scrypt:1000:8:1$salt$00":                                          ErrUnknown,
		"pbkdf2:sha256$salt$00":                                            ErrUnknown,
	} {
		if _, err := Parse(text); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", text, err, want)
		}
	}
	for _, text := range []string{"bcrypt/31", "scrypt/40/8/1", "m=64,t=1,p=1", "bcrypt/4", "bcrypt/04/1", "argon2id/1/8/1/1", "", "/", "md5/1"} {
		if c, ok := ParseCost(text); ok {
			t.Errorf("%q is read as the cost %s", text, c)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("$2b$04$" + strings.Repeat(".", bcryptRest))
	f.Add("$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA")
	f.Add("pbkdf2_sha256$1$salt$c2FsdHNhbHRzYWx0c2FsdA==")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(h.String()); err != nil || again.String() != h.String() || len(h.Cost().String()) > len("pbkdf2-sha512/1000000") {
			t.Errorf("%q becomes %q, which becomes %v, %v", text, h, again, err)
		}
	})
}
