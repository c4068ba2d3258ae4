// Package trace records how a request spent its time, as spans of OpenTelemetry: one for the
// request, each statement and each call to others. Spans hold what the program itself says, such as
// patterns of routes, texts of statements, states and references. Nothing that came with a request or from
// a database goes into one: no path, no argument, no host, no message of an error.
//
// Without a Tracer nothing is recorded, and every function here does nothing.
package trace

import (
	"context"
	"encoding/hex"
	"math"
	"strings"
	"sync"
	"time"

	"parvis/internal/secret"
)

// kind is OTLP's SpanKind.
type kind int

const (
	internal kind = 1
	server   kind = 2
	client   kind = 3
)

// mostSpans is how many spans of one trace are kept; a long export has no more to tell.
const mostSpans = 1000

// longestText is how much of a text a span keeps.
const longestText = 2000

// Names of values that more than one kind of span has.
const (
	Route     = "http.route"
	Reference = "parvis.reference" // what a page shows, and the log has
)

// A Span is a piece of work. All methods of a nil Span do nothing.
type Span struct {
	in           *trace
	id, parent   [8]byte
	name         string
	kind         kind
	began, ended time.Time
	attributes   []attribute
	failed       string // a short word for why; empty if it went well
}

type attribute struct {
	key, text string
	number    int64
	isNumber  bool
}

// trace is what one request, or one piece of the repeated work, does.
type trace struct {
	tracer *Tracer
	id     [16]byte
	root   *Span

	mu      sync.Mutex
	ended   []*Span
	missing int64
	wanted  bool // it is worth sending
	over    bool // its root has ended
}

type key struct{}

// A Parent is the span of the sender of a request, as the header traceparent names it.
type Parent struct {
	trace   [16]byte
	span    [8]byte
	known   bool
	sampled bool
}

// ParseParent reads a header of W3C Trace Context. What cannot be read is no parent.
func ParseParent(header string) (p Parent) {
	part := strings.Split(header, "-")
	if len(part) < 4 || len(part[0]) != 2 || part[0] == "ff" || part[0] == "00" && len(part) != 4 ||
		len(part[1]) != 32 || len(part[2]) != 16 || len(part[3]) != 2 || strings.ToLower(header) != header {
		return Parent{}
	}
	var flags [1]byte
	for i, into := range [][]byte{p.trace[:], p.span[:], flags[:]} {
		if _, err := hex.Decode(into, []byte(part[i+1])); err != nil {
			return Parent{}
		}
	}
	p.known, p.sampled = p.trace != [16]byte{} && p.span != [8]byte{}, flags[0]&1 != 0
	return p
}

// Request begins the span of a request. The context that it returns carries the span.
func (t *Tracer) Request(ctx context.Context, name string, by Parent) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	return t.start(ctx, name, server, by)
}

// Work begins the span of repeated work. It is sent only if the work calls somebody else or fails:
// each second there is much that finds nothing to do.
func (t *Tracer) Work(ctx context.Context, name string) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	return t.start(ctx, name, internal, Parent{})
}

func (t *Tracer) start(ctx context.Context, name string, k kind, by Parent) (context.Context, *Span) {
	in := &trace{tracer: t, wanted: k == server}
	if by.known {
		in.id = by.trace
	} else {
		copy(in.id[:], secret.Bytes(len(in.id)))
	}
	if !t.samples(in.id, by) {
		return ctx, nil
	}
	s := in.span(name, k)
	if by.known {
		s.parent = by.span
	}
	in.root = s
	return context.WithValue(ctx, key{}, s), s
}

// samples decides whether a trace is recorded.
func (t *Tracer) samples(id [16]byte, by Parent) bool {
	if t.ByParent && by.known {
		return by.sampled
	}
	if t.Ratio >= 1 {
		return true
	}
	// As every SDK does, so that those of one trace agree.
	var low uint64
	for _, b := range id[8:] {
		low = low<<8 | uint64(b)
	}
	return float64(low>>1) < t.Ratio*math.MaxInt64
}

func (in *trace) span(name string, k kind) *Span {
	s := &Span{in: in, name: name, kind: k, began: time.Now()}
	copy(s.id[:], secret.Bytes(len(s.id)))
	return s
}

// Statement begins the span of a statement.
func Statement(ctx context.Context, name string) *Span { return begin(ctx, name, false) }

// Call begins the span of a call to somebody else.
func Call(ctx context.Context, name string) *Span { return begin(ctx, name, true) }

func begin(ctx context.Context, name string, call bool) *Span {
	above, _ := ctx.Value(key{}).(*Span)
	if above == nil {
		return nil
	}
	if call {
		above.in.want()
	}
	s := above.in.span(name, client)
	s.parent = above.id
	return s
}

func (in *trace) want() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.wanted = true
}

// Name replaces the name, where it is known only later.
func (s *Span) Name(name string) {
	if s != nil {
		s.name = name
	}
}

// Text adds an attribute. Its value is ours, never what somebody typed.
func (s *Span) Text(key, value string) {
	if s != nil && value != "" {
		s.attributes = append(s.attributes, attribute{key: key, text: value[:min(len(value), longestText)]})
	}
}

// Number adds an attribute.
func (s *Span) Number(key string, value int) {
	if s != nil {
		s.attributes = append(s.attributes, attribute{key: key, number: int64(value), isNumber: true})
	}
}

// Fail marks the work as failed. why is a short word of ours; the error's own text may quote anything.
func (s *Span) Fail(why string) {
	if s == nil {
		return
	}
	s.failed = why
	s.in.want()
}

// Trace returns the id of the trace, as viewers show it.
func (s *Span) Trace() string {
	if s == nil {
		return ""
	}
	return hex.EncodeToString(s.in.id[:])
}

// End ends the span. The spans of a trace are sent together once its root has ended, and each that
// ends later by itself.
func (s *Span) End() {
	if s == nil {
		return
	}
	s.ended = time.Now()
	in := s.in
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.over && in.wanted:
		in.tracer.take([]*Span{s})
	case in.over:
	case s == in.root:
		in.over = true
		if in.missing > 0 {
			s.attributes = append(s.attributes, attribute{key: "parvis.spans_left_out", number: in.missing, isNumber: true})
		}
		if in.wanted {
			in.tracer.take(append(in.ended, s))
		}
		in.ended = nil
	case len(in.ended) < mostSpans:
		in.ended = append(in.ended, s)
	default:
		in.missing++
	}
}
