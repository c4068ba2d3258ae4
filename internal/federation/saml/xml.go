package saml

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/beevik/etree"
)

// The limits of a message: before and after Base64, inflation and decryption (R-SML-04). Those
// on its parts bound the cost of canonicalization.
const (
	maxMessage    = 256 << 10
	maxDepth      = 32
	maxElements   = 10_000
	maxAttributes = 64 // of one element
	maxPrefixes   = 32
)

// prefixes are this package's names for namespaces, whatever a document calls them.
var prefixes = map[string]string{
	"urn:oasis:names:tc:SAML:2.0:protocol":    "samlp",
	"urn:oasis:names:tc:SAML:2.0:assertion":   "saml",
	"urn:oasis:names:tc:SAML:2.0:metadata":    "md",
	"http://www.w3.org/2000/09/xmldsig#":      "ds",
	"http://www.w3.org/2001/04/xmlenc#":       "xenc",
	"http://www.w3.org/2009/xmlenc11#":        "xenc11",
	"http://www.w3.org/2001/10/xml-exc-c14n#": "ec",
}

func document(expected, found string) error { return finding{"document", expected, found} }

// decode decodes the Base64 of a form or a query.
func decode(text string) ([]byte, error) {
	if len(text) > maxMessage {
		return nil, tooLarge(len(text), maxMessage)
	}
	b, err := base64.StdEncoding.DecodeString(squeeze(text))
	if err != nil {
		return nil, document("Base64", err.Error())
	}
	return b, nil
}

// inflate undoes the compression of the redirect binding (Bindings §3.4.4.1), up to the limit.
func inflate(compressed []byte) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(compressed)), maxMessage+1))
	if err != nil {
		return nil, document("DEFLATE", err.Error())
	}
	return b, nil
}

func tooLarge(size, most int) error {
	return document(fmt.Sprintf("≤ %d", most), fmt.Sprint(size))
}

var (
	byteOrderMark = []byte("\xEF\xBB\xBF")
	declaration   = regexp.MustCompile(`^<\?xml\s+version\s*=\s*["']1\.0["'](\s+encoding\s*=\s*["'](?i:utf-8)["'])?(\s+standalone\s*=\s*["'](yes|no)["'])?\s*\?>`)
	identifier    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)
)

// longestID is how many bytes an ID may have. It is no part of the expression, because one that
// counts to 256 takes 200 kB.
const longestID = 256

// parseMessage is the only way in for XML that a sign-in depends on. Comments, CDATA sections
// and DOCTYPEs all begin with <!, which nothing else in well-formed XML does, and no honest
// message has any (SML-4, SML-7). What was encrypted stands in the element around it.
func parseMessage(b []byte, around *etree.Element) (*etree.Element, error) {
	if len(b) > maxMessage {
		return nil, tooLarge(len(b), maxMessage)
	}
	b = bytes.TrimPrefix(b, byteOrderMark)
	b = b[len(declaration.Find(b)):]
	for _, mark := range []string{"<?", "<!"} {
		if i := bytes.Index(b, []byte(mark)); i >= 0 {
			return nil, document("", string(b[i:min(i+20, len(b))]))
		}
	}
	root, err := parse(b)
	if err != nil {
		return nil, err
	}
	return root, outline(root, declared(around))
}

// parse reads UTF-8 only; etree alone would take any encoding for UTF-8.
func parse(b []byte) (*etree.Element, error) {
	if !utf8.Valid(b) {
		return nil, document("UTF-8", "")
	}
	d := etree.NewDocument()
	d.ReadSettings = etree.ReadSettings{PreserveDuplicateAttrs: true, MaxDepth: maxDepth}
	if err := d.ReadFromBytes(b); err != nil {
		return nil, document("XML", err.Error())
	}
	for _, t := range d.Child {
		switch t := t.(type) {
		case *etree.Element, *etree.Comment, *etree.ProcInst:
		case *etree.CharData:
			if !t.IsWhitespace() {
				return nil, document("XML", "text")
			}
		default:
			return nil, document("", "<!DOCTYPE")
		}
	}
	if n := len(d.ChildElements()); n != 1 {
		return nil, document("1", fmt.Sprint(n))
	}
	return d.Root(), nil
}

