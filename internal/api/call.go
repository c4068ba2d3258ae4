package api

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"parvis/internal/access"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/fault"
	"parvis/internal/federation"
	"parvis/internal/i18n"
	"parvis/internal/naming"
	"parvis/internal/once"
	"parvis/internal/page"
	"parvis/internal/secret"
)

// call is one call of an operation.
type call struct {
	*edge.Request
	access.Caller

	server   *Server
	op       *operation // nil where no operation fits
	lang     i18n.Localizer
	sent     string              // the body
	dry      bool                // what is done is rolled back
	repeat   []once.Request      // under each of our keys, the one that writes first; none without an Idempotency-Key
	again    bool                // the deed was done before, under the same key
	secret   *string             // that a deed made, to be shown once
	secrets  map[string]string   // that a configuration made, by the ids of applications and webhooks
	secretOf map[string][]string // secrets that a configuration changed, by the ids of what has them

	learned federation.Change // what a provider said ahead of the transaction
}

func (s *Server) callOf(q *edge.Request, o *operation) *call {
	tag := s.Catalogue.Match("", q.R.Header.Get("Accept-Language"))
	return &call{Request: q, server: s, op: o, lang: s.Catalogue.In(tag)}
}

// org returns the one organization that the caller acts in.
func (x *call) org() directory.OrgID { return x.Actor.OrgID }

var (
	errHost     = fault.New(fault.Misdirected, "api.host")
	errScope    = fault.New(fault.Denied, "api.scope")
	errInPerson = fault.New(fault.Denied, "api.in_person")
	errFresh    = fault.New(fault.Unproven, "api.fresh")
	errShown    = fault.New(fault.Conflict, "api.already_shown")
	errPace     = fault.New(fault.Throttled, "api.pace")
	errReason   = fault.Field("", "api.reason")
)

// serve returns the handler of an operation.
func (s *Server) serve(o *operation) http.Handler {
	return s.edge.Serve(func(q *edge.Request) error {
		x := s.callOf(q, o)
		ctx := db.AfterPeople(q.R.Context())
		err := x.judge(ctx)
		if err == nil {
			err = x.Touch(ctx, x.server.DB)
		}
		if err == nil {
			err = o.run(ctx, x)
		}
		x.refuse(ctx, err)
		return nil
	})
}

// judge decides whether the call may be made at all. Whether its caller may do what it asks for is
// decided by the deed.
func (x *call) judge(ctx context.Context) (err error) {
	if err := x.here(); err != nil {
		return err
	}
	if x.Caller, err = x.server.caller(ctx, x.R); err != nil {
		return err
	}
	if wait := x.server.pace.Take(x.Key, x.server.DB.Now()); wait > 0 {
		return errPace.After(wait)
	}
	for _, s := range append([]access.Scope{x.op.Scope}, x.op.also...) {
		if s != "" && !x.May(s) {
			return errScope.With("Scope", string(s))
		}
	}
	if err := x.lately(); err != nil {
		return err
	}
	return x.explained(ctx)
}

// reasonHeader is where an operator's machine says why it calls.
const reasonHeader = "Parvis-Reason"

// explained stores in the log of an organization why an operator's machine calls there, whatever
// becomes of the call (R-TEN-11).
func (x *call) explained(ctx context.Context) error {
	if !x.Operator {
		return nil
	}
	values := x.R.Header.Values(reasonHeader)
	if len(values) != 1 {
		return wrong{name: reasonHeader, why: errReason}
	}
	reason, err := naming.CleanReason(values[0])
	if why, ok := errors.AsType[*fault.Error](err); ok {
		return wrong{name: reasonHeader, why: why}
	}
	return x.server.DB.Update(ctx, func(tx *db.Tx) error {
		e := x.Actor.Event(x.org(), "operator.called")
		e.Target = string(x.org())
		e.After = audit.Fields{"operation": x.op.ID, "path": strings.TrimPrefix(x.R.URL.Path, Root), "reason": reason}
		return audit.Record(ctx, tx, e)
	})
}

// here refuses what was sent under another name than our own. It is not led to the right one: its
// token has gone the wrong way already.
func (x *call) here() error {
	if x.R.Host != x.server.edge.Base.Host {
		return errHost
	}
	return nil
}

// settle keeps the right of the caller as it was read for this call. It is for what only reads, in
// one snapshot a moment later; what writes reads it again in its transaction (R-TEN-06).
func (x *call) settle() {
	now := x.Actor
	x.Actor.Again = func(context.Context, db.Reader) (directory.Actor, error) { return now, nil }
}

// lately refuses a person who has not proved lately who they are, for what wants that. A token has
// proved nothing; the rights of a machine were given by somebody who had.
func (x *call) lately() error {
	if !x.op.Fresh {
		return nil
	}
	return x.fresh()
}

// fresh is lately for what wants a proof only sometimes.
func (x *call) fresh() error {
	switch {
	case x.Actor.Kind == directory.KindMachine && !x.op.inPerson:
		return nil
	case x.ProvedAt.IsZero():
		return errInPerson
	case x.server.DB.Now().Sub(x.ProvedAt) > page.ChangeProof:
		return errFresh
	}
	return nil
}

