package naming

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"parvis/internal/fault"
)

// The faults of names. CleanName returns its three with the field that its caller names.
var (
	ErrShortNameMissing  = fault.Field("short_name", "directory.short_name_missing")
	ErrShortNameInvalid  = fault.Field("short_name", "directory.short_name_invalid")
	ErrShortNameLength   = fault.Field("short_name", "directory.short_name_length")
	ErrShortNameMixed    = fault.Field("short_name", "directory.short_name_mixed")
	ErrShortNameReserved = fault.Field("short_name", "directory.short_name_reserved")
	ErrNameMissing       = fault.Field("name", "directory.name_missing")
	ErrNameInvalid       = fault.Field("name", "directory.name_invalid")
	ErrNameLong          = fault.Field("name", "directory.name_long")
	ErrGroupNameLong     = fault.Field("name", "directory.group_name_long")
	ErrContactInvalid    = fault.Field("contact", "directory.contact_invalid")
	ErrContactLong       = fault.Field("contact", "directory.contact_long")
	ErrReason            = fault.Field("reason", "directory.reason")
)

// MaxGroupName is how many code points a group's name may have.
const MaxGroupName = 80

// Lengths in code points, except where bytes are named.
const (
	minShortName = 2
	maxShortName = 40
	maxKey       = 1000 // bytes of a folded name, enough for maxName characters of any script in use
	maxName      = 100
	MaxContact   = 300
	maxReason    = 300
	maxNameTyped = 4000 // bytes of a name, before it is looked at
	maxMarks     = 4    // above and below one letter; no script needs more, only pranks do
)

// ShortName names an organization in paths and in what people type.
type ShortName struct {
	Text     string // as shown
	Key      string // the same in any case and Unicode form: what is looked up
	Skeleton string // the same for names that look alike: what is unique
}

// reserved are short names that could be taken for something of ours, or that we may want in a path
// in place of a short name. What looks like one of them is reserved too.
var reserved = []string{
	"admin", "administrator", "all", "api", "me", "new", "none", "null",
	"operator", "parvis", "root", "security", "support", "system", "www",
}

// ParseShortName takes letters, marks and digits of one script, with single hyphens between them.
// Text is NFKC and not NFC, so that no full-width letter, ligature or circled digit gets into a path.
func ParseShortName(s string) (ShortName, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return ShortName{}, ErrShortNameMissing
	}
	if len(s) > maxTyped {
		return ShortName{}, ErrShortNameLength
	}
	text := strings.Map(plainHyphen, norm.NFKC.String(s))
	if !isShortName(text) {
		return ShortName{}, ErrShortNameInvalid
	}
	if n := utf8.RuneCountInString(text); n < minShortName || n > maxShortName {
		return ShortName{}, ErrShortNameLength
	}
	if !isOneScript(text) {
		return ShortName{}, ErrShortNameMixed
	}
	name := ShortName{Text: text, Key: Fold(text), Skeleton: Skeleton(text)}
	// They are compared by look, so that none of ADMİN, admın and аdmin gets through.
	if slices.ContainsFunc(reserved, func(r string) bool { return Skeleton(r) == name.Skeleton }) {
		return ShortName{}, ErrShortNameReserved
	}
	return name, nil
}

// OrganizationKey returns a typed name in the form of ShortName.Key and of a display name's key. It
// never fails: "" is the key of no organization. It also returns "" for text that is not UTF-8 or
// has a NUL, which a database would refuse.
func OrganizationKey(typed string) string {
	if isPlainKey(typed) {
		return typed
	}
	return foldedKey(typed)
}

func foldedKey(typed string) string {
	if len(typed) > maxTyped || !utf8.ValidString(typed) {
		return ""
	}
	typed = strings.TrimSpace(typed)
	if strings.ContainsFunc(typed, unicode.IsControl) {
		return ""
	}
	key := strings.Join(strings.Fields(Fold(strings.Map(plainHyphen, Fold(typed)))), " ")
	if len(key) > maxKey {
		return ""
	}
	return key
}