// isLocal reports whether what follows a prefix is a name by itself (Namespaces in XML, NCName): it
// has no colon and begins as names do. Go's parser checks only the name as a whole, and so takes
// a:9. It has checked the other letters.
func isLocal(name string) bool {
	first, _ := utf8.DecodeRuneInString(name)
	return !strings.Contains(name, ":") && (first == '_' || unicode.In(first, unicode.Lu, unicode.Ll, unicode.Lt, unicode.Lo))
}

// outline checks every element of a message: its names, its attributes, its ID, and that what
// this package reads stands only where it looks (SML-2).
//
// Go's parser keeps the colon of a name like :a or a:, and reads it differently when it is
// written and parsed again (CVE-2020-29509, CVE-2020-29511). Such names are refused, so that
// the second reading, of the canonical bytes, is the same as the first.
func outline(root *etree.Element, outside map[string]string) error {
	ids, declarations, elements := map[string]bool{}, map[string]bool{}, 0
	var walk func(*etree.Element, map[string]string) error
	walk = func(el *etree.Element, outside map[string]string) error {
		if elements++; elements > maxElements {
			return tooLarge(elements, maxElements)
		}
		if len(el.Attr) > maxAttributes {
			return tooLarge(len(el.Attr), maxAttributes)
		}
		if !isLocal(el.Tag) {
			return document("", el.Tag)
		}
		known, err := scope(el, outside)
		if err != nil {
			return err
		}
		for _, a := range el.Attr {
			if a.Space == "xmlns" || a.FullKey() == "xmlns" {
				declarations[a.FullKey()] = true
				continue
			}
			if !strings.EqualFold(a.Key, "id") {
				continue
			}
			// goxmldsig finds an ID under any prefix, so only one without a prefix is allowed.
			if a.Space != "" || len(a.Value) > longestID || !identifier.MatchString(a.Value) || ids[a.Value] {
				return finding{"structure", "ID", a.FullKey() + "=" + a.Value}
			}
			ids[a.Value] = true
		}
		if len(declarations) > maxPrefixes {
			return tooLarge(len(declarations), maxPrefixes)
		}
		if !inPlace(el, root) {
			return finding{"structure", "", path(el)}
		}
		for _, child := range el.ChildElements() {
			if err := walk(child, known); err != nil {
				return err
			}
		}
		return nil
	}
	return walk(root, outside)
}

// declared returns the namespaces that are declared inside an element, by prefix.
func declared(el *etree.Element) map[string]string {
	known := map[string]string{"xml": "http://www.w3.org/XML/1998/namespace"}
	for ; el != nil; el = el.Parent() {
		for _, a := range el.Attr {
			if _, nearer := known[a.Key]; a.Space == "xmlns" && !nearer {
				known[a.Key] = a.Value
			}
		}
	}
	return known
}

// scope returns the namespaces that are declared for an element and what is in it, by prefix. Its own
// prefix and those of its attributes have to be among them, and no attribute may stand there twice
// (Namespaces in XML 1.0 §5, §6.3). Go's parser asks for neither, and takes an unknown prefix for the
// namespace itself.
func scope(el *etree.Element, outside map[string]string) (map[string]string, error) {
	own := map[string]string{}
	for _, a := range el.Attr {
		if a.Space != "xmlns" {
			continue
		}
		if a.Value == "" || a.Key == "xml" || a.Key == "xmlns" {
			return nil, document("", a.FullKey())
		}
		own[a.Key] = a.Value
	}
	known := outside
	if len(own) > 0 {
		known = maps.Clone(outside)
		maps.Copy(known, own)
	}
	if el.Space != "" && known[el.Space] == "" {
		return nil, document("", el.FullTag())
	}
	seen := make(map[string]bool, len(el.Attr))
	for _, a := range el.Attr {
		if !isLocal(a.Key) {
			return nil, document("", a.FullKey())
		}
		name := a.FullKey()
		if a.Space != "" && a.Space != "xmlns" {
			if known[a.Space] == "" {
				return nil, document("", name)
			}
			name = known[a.Space] + " " + a.Key
		}
		if seen[name] {
			return nil, document("", a.FullKey()+" ×2")
		}
		seen[name] = true
	}
	return known, nil
}

