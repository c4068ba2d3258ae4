package audit

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// A leaf is what the tree has of an event: the columns that no erasure touches, and a salted hash
// over each half that one may. Its text is canonical JSON (RFC 8785), so that anybody can make it
// again from an export.
type leaf struct {
	Org, ID         string
	At              time.Time
	Actor           string
	Action          Action
	Result          Result
	Target, Request string
	ByHash, OfHash  string
	after           string // for counting by day
	number          int64
}

// leafVersion says how the text of a leaf is made.
const leafVersion = "1"

// instantFormat is RFC 3339 in UTC with microseconds.
const instantFormat = "2006-01-02T15:04:05.000000Z"

// members appends the members of a leaf's text, sorted by name.
func (l *leaf) members(b []byte) []byte {
	for i, m := range [...]struct{ name, value string }{
		{"action", string(l.Action)}, {"actor", l.Actor}, {"at", l.At.UTC().Format(instantFormat)}, {"by", l.ByHash}, {"id", l.ID}, {"kind", KindOf(l.Actor)},
		{"of", l.OfHash}, {"organization", l.Org}, {"request", l.Request}, {"result", string(l.Result)}, {"target", l.Target}, {"version", leafVersion},
	} {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), m.name...), '"', ':')
		b = quote(b, m.value)
	}
	return b
}

func (l *leaf) hash() tlog.Hash {
	b := make([]byte, 0, 640)
	return tlog.RecordHash(append(l.members(append(b, '{')), '}'))
}

// KindOf returns what an actor is, which its id says.
func KindOf(actor string) string {
	switch prefix, _, isID := strings.Cut(actor, "_"); {
	case actor == Operator, actor == System, actor == Anonymous, actor == "":
		return actor
	case prefix == "usr":
		return "user"
	case prefix == "src":
		return "source"
	case prefix == "app", !isID:
		return "machine" // an application, whose id may be a word
	}
	return "token"
}

// by is what the half of an event about its actor is made from.
type by struct{ name, network, agent, session, method, region string }

// texts returns the texts that the half's hash is over: the last three only where one of them is
// there, as it is in no event of an earlier version.
func (b by) texts() []string {
	all := []string{b.name, b.network, b.agent, b.session, b.method, b.region}
	if b.session+b.method+b.region == "" {
		all = all[:3]
	}
	return all
}

// by returns what the half of e about its actor is made from.
func (e *Stored) by() by {
	return by{e.ActorName, e.Origin.Network, e.Origin.Agent, e.Session, e.Method, e.Region}
}

// half returns the hash of a half of an event: SHA-256 over the canonical JSON of a list of texts,
// of which the first is the salt.
func half(salt string, texts ...string) string {
	b := quote(append(make([]byte, 0, 512), '['), salt)
	for _, text := range texts {
		b = quote(append(b, ','), text)
	}
	sum := sha256.Sum256(append(b, ']'))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// quote appends a text as canonical JSON writes it.
func quote(b []byte, text string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	from := 0
	for i := range len(text) {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(append(b, text[from:i]...), '\\')
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, c)
		case '\b':
			b = append(b, 'b')
		case '\t':
			b = append(b, 't')
		case '\n':
			b = append(b, 'n')
		case '\f':
			b = append(b, 'f')
		case '\r':
			b = append(b, 'r')
		default:
			b = append(b, 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	return append(append(b, text[from:]...), '"')
}
