// Package audit records who did what to whom, when and from where, with the values
// before and after. An event is inserted in the transaction that it describes. A sweep
// seals events into the tree of their log, so that a removed or altered event is detected, and
// counts some of them by day. Each organization has a log, and so has the installation.
//
// It owns audit_events, audit_logs, audit_tiles, audit_checkpoints, audit_keys, audit_days,
// audit_epochs, and audit_seals, where an older version left something.
package audit

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// Action names what was done, as area.verb; the catalogue has its sentence
// under "audit.action." and this name.
type Action string

// Result reports whether the action was done or refused.
type Result string

// The two results. A refused action is recorded like one that was done.
const (
	Done    Result = "done"
	Refused Result = "refused"
)

// The methods of actors who are no person with a session, beside amr values.
const (
	ByLink        = "link"         // the person holds a link of a letter
	ByProvider    = "federated"    // an identity provider vouched, and did not say how
	ByToken       = "token"        // a text that was made or sent here
	ByAccessToken = "access_token" // of the OpenID Provider
	ByCommandLine = "command_line" // who may start the program is the operator
)

// The values of Actor for events that no user caused.
const (
	Operator  = "operator"  // somebody at the command line
	System    = "system"    // the program itself, such as a sweep
	Anonymous = "anonymous" // a browser whose user has proved nothing yet
)

// Origin is where a request came from. The HTTP layer puts it into the context. Work
// that no request caused has the zero Origin.
type Origin struct {
	Network string // the client's address, as reported by trusted proxies
	Agent   string // the User-Agent header, cleaned and cut
	Request string // the reference that the log line and the error page show
}

// Admission is how an actor proved who they are. What lets an actor in says so once (Admitted), and
// each event of that actor in the same request has it.
type Admission struct {
	Actor   string // as in the event
	Session string // the id of the session, which opens nothing; empty where there is none
	Method  string // amr values of a person (RFC 8176), or another method of docs/events.md, separated by spaces
}

// request is what a context knows of its request.
type request struct {
	Origin

	mu         sync.Mutex
	admissions []Admission
}

// Mark implements db.Marked: a transaction that runs again let nobody in before.
func (r *request) Mark() (forget func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := slices.Clone(r.admissions)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.admissions = slices.Clone(kept)
	}
}

type requestKey struct{}

// WithOrigin returns a context that carries o.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	o.Agent = clean(o.Agent, 300)
	r := &request{Origin: o}
	return context.WithValue(db.WithMarked(ctx, r), requestKey{}, r)
}

// OriginOf returns the Origin in ctx, or the zero Origin.
func OriginOf(ctx context.Context) Origin {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return r.Origin
	}
	return Origin{}
}

