package dump

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"parvis/internal/credential/foreign"
	"parvis/internal/fault"
)

// formats are all.
var formats = []Format{CSV, Keycloak, Auth0, Lines}

// Whatever a file is, it is read to its end or refused by name, each person in their turn, with credentials
// that can be stored, and in memory of a few times its length.
func FuzzDump(f *testing.F) {
	const hash = "$2b$04$abcdefghijklmnopqrstuuzKaDQNLm3pkEMQmCLd.7kjs4igbZVpK"
	for _, seed := range []struct {
		format Format
		text   string
	}{
		{CSV, "email,email_verified,role,groups,password_hash,totp_secret,disabled\na@x.example,true,auditor,a|b," + hash + ",JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP,no\n"},
		{CSV, "\uFEFFemail;name\n\"a\n@x.example\";\"open\nb@x.example;B\n"},
		{Lines, `{"email":"a@x.example","email_verified":true,"groups":["a"],"password_hash":"` + hash + `","totp_secret":"JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"}` + "\n\n{}\n"},
		{Auth0, `{"email":"a@x.example","email_verified":true,"app_metadata":{"roles":["a",1]},"passwordHash":"` + hash + `","mfa_factors":[{"totp":{"secret":"JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"}},{}]}` + "\n"},
		{Auth0, `[{"email":"a@x.example","custom_password_hash":{"algorithm":"scrypt","hash":{"value":"00112233445566778899aabbccddeeff","encoding":"hex"},"salt":{"value":"salt"},"keylen":16,"cost":1024}},{"email":7}]`},
		{Keycloak, `{"realm":"m","users":[{"id":"1","username":"a","email":"a@x.example","enabled":true,"attributes":{"locale":["fr"]},"credentials":[` +
			`{"type":"password","credentialData":"{\"hashIterations\":1000,\"algorithm\":\"pbkdf2-sha256\"}","secretData":"{\"value\":\"ABEiM0RVZneImaq7zN3u/w==\",\"salt\":\"c2FsdA==\"}"},` +
			`{"type":"otp","credentialData":"{\"subType\":\"totp\",\"digits\":6,\"period\":30,\"algorithm\":\"HmacSHA1\"}","secretData":"{\"value\":\"abcdefghijklmnopqrst\"}"}]}],` +
			`"organizations":[{"name":"Alpha","alias":"alpha","members":[{"username":"a"}]}],"clients":[{"deep":[1,{}]}]}`},
	} {
		for i, format := range formats {
			if format == seed.format {
				f.Add(byte(i), seed.text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, which byte, text string) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := readAll(t, formats[int(which)%len(formats)], text)
		runtime.ReadMemStats(&after)
		if _, ok := errors.AsType[*fault.Error](err); err != nil && !ok {
			t.Errorf("%v is no fault", err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20+uint64(len(text))<<10 {
			t.Errorf("%d bytes took %d MB", len(text), used>>20)
		}
	})
}

func readAll(t *testing.T, format Format, text string) error {
	file, err := Open(format, strings.NewReader(text))
	if err != nil {
		return err
	}
	last := 0
	return file.Read(func(p Person) error {
		if p.Line <= last || p.Line > len(text)+1 {
			t.Errorf("line %d follows line %d of %d bytes", p.Line, last, len(text))
		}
		last = p.Line
		if !p.Hash.IsZero() {
			if again, err := foreign.Parse(p.Hash.String()); err != nil || again.String() != p.Hash.String() {
				t.Errorf("the hash %s is read again as %s, %v", p.Hash, again, err)
			}
		}
		for _, seed := range p.Seeds {
			if len(seed) < leastSeed || len(seed) > mostSeed {
				t.Errorf("a seed of %d bytes", len(seed))
			}
		}
		return nil
	})
}

// Lists in lists take no memory for each of them, wherever they are in a file.
func TestADocumentThatIsTooDeepIsRefused(t *testing.T) {
	for name, head := range map[string]string{"beside the people": `{"users":[],"x":`, "instead of people": `{"users":`, "instead of organizations": `{"organizations":[{"name":`} {
		for _, deeper := range []string{"[", `{"a":`} {
			e := &endless{head: head, body: deeper, left: 64 << 20}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Open(Keycloak, e)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrFile) && !errors.Is(err, ErrDocument) {
				t.Errorf("%s %s: %v, want %v", name, deeper, err, ErrFile)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 32<<20 {
				t.Errorf("%s %s took %d MB", name, deeper, used>>20)
			}
		}
	}
}
