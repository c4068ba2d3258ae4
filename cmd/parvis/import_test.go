package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parvis/internal/idptest"
)

// movedHashes are one password, hashed by other programs than ours: by libxcrypt, by OpenSSL through
// Python's hashlib, and by libargon2.
var movedHashes = map[string]string{
	"bcrypt":        "$2b$05$abcdefghijklmnopqrstuuWVB6ZPHXXsmDDs2g1aYxdRupHHWKqsS",
	"scrypt":        "$scrypt$ln=14,r=8,p=1$c2FsdHNhbHRzYWx0c2FsdA$aXJXrv9yFPEBMggVyg914UK1WqAV8bmSa8/T1Eik9Ec",
	"pbkdf2-sha1":   "$pbkdf2-sha1$i=1000$c2FsdHNhbHRzYWx0c2FsdA$U/HFHgrTNQaJfB+1k4uDr12OM8o",
	"pbkdf2-sha256": "$pbkdf2-sha256$i=1000$c2FsdHNhbHRzYWx0c2FsdA$/oJlb8ruRolMtEBMpTNnQkciUC3czWCe3I24JEAAW0c",
	"pbkdf2-sha512": "$pbkdf2-sha512$i=1000$c2FsdHNhbHRzYWx0c2FsdA$KFhdKLhCPxHX+rzsyoiqzXt29mIsctLaAJ2E1bIn6GHKlbM+XUdg+RtaZL3JT8LHj8teLkwMK7XEkMvBJGD8RQ",
	"argon2id":      "$argon2id$v=19$m=1024,t=2,p=2$c2FsdHNhbHRzYWx0c2FsdA$yQFysuDiq6OMhuaXQ7HmbO1JIj78Php2lBeQfxR113I",
	"argon2i":       "$argon2i$v=19$m=1024,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$Z95EofmotqahLPBMdDbgSpFnH7ee4OQIo2kdsymeJfM",
}

const (
	movedPassword = "Vermilion otter 47 bridges!"
	movedSeed     = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
)

// Who moves in by JSON lines signs in with the password of the other system, whichever hash that kept, and
// with the code of the app that they had there.
func TestPeopleOfJSONLinesSignIn(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.start(t)
	lines := ""
	add := func(person map[string]any) {
		text, err := json.Marshal(person)
		if err != nil {
			t.Fatal(err)
		}
		lines += string(text) + "\n"
	}
	for kind, hash := range movedHashes {
		add(map[string]any{"email": kind + "@meridian.test", "email_verified": true, "name": kind, "password_hash": hash})
	}
	add(map[string]any{"email": "app@meridian.test", "email_verified": true, "password_hash": movedHashes["argon2id"], "totp_secret": movedSeed})
	if err := os.WriteFile(filepath.Join(p.dir, "people.jsonl"), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"organization", "create", "Meridian Freight", "--short-name", "meridian", "--owner", "ana@meridian.test"},
		{"import", "people.jsonl", "--from", "jsonl", "--organization", "meridian", "--strict"},
	} {
		out, errs, code := parvis(t, p.dir, p.env, args...)
		if code != 0 || args[0] == "import" && !strings.Contains(out, "8 lines: moved in with their password\n") {
			t.Fatalf("%v ended with %d: %s%s", args, code, out, errs)
		}
	}
	signIn := func(c *http.Client, who, password string) string {
		t.Helper()
		get(t, c, p.base+"/sign-in")
		at, _, err := sendTo(c, p.base+"/sign-in", url.Values{"email": {who + "@meridian.test"}, "password": {password}})
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	const home = "/o/meridian/home"
	for kind := range movedHashes {
		if at := signIn(browser(t), kind, movedPassword+"?"); strings.HasSuffix(at, home) {
			t.Errorf("a wrong password opens where %s was", kind)
		}
		if at := signIn(browser(t), kind, movedPassword); !strings.HasSuffix(at, home) {
			t.Errorf("the password that was kept as %s leads to %s", kind, at)
		}
	}
	c := browser(t)
	at := signIn(c, "app", movedPassword)
	if strings.HasSuffix(at, home) {
		t.Error("a password alone opens where there is an app")
	}
	if wrong, _, err := sendTo(c, at, url.Values{"code": {"000000"}}); err != nil || strings.HasSuffix(wrong, home) {
		t.Errorf("a wrong code leads to %s, %v", wrong, err)
	}
	if at, body, err := sendTo(c, at, url.Values{"code": {idptest.Code(movedSeed, time.Now())}}); err != nil || !strings.HasSuffix(at, home) {
		t.Errorf("the app's code leads to %s, %v: %s", at, err, body)
	}
}
