package trace

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	wire "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"parvis/internal/expect"
)

// receiver reads requests by the types that OpenTelemetry generates.
type receiver struct {
	mu       sync.Mutex
	requests []*collector.ExportTraceServiceRequest
	refuse   []error
}

func (r *receiver) take(_ context.Context, request []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.refuse) > 0 {
		err := r.refuse[0]
		r.refuse = r.refuse[1:]
		return err
	}
	m := &collector.ExportTraceServiceRequest{}
	if err := proto.Unmarshal(request, m); err != nil {
		return err
	}
	if len(m.ProtoReflect().GetUnknown()) > 0 {
		return errors.New("unknown fields")
	}
	r.requests = append(r.requests, m)
	return nil
}

func (r *receiver) spans() (all []*wire.Span) {
	for _, m := range r.requests {
		for _, resource := range m.GetResourceSpans() {
			for _, scope := range resource.GetScopeSpans() {
				all = append(all, scope.GetSpans()...)
			}
		}
	}
	return all
}

// run runs a tracer while fn works.
func run(t *testing.T, r *receiver, every time.Duration, fn func(*Tracer)) *Tracer {
	t.Helper()
	tracer := New(Settings{Resource: map[string]string{"service.name": "parvis"}, Ratio: 1, ByParent: true, Send: r.take, Log: slog.New(slog.DiscardHandler)})
	tracer.every = every
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { tracer.Run(ctx); close(done) }()
	fn(tracer)
	end()
	<-done
	return tracer
}

func TestOpenTelemetryReadsARequestWithItsStatementsAndCalls(t *testing.T) {
	r := &receiver{}
	run(t, r, sendEvery, func(tracer *Tracer) {
		ctx, request := tracer.Request(t.Context(), "GET", ParseParent("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"))
		statement := Statement(ctx, "from users")
		statement.Text("db.query.text", strings.Repeat("x", 3*longestText))
		statement.End()
		call := Call(ctx, "call provider")
		call.Fail("timeout")
		call.End()
		request.Name("GET /home")
		request.Number("http.response.status_code", 200)
		request.End()
		late := Statement(ctx, "late")
		late.End()
	})
	all := r.spans()
	expect.Equal(t, "spans", len(all), 4)
	statement, call, request, late := all[0], all[1], all[2], all[3]
	expect.Equal(t, "service", r.requests[0].GetResourceSpans()[0].GetResource().GetAttributes()[0].GetValue().GetStringValue(), "parvis")
	expect.Equal(t, "name", request.GetName(), "GET /home")
	expect.Equal(t, "kind", request.GetKind(), wire.Span_SPAN_KIND_SERVER)
	expect.Equal(t, "parent", string(request.GetParentSpanId()), "\x01\x23\x45\x67\x89\xab\xcd\xef")
	expect.Equal(t, "status", request.GetAttributes()[0].GetValue().GetIntValue(), int64(200))
	expect.Equal(t, "length of a text", len(statement.GetAttributes()[0].GetValue().GetStringValue()), longestText)
	expect.Equal(t, "state of the call", call.GetStatus().GetCode(), wire.Status_STATUS_CODE_ERROR)
	expect.Equal(t, "why", call.GetAttributes()[0].GetValue().GetStringValue(), "timeout")
	for _, s := range []*wire.Span{statement, call, late} {
		expect.Equal(t, "parent of "+s.GetName(), string(s.GetParentSpanId()), string(request.GetSpanId()))
	}
	for _, s := range all {
		expect.Equal(t, "trace of "+s.GetName(), string(s.GetTraceId()), "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef")
		if s.GetStartTimeUnixNano() > s.GetEndTimeUnixNano() || time.Since(time.Unix(0, int64(s.GetStartTimeUnixNano()))) > time.Minute {
			t.Errorf("%s lasts from %d to %d", s.GetName(), s.GetStartTimeUnixNano(), s.GetEndTimeUnixNano())
		}
	}
}

func TestRepeatedWorkIsSentIfItCallsSomebodyOrFails(t *testing.T) {
	r := &receiver{}
	run(t, r, sendEvery, func(tracer *Tracer) {
		for _, what := range []string{"idle", "calls", "fails"} {
			ctx, work := tracer.Work(t.Context(), what)
			Statement(ctx, "from letters").End()
			if what == "calls" {
				Call(ctx, "send a letter").End()
			}
			if what == "fails" {
				work.Fail("error")
			}
			work.End()
		}
	})
	var names []string
	for _, s := range r.spans() {
		names = append(names, s.GetName())
	}
	expect.Equal(t, "sent", strings.Join(names, ", "), "from letters, send a letter, calls, from letters, fails")
}

