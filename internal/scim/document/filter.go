package document

import (
	"encoding/json"
	"strings"
)

// Limits of filters and paths.
const (
	mostFilter  = 2 << 10 // bytes
	deepest     = 8       // parentheses and brackets in one another
	mostCompare = 32      // comparisons
)

// Filter is a parsed filter (RFC 7644 §3.4.2.2).
type Filter struct {
	op    string  // and, or, not, of (a value path), or the operator of a comparison
	left  *Filter // of and, or, not, of
	right *Filter // of and, or
	ref   Ref     // of a comparison and of
	value any     // of a comparison: text, boolean, number or nil
	lower string  // the value without case, where the attribute has none
}

// Ref is an attribute that a filter or a path names.
type Ref struct {
	ext  string // the URI of its extension
	attr *Attribute
	sub  *Attribute
}

// leaf returns the attribute that is compared.
func (r Ref) leaf() *Attribute {
	if r.sub != nil {
		return r.sub
	}
	return r.attr
}

// refer resolves a name such as name.givenName, or one that begins with the URI of its schema.
// whole is true where a name may be an extension itself.
func (k *Kind) refer(name string) (Ref, bool) {
	attributes, ext := k.attributes, ""
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		if ext, attributes = k.extension(name[:i]); ext == "" {
			if !strings.EqualFold(name[:i], k.Schema) {
				return Ref{}, false
			}
			attributes = k.attributes
		}
		name = name[i+1:]
	}
	first, second, dotted := strings.Cut(name, ".")
	r := Ref{ext: ext, attr: named(attributes, first)}
	if r.attr == nil {
		return Ref{}, false
	}
	if dotted {
		r.sub = r.attr.sub(second)
		return r, r.sub != nil
	}
	return r, true
}

// parser reads a filter, from left to right and once.
type parser struct {
	kind     *Kind
	text     string
	at       int
	depth    int
	compares int
	within   *Attribute // whose parts a filter in brackets compares
	loose    bool       // names of other kinds are read and match nothing
}

// ParseFilter reads a filter on resources of a kind.
func (k *Kind) ParseFilter(s string) (*Filter, error) { return k.parse(s, false) }

// ParseAny reads a filter on resources of several kinds: what a kind does not have matches nothing.
func (k *Kind) ParseAny(s string) (*Filter, error) { return k.parse(s, true) }

func (k *Kind) parse(s string, loose bool) (*Filter, error) {
	if len(s) > mostFilter {
		return nil, errFilterLong
	}
	p := &parser{kind: k, text: s, loose: loose}
	f, err := p.either()
	if err == nil && p.skip() != 0 {
		err = p.wrong()
	}
	return f, err
}

// wrong refuses the filter where it stands.
func (p *parser) wrong() error {
	return Refusal{InvalidFilter, errFilter.With("At", short(p.text[p.at:]), "Place", p.at+1)}
}

// skip passes spaces and returns the byte that follows, or 0 at the end.
func (p *parser) skip() byte {
	for p.at < len(p.text) && p.text[p.at] == ' ' {
		p.at++
	}
	if p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

// word reads what may be a name or an operator.
func (p *parser) word() string {
	p.skip()
	from := p.at
	for p.at < len(p.text) && isName(p.text[p.at]) {
		p.at++
	}
	return p.text[from:p.at]
}

func isName(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '.' || c == ':' || c == '-' || c == '_' || c == '$'
}

// takes reads a word if it is the next one.
func (p *parser) takes(word string) bool {
	from := p.at
	if strings.EqualFold(p.word(), word) {
		return true
	}
	p.at = from
	return false
}

func (p *parser) either() (*Filter, error) { return p.chain("or", p.both) }
func (p *parser) both() (*Filter, error)   { return p.chain("and", p.one) }

func (p *parser) chain(op string, part func() (*Filter, error)) (*Filter, error) {
	left, err := part()
	for err == nil && p.takes(op) {
		var right *Filter
		if right, err = part(); err == nil {
			left = &Filter{op: op, left: left, right: right}
		}
	}
	return left, err
}

// one reads a comparison, or what stands in parentheses.
func (p *parser) one() (*Filter, error) {
	not := false
	if from := p.at; p.takes("not") {
		if not = p.skip() == '('; !not {
			p.at = from
		}
	}
	if p.skip() != '(' {
		return p.compare()
	}
	f, err := p.inside(')')
	if err == nil && not {
		f = &Filter{op: "not", left: f}
	}
	return f, err
}

// inside reads what stands in parentheses or brackets.
func (p *parser) inside(end byte) (*Filter, error) {
	if p.depth++; p.depth > deepest {
		return nil, p.wrong()
	}
	p.at++
	f, err := p.either()
	if err == nil && p.skip() != end {
		err = p.wrong()
	}
	p.at++
	p.depth--
	return f, err
}

// compare reads a comparison or a value path.
func (p *parser) compare() (*Filter, error) {
	if p.compares++; p.compares > mostCompare {
		return nil, p.wrong()
	}
	name := p.word()
	if name == "" {
		return nil, p.wrong()
	}
	ref, ok := p.refer(name)
	if !ok || ref.leaf() != nil && ref.leaf().secret() {
		if p.loose && ref.attr == nil {
			ref = Ref{}
		} else {
			return nil, refuse(InvalidFilter, errUnknown, name)
		}
	}
	if p.skip() == '[' {
		return p.valuePath(ref)
	}
	op := strings.ToLower(p.word())
	if !strings.Contains(" eq ne co sw ew gt ge lt le pr ", " "+op+" ") || op == "" {
		return nil, refuse(InvalidFilter, errOperator, op)
	}
	f := &Filter{op: op, ref: ref}
	if op == "pr" {
		return f, nil
	}
	var err error
	if f.value, err = p.value(); err != nil {
		return nil, err
	}
	return f, f.fit(name)
}

// refer resolves a name, among the parts of an attribute within brackets.
func (p *parser) refer(name string) (Ref, bool) {
	if p.within != nil {
		sub := p.within.sub(name)
		return Ref{attr: sub}, sub != nil
	}
	return p.kind.refer(name)
}

// valuePath reads the filter in the brackets after an attribute.
func (p *parser) valuePath(ref Ref) (*Filter, error) {
	if p.within != nil || ref.sub != nil || ref.attr == nil || ref.attr.Type != typeComplex {
		return nil, p.wrong()
	}
	p.within = ref.attr
	f, err := p.inside(']')
	p.within = nil
	return &Filter{op: "of", ref: ref, left: f}, err
}

// value reads what is compared with: JSON, in which a number may not be written in two ways.
func (p *parser) value() (any, error) {
	if c := p.skip(); c != '"' {
		switch word := strings.ToLower(p.word()); word {
		case "true", "false":
			return word == "true", nil
		case "null":
			return nil, nil //nolint:nilnil // null is a value of JSON.
		default:
			if word == "" || !json.Valid([]byte(word)) {
				return nil, p.wrong()
			}
			return json.Number(word), nil
		}
	}
	r := reader{text: []byte(p.text), at: p.at}
	s, err := r.string()
	if err != nil {
		return nil, p.wrong()
	}
	p.at = r.at
	return s, nil
}
