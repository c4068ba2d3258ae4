package naming

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAddressesAreKeptInOneForm(t *testing.T) {
	local64 := strings.Repeat("l", 64)
	long := local64 + "@" + strings.Repeat(strings.Repeat("d", 62)+".", 3) // which fills up the 254
	tests := map[string]struct {
		typed string
		want  Address
		err   error
	}{
		"plain":                     {typed: "ada@example.org", want: Address{"ada@example.org", "ada@example.org", "example.org"}},
		"spaces around it":          {typed: " \t\u00a0ada@example.org\r\n", want: Address{"ada@example.org", "ada@example.org", "example.org"}},
		"capitals":                  {typed: "Ada.Lovelace@EXAMPLE.Org", want: Address{"Ada.Lovelace@example.org", "ada.lovelace@example.org", "example.org"}},
		"sub-address":               {typed: "ada+Parvis@example.org", want: Address{"ada+Parvis@example.org", "ada+parvis@example.org", "example.org"}},
		"apostrophe":                {typed: "o'Neil@example.org", want: Address{"o'Neil@example.org", "o'neil@example.org", "example.org"}},
		"every sign of an atom":     {typed: "#$&'*+-/?=^_`{|}~@example.org", want: Address{"#$&'*+-/?=^_`{|}~@example.org", "#$&'*+-/?=^_`{|}~@example.org", "example.org"}},
		"returned mail":             {typed: "srs0=x=y=example.com=ada@example.org", want: Address{"srs0=x=y=example.com=ada@example.org", "srs0=x=y=example.com=ada@example.org", "example.org"}},
		"international domain":      {typed: "ada@BÜCHER.example", want: Address{"ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example", "xn--bcher-kva.example"}},
		"decomposed domain":         {typed: "ada@bu\u0308cher.example", want: Address{"ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example", "xn--bcher-kva.example"}},
		"A-label":                   {typed: "ada@XN--bcher-KVA.example", want: Address{"ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example", "xn--bcher-kva.example"}},
		"sharp s is not ss":         {typed: "ada@straße.example", want: Address{"ada@xn--strae-oqa.example", "ada@xn--strae-oqa.example", "xn--strae-oqa.example"}},
		"international top level":   {typed: "ada@пример.рф", want: Address{"ada@xn--e1afmkfd.xn--p1ai", "ada@xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai"}},
		"right to left":             {typed: "ada@دامنه.ایران", want: Address{"ada@xn--mgbp1eef.xn--mgba3a4f16a", "ada@xn--mgbp1eef.xn--mgba3a4f16a", "xn--mgbp1eef.xn--mgba3a4f16a"}},
		"digits in the domain":      {typed: "ada@3com.example", want: Address{"ada@3com.example", "ada@3com.example", "3com.example"}},
		"longest local part":        {typed: local64 + "@example.org", want: Address{local64 + "@example.org", local64 + "@example.org", "example.org"}},
		"local part too long":       {typed: "l" + local64 + "@example.org", err: ErrAddressInvalid},
		"longest label":             {typed: "a@" + strings.Repeat("d", 63) + ".org", want: Address{"a@" + strings.Repeat("d", 63) + ".org", "a@" + strings.Repeat("d", 63) + ".org", strings.Repeat("d", 63) + ".org"}},
		"label too long":            {typed: "a@" + strings.Repeat("d", 64) + ".org", err: ErrAddressInvalid},
		"longest of all is 254":     {typed: long[:254-4] + ".org", want: Address{long[:254-4] + ".org", long[:254-4] + ".org", long[65:254-4] + ".org"}},
		"too long by one":           {typed: long[:255-4] + ".org", err: ErrAddressInvalid},
		"nothing":                   {typed: "", err: ErrAddressMissing},
		"nothing but spaces":        {typed: " \u3000\n", err: ErrAddressMissing},
		"no local part":             {typed: "@example.org", err: ErrAddressInvalid},
		"no domain":                 {typed: "ada@", err: ErrAddressInvalid},
		"no at":                     {typed: "ada.example.org", err: ErrAddressInvalid},
		"a name without a dot":      {typed: "ada@localhost", err: ErrAddressInvalid},
		"two dots in the domain":    {typed: "ada@example..org", err: ErrAddressInvalid},
		"dot before the domain":     {typed: "ada@.example.org", err: ErrAddressInvalid},
		"dot after the domain":      {typed: "ada@example.org.", err: ErrAddressInvalid},
		"dot at the start":          {typed: ".ada@example.org", err: ErrAddressInvalid},
		"dot before the at":         {typed: "ada.@example.org", err: ErrAddressInvalid},
		"two dots":                  {typed: "a..da@example.org", err: ErrAddressInvalid},
		"hyphen at a label's start": {typed: "ada@-example.org", err: ErrAddressInvalid},
		"hyphen at a label's end":   {typed: "ada@example-.org", err: ErrAddressInvalid},
		"underscore in the domain":  {typed: "ada@ex_ample.org", err: ErrAddressInvalid},
		"accent before the at":      {typed: "adá@example.org", err: ErrAddressInvalid},
		"not UTF-8":                 {typed: "ada@ex\xffample.org", err: ErrAddressInvalid},
		"far too long":              {typed: strings.Repeat("ü", 1<<20) + "@example.org", err: ErrAddressInvalid},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseAddress(tt.typed)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %+v, %v, want %+v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// Attack UNI-1: an address that careless folding makes equal to another person's.
func TestUNI1AddressesThatLookAlikeAreNeverTheSame(t *testing.T) {
	victim := "kiss@kiss-straight.example"
	attacks := map[string]string{
		"Kelvin sign before the at":    "\u212aiss@kiss-straight.example",
		"Kelvin sign in the domain":    "kiss@\u212aiss-straight.example",
		"long s before the at":         "ki\u017fs@kiss-straight.example",
		"long s in the domain":         "kiss@ki\u017fs-straight.example",
		"dotless i before the at":      "k\u0131ss@kiss-straight.example",
		"dotless i in the domain":      "kiss@k\u0131ss-straight.example",
		"dotted capital I":             "kiss@K\u0130ss-straight.example",
		"full-width local part":        "ｋｉｓｓ@kiss-straight.example",
		"full-width domain":            "kiss@ｋｉｓｓ-straight.example",
		"full-width at":                "kiss＠kiss-straight.example",
		"full-width dot":               "kiss@kiss-straight．example",
		"ideographic dot":              "kiss@kiss-straight。example",
		"half-width ideographic dot":   "kiss@kiss-straight｡example",
		"non-breaking hyphen":          "kiss@kiss\u2011straight.example",
		"ligature":                     "kiss@kiss-\ufb06raight.example",
		"mathematical letters":         "kiss@𝐤iss-straight.example",
		"Cyrillic i":                   "kiss@kіss-straight.example",
		"soft hyphen":                  "kiss@ki\u00adss-straight.example",
		"zero-width space":             "kiss@ki\u200bss-straight.example",
		"zero-width non-joiner":        "kiss@ki\u200css-straight.example",
		"variation selector":           "kiss@kiss\ufe00-straight.example",
		"right-to-left override":       "kiss@kiss-straight.example\u202e",
		"byte order mark":              "\ufeffkiss@kiss-straight.example",
		"sharp s":                      "kiss@kiß-straight.example",
		"capital sharp s":              "kiss@kiẞ-straight.example",
		"A-label of plain letters":     "kiss@xn--kiss-straight-.example",
		"A-label of a full-width text": "kiss@xn--" + "kss-straight-of05e" + ".example",
		"trailing dot":                 "kiss@kiss-straight.example.",
		"decomposed accent":            "ki\u0301ss@kiss-straight.example",
	}
	for name, typed := range attacks {
		t.Run(name, func(t *testing.T) {
			a, err := ParseAddress(typed)
			if a.Key == victim {
				t.Errorf("%+q is %s", typed, victim)
			}
			if err == nil && !isASCII(a.Text) {
				t.Errorf("%+q is kept as %+q", typed, a.Text)
			}
		})
	}
	for _, typed := range []string{"KISS@KISS-STRAIGHT.EXAMPLE", " Kiss@Kiss-Straight.example "} {
		if a, err := ParseAddress(typed); a.Key != victim || err != nil {
			t.Errorf("%q is %q, %v", typed, a.Key, err)
		}
	}
}

// No character beyond ASCII may become part of a plain domain, or vanish from it.
func TestUNI1NoCharacterOfADomainTurnsIntoAnother(t *testing.T) {
	for r := range everyCharacter {
		if r < utf8.RuneSelf {
			continue
		}
		if a, err := ParseAddress("ada@ex" + string(r) + "ample.org"); err == nil && !strings.HasPrefix(a.Domain, "xn--") {
			t.Errorf("%U: kept as %s", r, a.Domain)
		}
	}
}

// Attacks UNI-3 and INJ-1: addresses that some program between us and the mailbox reads differently.
func TestUNI3OddAddressesAreRefused(t *testing.T) {
	tests := map[string]string{
		"two ats":                     "a@b@example.org",
		"quoted local part":           `"ada"@example.org`,
		"quoted at":                   `"ada@evil.example"@example.org`,
		"quoted space":                `"ada lovelace"@example.org`,
		"escaped":                     `ada\@evil.example@example.org`,
		"comment":                     "ada(evil)@example.org",
		"comment in the domain":       "ada@(evil)example.org",
		"display name":                "Ada <ada@example.org>",
		"angle brackets":              "<ada@example.org>",
		"two in angle brackets":       "<ada@example.org>,<eve@evil.example>",
		"list":                        "ada@example.org,eve@evil.example",
		"list with semicolon":         "ada@example.org;eve@evil.example",
		"group":                       "all:ada@example.org;",
		"encoded word":                "=?utf-8?q?=61da=40evil.example=3e?=@example.org",
		"encoded word in the middle":  "x=?iso-8859-1?q?ada?=@example.org",
		"percent route":               "eve%evil.example@example.org",
		"bang route":                  "evil.example!eve@example.org",
		"source route":                "@evil.example:ada@example.org",
		"IPv4":                        "ada@127.0.0.1",
		"hexadecimal IPv4":            "ada@1.0x7f",
		"IPv4 literal":                "ada@[127.0.0.1]",
		"IPv6 literal":                "ada@[IPv6:::1]",
		"port":                        "ada@example.org:25",
		"another header":              "ada@example.org\r\nBcc: eve@evil.example",
		"line feed before the at":     "ada\n@example.org",
		"carriage return":             "ada@example\r.org",
		"NUL":                         "ada@example.org\x00.evil.example",
		"percent-encoded NUL":         "ada@example.org%00",
		"tab":                         "a\tda@example.org",
		"space":                       "a da@example.org",
		"delete":                      "ada\x7f@example.org",
		"C1 control":                  "ada\u0085@example.org",
		"markup":                      "<script>alert(1)</script>@example.org",
		"320 characters":              strings.Repeat("a", 308) + "@example.org",
		"path":                        "ada@example.org/../etc",
		"question mark in the domain": "ada@example.org?x",
		"A-label that is none":        "ada@xn--a.example",
		"A-label of nothing":          "ada@xn--.example",
		"emoji before the at":         "😀@example.org",
	}
	for name, typed := range tests {
		t.Run(name, func(t *testing.T) {
			if a, err := ParseAddress(typed); !errors.Is(err, ErrAddressInvalid) {
				t.Errorf("%q is %+v, %v", typed, a, err)
			}
		})
	}
}

// Attack UNI-3: the domain is compared whole, so it must be parsed whole.
func TestUNI3ADomainIsExactlyWhatFollowsTheAt(t *testing.T) {
	tests := map[string]string{
		"ada@alpha.test":           "alpha.test",
		"ada@ALPHA.TEST":           "alpha.test",
		"ada@alpha.test.evil.test": "alpha.test.evil.test",
		"ada@evil-alpha.test":      "evil-alpha.test",
		"ada@sub.alpha.test":       "sub.alpha.test",
		"ada+alpha.test@evil.test": "evil.test",
	}
	for typed, want := range tests {
		if a, err := ParseAddress(typed); a.Domain != want || err != nil {
			t.Errorf("%s: got %s, %v, want %s", typed, a.Domain, err, want)
		}
	}
}

func TestNaughtyStringsAreNoAddresses(t *testing.T) {
	for _, s := range naughtyStrings(t) {
		a, err := ParseAddress(s)
		if err == nil && !(isASCII(a.Text) && strings.Count(a.Text, "@") == 1) {
			t.Errorf("%q is %+v", s, a)
		}
		// The same holds for a part of an address.
		if a, err := ParseAddress(s + "@example.org"); err == nil && a.Text != strings.TrimSpace(s)+"@example.org" {
			t.Errorf("%q is %+v", s, a)
		}
	}
}

func FuzzAddress(f *testing.F) {
	for _, s := range []string{"ada@example.org", "Ada@BÜCHER.example", "a@xn--bcher-kva.example", `"a"@b.c`, "a@\u212a.org", "a@b。c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAddress(s)
		if err != nil {
			if a != (Address{}) {
				t.Fatalf("%q: refused and yet %+v", s, a)
			}
			return
		}
		if again, err := ParseAddress(a.Text); again != a || err != nil {
			t.Fatalf("%q is %+v, which is %+v, %v", s, a, again, err)
		}
		if folded, err := ParseAddress(a.Key); folded.Key != a.Key || err != nil {
			t.Fatalf("%q has the key of %+v, which has that of %+v, %v", s, a, folded, err)
		}
		local, domain, _ := strings.Cut(a.Text, "@")
		if !isASCII(a.Text) || len(a.Text) > maxAddress || strings.ContainsAny(a.Text, " \t\r\n\x00<>()[]\",;:\\%!") {
			t.Fatalf("%q is written %+v", s, a)
		}
		if domain != a.Domain || !strings.HasPrefix(strings.TrimSpace(s), local+"@") {
			t.Fatalf("%q is %+v", s, a)
		}
	})
}
