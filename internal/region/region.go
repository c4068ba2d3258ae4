// Package region is the one question that regions of a deployment ask each other: do you know this
// name? Nothing else passes between their servers (decision 0076). A question is a keyed hash under
// a key that only the two regions have, signed, with a time and a nonce, and is answered from
// memory with one of three words.
//
// It owns region_checks.
package region

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/naming"
	"parvis/internal/outbound"
	"parvis/internal/secret"
)

// Bounds of the question.
const (
	// Patience is how long a person's request waits for all peers together.
	Patience = 300 * time.Millisecond
	// Tolerance is how far the clocks of two regions may be apart.
	Tolerance = time.Minute
	// KeyBytes is how long the key of a pair is.
	KeyBytes = 32

	retry      = 40 * time.Second // a peer that did not answer is not waited for again before; longer than greetEvery
	mostHashes = 4                // in one question
	mostBytes  = 4 << 10          // of a question or an answer
	mostAsking = 32               // questions to one peer at a time, from this process
	longest    = 200              // code points of a text that may be a name
	mostNonce  = 64               // bytes, because it is kept
)

// Peer is another region, as the configuration names it.
type Peer struct {
	ID      string
	Address string // scheme and host, no path
	Key     []byte // of the pair
}

// Settings are what a Service is made from.
type Settings struct {
	DB       *db.DB
	Here     string // the ID of this region
	Peers    []Peer // those with which a key is shared
	Outbound *outbound.Client
	Patience time.Duration // Patience where zero
	Log      *slog.Logger
	// Domains lists the domains that lead to a provider, and whether that is the only way in.
	Domains func(ctx context.Context, r db.Reader, each func(domain string, org directory.OrgID, only bool)) error
}

// Service asks other regions and answers them.
type Service struct {
	Settings

	peers  []*peer
	memory memory
	nonces nonces
	taking edge.Pace // questions that a peer may ask of this process
	asking edge.Pace // questions that one network may cause
}

// peer is another region with the keys that are derived from the pair's, and with how it was found.
type peer struct {
	Peer
	names, questions, answers []byte
	client                    *outbound.Client
	slots                     chan struct{}

	mutex       sync.Mutex
	silentUntil time.Time // a peer that did not answer is not waited for until then
	silence     error     // why; nil while it answers
}

// New makes a service. Without peers it asks nobody.
func New(s Settings) *Service {
	s.Patience = cmp.Or(s.Patience, Patience)
	all := &Service{Settings: s, taking: edge.Pace{PerSecond: 100, Burst: 200}, asking: edge.Pace{PerSecond: 10, Burst: 100}}
	for _, p := range s.Peers {
		all.peers = append(all.peers, &peer{
			Peer: p, names: secret.MAC(p.Key, "parvis region names"), questions: secret.MAC(p.Key, "parvis region questions"),
			answers: secret.MAC(p.Key, "parvis region answers"), client: s.Outbound.Peer(p.Address), slots: make(chan struct{}, mostAsking),
		})
	}
	return all
}

// Asks reports whether there is a region to ask.
func (s *Service) Asks() bool { return len(s.peers) > 0 }

func (s *Service) peer(id string) *peer {
	for _, p := range s.peers {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// kind is what a hash is made of, so that no domain is taken for a name.
type kind string

const (
	aName    kind = "name"    // display or short, as it is typed, folded
	aShort   kind = "short"   // the skeleton of a short name: what looks like it
	aDisplay kind = "display" // the skeleton of a display name
	aDomain  kind = "domain"  // of an address
)

// hashed is how texts cross a border and lie in memory. Only the two regions of a pair can make or
// compare it.
type hashed [16]byte

func (p *peer) hash(k kind, text string) hashed {
	return hashed(secret.MAC(p.names, string(k), text)[:16])
}

func (h hashed) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

func parseHashed(text string) (h hashed, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != len(h) {
		return h, false
	}
	return hashed(b), true
}

// question is what one region asks another. Its answer covers all hashes together.
type question struct {
	From   string   `json:"from"`
	To     string   `json:"to"`
	Time   int64    `json:"time"` // in seconds
	Nonce  string   `json:"nonce"`
	Hashes []string `json:"hashes"`          // none asks only whether the question is understood
	Claim  bool     `json:"claim,omitempty"` // an organization has the name already: note that two have it
	MAC    string   `json:"mac"`
}

func (q question) sign(p *peer) string {
	parts := []string{q.From, q.To, strconv.FormatInt(q.Time, 10), q.Nonce, strconv.FormatBool(q.Claim)}
	return base64.RawURLEncoding.EncodeToString(secret.MAC(p.questions, append(parts, q.Hashes...)...))
}

// level is how a peer knows what it was asked about.
type level int

const (
	unknown level = iota
	known
	only // a domain, for which a provider is the only way in
)

// answer is what comes back. It belongs to one question, by the nonce that its MAC contains.
type answer struct {
	Level   level  `json:"level"`
	Refused reason `json:"refused,omitempty"` // why the question was not answered
	Region  string `json:"region,omitempty"`  // who answers, where another was asked
	Time    int64  `json:"time"`
	MAC     string `json:"mac,omitempty"` // none where the question's own did not fit
}

func (a answer) sign(p *peer, q question) string {
	return base64.RawURLEncoding.EncodeToString(secret.MAC(p.answers, q.From, q.To, q.Nonce,
		strconv.Itoa(int(a.Level)), string(a.Refused), a.Region, strconv.FormatInt(a.Time, 10)))
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// reason is why a question was not answered, for the operator.
type reason string

const (
	wrongKey    reason = "key"      // the key of the pair is not the same on both sides
	wrongClock  reason = "clock"    // the two clocks are too far apart
	wrongRegion reason = "region"   // another region than the one that was asked
	sameRegion  reason = "same"     // who asks has the id of who answers
	stranger    reason = "stranger" // the region that asks shares no key with this one
	replayed    reason = "replayed" // the question was asked before
	tooOften    reason = "often"
	notReady    reason = "unready" // the database does not answer
	unreadable  reason = "unreadable"
)

// nameKey returns a typed text in the form in which names are compared, or "" for what is no name:
// what has an @ may be an address, and is asked of nobody.
func nameKey(typed string) string {
	key := naming.OrganizationKey(typed)
	if strings.Contains(typed, "@") || strings.Contains(key, "@") || utf8.RuneCountInString(key) > longest {
		return ""
	}
	return key
}

// nonces remembers the questions of the last two windows, so that none is answered twice by this
// process.
type nonces struct {
	mutex   sync.Mutex
	now     map[string]bool
	before  map[string]bool
	turnsAt time.Time
}

// fresh notes a nonce, and reports whether it is new. A question older than Tolerance is refused for
// its time, and one may be as much ahead, so two windows of twice that keep each for long enough.
func (n *nonces) fresh(nonce string, now time.Time) bool {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.now == nil || now.After(n.turnsAt) {
		n.before, n.now, n.turnsAt = n.now, map[string]bool{}, now.Add(2*Tolerance)
	}
	if n.now[nonce] || n.before[nonce] {
		return false
	}
	n.now[nonce] = true
	return true
}
