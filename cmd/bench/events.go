package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/i18n"
	"parvis/internal/limit"
	"parvis/internal/mail"
	"parvis/internal/outbound"
	"parvis/internal/secret"
	"parvis/internal/webhook"
)

// sending is a database with organizations, and what seals and sends their events.
type sending struct {
	db     *db.DB
	file   string
	logs   *audit.Logs
	sender *webhook.Sender
	orgs   []directory.OrgID
}

// events measures how long an event takes to its receiver, alone and beside receivers that hang, and
// what webhooks cost to which nothing happens.
func (b *bench) events() error {
	ctx := context.Background()
	prompt, hanging := newSink(0), newSink(time.Minute)
	defer prompt.Close()
	defer hanging.Close()
	s, err := b.sending(ctx, prompt.Addr, hanging.Addr)
	if err != nil {
		return err
	}
	defer s.db.Close()
	for _, org := range s.orgs {
		if err := s.add(ctx, org, "http://"+prompt.Addr+"/", 1, webhook.All); err != nil {
			return err
		}
	}
	stop := s.run(ctx)
	defer stop()
	alone, err := s.measure(ctx, prompt, b.length)
	if err != nil {
		return err
	}
	b.row("event to its receiver, median", "≤ 2 s", "%.2f s", alone.at(0.5))
	b.row("event to its receiver, 99 %", "≤ 5 s", "%.2f s", alone.at(0.99))
	for _, org := range s.orgs {
		if err := s.add(ctx, org, "http://"+hanging.Addr+"/", 10, webhook.All); err != nil {
			return err
		}
	}
	beside, err := s.measure(ctx, prompt, b.length)
	if err != nil {
		return err
	}
	b.row("the same beside 100 receivers that hang, median", "≤ 10 % more", "%.2f s (%+.0f %%)", beside.at(0.5), 100*(beside.at(0.5)/alone.at(0.5)-1))
	stop()
	return b.idleWebhooks(ctx)
}

