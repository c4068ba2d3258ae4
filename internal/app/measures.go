package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/limit"
	"parvis/internal/mail"
	"parvis/internal/measure"
	"parvis/internal/op"
	"parvis/internal/session"
	"parvis/internal/webhook"
)

// measured is what is watched and is no part of an App.
type measured struct {
	calls  *measure.By[measure.Timer]
	hashes credential.Queue
	limits *limit.Limiter
	ends   func() time.Time // of the certificate
}

// Measures lists all that is measured: the one place where it gets its names.
func (a *App) Measures() []measure.Family { return a.families }

func (a *App) measures(of measured) []measure.Family {
	all := a.ofRequests(of)
	all = append(all, a.ofDatabase()...)
	all = append(all, a.ofSweeps()...)
	all = append(all, a.ofStock()...)
	if a.trace != nil {
		all = append(all,
			counter("parvis_trace_spans_sent_total", "Spans that the receiver of traces took.", &a.trace.Sent),
			counter("parvis_trace_spans_lost_total", "Spans that it did not take, or that found no room.", &a.trace.Lost))
	}
	if of.ends != nil {
		all = append(all, measure.Family{
			Name: "parvis_tls_certificate_not_after_timestamp_seconds", Kind: measure.Gauge,
			Help: "When the certificate that this node shows ends, in Unix time.", Read: func(add func(float64, ...string)) {
				if at := of.ends(); !at.IsZero() {
					add(float64(at.Unix()))
				}
			}})
	}
	return append(all, measure.Program()...)
}

func counter(name, help string, c *measure.Counter) measure.Family {
	return measure.Family{Name: name, Kind: measure.Count, Help: help, Read: measure.One(c.Value)}
}

func gauge(name, help string, value func() float64) measure.Family {
	return measure.Family{Name: name, Kind: measure.Gauge, Help: help, Read: measure.One(value)}
}

func timer(name, help string, t *measure.Timer) measure.Family {
	return measure.Family{Name: name, Kind: measure.Histogram, Help: help, Times: func(add func(*measure.Timer, ...string)) { add(t) }}
}

func (a *App) ofRequests(of measured) []measure.Family {
	e := a.Site.Edge
	return []measure.Family{
		{Name: "parvis_http_requests_total", Kind: measure.Count, Help: "Requests, by the pattern of their route and the class of the status.",
			Labels: []string{"route", "status"}, Read: measure.Counts(&e.Answers, 2)},
		{Name: "parvis_http_request_duration_seconds", Kind: measure.Histogram, Help: "How long requests took, by the pattern of their route.",
			Labels: []string{"route"}, Times: measure.Timings(1, &e.Took)},
		counter("parvis_http_panics_total", "Requests whose handler panicked.", &e.Panics),
		{Name: "parvis_sign_ins_total", Kind: measure.Count, Help: "Sign-ins, counted a second later by the node that seals the audit log.",
			Labels: []string{"way", "result"}, Read: measure.Counts(&a.Audit.SignIns, 2)},
		{Name: "parvis_tokens_issued_total", Kind: measure.Count, Help: "Answers of the token endpoint with tokens, by the type of the grant.",
			Labels: []string{"grant"}, Read: measure.Counts(&a.Provider.Issued, 1)},
		{Name: "parvis_limiter_refusals_total", Kind: measure.Count, Help: "Tries that a limiter refused (docs/limits.md).",
			Labels: []string{"limiter"}, Read: func(add func(float64, ...string)) {
				measure.Counts(&of.limits.Refused, 1)(add)
				measure.Counts(&e.Refused, 1)(add)
			}},
		gauge("parvis_password_hashes_waiting", "Callers that wait for the turn of their password hash.", func() float64 { return float64(of.hashes.Waiting()) }),
		timer("parvis_password_hash_wait_seconds", "How long a password hash waited for its turn.", of.hashes.Waited),
		timer("parvis_password_hash_duration_seconds", "How long a password hash took.", of.hashes.Worked),
		counter("parvis_password_hashes_refused_total", "Password hashes for which there was no place to wait.", of.hashes.Refused),
		{Name: "parvis_outbound_call_duration_seconds", Kind: measure.Histogram,
			Help:   "Calls to others, by what they are for and how they ended: the class of the status, or why there was no answer.",
			Labels: []string{"kind", "result"}, Times: measure.Timings(2, of.calls, &a.Outbox.Calls)},
	}
}

