// Package audit records who did what to whom, when and from where, with the values
// before and after. An event is inserted in the transaction that it describes. A sweep
// seals events into the tree of their log, so that a removed or altered event is detected, and
// counts some of them by day. Each organization has a log, and so has the installation.
//
// It owns audit_events, audit_logs, audit_tiles, audit_checkpoints, audit_keys, audit_days,
// audit_epochs, and audit_seals, where an older version left something.
package audit

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
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

type originKey struct{}

// WithOrigin returns a context that carries o.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	o.Agent = clean(o.Agent, 300)
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf returns the Origin in ctx, or the zero Origin.
func OriginOf(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
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
}

// Fields maps the names of changed settings to their values. It must never hold a secret.
type Fields map[string]any

// Stored is an event as it is read from the database.
type Stored struct {
	Event
	ID     string
	At     time.Time
	Origin Origin
	Sealed bool  // part of its log's tree
	Leaf   int64 // its place there, from 0

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
		search := strings.ToLower(strings.Join([]string{string(e.Action), e.ActorName, e.Actor, e.TargetName, e.Target, o.Request, o.Network}, " "))
		bySalt, ofSalt := salts()
		rows[i] = []any{
			e.OrgID, ids[i], db.Time(tx.Now()), e.Actor, e.ActorName, string(e.Action), string(e.Result),
			e.Target, e.TargetName, search, o.Network, o.Agent, o.Request, before, after,
			bySalt, half(bySalt, e.ActorName, o.Network, o.Agent), ofSalt, half(ofSalt, e.TargetName, before, after),
		}
	}
	return tx.Insert(ctx, `
		insert into audit_events (org_id, id, at, actor, actor_name, action, result, target, target_name,
			search_key, network, agent, request, before, after, by_salt, by_hash, of_salt, of_hash)
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
