package naming

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"parvis/internal/expect"
	"parvis/internal/fault"
)

// sharedStrings reads a file of the test data beside the checkout.
func sharedStrings(t *testing.T, name string) []byte {
	t.Helper()
	const folder = "../../../shared/data/strings"
	raw, err := os.ReadFile(filepath.Join(folder, name))
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("left out: %s is not there", filepath.Join(folder, name))
	}
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func naughtyStrings(t *testing.T) []string {
	t.Helper()
	var all []string
	if err := json.Unmarshal(sharedStrings(t, "blns.json"), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// everyCharacter yields the characters that Unicode has assigned, without the large blocks of
// ideographs, syllables and hieroglyphs, whose characters are all alike here.
func everyCharacter(yield func(rune) bool) {
	large := map[rune]rune{ // first and last
		0x3400: 0x9fff, 0xa000: 0xa48f, 0xac00: 0xd7a3, 0xe000: 0xf8ff, 0x12000: 0x16cff, 0x17000: 0x1bbff,
		0x20000: 0x2f7ff, 0x2fa20: 0xdffff,
	}
	for r := rune(0); r < 0xe0200; r++ {
		if end, ok := large[r]; ok {
			r = end
		}
		if unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.C) && !yield(r) {
			return
		}
	}
}

func TestShortNamesHaveATextAndAKey(t *testing.T) {
	tests := map[string]struct {
		typed     string
		text, key string
		err       error
	}{
		"plain":                         {typed: "alpha", text: "alpha", key: "alpha"},
		"capitals":                      {typed: "Alpha-Omega", text: "Alpha-Omega", key: "alpha-omega"},
		"spaces around it":              {typed: "\u00a0Alpha\t", text: "Alpha", key: "alpha"},
		"digits only":                   {typed: "1984", text: "1984", key: "1984"},
		"accent":                        {typed: "Été", text: "Été", key: "été"},
		"decomposed":                    {typed: "E\u0301te\u0301", text: "Été", key: "été"},
		"sharp s":                       {typed: "Straße", text: "Straße", key: "strasse"},
		"full-width":                    {typed: "Ａｌｐｈａ－７", text: "Alpha-7", key: "alpha-7"},
		"half-width Katakana":           {typed: "ﾊﾟﾙ", text: "パル", key: "パル"},
		"ligature":                      {typed: "ﬁsh", text: "fish", key: "fish"},
		"other hyphens":                 {typed: "a\u2010b\u2011c–d", text: "a-b-c-d", key: "a-b-c-d"},
		"Greek":                         {typed: "ΑΘΗΝΑΣ", text: "ΑΘΗΝΑΣ", key: "αθηνασ"},
		"final sigma":                   {typed: "αθηνας", text: "αθηνας", key: "αθηνασ"},
		"Cyrillic":                      {typed: "Пример", text: "Пример", key: "пример"},
		"Arabic with its digits":        {typed: "شركة٣", text: "شركة٣", key: "شركة٣"},
		"Arabic with plain digits":      {typed: "شركة3", text: "شركة3", key: "شركة3"},
		"Hebrew":                        {typed: "חברה", text: "חברה", key: "חברה"},
		"Devanagari":                    {typed: "हिन्दी", text: "हिन्दी", key: "हिन्दी"},
		"Thai":                          {typed: "น้ำใจ", text: "น\u0e49\u0e4d\u0e32ใจ", key: "น\u0e49\u0e4d\u0e32ใจ"},
		"Japanese":                      {typed: "東京タワーの会", text: "東京タワーの会", key: "東京タワーの会"},
		"Japanese with Latin":           {typed: "NTT東日本", text: "NTT東日本", key: "ntt東日本"},
		"Korean":                        {typed: "한국Corp", text: "한국Corp", key: "한국corp"},
		"decomposed Korean":             {typed: norm.NFD.String("한국"), text: "한국", key: "한국"},
		"Chinese with Bopomofo":         {typed: "台灣ㄅㄆ", text: "台灣ㄅㄆ", key: "台灣ㄅㄆ"},
		"40 characters":                 {typed: strings.Repeat("é", 40), text: strings.Repeat("é", 40), key: strings.Repeat("é", 40)},
		"41 characters":                 {typed: strings.Repeat("é", 41), err: ErrShortNameLength},
		"one character":                 {typed: "a", err: ErrShortNameLength},
		"far too long":                  {typed: strings.Repeat("a", 1<<20), err: ErrShortNameLength},
		"nothing":                       {typed: "", err: ErrShortNameMissing},
		"nothing but spaces":            {typed: " \u3000\n", err: ErrShortNameMissing},
		"space inside":                  {typed: "north shore", err: ErrShortNameInvalid},
		"dot":                           {typed: "north.shore", err: ErrShortNameInvalid},
		"slash":                         {typed: "north/shore", err: ErrShortNameInvalid},
		"dots as a path":                {typed: "..", err: ErrShortNameInvalid},
		"underscore":                    {typed: "north_shore", err: ErrShortNameInvalid},
		"percent":                       {typed: "north%2fshore", err: ErrShortNameInvalid},
		"full-width slash":              {typed: "north／shore", err: ErrShortNameInvalid},
		"care of, which holds a slash":  {typed: "north℅shore", err: ErrShortNameInvalid},
		"hyphen first":                  {typed: "-alpha", err: ErrShortNameInvalid},
		"hyphen last":                   {typed: "alpha-", err: ErrShortNameInvalid},
		"two hyphens":                   {typed: "al--pha", err: ErrShortNameInvalid},
		"NUL":                           {typed: "al\x00pha", err: ErrShortNameInvalid},
		"line break":                    {typed: "al\npha", err: ErrShortNameInvalid},
		"not UTF-8":                     {typed: "al\xffpha", err: ErrShortNameInvalid},
		"emoji":                         {typed: "alpha😀", err: ErrShortNameInvalid},
		"Roman numeral sign is letters": {typed: "alphaⅣ", text: "alphaIV", key: "alphaiv"},
		"fraction":                      {typed: "alpha½", err: ErrShortNameInvalid},
		"private use":                   {typed: "alpha\ue000", err: ErrShortNameInvalid},
		"unassigned":                    {typed: "alpha\u0378", err: ErrShortNameInvalid},
		"mark first":                    {typed: "\u0301alpha", err: ErrShortNameInvalid},
		"mark after a hyphen":           {typed: "al-\u0301pha", err: ErrShortNameInvalid},
		"the same mark twice":           {typed: "q\u0307\u0307x", err: ErrShortNameInvalid},
		"a tower of marks":              {typed: "q\u0307\u0308\u030a\u030b\u030cx", err: ErrShortNameInvalid},
		"enclosing mark":                {typed: "a\u20ddb", err: ErrShortNameInvalid},
		"zero-width space":              {typed: "al\u200bpha", err: ErrShortNameInvalid},
		"zero-width non-joiner":         {typed: "می\u200cخواهم", err: ErrShortNameInvalid},
		"soft hyphen":                   {typed: "al\u00adpha", err: ErrShortNameInvalid},
		"right-to-left override":        {typed: "al\u202epha", err: ErrShortNameInvalid},
		"Hangul filler":                 {typed: "al\u3164pha", err: ErrShortNameInvalid},
		"variation selector":            {typed: "東\ufe00京", err: ErrShortNameInvalid},
		"Latin with Cyrillic":           {typed: "аlpha", err: ErrShortNameMixed},
		"Latin with Greek":              {typed: "αlpha", err: ErrShortNameMixed},
		"Han with Cyrillic":             {typed: "東Я", err: ErrShortNameMixed},
		"Kana with Hangul":              {typed: "カ한", err: ErrShortNameMixed},
		"long vowel sign after Latin":   {typed: "alphaー", err: ErrShortNameInvalid},
		"long vowel signs after Kana":   {typed: "らーーめん", text: "らーーめん", key: "らーーめん"},
		"Latin with Arabic digits":      {typed: "alpha٣", err: ErrShortNameMixed},
		"two sorts of digits":           {typed: "شركة٣3", err: ErrShortNameMixed},
		"letter of no script":           {typed: "alphaʼs", err: ErrShortNameMixed},
		"reserved":                      {typed: "Admin", err: ErrShortNameReserved},
		"reserved in full width":        {typed: "ｎｅｗ", err: ErrShortNameReserved},
		"part of a reserved word":       {typed: "administration", text: "administration", key: "administration"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParseShortName(tt.typed)
			if got.Text != tt.text || got.Key != tt.key || !errors.Is(err, tt.err) {
				t.Errorf("got %+q, %+q, %v, want %+q, %+q, %v", got.Text, got.Key, err, tt.text, tt.key, tt.err)
			}
			if err == nil && OrganizationKey(tt.typed) != got.Key {
				t.Errorf("typed as %+q it is looked up as %+q", tt.typed, OrganizationKey(tt.typed))
			}
		})
	}
}