func (a *App) ofDatabase() []measure.Family {
	m := a.db.Measures
	each := func(name string, kind measure.Kind, help string, value func(of pool) float64) measure.Family {
		return measure.Family{Name: name, Kind: kind, Help: help, Labels: []string{"pool"}, Read: func(add func(float64, ...string)) {
			for _, of := range pools(a.db) {
				add(value(of), of.name)
			}
		}}
	}
	return []measure.Family{
		{Name: "parvis_db_statement_duration_seconds", Kind: measure.Histogram, Labels: []string{"verb"}, Times: m.Statements,
			Help: "How long statements took until their first row. To begin is to wait for a connection, on SQLite for the turn to write."},
		counter("parvis_db_transactions_repeated_total", "Transactions that ran again because they lost a race.", &m.Repeated),
		counter("parvis_db_transactions_given_up_total", "Transactions that lost races for too long, and were answered 503.", &m.GivenUp),
		counter("parvis_db_unavailable_total", "Statements that failed because the database could not work.", &m.Unavailable),
		each("parvis_db_connections_open", measure.Gauge, "Connections to the database.", func(of pool) float64 { return of.open }),
		each("parvis_db_connections_in_use", measure.Gauge, "Connections that somebody uses.", func(of pool) float64 { return of.used }),
		each("parvis_db_connection_waits_total", measure.Count, "How often somebody waited for a connection.", func(of pool) float64 { return of.waits }),
		each("parvis_db_connection_wait_seconds_total", measure.Count, "How long they waited, together.", func(of pool) float64 { return of.waited }),
	}
}

type pool struct {
	name                      string
	open, used, waits, waited float64
}

func pools(d *db.DB) (all []pool) {
	stats := d.Pools()
	for _, name := range []string{"all", "read", "write"} {
		if s, ok := stats[name]; ok {
			all = append(all, pool{name, float64(s.OpenConnections), float64(s.InUse), float64(s.WaitCount), s.WaitDuration.Seconds()})
		}
	}
	return all
}

func (a *App) ofSweeps() []measure.Family {
	each := func(name string, kind measure.Kind, help string, value func(*sweep) float64) measure.Family {
		return measure.Family{Name: name, Kind: kind, Help: help, Labels: []string{"sweep"}, Read: func(add func(float64, ...string)) {
			for _, s := range a.sweeps {
				add(value(s), s.name)
			}
		}}
	}
	// What never succeeded here has no time: another node may do it.
	done := func(name, help string, value func(*sweep) float64) measure.Family {
		return measure.Family{Name: name, Kind: measure.Gauge, Help: help, Labels: []string{"sweep"}, Read: func(add func(float64, ...string)) {
			for _, s := range a.sweeps {
				if s.succeeded.Load() > 0 {
					add(value(s), s.name)
				}
			}
		}}
	}
	return []measure.Family{
		each("parvis_sweep_interval_seconds", measure.Gauge, "How often a sweep runs.", func(s *sweep) float64 { return s.every.Seconds() }),
		each("parvis_sweep_failures_total", measure.Count, "Sweeps that failed; the log says why.", func(s *sweep) float64 { return s.failures.Value() }),
		each("parvis_sweep_panics_total", measure.Count, "Sweeps that panicked; the log says where.", func(s *sweep) float64 { return s.panics.Value() }),
		done("parvis_sweep_last_success_timestamp_seconds", "When a sweep last succeeded on this node, in Unix time.", func(s *sweep) float64 { return float64(s.succeeded.Load()) }),
		done("parvis_sweep_last_duration_seconds", "How long it took then.", func(s *sweep) float64 { return time.Duration(s.took.Load()).Seconds() }),
	}
}