// idleWebhooks measures a thousand webhooks to which nothing happens, in fifty organizations.
func (b *bench) idleWebhooks(ctx context.Context) error {
	sink := newSink(0)
	defer sink.Close()
	b2 := *b
	b2.work += "/idle"
	s, err := b2.sending(ctx, sink.Addr)
	if err != nil {
		return err
	}
	defer s.db.Close()
	for range 4 {
		if err := s.found(ctx); err != nil { // ten organizations each
			return err
		}
	}
	for _, org := range s.orgs {
		if err := s.add(ctx, org, "http://"+sink.Addr+"/", 20, "domain.*"); err != nil {
			return err
		}
	}
	for range 20 { // the tests of their addresses, and what their making sealed
		if err := s.sweep(ctx); err != nil {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	before, err := s.written()
	if err != nil {
		return err
	}
	const sweeps = 60
	began := time.Now()
	for range sweeps {
		if err := s.sweep(ctx); err != nil {
			return err
		}
	}
	took := time.Since(began) / sweeps
	after, err := s.written()
	if err != nil {
		return err
	}
	wrote := "0"
	if !after.Equal(before) {
		wrote = "some"
	}
	b.row("writes by 1,000 idle webhooks in 60 sweeps", "0", "%s, a sweep in %.1f ms", wrote, float64(took.Microseconds())/1000)
	return nil
}

func (b *bench) sending(ctx context.Context, allowed ...string) (*sending, error) {
	if err := os.MkdirAll(b.work, 0o700); err != nil {
		return nil, err
	}
	s := &sending{file: b.work + "/events.db"}
	var err error
	if s.db, err = db.Open(ctx, s.file); err != nil {
		return nil, err
	}
	if _, err := s.db.Migrate(ctx); err != nil {
		return nil, err
	}
	catalogue, err := i18n.Load()
	if err != nil {
		return nil, err
	}
	keys, log := secret.NewKeys(), slog.New(slog.DiscardHandler)
	s.logs = audit.NewLogs(audit.Settings{Sealing: keys.Sealing, Host: "bench.example", Log: log})
	s.sender = webhook.NewSender(webhook.Parts{
		DB: s.db, Limits: limit.NewLimiter(keys.Lookup), Base: "https://bench.example", Log: log, Outbound: outbound.New(allowed), Strict: outbound.New(allowed),
		Outbox: mail.NewOutbox(mail.Settings{Sealing: keys.Sealing, Catalogue: catalogue, From: "no-reply@bench.example", Log: log}),
	}, keys)
	return s, s.found(ctx)
}

// found makes ten organizations.
func (s *sending) found(ctx context.Context) error {
	s.orgs = make([]directory.OrgID, 10)
	return s.db.Update(ctx, func(tx *db.Tx) error {
		for i := range s.orgs {
			name := fmt.Sprintf("bench-%d", i)
			o, err := directory.CreateOrganization(ctx, tx, directory.Operator(), directory.NewOrganization{DisplayName: name, ShortName: name, Language: "en"})
			if err != nil {
				return err
			}
			s.orgs[i] = o.ID
		}
		return nil
	})
}

// add makes webhooks of an organization.
func (s *sending) add(ctx context.Context, org directory.OrgID, address string, n int, events string) error {
	return s.db.Update(ctx, func(tx *db.Tx) error {
		for range n {
			if _, _, err := s.sender.Create(ctx, tx, directory.System(org), org, webhook.New{Settings: webhook.Settings{Name: "Bench", Address: address, Events: []string{events}}}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *sending) sweep(ctx context.Context) error {
	if err := s.logs.Sweep(ctx, s.db); err != nil {
		return err
	}
	return s.sender.Sweep(ctx, s.db)
}

// run seals and sends once a second each, as a server does.
func (s *sending) run(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	for _, sweep := range []func(context.Context, *db.DB) error{s.logs.Sweep, s.sender.Sweep} {
		work.Go(func() {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for ctx.Err() == nil {
				if err := sweep(ctx, s.db); err != nil && ctx.Err() == nil {
					fmt.Fprintln(os.Stderr, "sweep:", err)
				}
				select {
				case <-ctx.Done():
				case <-tick.C:
				}
			}
		})
	}
	return func() { cancel(); work.Wait() }
}

// written returns when the database and its write-ahead log were last written.
func (s *sending) written() (last time.Time, err error) {
	for _, name := range []string{s.file, s.file + "-wal"} {
		i, err := os.Stat(name)
		if err != nil {
			return last, err
		}
		if i.ModTime().After(last) {
			last = i.ModTime()
		}
	}
	return last, nil
}

// measure records events at random instants, and returns how long each took to its receiver.
func (s *sending) measure(ctx context.Context, to *sink, length time.Duration) (delays, error) {
	time.Sleep(2 * time.Second) // what came before
	to.take()
	n := int(20 * length.Seconds() * 5)
	for range n {
		org := s.orgs[rand.IntN(len(s.orgs))]
		if err := s.db.Update(ctx, func(tx *db.Tx) error {
			return audit.Record(ctx, tx, directory.System(org).Event(org, "group.created"))
		}); err != nil {
			return nil, err
		}
		time.Sleep(rand.N(100 * time.Millisecond))
	}
	var all delays
	for until := time.Now().Add(30 * time.Second); len(all) < n && time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		all = append(all, to.take()...)
	}
	if len(all) < n {
		return nil, fmt.Errorf("%d of %d events arrived", len(all), n)
	}
	slices.Sort(all)
	return all, nil
}

// delays are seconds, sorted.
type delays []float64

func (d delays) at(part float64) float64 { return d[int(part*float64(len(d)-1))] }

// sink is a receiver that notes how old each event was, or hangs.
type sink struct {
	*http.Server
	mu   sync.Mutex
	late delays
}

func newSink(hangs time.Duration) *sink {
	s := &sink{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	s.Server = &http.Server{Addr: l.Addr().String(), ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		select {
		case <-time.After(hangs):
		case <-r.Context().Done():
		}
		var e struct {
			Type      string
			Timestamp time.Time
		}
		if json.Unmarshal(body, &e) == nil && e.Type == "group.created" {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.late = append(s.late, time.Since(e.Timestamp).Seconds())
		}
	})}
	go s.Serve(l) // it ends with the measurement
	return s
}

// take returns what came since the last call.
func (s *sink) take() delays {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.late
	s.late = nil
	return all
}
