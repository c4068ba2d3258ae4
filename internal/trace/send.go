package trace

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"parvis/internal/measure"
)

// ErrLater is the error of a receiver that may take the same spans a little later.
var ErrLater = errors.New("the receiver takes nothing at the moment")

const (
	// A request to the receiver has so many spans, or those of this time.
	mostAtOnce = 512
	sendEvery  = 5 * time.Second
	// mostWaiting is how many traces wait for the receiver; what comes when there are more is lost.
	mostWaiting = 512
	// How often a request is sent, and how long the first pause between is; each next one is twice as long.
	mostTries  = 3
	firstPause = time.Second
	// goodbye is how long the last request may take when the program ends.
	goodbye = 5 * time.Second
	// complaint is how often the log says that traces are lost.
	complaint = time.Minute
)

// Settings are what a Tracer is made from.
type Settings struct {
	Resource map[string]string // what is true of every span, such as the name of the service
	Ratio    float64           // of the traces that are recorded
	ByParent bool              // the sender of a request decides, if it names its trace
	// Send hands a request of OTLP, in its binary form, to the receiver.
	Send func(ctx context.Context, request []byte) error
	Log  *slog.Logger
}

// A Tracer records traces and sends them. A nil one records nothing.
type Tracer struct {
	Settings
	Sent, Lost measure.Counter // spans

	queue chan []*Span
	every time.Duration
}

// New returns a Tracer, which sends while Run runs.
func New(s Settings) *Tracer {
	return &Tracer{Settings: s, queue: make(chan []*Span, mostWaiting), every: sendEvery}
}

// take keeps spans until they are sent. Nobody waits for a receiver.
func (t *Tracer) take(spans []*Span) {
	select {
	case t.queue <- spans:
	default:
		t.Lost.Add(len(spans))
	}
}

// Run sends what is recorded until ctx ends, and then what is left.
func (t *Tracer) Run(ctx context.Context) {
	if t == nil {
		return
	}
	tick := time.NewTicker(t.every)
	defer tick.Stop()
	var waiting []*Span
	var told time.Time
	for ending := false; !ending; {
		select {
		case some := <-t.queue:
			if waiting = append(waiting, some...); len(waiting) < mostAtOnce {
				continue
			}
		case <-tick.C:
		case <-ctx.Done():
			ending = true
			waiting = t.rest(waiting)
		}
		if err := t.send(ctx, waiting); err != nil && time.Since(told) > complaint {
			told = time.Now()
			t.Log.WarnContext(ctx, "traces are lost", "error", err.Error(), "do", "see whether the receiver that OTEL_EXPORTER_OTLP_ENDPOINT names is there")
		}
		waiting = nil
	}
}

// rest adds what still waits.
func (t *Tracer) rest(waiting []*Span) []*Span {
	for {
		select {
		case some := <-t.queue:
			waiting = append(waiting, some...)
		default:
			return waiting
		}
	}
}

// send sends spans, again if the receiver asks for it.
func (t *Tracer) send(ctx context.Context, spans []*Span) error {
	if len(spans) == 0 {
		return nil
	}
	request, pause := encode(t.Resource, spans), firstPause
	for try := 1; ; try++ {
		sending, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		err := t.Send(sending, request)
		cancel()
		if err == nil {
			t.Sent.Add(len(spans))
			return nil
		}
		if try == mostTries || ctx.Err() != nil || !errors.Is(err, ErrLater) {
			t.Lost.Add(len(spans))
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause *= 2
	}
}