// change runs f in a transaction, and rolls it back if only a dry run was asked for.
func (x *call) change(ctx context.Context, f func(*db.Tx) error) error {
	dry := errors.New("a dry run")
	err := x.server.DB.Update(ctx, func(tx *db.Tx) error {
		if err := f(tx); err != nil || !x.dry {
			return err
		}
		return dry
	})
	if errors.Is(err, dry) {
		return nil
	}
	return err
}

const mostKey = 255 // bytes of an Idempotency-Key

var errKey = fault.New(fault.Malformed, "api.idempotency_key")

// key reads the Idempotency-Key of the request, if it has one.
func (x *call) key() error {
	values := x.R.Header.Values("Idempotency-Key")
	if len(values) == 0 || x.dry {
		return nil
	}
	// The draft writes it as a quoted string; most clients send it bare.
	key := strings.TrimSuffix(strings.TrimPrefix(values[0], `"`), `"`)
	if len(values) > 1 || key == "" || len(key) > mostKey || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r > '~' }) {
		return errKey.With("Most", mostKey)
	}
	for _, k := range x.server.ring.All() {
		x.repeat = append(x.repeat, once.Request{
			OrgID: string(x.org()), Caller: x.Key, Key: hash(k, "key", key),
			Hash: hash(k, "request", x.R.Method, x.R.URL.EscapedPath(), x.R.URL.Query().Encode(), x.sent),
		})
	}
	return nil
}

// queue makes requests of one key wait for each other, so that a repeated one finds the first one's
// object before it counts as another letter, for example. It returns what lets the next one go on.
// Requests on other nodes do not wait: once tells them apart in the database.
func (x *call) queue() (done func()) {
	if len(x.repeat) == 0 {
		return func() {}
	}
	m := &x.server.queues[x.repeat[0].Key[0]%byte(len(x.server.queues))]
	m.Lock()
	return m.Unlock
}

// repeated reports whether a request with the same key was answered already.
func (x *call) repeated(ctx context.Context) (found bool, err error) {
	if len(x.repeat) == 0 {
		return false, nil
	}
	err = x.server.DB.View(ctx, func(tx *db.Tx) error {
		_, found, err = x.did(ctx, tx)
		return err
	})
	return found, err
}

// did returns what the first request with the same key was about. An earlier key of ours may have
// hashed it.
func (x *call) did(ctx context.Context, tx *db.Tx) (object string, found bool, err error) {
	for _, q := range x.repeat {
		if object, found, err = once.Did(ctx, tx, q); found || err != nil {
			break
		}
	}
	return object, found, err
}

// once does a deed, unless a request with the same key did it.
func (x *call) once(ctx context.Context, tx *db.Tx, do func() (string, error)) (string, error) {
	if len(x.repeat) == 0 {
		return do()
	}
	object, again, err := x.did(ctx, tx)
	if x.again = again; err != nil || again {
		return object, err
	}
	if object, err = do(); err == nil {
		err = once.Remember(ctx, tx, x.repeat[0], object)
	}
	return object, err
}

// hash returns a keyed hash, by which nobody guesses what was sent.
func hash(k secret.Key, parts ...string) string {
	return base64.RawURLEncoding.EncodeToString(secret.MAC(k.Bytes, parts...))
}

// plain returns a value as it would be read back from JSON.
func plain(v any) any {
	value, err := decodeJSON(written(v))
	if err != nil {
		return nil // a text with U+FFFD, stored before it was refused, has to be sent again
	}
	return value
}

// written returns a form as JSON.
func written(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("writing %T: %v", v, err)) // forms always encode
	}
	return text
}

// etag returns the strong ETag of what can be written of an object (RFC 9110 §8.8.3).
func (x *call) etag(v any) string {
	return `"` + hash(x.server.ring.Current(), "etag", string(written(v)))[:16] + `"`
}

// ifMatch returns the one strong ETag that the request names, or an empty text for none.
func (x *call) ifMatch(must bool) (string, error) {
	values := x.R.Header.Values("If-Match")
	switch {
	case len(values) == 0 && must:
		return "", errNoMatch
	case len(values) == 0:
		return "", nil
	case len(values) > 1 || len(values[0]) < 2 || !strings.HasPrefix(values[0], `"`) || strings.Count(values[0], `"`) != 2 || !strings.HasSuffix(values[0], `"`):
		return "", errMatchForm
	}
	return values[0], nil
}

// answer sends a value.
func (x *call) answer(status int, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	x.W.Header().Set("Content-Type", jsonMedia)
	x.W.WriteHeader(status)
	x.W.Write(append(text, '\n')) //nolint:errcheck // The caller is gone, which is no error of ours.
	return nil
}

// tagged sends an object with the ETag of what can be written of it.
func (x *call) tagged(written, v any) error {
	x.W.Header().Set("ETag", x.etag(written))
	return x.answer(x.op.status, v)
}

func (x *call) nothing() error {
	x.W.WriteHeader(http.StatusNoContent)
	return nil
}
