package credential

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"parvis/internal/fault"
)

func TestPWD3EveryBrokenRuleIsNamedAtOnce(t *testing.T) {
	s := testStore(t, Options{})
	tests := map[string]struct {
		rules Rules
		text  string
		want  string // the reasons, in order
	}{
		"all in order":                 {Classic, "kV7#pT2$", ""},
		"nothing typed":                {Classic, "", "too_short digit lower_case upper_case special"},
		"the mock's":                   {Classic, "harbourx7", "upper_case special"},
		"no digit":                     {Classic, "kVx#pTy$", "digit"},
		"no lower case":                {Classic, "KV7#PT2$", "lower_case"},
		"no upper case":                {Classic, "kv7#pt2$", "upper_case"},
		"no special":                   {Classic, "kV7xpT2y", "special"},
		"seven":                        {Classic, "kV7#pT2", "too_short"},
		"short, common and all one":    {Classic, "monkey", "too_short digit upper_case special common"},
		"Cyrillic":                     {Classic, "Рябина7!лес", ""},
		"Greek without upper case":     {Classic, "θάλασσα47!", "upper_case"},
		"Chinese has no case":          {Classic, "富士山登山道7!", "lower_case upper_case"},
		"Arabic digits are digits":     {Classic, "kVx#pT٣٤", ""},
		"a space is special":           {Classic, "kV7 pT2x", ""},
		"an emoji is special":          {Classic, "kV7😀pT2x", ""},
		"a fraction is special":        {Classic, "kV7½pT2x", ""},
		"modern: phrase":               {Modern, "correct horse battery staple", ""},
		"modern: fifteen letters":      {Modern, "zebraquiltmango", ""},
		"modern: fourteen letters":     {Modern, "zebraquiltmang", "too_short"},
		"modern: fifteen emoji":        {Modern, "😀😃😄😁😆😅🤣😂🙂🙃😉😊😇🥰😍", ""},
		"modern: one emoji 15 times":   {Modern, strings.Repeat("😀", 15), ""},
		"modern: joined emoji":         {Modern, strings.Repeat("👨‍👩‍👧", 3), ""},
		"modern: digits":               {Modern, "48392017465839201", ""},
		"modern: one letter":           {Modern, strings.Repeat("a", 15), "common"},
		"400":                          {Modern, strings.Repeat("zebra quilt ", 33) + "mang", ""},
		"401":                          {Modern, strings.Repeat("zebra quilt ", 33) + "mango", "too_long"},
		"400 of four bytes":            {Modern, strings.Repeat("𝒳", 200) + strings.Repeat("𝒴𝒵", 100), ""},
		"400 that are typed as 1,200":  {Modern, strings.Repeat("\u1112\u1161\u11ab\u1100\u1173\u11af", 200), ""},
		"control character":            {Classic, "kV7#pT2$\x00", "control"},
		"tab":                          {Classic, "kV7#\tpT2$", "control"},
		"line break":                   {Classic, "kV7#pT2$\n", "control"},
		"next line, beyond ASCII":      {Classic, "kV7#\u0085pT2$", "control"},
		"not UTF-8":                    {Classic, "kV7#pT2$\xff", "unreadable"},
		"a lone surrogate out of JSON": {Classic, "kV7#pT2$\ufffd", "unreadable"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := s.Check(tt.rules, Context{}, tt.text)
			if tt.want == "" {
				if err != nil {
					t.Errorf("refused: %q", reasons(t, err))
				}
				return
			}
			if got := strings.Join(reasons(t, err), " "); got != tt.want || p != (Password{}) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestRefusalsNameTheirNumbers(t *testing.T) {
	s := testStore(t, Options{})
	r := Classic
	r.MinimumLength, r.MaximumLength = 12, 64
	for text, want := range map[string]int{"kV7#": 12, strings.Repeat("kV7#", 17): 64, strings.Repeat("x", 1<<20): 64} {
		_, err := s.Check(r, Context{}, text)
		f, _ := errors.AsType[*fault.Error](err)
		if f == nil || f.Reasons[0].Args["Count"] != want {
			t.Errorf("%d characters: %+v, want the number %d", len(text), f, want)
		}
	}
}

func TestPWD6ContextWordsAreRefusedAloneAndAcceptedInPhrases(t *testing.T) {
	s := testStore(t, Options{Words: []string{"Europe West"}})
	about := Context{
		Organization: []string{"Alpha Céramique GmbH", "alpha-ceramique"},
		Name:         "Ana Petrova",
		Email:        "ana.vesna@meridian.example",
	}
	free := Rules{Preset: PresetClassic, MinimumLength: 8, MaximumLength: longest}
	for text, want := range map[string]string{
		"Alpha2026!":                 "organization",
		"ALPHA-ALPHA":                "organization",
		"4lph4-4lph4":                "organization",
		"ceramique2026":              "organization",
		"2026*alphaCéramique":        "organization",
		"alpha ceramique gmbh":       "organization",
		"Alpha Céramique GmbH 1":     "organization",
		"Petrova99!":                 "name",
		"anapetrova":                 "name",
		"P3tr0v4_P3tr0v4":            "name",
		"vesna.vesna":                "email",
		"Ana.Vesna@meridian":         "",
		"ana.vesna@meridian.examp":   "",
		"ANA.VESNA@MERIDIAN.example": "email",
		"(meridian)2026":             "email",
		"Parvis2026":                 "service",
		"europe-west-1":              "service",
		"paRv1$ paRv1$":              "service",
		"alpha rides seven zebras":   "",
		"petrova was here once":      "",
	} {
		_, err := s.Check(free, about, text)
		if want == "" {
			if err != nil {
				t.Errorf("%s is refused: %q", text, reasons(t, err))
			}
		} else if err == nil {
			t.Errorf("%s is accepted, want %s", text, want)
		} else if got := reasons(t, err); !slices.Contains(got, want) {
			t.Errorf("%s: %q, want %s among them", text, got, want)
		}
	}
	// Words of one letter, and empty words, refuse no password.
	if _, err := s.Check(Modern, Context{Organization: []string{"", "!", "A"}, Name: "A B", Email: "@"}, "a48392017465839201"); err != nil {
		t.Errorf("refused: %q", reasons(t, err))
	}
}

func TestPWD5BreachedPasswordsAreRefusedWithoutANetwork(t *testing.T) {
	path := filepath.Join(t.TempDir(), "breached.txt")
	// The hash is of "Vermilion-Planted-9".
	list := "Ochre-Planted-9\r\n" +
		"F68887BB36BC9F78EEF3895FABB6089363ABA681:1234\n" +
		"\n" +
		"cafe\u0301-Planted-9\n"
	if err := os.WriteFile(path, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	s := testStore(t, Options{Breached: path})
	for text, want := range map[string]bool{
		"Ochre-Planted-9": true, "OCHRE-planted-9": true, "caf\u00e9-Planted-9": true, "Vermilion-Planted-9": true,
		"VERMILION-planted-9": false, // of a hash, other spellings are not known
		"Ochre-Planted-8":     false,
	} {
		_, err := s.Check(Classic, Context{}, text)
		if got := err != nil && slices.Equal(reasons(t, err), []string{"breached"}); got != want || !got && err != nil {
			t.Errorf("%s: refused %v (%v), want %v", text, got, err, want)
		}
	}
	if _, err := NewStore(testPepper("k"), Options{Breached: path + ".missing"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing list: %v", err)
	}
	if err := os.WriteFile(path, []byte("short\n"+strings.Repeat("x", 1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewStore(testPepper("k"), Options{Breached: path}); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("a list with a line of a megabyte: %v", err)
	}
}

// Every character makes a difference: nothing is cut at 72 bytes, as bcrypt does, or anywhere
// else.
func TestPWD1EveryCharacterCounts(t *testing.T) {
	s := testStore(t, Options{})
	for name, letter := range map[string]string{"one byte": "q", "four bytes": "𝒳"} {
		base := []string{}
		for i := range longest {
			base = append(base, letter)
			if i%7 == 3 {
				base[i] = "z"
			}
		}
		stored := storedWith(t, s, Owner{"org_a", "usr_a"}, strings.Join(base, ""))
		if !verify(t, s, stored, strings.Join(base, "")).OK {
			t.Errorf("%s: 400 characters do not verify", name)
		}
		for _, at := range []int{1, 72, 73, 128, 399, 400} {
			changed := slices.Clone(base)
			changed[at-1] = "Q"
			if verify(t, s, stored, strings.Join(changed, "")).OK {
				t.Errorf("%s: another character %d verifies", name, at)
			}
		}
		if verify(t, s, stored, strings.Join(base, "")+letter).OK || verify(t, s, stored, strings.Join(base[:399], "")).OK {
			t.Errorf("%s: 401 or 399 characters verify", name)
		}
	}
}

func TestPWD1HugePasswordsAreRefusedInConstantMemory(t *testing.T) {
	s := testStore(t, Options{})
	for name, size := range map[string]int{"longest that is looked at": longestBytes, "1 MB": 1 << 20, "100 MB": 100 << 20} {
		text := strings.Repeat("x", size)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := s.Check(Classic, Context{}, text)
		runtime.ReadMemStats(&after)
		if got := reasons(t, err); got[0] != "too_long" {
			t.Errorf("%s: %q", name, got)
		}
		if kb := (after.TotalAlloc - before.TotalAlloc) >> 10; kb > 1024 {
			t.Errorf("%s: %d kB were allocated", name, kb)
		}
	}
}

func TestPWD2FormsOfOneTextAreOnePassword(t *testing.T) {
	s := testStore(t, Options{})
	tests := map[string]struct {
		set, typed string
		want       bool
	}{
		"composed and decomposed":       {"caf\u00e9 zebra quilt", "cafe\u0301 zebra quilt", true},
		"Hangul":                        {"\ud55c\uae00 zebra quilt 7", "\u1112\u1161\u11ab\u1100\u1173\u11af zebra quilt 7", true},
		"Arabic":                        {"\u0622 zebra quilt 77", "\u0627\u0653 zebra quilt 77", true},
		"decomposed, with joined emoji": {"cafe\u0301 zebra 👨‍👩‍👧", "caf\u00e9 zebra 👨‍👩‍👧", true},
		"space of another script":       {"zebra\u3000quilt mango", "zebra quilt mango", true},
		"other case":                    {"zebra quilt mango", "Zebra quilt mango", false},
		"space at the end":              {"zebra quilt mango ", "zebra quilt mango", false},
		"space in front":                {" zebra quilt mango", "zebra quilt mango", false},
		"two spaces":                    {"zebra  quilt mango", "zebra quilt mango", false},
		"full-width digits":             {"zebra quilt mango ７", "zebra quilt mango 7", false},
		"without the accent":            {"caf\u00e9 zebra quilt", "cafe zebra quilt", false},
		"emoji, not joined":             {"zebra quilt 👨‍👩‍👧", "zebra quilt 👨👩👧", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			stored := storedWith(t, s, Owner{"org_a", "usr_a"}, tt.set)
			if !verify(t, s, stored, tt.set).OK {
				t.Error("as it was set it does not verify")
			}
			if got := verify(t, s, stored, tt.typed).OK; got != tt.want {
				t.Errorf("typed otherwise: %v, want %v", got, tt.want)
			}
		})
	}
}

// A later Unicode version lets OpaqueString accept what it refuses today. A password stored in
// the other form must still verify, and is then stored again in the new one.
func TestPWD2AnOlderFormGoesOnVerifying(t *testing.T) {
	s := testStore(t, Options{})
	o := Owner{"org_a", "usr_a"}
	old, err := s.hash(t.Context(), source, o, Password{"zebra\u3000quilt", nfc})
	if err != nil {
		t.Fatal(err)
	}
	v := verify(t, s, Stored{Owner: o, hash: old}, "zebra\u3000quilt")
	if h, err := parseHash(v.renewed); !v.OK || err != nil || h.form != opaque {
		t.Errorf("verified %v, renewed as %s (%v)", v.OK, v.renewed, err)
	}
}

func TestAPasswordIsNotPrinted(t *testing.T) {
	p, err := testStore(t, Options{}).Check(Modern, Context{}, good)
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v %s %q", p, p, p, p, p), p.LogValue().String()} {
		if strings.Contains(printed, "otter") {
			t.Errorf("printed as %s", printed)
		}
	}
}

// naughtyStrings are texts that broke other programs.
func naughtyStrings(t testing.TB) []string {
	const path = "../../../shared/data/strings/blns.json"
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Logf("left out: %s is missing, see shared/data/README.md", filepath.Dir(path))
		t.Skip("the folder shared/data/strings is missing beside the checkout")
	}
	var texts []string
	if err := json.Unmarshal(raw, &texts); err != nil {
		t.Fatal(err)
	}
	return texts
}

func TestPWD2NaughtyStringsAreWholeOrRefused(t *testing.T) {
	s := testStore(t, Options{})
	for _, text := range naughtyStrings(t) {
		text += " zebra quilt mango"
		p, err := s.Check(Modern, Context{}, text)
		if err != nil {
			got := reasons(t, err)
			if len(got) != 1 {
				t.Fatalf("%q is refused: %q", text, got)
			}
			if got[0] != "control" && got[0] != "unreadable" && got[0] != "too_long" {
				t.Errorf("%q is refused: %q", text, got)
			}
			continue
		}
		h, err := s.Hash(t.Context(), source, History{}, p)
		if err != nil {
			t.Fatal(err)
		}
		stored := Stored{hash: h.hash}
		for _, typed := range []string{text, norm.NFC.String(text), norm.NFD.String(text)} {
			if !verify(t, s, stored, typed).OK {
				t.Errorf("%q, typed as %q, does not verify", text, typed)
			}
		}
		if verify(t, s, stored, text[:len(text)-1]).OK {
			t.Errorf("%q verifies without its last character", text)
		}
	}
}

func FuzzPrepare(f *testing.F) {
	for _, seed := range []string{"", good, "cafe\u0301", "👨‍👩‍👧", "\u3000", "\xff", "a\x00", strings.Repeat("\u0301", 100), "\u1112\u1161\u11ab"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, reason := prepare(text)
		if reason != "" {
			if p != (Password{}) {
				t.Errorf("%q is refused and prepared", text)
			}
			return
		}
		if !utf8.ValidString(p.text) || p.form != opaque && p.form != nfc {
			t.Errorf("%q is prepared as %q, %s", text, p.text, p.form)
		}
		if again, _ := p.form.of(p.text); again != p.text {
			t.Errorf("%q is prepared as %q, and that as %q", text, p.text, again)
		}
		if other, reason := prepare(norm.NFD.String(text)); reason == "" && other != p {
			t.Errorf("%q decomposed is another password", text)
		}
	})
}

func FuzzCheck(f *testing.F) {
	f.Add("Alpha2026!", "Alpha", "Ana", "ana@alpha.example")
	f.Add(strings.Repeat("\ufdfa", 400), "", "!", "@")
	f.Add("\xff", "\xff", "\xff", "\xff")
	s, err := NewStore(testPepper("k"), Options{Cost: quick})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text, org, name, email string) {
		about := Context{Organization: []string{org}, Name: name, Email: email}
		for _, rules := range []Rules{Classic, Modern} {
			p, err := s.Check(rules, about, text)
			if err != nil {
				reasons(t, err)
				continue
			}
			if n := utf8.RuneCountInString(p.text); n < rules.MinimumLength || n > rules.MaximumLength || len(rules.broken(p.text)) > 0 {
				t.Errorf("%q is accepted under %s", text, rules.Preset)
			}
		}
		if len(text) <= longestBytes {
			if n := len(forms(text)); n > 100 {
				t.Errorf("%d forms of %q", n, text)
			}
		}
	})
}
