package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"time"

	"parvis/internal/access"
	"parvis/internal/administration"
	"parvis/internal/administration/sheet"
	"parvis/internal/api/form"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
)

var eventOperations = []*operation{
	reads(operation{ID: "events.list", Path: "/events", Scope: access.ReadAudit, Role: directory.Auditor}, listEvents),
	reads(operation{ID: "events.get", Path: "/events/{id}", Scope: access.ReadAudit, Role: directory.Auditor}, showEvent),
	answersEvents(operation{ID: "events.checkpoint", Path: "/events/checkpoint", Scope: access.ReadAudit, Role: directory.Auditor}, checkpoint),
	answersEvents(operation{ID: "events.proof", Path: "/events/proof", Scope: access.ReadAudit, Role: directory.Auditor}, proofOf),
	exportsEvents(operation{ID: "events.export", Path: "/events/export", Scope: access.ReadAudit, Role: directory.Auditor}),
}

// pulled is where a page of events begins. A reader who goes on after the last sequence that it
// has misses none: sequences have no gaps.
type pulled struct {
	Limit int    `query:"limit"`
	After *int64 `query:"after"`
}

func listEvents(ctx context.Context, r db.Reader, x *call, in pulled) (form.Page[form.Event], error) {
	limit, err := x.begin(listing{Limit: in.Limit}, nil)
	if err == nil {
		err = x.Actor.MayReadAudit(ctx, r, x.org())
	}
	if err != nil {
		return form.Page[form.Event]{}, err
	}
	after := int64(-1)
	if in.After != nil {
		if after, err = audit.PlaceOf(ctx, r, string(x.org()), *in.After); err != nil {
			return form.Page[form.Event]{}, err
		}
	}
	all, err := audit.After(ctx, r, string(x.org()), after, limit)
	return short(all, ofEvent), err
}

func ofEvent(e audit.Stored) form.Event {
	out := form.Event{
		ID: e.ID, At: e.At.UTC(), Action: string(e.Action), Result: string(e.Result), Actor: form.Named{ID: e.Actor, Name: e.ActorName},
		Object: form.Object{Type: string(audit.Actions[e.Action].Object), ID: e.Target, Name: e.TargetName},
		Before: fieldsOfEvent(e.Before), After: fieldsOfEvent(e.After), Network: e.Origin.Network, Agent: e.Origin.Agent, Reference: e.Origin.Request,
		Session: e.Session, Method: e.Method, Region: e.Region,
		Erased: e.ErasedBy || e.ErasedOf,
	}
	if e.Sealed {
		out.Sequence = &e.Sequence
	}
	return out
}

// fieldsOfEvent returns values as JSON texts, because each field has a type of its own.
func fieldsOfEvent(f audit.Fields) map[string]string {
	all := map[string]string{}
	for name, value := range f {
		text, err := json.Marshal(value)
		if err != nil {
			continue // what was read from JSON is written as JSON
		}
		all[name] = string(text)
	}
	return all
}

func showEvent(ctx context.Context, r db.Reader, x *call, in at) (form.Event, error) {
	if err := x.Actor.MayReadAudit(ctx, r, x.org()); err != nil {
		return form.Event{}, err
	}
	e, found, err := audit.ByID(ctx, r, string(x.org()), in.ID)
	if err == nil && !found {
		err = directory.ErrNotFound
	}
	return ofEvent(e), err
}

// answersEvents completes an operation that reads the log's tree, which signs what it answers in a
// transaction of its own.
func answersEvents[In, Out any](o operation, do func(ctx context.Context, x *call, in In) (Out, error)) *operation {
	o.Method, o.status, o.in, o.out = http.MethodGet, http.StatusOK, reflect.TypeFor[In](), reflect.TypeFor[Out]()
	o.run = func(ctx context.Context, x *call) error {
		in, err := input[In](x)
		if err == nil {
			err = x.Actor.MayReadAudit(ctx, x.server.DB, x.org())
		}
		if err != nil {
			return err
		}
		out, err := do(ctx, x, in)
		if errors.Is(err, audit.ErrNoLeaf) {
			err = directory.ErrNotFound
		}
		if err != nil {
			return err
		}
		return x.answer(o.status, out)
	}
	return &o
}

func checkpoint(ctx context.Context, x *call, _ struct{}) (form.Checkpoint, error) {
	c, err := x.server.Administration.Audit.Checkpoint(ctx, x.server.DB, string(x.org()))
	return ofCheckpoint(c), err
}

func ofCheckpoint(c audit.Checkpoint) form.Checkpoint {
	return form.Checkpoint{Note: c.Note, Key: c.Key, Size: c.Size, Sequence: c.Last, At: c.At.UTC()}
}

// proven is what a proof is asked of: an event, or the log since it had a size.
type proven struct {
	Sequence *int64 `query:"sequence"`
	Since    *int64 `query:"since"`
}

func proofOf(ctx context.Context, x *call, in proven) (form.Proof, error) {
	log := x.server.Administration.Audit
	var p audit.Proof
	var err error
	switch {
	case in.Sequence != nil && in.Since == nil:
		var place int64
		if place, err = audit.LeafOf(ctx, x.server.DB, string(x.org()), *in.Sequence); err == nil {
			p, err = log.Prove(ctx, x.server.DB, string(x.org()), place)
		}
	case in.Since != nil && in.Sequence == nil:
		p, err = log.ProveSince(ctx, x.server.DB, string(x.org()), *in.Since)
	default:
		return form.Proof{}, wrong{name: "sequence", why: errOneProof}
	}
	out := form.Proof{Checkpoint: ofCheckpoint(p.Checkpoint), Hashes: make([]string, 0, len(p.Hashes))}
	for _, h := range p.Hashes {
		out.Hashes = append(out.Hashes, h.String())
	}
	return out, err
}

// exported is what an export may be asked for.
type exported struct {
	Format string    `query:"format" enum:"jsonl csv"`
	From   time.Time `query:"from"`
	Until  time.Time `query:"to"`
	Action string    `query:"action"`
	Actor  string    `query:"actor"`
	Target string    `query:"target"`
}

// What an export is sent as.
const (
	linesMedia = "application/jsonl"
	tableMedia = "text/csv"
)

// exportsEvents writes the log as the console does. What fails after the first line cuts the
// export off, which its missing last line shows.
func exportsEvents(o operation) *operation {
	o.Method, o.status, o.in, o.files = http.MethodGet, http.StatusOK, reflect.TypeFor[exported](), []string{linesMedia, tableMedia}
	o.run = func(ctx context.Context, x *call) error {
		in, err := input[exported](x)
		if err == nil {
			err = x.Actor.MayReadAudit(ctx, x.server.DB, x.org())
		}
		switch {
		case err != nil:
			return err
		case !in.From.IsZero() && !in.Until.IsZero() && in.Until.Before(in.From):
			return wrong{name: "to", why: errBackwards}
		}
		x.W.Header().Set("Content-Type", map[bool]string{true: tableMedia + "; charset=utf-8", false: linesMedia}[in.Format == "csv"])
		e := administration.EventExport{Query: audit.Query{
			From: in.From, Until: in.Until, Action: audit.Action(in.Action), Actor: in.Actor, Target: in.Target,
		}}
		err = x.Stream(func(w io.Writer) error {
			if in.Format == "csv" {
				e.Table = sheet.NewTable(w, ",")
			} else {
				e.Lines = w
			}
			return x.server.Administration.ExportEvents(ctx, x.Actor, x.org(), e)
		})
		if err != nil {
			x.Answer(err) // which logs it
			panic(http.ErrAbortHandler)
		}
		return nil
	}
	return &o
}