// Attack UNI-3: one of our words, folded as in another language or written with look-alikes.
func TestUNI3ReservedWordsAreReservedHoweverTheyAreWritten(t *testing.T) {
	for _, typed := range []string{"ADMIN", "admın", "ADMİN", "admi\u0307n", "аԁmіn", "adrnin", "adm1n", "ⓐⓓⓜⓘⓝ", "АРІ", "ɑdmin", "r00t", "аll"} {
		if got, err := ParseShortName(typed); err == nil {
			t.Errorf("%s is taken as %+v", typed, got)
		}
	}
	for _, word := range reserved {
		if _, err := ParseShortName(word); !errors.Is(err, ErrShortNameReserved) && len(word) >= minShortName {
			t.Errorf("%s: %v", word, err)
		}
	}
}

func TestTypedOrganizationsAreFoundWhateverTheirForm(t *testing.T) {
	for _, text := range []string{"Alpha-Omega", "Été-7", "Straße", "NTT東日本", "パル", "Ελλάς", "ᾂδης"} {
		want, err := ParseShortName(text)
		if err != nil {
			t.Fatal(err)
		}
		forms := map[string]string{
			"as it is":        text,
			"lower case":      strings.ToLower(text),
			"upper case":      strings.ToUpper(text),
			"decomposed":      norm.NFD.String(text),
			"compatibility":   norm.NFKD.String(strings.ToUpper(text)),
			"spaces around":   " \u3000\u00a0" + text + "\t\r\n",
			"soft hyphen":     "\u00ad" + text,
			"another hyphen":  strings.ReplaceAll(text, "-", "\u2011"),
			"full width":      strings.Map(fullWidth, text),
			"a mark of order": "\ufeff" + text + "\u200e",
		}
		for name, typed := range forms {
			if got := OrganizationKey(typed); got != want.Key {
				t.Errorf("%s, %s: got %+q, want %+q", text, name, got, want.Key)
			}
		}
	}
	none := map[string]string{
		"nothing": "", "spaces": " \t", "NUL": "al\x00pha", "not UTF-8": "al\xffpha",
		"1001 bytes": strings.Repeat("a", 1001), "a megabyte": strings.Repeat("é", 1<<19), "grows on folding": strings.Repeat("\ufdfa", 50),
	}
	for name, typed := range none {
		if got := OrganizationKey(typed); got != "" {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func fullWidth(r rune) rune {
	if '!' <= r && r <= '~' {
		return r + 0xFEE0
	}
	return r
}

// maxKey promises that no short name is too long to be found.
func TestFoldingMakesAtMostFiveBytesOfACharacter(t *testing.T) {
	for r := range everyCharacter {
		s := norm.NFKC.String(string(r))
		if n := utf8.RuneCountInString(s); len(Fold(s)) > n*maxKey/maxShortName {
			t.Errorf("%U: %d characters fold to %d bytes", r, n, len(Fold(s)))
		}
	}
}

func TestNamesAreShownCleanOrRefused(t *testing.T) {
	tests := map[string]struct {
		typed string
		want  string
		err   *fault.Error
	}{
		"plain":                        {typed: "Ada Lovelace", want: "Ada Lovelace"},
		"spaces":                       {typed: "\n Ada \u00a0\u3000\tLovelace ", want: "Ada Lovelace"},
		"decomposed":                   {typed: "Re\u0301my", want: "Rémy"},
		"punctuation":                  {typed: "O’Neil & Söhne, Inc. (“Nord”) – R+D #1 €", want: "O’Neil & Söhne, Inc. (“Nord”) – R+D #1 €"},
		"one letter":                   {typed: "O", want: "O"},
		"Arabic with its marks":        {typed: "مُحَمَّد", want: "مُحَمَّد"},
		"Hebrew with its marks":        {typed: norm.NFC.String("שָׁלוֹם"), want: norm.NFC.String("שָׁלוֹם")},
		"Burmese, five marks a letter": {typed: "မြွှေ့", want: "မြွှေ့"},
		"Tibetan":                      {typed: "བསྒྲུབས", want: "བསྒྲུབས"},
		"Thai":                         {typed: "น้ำ", want: "น้ำ"},
		"Vietnamese":                   {typed: "Nguyễn", want: "Nguyễn"},
		"Sinhala joiner":               {typed: "ශ්\u200dරී", want: "ශ්\u200dරී"},
		"Persian non-joiner":           {typed: "می\u200cخواهم", want: "می\u200cخواهم"},
		"Malayalam's old chillu":       {typed: "അനില്\u200d", want: "അനില്\u200d"},
		"emoji beside letters":         {typed: "Ada 😀", want: "Ada 😀"},
		"markup stays text":            {typed: "<b>Ada</b>", want: "<b>Ada</b>"},
		"100 characters":               {typed: strings.Repeat("é", 100), want: strings.Repeat("é", 100)},
		"101 characters":               {typed: strings.Repeat("é", 101), err: ErrNameLong},
		"far too long":                 {typed: strings.Repeat("a", 1<<20), err: ErrNameLong},
		"nothing":                      {typed: "", err: ErrNameMissing},
		"nothing but spaces":           {typed: " \t\u2003\r\n", err: ErrNameMissing},
		"nothing to be seen":           {typed: "\u200b", err: ErrNameInvalid},
		"blank Braille":                {typed: "\u2800", err: ErrNameInvalid},
		"blank Braille inside":         {typed: "Ada\u2800L", err: ErrNameInvalid},
		"Hangul filler":                {typed: "\u3164", err: ErrNameInvalid},
		"no letter":                    {typed: "…", err: ErrNameInvalid},
		"line break, another header":   {typed: "Ada\r\nBcc: eve@evil.example", err: ErrNameInvalid},
		"line separator":               {typed: "Ada\u2028Lovelace", err: ErrNameInvalid},
		"NUL":                          {typed: "Ada\x00", err: ErrNameInvalid},
		"escape":                       {typed: "Ada\x1b[31m", err: ErrNameInvalid},
		"C1 control":                   {typed: "Ada\u009b", err: ErrNameInvalid},
		"right-to-left override":       {typed: "Ada\u202eecalevoL", err: ErrNameInvalid},
		"isolate":                      {typed: "\u2068Ada\u2069", err: ErrNameInvalid},
		"direction mark":               {typed: "Ada\u200f", err: ErrNameInvalid},
		"soft hyphen":                  {typed: "A\u00adda", err: ErrNameInvalid},
		"byte order mark":              {typed: "\ufeffAda", err: ErrNameInvalid},
		"word joiner":                  {typed: "A\u2060da", err: ErrNameInvalid},
		"tag":                          {typed: "Ada\U000e0041", err: ErrNameInvalid},
		"variation selector":           {typed: "Ada ❤\ufe0f", err: ErrNameInvalid},
		"grapheme joiner":              {typed: "A\u034fda", err: ErrNameInvalid},
		"joiner in Latin":              {typed: "A\u200dda", err: ErrNameInvalid},
		"non-joiner in Latin":          {typed: "A\u200cda", err: ErrNameInvalid},
		"joined emoji":                 {typed: "Ada 👩\u200d💻", err: ErrNameInvalid},
		"non-joiner at the end":        {typed: "می\u200c", err: ErrNameInvalid},
		"two joiners":                  {typed: "ශ්\u200d\u200dරී", err: ErrNameInvalid},
		"private use":                  {typed: "Ada\ue000", err: ErrNameInvalid},
		"unassigned":                   {typed: "Ada\u0378", err: ErrNameInvalid},
		"noncharacter":                 {typed: "Ada\uffff", err: ErrNameInvalid},
		"replacement character":        {typed: "Ad\ufffd", err: ErrNameInvalid},
		"not UTF-8":                    {typed: "Ad\xc3", err: ErrNameInvalid},
		"mark first":                   {typed: "\u0301Ada", err: ErrNameInvalid},
		"mark after a space":           {typed: "Ada \u0301", err: ErrNameInvalid},
		"enclosing mark":               {typed: "A\u20dd", err: ErrNameInvalid},
		"a tower of marks":             {typed: "A" + strings.Repeat("\u0335", 5), err: ErrNameInvalid},
		"a Thai tower":                 {typed: "ก" + strings.Repeat("\u0e47", 5), err: ErrNameInvalid},
		"a tower of forty":             {typed: "A" + strings.Repeat("\u0335", 40), err: ErrNameInvalid},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := CleanName(tt.typed, "organization")
			if tt.err == nil {
				if got != tt.want || err != nil {
					t.Errorf("got %+q, %v, want %+q", got, err, tt.want)
				}
				return
			}
			f, ok := errors.AsType[*fault.Error](err)
			expect.Equal(t, "got", got, "")
			expect.Equal(t, "Field", f.Field, "organization")
			if !errors.Is(err, tt.err) || !ok {
				t.Errorf("got %+q, %+v, want %v of the field organization", got, err, tt.err)
			}
		})
	}
}

func TestNaughtyStringsAreShownWholeOrRefused(t *testing.T) {
	shown := 0
	for _, s := range naughtyStrings(t) {
		name, err := CleanName(s, "name")
		if err == nil {
			shown++
			if whole := strings.Join(strings.Fields(norm.NFC.String(s)), " "); name != whole {
				t.Errorf("%+q is shown as %+q", s, name)
			}
			checkShown(t, name)
		}
		if short, err := ParseShortName(s); err == nil && OrganizationKey(s) != short.Key {
			t.Errorf("%+q is found as %+q, not %+q", s, OrganizationKey(s), short.Key)
		}
		if pattern := SearchPattern(s); !utf8.ValidString(pattern) || strings.ContainsFunc(pattern, unicode.IsControl) {
			t.Errorf("%+q is searched as %+q", s, pattern)
		}
	}
	if shown == 0 {
		t.Error("every one of them was refused")
	}
}

// checkShown asserts what R-INP-06 demands of a name.
func checkShown(t *testing.T, name string) {
	t.Helper()
	runes := []rune(name)
	bad := func(r rune) bool {
		return r != zeroWidthJoiner && r != zeroWidthNonJoiner && isIgnorable(r) || unicode.IsControl(r) ||
			unicode.In(r, unicode.C, unicode.Zl, unicode.Zp, unicode.Bidi_Control) && r != zeroWidthJoiner && r != zeroWidthNonJoiner
	}
	if len(runes) < 1 || len(runes) > maxName || unicode.IsMark(runes[0]) {
		t.Errorf("%+q is shown, of %d characters", name, len(runes))
	}
	if !norm.NFC.IsNormalString(name) || slices.ContainsFunc(runes, bad) {
		t.Errorf("%+q is shown, with characters that are not", name)
	}
	if strings.TrimSpace(name) != name || strings.Contains(name, "  ") {
		t.Errorf("%+q is shown, with spaces", name)
	}
}

func FuzzShortName(f *testing.F) {
	for _, s := range []string{"Alpha-7", "Ａｌｐｈａ", "Straße", "ᾂδης", "東京タワー", "한국", "ﬁ", "İı"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseShortName(s)
		if err != nil {
			if n != (ShortName{}) {
				t.Fatalf("%+q: refused and yet %+v", s, n)
			}
			return
		}
		if again, err := ParseShortName(n.Text); again != n || err != nil {
			t.Fatalf("%+q is %+v, which is %+v, %v", s, n, again, err)
		}
		if OrganizationKey(n.Text) != n.Key || OrganizationKey(n.Key) != n.Key {
			t.Fatalf("%+q has the key %+q, and is found as %+q and %+q", s, n.Key, OrganizationKey(n.Text), OrganizationKey(n.Key))
		}
		if Skeleton(n.Skeleton) != n.Skeleton || n.Key == "" || strings.ContainsAny(n.Text, "/\\.?#% ") {
			t.Fatalf("%+q is %+v", s, n)
		}
	})
}