// isPlainKey reports whether s is its own key at sight: small letters of ASCII, digits and hyphens,
// as the short names in most paths are.
func isPlainKey(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(s) <= maxKey
}

// plainHyphen turns every dash into a hyphen, since keyboards and word processors insert other
// dashes unasked.
func plainHyphen(r rune) rune {
	if unicode.Is(unicode.Pd, r) {
		return '-'
	}
	return r
}

// isShortName reports whether s has only characters of a short name, each where it may stand.
func isShortName(s string) bool {
	previous := '-'
	marks := 0
	for _, r := range s {
		switch {
		case isIgnorable(r) || unicode.Is(unicode.Me, r):
			return false
		case r == '-':
			if previous == '-' {
				return false
			}
		case r == longVowel && !unicode.In(previous, unicode.Hiragana, unicode.Katakana) && previous != longVowel:
			return false // between other letters it looks like a dash
		case unicode.IsMark(r):
			if marks++; marks > maxMarks || r == previous || previous == '-' || unicode.IsDigit(previous) {
				return false
			}
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			marks = 0
		default:
			return false
		}
		previous = r
	}
	return previous != '-'
}

const longVowel = 'ー' // of Katakana, and sometimes of Hiragana

// together are the scripts that one name may mix: those of Chinese, Japanese and Korean, each with
// Latin (UTS #39 §5.2, highly restrictive).
var together = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"},
	{"Latin", "Han", "Hangul"},
	{"Latin", "Han", "Bopomofo"},
}

// isOneScript reports whether the letters and digits of s belong together. ASCII digits go with any
// script, but not beside that script's own digits.
func isOneScript(s string) bool {
	var scripts []string
	ascii, own := false, false // digits
	for _, r := range s {
		script := scriptOf(r)
		switch {
		case r == '-' || script == "Inherited":
			continue
		case '0' <= r && r <= '9':
			ascii = true
			continue
		case script == "Common":
			return false // a letter of no script, such as a modifier or a musical sign
		case unicode.IsDigit(r):
			own = true
		}
		if !slices.Contains(scripts, script) {
			scripts = append(scripts, script)
		}
	}
	if ascii && own {
		return false
	}
	return len(scripts) <= 1 || slices.ContainsFunc(together, func(allowed []string) bool {
		return !slices.ContainsFunc(scripts, func(s string) bool { return !slices.Contains(allowed, s) })
	})
}

// scriptOf returns the script of r. Three characters are common in Unicode because a few scripts
// share them; they get the script that they are used with here (UAX #24 §2.2).
func scriptOf(r rune) string {
	switch {
	case r == longVowel:
		return "Katakana"
	case r == '〆':
		return "Han"
	case '٠' <= r && r <= '٩':
		return "Arabic"
	}
	for name, table := range unicode.Scripts {
		if unicode.Is(table, r) {
			return name
		}
	}
	return "Common"
}

// CleanName returns a name that can be shown to others (R-INP-06): in NFC, with single spaces. It
// refuses, with a fault of the given field, a name with characters that are invisible, change the
// direction of writing, or reach into the next line.
func CleanName(s string, field string) (string, error) {
	name, wrong := cleanLine(s, maxName)
	if wrong != nil {
		return "", fault.Field(field, wrong.Key)
	}
	return name, nil
}

// CleanGroupName cleans the name of a group: shorter than other names, because tokens carry it.
func CleanGroupName(s string) (string, error) {
	name, wrong := cleanLine(s, MaxGroupName)
	switch wrong {
	case nil:
		return name, nil
	case ErrNameLong:
		return "", ErrGroupNameLong.With("Most", MaxGroupName)
	}
	return "", wrong
}

// CleanContact cleans what an organization says about where to ask for help: a line like a name, but
// longer, or nothing.
func CleanContact(s string) (string, error) {
	contact, wrong := cleanLine(s, MaxContact)
	switch wrong {
	case nil, ErrNameMissing:
		return contact, nil
	case ErrNameLong:
		return "", ErrContactLong
	}
	return "", ErrContactInvalid
}