func TestWhichTracesAreRecorded(t *testing.T) {
	yes, no := ParseParent("00-"+strings.Repeat("a", 32)+"-0123456789abcdef-01"), ParseParent("00-"+strings.Repeat("a", 32)+"-0123456789abcdef-00")
	for name, one := range map[string]struct {
		ratio    float64
		byParent bool
		parent   Parent
		want     bool
	}{
		"everything":                          {1, true, Parent{}, true},
		"nothing":                             {0, true, Parent{}, false},
		"the caller's":                        {0, true, yes, true},
		"not the caller's":                    {1, true, no, false},
		"whatever the caller says":            {1, false, no, true},
		"nothing, whatever the caller says":   {0, false, yes, false},
		"an id in the upper part of a ratio":  {0.5, false, yes, false}, // 0xaaaa…, a third from the end
		"an id in the lower part of a ratio":  {0.7, false, yes, true},
		"an id just outside of a large ratio": {0.66, false, yes, false},
	} {
		t.Run(name, func(t *testing.T) {
			tracer := New(Settings{Ratio: one.ratio, ByParent: one.byParent})
			_, span := tracer.Request(t.Context(), "GET", one.parent)
			expect.Equal(t, "recorded", span != nil, one.want)
		})
	}
}

func TestWithoutATracerNothingIsRecorded(t *testing.T) {
	var tracer *Tracer
	tracer.Run(t.Context())
	ctx, request := tracer.Request(t.Context(), "GET", Parent{})
	_, work := tracer.Work(ctx, "sweep")
	for _, s := range []*Span{request, work, Statement(ctx, "from users"), Call(ctx, "call")} {
		if s != nil {
			t.Error("a span exists")
		}
		s.Name("x")
		s.Text("a", "b")
		s.Number("a", 1)
		s.Fail("x")
		s.End()
		expect.Equal(t, "trace", s.Trace(), "")
	}
}

func TestAReceiverIsAskedAgainAndNobodyWaitsForIt(t *testing.T) {
	r := &receiver{refuse: []error{ErrLater}}
	tracer := run(t, r, time.Millisecond, func(tracer *Tracer) {
		_, s := tracer.Request(t.Context(), "GET", Parent{})
		s.End()
		for until := time.Now().Add(10 * time.Second); tracer.Sent.Value() == 0 && time.Now().Before(until); {
			time.Sleep(time.Millisecond)
		}
	})
	expect.Equal(t, "sent after a second try", tracer.Sent.Value(), 1.)
	expect.Equal(t, "lost", tracer.Lost.Value(), 0.)

	r = &receiver{refuse: []error{errors.New("no")}}
	tracer = run(t, r, sendEvery, func(tracer *Tracer) {
		_, s := tracer.Request(t.Context(), "GET", Parent{})
		s.End()
	})
	expect.Equal(t, "lost by a refusal", tracer.Lost.Value(), 1.)

	tracer = New(Settings{Ratio: 1}) // nobody sends
	for range mostWaiting + 3 {
		_, s := tracer.Request(t.Context(), "GET", Parent{})
		s.End()
	}
	expect.Equal(t, "lost without room", tracer.Lost.Value(), 3.)
}

func TestALongTraceKeepsItsRoot(t *testing.T) {
	r := &receiver{}
	run(t, r, sendEvery, func(tracer *Tracer) {
		ctx, request := tracer.Request(t.Context(), "GET", Parent{})
		for range mostSpans + 5 {
			Statement(ctx, "from users").End()
		}
		request.End()
	})
	all := r.spans()
	expect.Equal(t, "spans", len(all), mostSpans+1)
	expect.Equal(t, "left out", all[mostSpans].GetAttributes()[0].GetValue().GetIntValue(), int64(5))
}

func FuzzParseParent(f *testing.F) {
	for _, header := range []string{
		"00-0123456789abcdef0123456789abcdef-0123456789abcdef-01", "", "00", "ff-0123456789abcdef0123456789abcdef-0123456789abcdef-01",
		"00-00000000000000000000000000000000-0123456789abcdef-01", "00-0123456789ABCDEF0123456789abcdef-0123456789abcdef-01",
		"01-0123456789abcdef0123456789abcdef-0123456789abcdef-01-more", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01-more",
	} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		p := ParseParent(header)
		if !p.known {
			return
		}
		if p.trace == [16]byte{} || p.span == [8]byte{} || len(header) < 55 {
			t.Errorf("%q is a parent", header)
		}
	})
}
