package naming

import (
	"bufio"
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Attack UNI-1, for names: an organization that looks like another.
func TestUNI1NamesThatLookAlikeShareASkeleton(t *testing.T) {
	tests := map[string][2]string{
		"case":                     {"Alpha", "ALPHA"},
		"Cyrillic":                 {"pacer", "расеr"},
		"whole in Cyrillic":        {"cope", "соре"},
		"whole in Greek":           {"o", "ο"},
		"capitals in Cyrillic":     {"ACME", "АСМЕ"},
		"their small letters":      {"ACME", "асме"},
		"Cyrillic in two cases":    {"ВНТ", "внт"},
		"capitals in Greek":        {"NIKE HP", "ΝΙΚΕ ΗΡ"},
		"Greek in two cases":       {"ΝΕΑ ΥΛΗ", "Νεα υλη"},
		"small nu among Latin":     {"Verizon", "νerizon"},
		"small upsilon":            {"Luna", "Lυna"},
		"capital nu among Latin":   {"Nike", "Νike"},
		"capital I for l":          {"Paypal", "PaypaI"},
		"one for l":                {"Paypal", "Paypa1"},
		"zero for o":               {"Google", "g00gle"},
		"rn for m":                 {"Amazon", "Arnazon"},
		"dotless i":                {"Alibaba", "Alıbaba"},
		"dot over an i":            {"Alibaba", "Ali\u0307baba"},
		"Turkish capital":          {"Alibaba", "Alİbaba"},
		"full width":               {"Alpha", "Ａｌｐｈａ"},
		"mathematical":             {"Alpha", "𝐀𝓁𝔭𝕙𝚊"},
		"ligature":                 {"fish", "ﬁsh"},
		"Katakana for Han":         {"口", "ロ"},
		"Armenian o":               {"cool", "cօօl"},
		"composed and decomposed":  {"Été", "E\u0301te\u0301"},
		"invisible":                {"Alpha", "Al\u200bpha"},
		"Persian with and without": {"می\u200cخواهم", "میخواهم"},
		"spaces":                   {"Alpha Beta", "AlphaBeta"},
		"dashes":                   {"Alpha-Beta", "Alpha–Beta"},
		"apostrophes":              {"O'Neil", "O’Neil"},
	}
	for name, pair := range tests {
		t.Run(name, func(t *testing.T) {
			a, b := DisplaySkeleton(pair[0]), DisplaySkeleton(pair[1])
			if a != b || a == "" {
				t.Errorf("%+q looks like %+q, %+q like %+q", pair[0], a, pair[1], b)
			}
		})
	}
}

func TestNamesThatDifferKeepDifferentSkeletons(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{
		"Alpha", "Alpha 2", "Alpha 3", "Älpha", "Beta", "Béta", "Mitra", "Nitra", "North", "South", "東京", "京都",
		"Пример", "Athens", "Αθήνα", "Straße", "Store", "Strase", "حسن", "حسین", "한국", "한글",
	} {
		s := DisplaySkeleton(name)
		if seen[s] != "" {
			t.Errorf("%s is refused because of %s: both look like %q", name, seen[s], s)
		}
		seen[s] = name
	}
}

// The table was made from Unicode 15, and this list from Unicode 10, in different ways. The test leaves
// out what is decomposed or folded before it is looked up; a capital counts where it looks like an ASCII
// letter or digit.
func TestUNI1SkeletonsAgreeWithUnicodesOwnList(t *testing.T) {
	var list map[string]string
	if err := json.Unmarshal(sharedStrings(t, "confusables.json"), &list); err != nil {
		t.Fatal(err)
	}
	const twoLetters = "βηνυƼꞴ\u0345\U000118a4\U000118a6\U000118b5\U000118bc" // these look like one letter in each case, and the table follows the other case
	compared := 0
	for from, to := range list {
		if norm.NFKD.String(from) != from || strings.Contains(twoLetters, from) ||
			Fold(from) != from && !(len(to) == 1 && isAlphanumeric(to[0])) {
			continue
		}
		compared++
		if DisplaySkeleton(from) != DisplaySkeleton(to) {
			t.Errorf("%+q looks like %+q, %+q like %+q", from, DisplaySkeleton(from), to, DisplaySkeleton(to))
		}
	}
	if compared < 2000 {
		t.Errorf("only %d pairs were compared", compared)
	}
}

func TestEveryFormOfUnicodesListFoldsToOne(t *testing.T) {
	lines := bufio.NewScanner(bytes.NewReader(sharedStrings(t, "NormalizationTest-subset.txt")))
	n := 0
	for lines.Scan() {
		columns := strings.Split(lines.Text(), ";")
		if len(columns) < 5 || strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		n++
		var forms [5]string
		for i := range forms {
			for hex := range strings.FieldsSeq(columns[i]) {
				r, err := strconv.ParseUint(hex, 16, 21)
				if err != nil {
					t.Fatal(err)
				}
				forms[i] += string(rune(r))
			}
		}
		for _, form := range forms {
			if Fold(form) != Fold(forms[0]) || Skeleton(form) != Skeleton(forms[0]) || SearchKey(form) != SearchKey(forms[0]) {
				t.Errorf("%s: %+q and %+q are two", columns[0], form, forms[0])
			}
		}
		for _, form := range forms[:3] {
			a, errA := CleanName("A"+form, "name")
			b, errB := CleanName("A"+forms[0], "name")
			if a != b || (errA == nil) != (errB == nil) {
				t.Errorf("%s: %+q is shown as %+q, %v, and %+q as %+q, %v", columns[0], form, a, errA, forms[0], b, errB)
			}
		}
	}
	if n == 0 {
		t.Error("the list is empty")
	}
}

// For every single character: a key must not change when it is made again.
func TestFoldsAndSkeletonsAreTheirOwn(t *testing.T) {
	for r := range everyCharacter {
		s := string(r)
		if f := Fold(s); Fold(f) != f {
			t.Errorf("%U folds to %+q", r, f)
		}
		if k := Skeleton(s); Skeleton(k) != k {
			t.Errorf("%U looks like %+q, and that like %+q", r, k, Skeleton(k))
		}
	}
}

func TestLookAlikesAreOfFoldedCharacters(t *testing.T) {
	table := confusables()
	if len(table) < 2000 {
		t.Errorf("%d characters", len(table))
	}
	for from, to := range table {
		if Fold(string(from)) != string(from) || norm.NFD.String(string(from)) != string(from) {
			t.Errorf("%U never gets here: folding changes it", from)
		}
		if !utf8.ValidString(to) || Skeleton(to) != to {
			t.Errorf("%U leads to %+q, which is not the end", from, to)
		}
	}
}

func TestSearchFindsWithoutCaseAndDiacritics(t *testing.T) {
	tests := map[string]struct {
		parts   []string
		typed   string
		pattern string
		found   bool
	}{
		"part of a name":        {parts: []string{"Ada Lovelace", "ada@example.org"}, typed: "LOVE", pattern: `%love%`, found: true},
		"part of the address":   {parts: []string{"Ada Lovelace", "ada@example.org"}, typed: "@Example", pattern: `%@example%`, found: true},
		"without the accent":    {parts: []string{"Rémy Müller"}, typed: "remy muller", pattern: `%remy muller%`, found: true},
		"with the accent":       {parts: []string{"Remy Muller"}, typed: "Rémy", pattern: `%remy%`, found: true},
		"decomposed":            {parts: []string{"Rémy"}, typed: "Re\u0301my", pattern: `%remy%`, found: true},
		"stroke":                {parts: []string{"Łukasz Sørensen"}, typed: "lukasz sorensen", pattern: `%lukasz sorensen%`, found: true},
		"Turkish":               {parts: []string{"IŞIK İnan"}, typed: "ışık inan", pattern: `%isik inan%`, found: true},
		"sharp s":               {parts: []string{"Weiß"}, typed: "WEISS", pattern: `%weiss%`, found: true},
		"full width":            {parts: []string{"Ada"}, typed: "ａｄａ", pattern: `%ada%`, found: true},
		"spaces":                {parts: []string{"Ada  Lovelace"}, typed: " ada\tlovelace\n", pattern: `%ada lovelace%`, found: true},
		"percent":               {parts: []string{"100 % Ada"}, typed: "%", pattern: `%\%%`, found: true},
		"percent in none":       {parts: []string{"Ada"}, typed: "%", pattern: `%\%%`},
		"underscore":            {parts: []string{"ada_l@example.org"}, typed: "a_l", pattern: `%a\_l%`, found: true},
		"backslash":             {parts: []string{`A\B`}, typed: `a\`, pattern: `%a\\%`, found: true},
		"NUL":                   {parts: []string{"Ada"}, typed: "\x00ada\x00", pattern: `%ada%`, found: true},
		"not UTF-8":             {parts: []string{"Ada"}, typed: "ada\xff", pattern: `%ada%`, found: true},
		"no letter's beginning": {parts: []string{"Ada"}, typed: strings.Repeat("\x86", 1000), pattern: ""},
		"another":               {parts: []string{"Ada"}, typed: "eve", pattern: `%eve%`},
		"nothing":               {parts: []string{"Ada"}, typed: "", pattern: ""},
		"nothing but spaces":    {parts: []string{"Ada"}, typed: " \n", pattern: ""},
		"nothing but a mark":    {parts: []string{"Ada"}, typed: "\u0301", pattern: ""},
		"more than is compared": {parts: []string{strings.Repeat("é", 150)}, typed: strings.Repeat("é", 150), pattern: "%" + strings.Repeat("e", 100) + "%", found: true},
		"cut inside a letter":   {parts: []string{"x"}, typed: "x" + strings.Repeat("é", 150), pattern: "%x" + strings.Repeat("e", 99) + "%"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			pattern := SearchPattern(tt.typed)
			if pattern != tt.pattern {
				t.Fatalf("got the pattern %+q, want %+q", pattern, tt.pattern)
			}
			if pattern == "" {
				return
			}
			plain := strings.NewReplacer(`\\`, `\`, `\%`, `%`, `\_`, `_`).Replace(pattern[1 : len(pattern)-1])
			if key := SearchKey(tt.parts...); strings.Contains(key, plain) != tt.found {
				t.Errorf("%q in %q: want %v", plain, key, tt.found)
			}
		})
	}
}

func FuzzSearch(f *testing.F) {
	for _, s := range []string{"Ada", "Łódź", "%_\\", "\u0301", "が", "한국", "\u00b4"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key := SearchKey(s)
		if SearchKey(key) != key || !utf8.ValidString(key) || strings.ContainsAny(key, "\x00\r\n") {
			t.Fatalf("%+q is found as %+q, and that as %+q", s, key, SearchKey(key))
		}
		pattern := SearchPattern(s)
		if word := strings.TrimSuffix(strings.TrimPrefix(pattern, "%"), "%"); pattern != "" && (word == "" || pattern != "%"+word+"%") {
			t.Fatalf("%+q is searched as %+q", s, pattern)
		}
	})
}