// CleanReason cleans the reason that an administrator gives for the audit log: a line like a name,
// but longer.
func CleanReason(s string) (string, error) {
	reason, wrong := cleanLine(s, maxReason)
	if wrong != nil {
		return "", ErrReason.With("Most", maxReason)
	}
	return reason, nil
}

// CleanLine cleans a line of text that is shown to people, of at most so many characters. Its faults
// are those of a name.
func CleanLine(s string, most int) (string, error) {
	line, wrong := cleanLine(s, most)
	if wrong != nil {
		return "", wrong
	}
	return line, nil
}

// cleanLine cleans one line of text, or returns the fault that a name would have.
func cleanLine(s string, most int) (string, *fault.Error) {
	if len(s) > maxNameTyped {
		return "", ErrNameLong
	}
	if !utf8.ValidString(s) {
		return "", ErrNameInvalid
	}
	var b strings.Builder
	for _, r := range norm.NFC.String(strings.TrimSpace(s)) {
		switch {
		case !isSpace(r):
			b.WriteRune(r)
		case !strings.HasSuffix(b.String(), " "):
			b.WriteByte(' ')
		}
	}
	name := b.String()
	switch {
	case name == "":
		return "", ErrNameMissing
	case utf8.RuneCountInString(name) > most:
		return "", ErrNameLong
	case !isShowable([]rune(name)):
		return "", ErrNameInvalid
	}
	return name, nil
}

// isSpace reports whether r separates words. A tab does, in a line pasted from a table. A line break
// does not, since it would begin another header of a letter.
func isSpace(r rune) bool { return r == '\t' || unicode.Is(unicode.Zs, r) }

// isShowable reports whether every character of a name may stand where it does. A name needs at
// least one letter or digit; otherwise people could not say it.
func isShowable(name []rune) bool {
	named := false
	marks := 0
	for i, r := range name {
		before, after := around(name, i)
		switch {
		case r == zeroWidthJoiner || r == zeroWidthNonJoiner:
			if !isJoinerNeeded(before, r, after) {
				return false
			}
			continue
		case isIgnorable(r) || unicode.In(r, unicode.Me, blank):
			return false
		case unicode.IsMark(r):
			// Spacing marks stand beside their letter, so any number is harmless.
			if unicode.Is(unicode.Mn, r) {
				marks++
			}
			if before == ' ' || marks > maxMarks {
				return false
			}
			continue
		case unicode.In(r, unicode.L, unicode.N):
			named = true
		case r != ' ' && !unicode.In(r, unicode.P, unicode.S):
			return false // control, format, private, unassigned, line and paragraph separators
		}
		marks = 0
	}
	return named
}

// blank are characters of a visible category that show nothing, or that stand for something lost.
var blank = &unicode.RangeTable{
	R16: []unicode.Range16{{Lo: 0x2800, Hi: 0x2800, Stride: 1}, {Lo: 0xFFFC, Hi: 0xFFFD, Stride: 1}},
	R32: []unicode.Range32{{Lo: 0x16FE4, Hi: 0x16FE4, Stride: 1}, {Lo: 0x1D159, Hi: 0x1D159, Stride: 1}},
}

// around returns the characters before and after the i-th; a space if there is none.
func around(s []rune, i int) (before, after rune) {
	before, after = ' ', ' '
	if i > 0 {
		before = s[i-1]
	}
	if i+1 < len(s) {
		after = s[i+1]
	}
	return before, after
}

const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
	malayalamVirama    = '\u0d4d'
)

// isJoinerNeeded reports whether a joiner changes what is seen (RFC 5892 appendices A.1 and A.2):
// after the virama of an Indic script or, for the non-joiner, between Arabic letters. Malayalam ends
// words with a joiner.
func isJoinerNeeded(before, joiner, after rune) bool {
	if virama := norm.NFC.PropertiesString(string(before)).CCC() == 9; virama {
		return unicode.IsLetter(after) || before == malayalamVirama && joiner == zeroWidthJoiner
	}
	return joiner == zeroWidthNonJoiner && unicode.Is(unicode.Arabic, before) && unicode.Is(unicode.Arabic, after)
}