// A plain name is its own key at sight; folding comes to the same.
func TestPlainNamesAreTheirOwnKeys(t *testing.T) {
	for _, s := range []string{"", "a", "alpha", "alpha-works-7", "-", "0", strings.Repeat("a", maxKey), strings.Repeat("a", maxKey+1), "Alpha", "alpha works", "alpha_works", "a.b", "é"} {
		if got, want := OrganizationKey(s), foldedKey(s); got != want {
			t.Errorf("%.20q is found as %.20q, want %.20q", s, got, want)
		}
	}
}

func FuzzOrganizationKey(f *testing.F) {
	for _, s := range []string{"Alpha", "\u00b4x", "\u00adＡ\u2011", "alpha-7", "--", "ᾂ", "İ", "a\u0345\u0301", "\ufdfa"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key := OrganizationKey(s)
		if folded := foldedKey(s); folded != key {
			t.Fatalf("%+q is found as %+q, and not as %+q", s, key, folded)
		}
		if again := OrganizationKey(key); again != key {
			t.Fatalf("%+q is found as %+q, and that as %+q", s, key, again)
		}
		if len(key) > maxKey || !utf8.ValidString(key) || strings.ContainsFunc(key, unicode.IsControl) {
			t.Fatalf("%+q is found as %+q", s, key)
		}
	})
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"Ada  Lovelace", "ශ්\u200dරී", "می\u200cخواهم", "A\u0335\u0301", "\u2000x", "e\u0301"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, err := CleanName(s, "name")
		if err != nil {
			return
		}
		checkShown(t, name)
		if again, err := CleanName(name, "name"); again != name || err != nil {
			t.Fatalf("%+q is %+q, and that is %+q, %v", s, name, again, err)
		}
		if look := DisplaySkeleton(name); DisplaySkeleton(look) != look {
			t.Fatalf("%+q looks like %+q, and that like %+q", name, look, DisplaySkeleton(look))
		}
	})
}