// stock is what lies in the database, which is the same for all nodes.
type stock struct {
	sessions, grants, letters, unsealed, retries, parked int

	oldestLetter, oldestUnsealed, oldestRetry time.Time
}

// stockLasts is how long a stock is shown before it is taken again: it is counted, and several may ask.
const stockLasts = 15 * time.Second

// stockWithin is how long the database may take to count.
const stockWithin = 5 * time.Second

// store keeps the last stock.
type store struct {
	db *db.DB

	mu    sync.Mutex
	last  stock
	known bool
	at    time.Time
}

// take returns the stock; nothing if the database does not tell it.
func (s *store) take() (stock, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.db.Now(); s.at.IsZero() || now.Sub(s.at) >= stockLasts || now.Before(s.at) {
		ctx, cancel := context.WithTimeout(context.Background(), stockWithin)
		defer cancel()
		err := s.count(ctx)
		s.known, s.at = err == nil, now
	}
	return s.last, s.known
}

func (s *store) count(ctx context.Context) error {
	var n stock
	var errs [5]error
	n.sessions, errs[0] = session.Count(ctx, s.db)
	n.grants, errs[1] = op.Count(ctx, s.db)
	n.letters, n.oldestLetter, errs[2] = mail.Unsent(ctx, s.db)
	n.unsealed, n.oldestUnsealed, errs[3] = audit.Unsealed(ctx, s.db)
	n.retries, n.oldestRetry, n.parked, errs[4] = webhook.Backlog(ctx, s.db)
	s.last = n
	return errors.Join(errs[:]...)
}

func (a *App) ofStock() []measure.Family {
	s := &store{db: a.db}
	of := func(name, help string, value func(stock) float64) measure.Family {
		return measure.Family{Name: name, Kind: measure.Gauge, Help: help + " Of the whole installation.", Read: func(add func(float64, ...string)) {
			if n, known := s.take(); known {
				add(value(n))
			}
		}}
	}
	age := func(at time.Time) float64 {
		if at.IsZero() {
			return 0
		}
		return max(0, a.db.Now().Sub(at).Seconds())
	}
	return []measure.Family{
		of("parvis_sessions", "Open sessions.", func(n stock) float64 { return float64(n.sessions) }),
		of("parvis_grants", "Open grants of applications, whose tokens work.", func(n stock) float64 { return float64(n.grants) }),
		of("parvis_letters_waiting", "Letters that wait to be sent.", func(n stock) float64 { return float64(n.letters) }),
		of("parvis_letters_oldest_seconds", "For how long the oldest of them has waited; 0 without any.", func(n stock) float64 { return age(n.oldestLetter) }),
		of("parvis_events_unsealed", "Events of the audit log that have no place in a tree yet.", func(n stock) float64 { return float64(n.unsealed) }),
		of("parvis_events_unsealed_oldest_seconds", "How old the oldest of them is; 0 without any.", func(n stock) float64 { return age(n.oldestUnsealed) }),
		of("parvis_webhook_events_waiting", "Events that a webhook did not take and that are sent again.", func(n stock) float64 { return float64(n.retries) }),
		of("parvis_webhook_events_oldest_seconds", "Since when the oldest of them waits; 0 without any.", func(n stock) float64 { return age(n.oldestRetry) }),
		of("parvis_webhooks_parked", "Webhooks that nobody takes.", func(n stock) float64 { return float64(n.parked) }),
		counter("parvis_audit_logs_altered_total", "Audit logs that this node stopped because somebody altered them.", &a.Audit.Altered),
	}
}
