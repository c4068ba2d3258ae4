package redirect

import "strings"

// Part is where two addresses differ.
type Part string

// The parts, in the order in which they are compared. Letter case and a slash at the end of the
// path have values of their own, because people overlook them.
const (
	PartScheme        Part = "scheme"
	PartHost          Part = "host" // with the text before an @
	PartPort          Part = "port"
	PartPath          Part = "path"
	PartQuery         Part = "query"
	PartFragment      Part = "fragment"
	PartLetterCase    Part = "letter_case"
	PartTrailingSlash Part = "trailing_slash"
)

// Mismatch is how an address that was sent differs from the most similar registered one. It
// contains no text of that one.
type Mismatch struct {
	Nearest int  // its place in the list
	Part    Part // the first that differs; empty if none does, or nothing is registered
	At      int  // the first character that differs, from 1; after the end if only the end is missing
}

// Difference returns where an address that Match refused differs from the most similar one:
// the one with most equal parts and, of several, the one with the longest common beginning.
func Difference(registered []string, sent string) (m Mismatch) {
	best, longest := -1, 0
	for i, r := range registered {
		if n, same := agreeing(r, sent), common(r, sent); n > best || n == best && same > longest {
			best, longest = n, same
			m = Mismatch{Nearest: i, Part: differing(r, sent), At: same + 1}
		}
	}
	if m.Part == "" {
		m.At = 0
	}
	return m
}

// common returns how many bytes two addresses have in common at the beginning. These bytes are
// characters, because a registered address is ASCII.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

type comparison struct {
	part Part
	a, b string
}

func compare(a, b string) []comparison {
	p, q := split(a), split(b)
	return []comparison{
		{PartScheme, p.scheme, q.scheme}, {PartHost, p.slashes + p.user + p.host, q.slashes + q.user + q.host}, {PartPort, p.port, q.port},
		{PartPath, p.path, q.path}, {PartQuery, p.query, q.query}, {PartFragment, p.fragment, q.fragment},
	}
}

func agreeing(a, b string) (n int) {
	for _, c := range compare(a, b) {
		if strings.EqualFold(strings.TrimSuffix(c.a, "/"), strings.TrimSuffix(c.b, "/")) {
			n++
		}
	}
	return n
}

func differing(a, b string) Part {
	for _, c := range compare(a, b) {
		switch {
		case c.a == c.b:
		case strings.EqualFold(c.a, c.b):
			return PartLetterCase
		case c.part == PartPath && (c.a == c.b+"/" || c.a+"/" == c.b):
			return PartTrailingSlash
		default:
			return c.part
		}
	}
	return ""
}