// inPlace reports whether an element stands where this package reads such elements. The local
// name decides, so that a look-alike in another namespace is refused too.
func inPlace(el, root *etree.Element) bool {
	parent := el.Parent()
	switch el.Tag {
	case "Response", "LogoutRequest", "LogoutResponse":
		return el == root
	case "Assertion", "EncryptedAssertion":
		return el == root || parent == root && name(root) == "samlp:Response"
	case "Signature":
		// A signature follows the Issuer of what it signs (Core §5.4.1 and the schema).
		before := el.PrevSibling()
		return name(el) == "ds:Signature" && (before == nil || before.Tag == "Issuer") &&
			(parent == root || name(parent) == "saml:Assertion" && parent.Parent() == root)
	}
	return true
}

// name returns the name of an element with this package's prefix.
func name(el *etree.Element) string {
	if el == nil {
		return ""
	}
	return prefixes[el.NamespaceURI()] + ":" + el.Tag
}

func path(el *etree.Element) string {
	if parent := el.Parent(); parent != nil && parent.Tag != "" {
		return path(parent) + "/" + el.Tag
	}
	return el.Tag
}

func children(el *etree.Element, named string) []*etree.Element {
	var found []*etree.Element
	if el == nil {
		return nil
	}
	for _, child := range el.ChildElements() {
		if name(child) == named {
			found = append(found, child)
		}
	}
	return found
}

// one follows a path of names, each an only child; nil if there is not exactly one of each.
func one(el *etree.Element, names ...string) *etree.Element {
	for _, n := range names {
		found := children(el, n)
		if len(found) != 1 {
			return nil
		}
		el = found[0]
	}
	return el
}

// shape checks the children of an element against what is allowed and how often: "saml:Issuer 1"
// is exactly once, "?" at most once, "*" any number.
func shape(el *etree.Element, allowed ...string) error {
	count := map[string]int{}
	for _, child := range el.ChildElements() {
		count[name(child)]++
	}
	for _, a := range allowed {
		n, often, _ := strings.Cut(a, " ")
		if often == "1" && count[n] != 1 || often == "?" && count[n] > 1 {
			return finding{"structure", a, fmt.Sprintf("%s ×%d", n, count[n])}
		}
		delete(count, n)
	}
	for n := range count {
		return finding{"structure", strings.Join(allowed, ", "), path(el) + "/" + n}
	}
	return nil
}

// attr returns an attribute without a prefix; etree alone would take any prefix.
func attr(el *etree.Element, key string) string {
	if el == nil {
		return ""
	}
	for _, a := range el.Attr {
		if a.Space == "" && a.Key == key {
			return a.Value
		}
	}
	return ""
}

func has(el *etree.Element, key string) bool {
	for _, a := range el.Attr {
		if a.Space == "" && a.Key == key {
			return true
		}
	}
	return false
}

// text returns the whole text of an element that has nothing else in it (R-SML-05).
func text(el *etree.Element) (string, bool) {
	if el == nil {
		return "", false
	}
	var whole strings.Builder
	for _, t := range el.Child {
		c, ok := t.(*etree.CharData)
		if !ok {
			return "", false
		}
		whole.WriteString(c.Data)
	}
	return whole.String(), true
}

// plain returns an element's text without white space around it, for addresses and format names.
func plain(el *etree.Element) string {
	s, _ := text(el)
	return strings.TrimSpace(s)
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), "") }

// when reads an instant (Core §1.3.3); ok is false if it is absent or malformed.
func when(el *etree.Element, key string) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, attr(el, key))
	return t, err == nil
}