// Admitted keeps how an actor of the request in ctx proved who they are; the latest counts.
func Admitted(ctx context.Context, a Admission) {
	r, ok := ctx.Value(requestKey{}).(*request)
	if !ok {
		return // work that no request caused
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, known := range r.admissions {
		if known.Actor == a.Actor {
			a.Session = cmp.Or(a.Session, known.Session)
			r.admissions[i] = a
			return
		}
	}
	r.admissions = append(r.admissions, a)
}

// admissionOf returns how an actor proved who they are.
func admissionOf(ctx context.Context, actor string) (a Admission) {
	r, ok := ctx.Value(requestKey{}).(*request)
	switch {
	case ok:
		r.mu.Lock()
		defer r.mu.Unlock()
		if i := slices.IndexFunc(r.admissions, func(a Admission) bool { return a.Actor == actor }); i >= 0 {
			a = r.admissions[i]
		}
	case actor == Operator:
		a.Method = ByCommandLine
	}
	return a
}

// Event is one thing that was done or refused.
type Event struct {
	OrgID      string // empty if the event concerns no organization
	Actor      string // a user's id, or Operator, System, Anonymous
	ActorName  string // the name at that time: the user may be renamed or deleted later
	Action     Action
	Result     Result // Done where empty
	Target     string // the id of the user or object that was acted on
	TargetName string
	Before     Fields // the values that changed, before
	After      Fields // and after

	// How the actor proved who they are. Where both are empty, Record takes what Admitted kept.
	Session string
	Method  string
}

// Fields maps the names of changed settings to their values. It must never hold a secret.
type Fields map[string]any

// Stored is an event as it is read from the database.
type Stored struct {
	Event
	ID     string
	At     time.Time
	Origin Origin
	Region string // of the installation; empty where it has one only, and in events of earlier versions
	Sealed bool   // part of its log's tree
	Leaf   int64  // its place there, from 0

	// Sequence is its place for readers outside, which grows over restores. After and
	// ByID fill it in.
	Sequence int64

	// What an erasure took: who the actor was and where from, and what the target and the values were.
	ErasedBy, ErasedOf bool

	before, after                  string // as they are stored
	bySalt, byHash, ofSalt, ofHash string
}

// Record inserts e in the transaction that e describes.
func Record(ctx context.Context, tx *db.Tx, e Event) error { return RecordAll(ctx, tx, []Event{e}) }

// RecordAll inserts many events of one transaction.
func RecordAll(ctx context.Context, tx *db.Tx, all []Event) error {
	o := OriginOf(ctx)
	rows, ids := make([][]any, len(all)), secret.NewIDs("evt", len(all))
	for i, e := range all {
		if e.Result == "" {
			e.Result = Done
		}
		before, err := fieldsText(e.Before)
		if err != nil {
			return err
		}
		after, err := fieldsText(e.After)
		if err != nil {
			return err
		}
		e.ActorName, e.TargetName = clean(e.ActorName, 300), clean(e.TargetName, 300)
		if e.Session == "" && e.Method == "" {
			a := admissionOf(ctx, e.Actor)
			e.Session, e.Method = a.Session, a.Method
		}
		search := strings.ToLower(strings.Join([]string{string(e.Action), e.ActorName, e.Actor, e.TargetName, e.Target, o.Request, o.Network, e.Session}, " "))
		bySalt, ofSalt := salts()
		by := by{e.ActorName, o.Network, o.Agent, e.Session, e.Method, tx.Region()}
		rows[i] = []any{
			e.OrgID, ids[i], db.Time(tx.Now()), e.Actor, e.ActorName, string(e.Action), string(e.Result),
			e.Target, e.TargetName, search, o.Network, o.Agent, o.Request, before, after,
			bySalt, half(bySalt, by.texts()...), ofSalt, half(ofSalt, e.TargetName, before, after), by.session, by.method, by.region,
		}
	}
	return tx.Insert(ctx, `
		insert into audit_events (org_id, id, at, actor, actor_name, action, result, target, target_name,
			search_key, network, agent, request, before, after, by_salt, by_hash, of_salt, of_hash, session, method, region)
		values `, rows, ``)
}

// salts returns two salts of 128 bits. Without its salt, what a hash is of cannot be guessed.
func salts() (by, of string) {
	b := secret.Bytes(32)
	return base64.RawStdEncoding.EncodeToString(b[:16]), base64.RawStdEncoding.EncodeToString(b[16:])
}

func fieldsText(f Fields) (string, error) {
	if len(f) == 0 {
		return "", nil
	}
	b, err := json.Marshal(f) // map keys come out sorted, so equal fields give equal text
	if err != nil {
		return "", fmt.Errorf("recording fields: %w", err)
	}
	return string(b), nil
}

// clean makes text from outside safe to print on one line of a log or a terminal
// (R-LOG-04): it removes control and direction characters and cuts after limit runes.
func clean(s string, limit int) string {
	if len(s) <= limit && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > limit {
			break
		}
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) || r == unicode.ReplacementChar {
			r = '·'
		}
		b.WriteRune(r)
	}
	return b.String()
}
