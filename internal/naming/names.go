package naming

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"parvis/internal/fault"
)

// What can be wrong with a name. CleanName returns its three with the field
// that its caller names.
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

// MaxGroupName is how many code points the name of a group has at most.
const MaxGroupName = 80

// Lengths in code points, unless bytes are named.
const (
	minShortName = 2
	maxShortName = 40
	maxKey       = 1000 // bytes of a folded name: one of maxName characters fits in any script that is written
	maxName      = 100
	maxContact   = 300
	maxReason    = 300
	maxNameTyped = 4000 // bytes of a name before it is looked at
	maxMarks     = 4    // above and below one letter; no script needs more, pranks do
)

// ShortName names an organization in paths and in what people type.
type ShortName struct {
	Text     string // as shown
	Key      string // the same whatever its case and Unicode form: what is looked up
	Skeleton string // the same for names that look alike: what is unique
}

// reserved are short names that would pass for something of ours, or that we may
// want in a path where a short name stands. Whatever looks like one is reserved too.
var reserved = []string{
	"admin", "administrator", "all", "api", "me", "new", "none", "null",
	"operator", "parvis", "root", "security", "support", "system", "www",
}

// ParseShortName takes letters, marks and digits of one script, and single
// hyphens between them. Text is NFKC and not NFC, so that no full-width letter,
// ligature or circled digit gets into a path.
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
	// Compared by look: neither ADMİN nor admın nor аdmin gets through.
	if slices.ContainsFunc(reserved, func(r string) bool { return Skeleton(r) == name.Skeleton }) {
		return ShortName{}, ErrShortNameReserved
	}
	return name, nil
}

// OrganizationKey makes what somebody typed comparable with ShortName.Key and with
// the key of a display name. It never fails: "" is what no organization is named. A
// database refuses text that is not UTF-8 or holds a NUL, so such text must not reach one.
func OrganizationKey(typed string) string {
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

// plainHyphen makes a hyphen of every dash: keyboards and word processors put
// others in its place unasked.
func plainHyphen(r rune) rune {
	if unicode.Is(unicode.Pd, r) {
		return '-'
	}
	return r
}

// isShortName tells whether s has only characters of a short name, each where it
// may stand.
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
			return false // between other letters it is a dash
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

const longVowel = 'ー' // of Katakana, and of Hiragana at times

// together are the scripts that one name may mix: those that Chinese, Japanese
// and Korean are written in, each with Latin (UTS #39 §5.2, highly restrictive).
var together = [][]string{
	{"Latin", "Han", "Hiragana", "Katakana"},
	{"Latin", "Han", "Hangul"},
	{"Latin", "Han", "Bopomofo"},
}

// isOneScript tells whether the letters and digits of s belong together. Digits
// of ASCII go with any script, but not beside that script's own.
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

// scriptOf names the script of r. Three that Unicode calls common because a few
// scripts share them get the one that they are used with here (UAX #24 §2.2).
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

// CleanName makes a name that can be shown to others (R-INP-06), or says in a
// fault of the given field why it cannot: NFC, single spaces, and nothing that is
// invisible, turns the direction of writing or towers over the next line.
func CleanName(s string, field string) (string, error) {
	name, wrong := cleanLine(s, maxName)
	if wrong != nil {
		return "", fault.Field(field, wrong.Key)
	}
	return name, nil
}

// CleanGroupName makes the name of a group: a name, but shorter, because tokens carry it.
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

// CleanContact makes what an organization says of whom to ask for help: a line
// like a name, but longer, or nothing.
func CleanContact(s string) (string, error) {
	contact, wrong := cleanLine(s, maxContact)
	switch wrong {
	case nil, ErrNameMissing:
		return contact, nil
	case ErrNameLong:
		return "", ErrContactLong
	}
	return "", ErrContactInvalid
}

// CleanReason makes the reason that an administrator gives, for the audit log: a
// line like a name, but longer.
func CleanReason(s string) (string, error) {
	reason, wrong := cleanLine(s, maxReason)
	if wrong != nil {
		return "", ErrReason.With("Most", maxReason)
	}
	return reason, nil
}

// CleanLine makes a line of text that is shown to people, of so many characters at most,
// or says what is wrong as with a name.
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

// isSpace tells whether r separates words. A tab does in a line that was pasted
// from a table; a line break does not: it would begin another header of a letter.
func isSpace(r rune) bool { return r == '\t' || unicode.Is(unicode.Zs, r) }

// isShowable tells whether every character of a name may stand where it stands.
// A name has at least one letter or digit: nobody could point at the others.
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

// blank are characters of a visible category that show nothing, or that stand
// for something which got lost.
var blank = &unicode.RangeTable{
	R16: []unicode.Range16{{Lo: 0x2800, Hi: 0x2800, Stride: 1}, {Lo: 0xFFFC, Hi: 0xFFFD, Stride: 1}},
	R32: []unicode.Range32{{Lo: 0x16FE4, Hi: 0x16FE4, Stride: 1}, {Lo: 0x1D159, Hi: 0x1D159, Stride: 1}},
}

// around gives the characters on both sides of the i-th, a space for none.
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

// isJoinerNeeded tells whether a joiner changes what is seen (RFC 5892 appendices
// A.1 and A.2): after the virama of an Indic script, or, for the one that
// separates, between letters of Arabic. Malayalam ends words with one.
func isJoinerNeeded(before, joiner, after rune) bool {
	if virama := norm.NFC.PropertiesString(string(before)).CCC() == 9; virama {
		return unicode.IsLetter(after) || before == malayalamVirama && joiner == zeroWidthJoiner
	}
	return joiner == zeroWidthNonJoiner && unicode.Is(unicode.Arabic, before) && unicode.Is(unicode.Arabic, after)
}
