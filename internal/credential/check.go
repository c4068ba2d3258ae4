package credential

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"parvis/internal/fault"
)

// What no password may be, under any rules.
const (
	reasonTooLong    = "credential.reason.too_long"
	reasonControl    = "credential.reason.control"
	reasonUnreadable = "credential.reason.unreadable"
)

// Context is what a guesser would try first for this person.
type Context struct {
	Organization []string // names of the organization
	Name         string   // name of the person
	Email        string
}

// Check returns text as a Password, or ErrRefused with every reason at once, each as advice
// (R-PWD-10). Hash compares with the password's own history.
func (s *Store) Check(rules Rules, about Context, text string) (Password, error) {
	p, problem := prepare(text)
	if problem != "" {
		return Password{}, refused(fault.Reason{Key: problem, Args: map[string]any{"Count": rules.MaximumLength}})
	}
	reasons := rules.broken(p.text)
	words := forms(p.text)
	for _, c := range s.contexts(about) {
		if slices.ContainsFunc(c.texts, func(t string) bool { return isDisguise(words, t) }) {
			reasons = append(reasons, fault.Reason{Key: c.reason})
		}
	}
	switch {
	case slices.ContainsFunc(words, isCommon) || isRuns(p.text):
		reasons = append(reasons, fault.Reason{Key: "credential.reason.common"})
	case s.isBreached(p.text):
		reasons = append(reasons, fault.Reason{Key: "credential.reason.breached"})
	}
	if len(reasons) > 0 {
		return Password{}, refused(reasons...)
	}
	return p, nil
}

// refused returns ErrRefused with its reasons.
func refused(reasons ...fault.Reason) error {
	f := *ErrRefused
	f.Reasons = reasons
	return &f
}

// A class is a kind of character that rules may want.
type class struct {
	wanted             bool
	name, rule, reason string
	has                func(rune) bool
}

// classes are Unicode categories, so that each script's own letters and digits count; whatever
// is neither is special (R-PWD-03).
func (r Rules) classes() []class {
	special := func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) }
	return []class{
		{r.Digit, "digit", "credential.rule.digit", "credential.reason.digit", unicode.IsDigit},
		{r.LowerCase, "lower", "credential.rule.lower_case", "credential.reason.lower_case", unicode.IsLower},
		{r.UpperCase, "upper", "credential.rule.upper_case", "credential.reason.upper_case", unicode.IsUpper},
		{r.Special, "special", "credential.rule.special", "credential.reason.special", special},
	}
}

// broken lists what a prepared password lacks under r.
func (r Rules) broken(prepared string) (reasons []fault.Reason) {
	switch n := utf8.RuneCountInString(prepared); {
	case n < r.MinimumLength:
		reasons = append(reasons, fault.Reason{Key: "credential.reason.too_short", Args: map[string]any{"Count": r.MinimumLength}})
	case n > r.MaximumLength:
		reasons = append(reasons, fault.Reason{Key: reasonTooLong, Args: map[string]any{"Count": r.MaximumLength}})
	}
	for _, c := range r.classes() {
		if c.wanted && !strings.ContainsFunc(prepared, c.has) {
			reasons = append(reasons, fault.Reason{Key: c.reason})
		}
	}
	return reasons
}

// contextWords are the words of one kind, with the reason that names the kind.
type contextWords struct {
	reason string
	texts  []string
}

func (s *Store) contexts(about Context) []contextWords {
	return []contextWords{
		{"credential.reason.name", []string{about.Name}},
		{"credential.reason.organization", about.Organization},
		{"credential.reason.email", append(strings.Split(about.Email, "@"), about.Email)},
		{"credential.reason.service", s.words},
	}
}

// added is how many characters can be added to a word, anywhere in it, and it is still what a
// guesser tries first: people who must add a digit and a capital add hardly more.
const added = 3

// isDisguise reports whether one of a password's forms is the text, or a word in it of two
// characters or more; or is that with a few characters added, if the word is longer than these.
func isDisguise(forms []string, text string) bool {
	text = caseless(text)
	separates := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) }
	for _, word := range append(strings.FieldsFunc(text, separates), text) {
		word = canonical(word)
		length, others := utf8.RuneCountInString(word), 0
		if length > added {
			others = added
		}
		if length > 1 && slices.ContainsFunc(forms, func(form string) bool { return holds(form, word, others) }) {
			return true
		}
	}
	return false
}

// holds reports whether form is word with at most so many other characters in it.
func holds(form, word string, others int) bool {
	if len(form) < len(word) || len(form) > len(word)+others*utf8.UTFMax {
		return false
	}
	rest := []rune(word)
	for _, r := range form {
		if len(rest) > 0 && r == rest[0] {
			rest = rest[1:]
		} else if others--; others < 0 {
			return false
		}
	}
	return len(rest) == 0
}
