// Package webhook sends the events of the audit log to addresses outside: each by itself, in the
// form of Standard Webhooks 1.0, or as a log in batches of lines.
//
// A webhook is a cursor in the sealed log of its organization, with a filter: recording an event
// costs nothing more, and nothing is lost while the log is kept. Those of the installation, whose
// organization is empty, read the installation's log alone.
//
// It owns webhooks, webhook_secrets, webhook_retries and webhook_attempts.
package webhook

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/delivery"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/limit"
	"parvis/internal/mail"
	"parvis/internal/outbound"
	"parvis/internal/secret"
)

// Kind says how events are sent.
type Kind string

// The kinds.
const (
	Events Kind = "events" // each by itself, several at once
	Log    Kind = "log"    // batches of lines, in the order of the log, one at a time
)

// Form says what an event looks like on the wire.
type Form string

// The forms.
const (
	Own  Form = "parvis"
	OCSF Form = "ocsf" // Open Cybersecurity Schema Framework
)

// Scheme is how a webhook is signed (Standard Webhooks 1.0).
type Scheme string

// The schemes.
const (
	Symmetric  Scheme = "v1"  // HMAC-SHA256, with a secret that both have
	Asymmetric Scheme = "v1a" // Ed25519: the receiver has the public key alone
)

// Why says why a webhook is off.
type Why string

// The reasons.
const (
	ByHand  Why = "by_hand"
	Gone    Why = "gone"    // the receiver answered 410
	Failing Why = "failing" // nothing was taken for days
)

const (
	// Most is how many webhooks an organization may have.
	Most = 20
	// MostHeaders is how many headers of their own a log may be sent with.
	MostHeaders = 3
	// RotationLasts is how long the secret before the newest signs too.
	RotationLasts = 24 * time.Hour
	// AttemptsKept is how long attempts are kept, and events that were given up.
	AttemptsKept = 30 * 24 * time.Hour
	// ParksAfter is how many failures in a row park a webhook.
	ParksAfter = 20
	// TellsAfter and EndsAfter are how long one is parked until a letter says so, and until it is
	// turned off.
	TellsAfter = time.Hour
	EndsAfter  = 3 * 24 * time.Hour
)

// Settings are what people choose of a webhook.
type Settings struct {
	Name    string
	Kind    Kind // chosen once
	Form    Form
	Address string
	Events  []string // actions, areas as 'user.*', or '*' for all
	Values  bool     // names, networks and the values that changed are sent too
}

// Header is a header that a log is sent with. Its value is never shown again.
type Header struct{ Name, Value string }

// Webhook is an address to which events are sent.
type Webhook struct {
	Settings

	OrgID     directory.OrgID // empty for the installation's
	ID        string          // whk_ and 26 characters
	Version   int             // of its bodies
	Headers   []string        // the names of its own
	On        bool
	Why       Why // it is off
	Cursor    int64
	Failures  int64 // in a row
	ParkedAt  time.Time
	NextTryAt time.Time
	TakenAt   time.Time
	TestedAt  time.Time // zero for an address that was not tried yet
	CreatedAt time.Time
	ChangedAt time.Time

	toldAt time.Time
	sealed string // its headers
}

// Parked reports whether only the oldest event is tried, until the receiver takes it.
func (w Webhook) Parked() bool { return w.On && !w.ParkedAt.IsZero() }

// State is what a webhook does now, in one word.
type State string

// The states.
const (
	IsOn     State = "on"
	IsParked State = "parked"
	IsOff    State = "off"
)

// State returns what the webhook does now.
func (w Webhook) State() State {
	switch {
	case !w.On:
		return IsOff
	case w.Parked():
		return IsParked
	}
	return IsOn
}

// EndsAt returns when a parked webhook is turned off.
func (w Webhook) EndsAt() time.Time { return w.ParkedAt.Add(EndsAfter) }

// wants reports whether the webhook is to be sent an action.
func (w Webhook) wants(a audit.Action) bool {
	for _, p := range w.Events {
		if area, all := strings.CutSuffix(p, "*"); p == string(a) || all && strings.HasPrefix(string(a), area) {
			return true
		}
	}
	return false
}

// The faults of webhooks.
var (
	ErrAddress     = fault.Field("address", "webhook.address")
	ErrLong        = fault.Field("address", "webhook.address_long")
	ErrKind        = fault.Field("kind", "webhook.kind")
	ErrForm        = fault.Field("form", "webhook.form")
	ErrScheme      = fault.Field("scheme", "webhook.scheme")
	ErrNoEvents    = fault.Field("events", "webhook.no_events")
	ErrEvent       = fault.Field("events", "webhook.event_unknown")
	ErrTooMany     = fault.Field("name", "webhook.too_many")
	ErrHeaders     = fault.Field("headers", "webhook.too_many_headers")
	ErrHeaderKind  = fault.Field("headers", "webhook.headers_of_log")
	ErrHeaderName  = fault.Field("headers", "webhook.header_name")
	ErrHeaderValue = fault.Field("headers", "webhook.header_value")
	// ErrHeadersStay keeps the secret that one receiver is shown from reaching another one.
	ErrHeadersStay = fault.Field("address", "webhook.headers_stay")
	ErrReplay      = fault.Field("after", "webhook.replay_ahead")
	ErrNoSecret    = fault.New(fault.Conflict, "webhook.no_secret") // after a restore
	ErrTooOften    = fault.New(fault.Throttled, "webhook.too_often")
)

// Parts are what a Sender works with.
type Parts struct {
	DB     *db.DB
	Outbox *mail.Outbox
	Limits *limit.Limiter
	Logs   *audit.Logs // which checkpoints are of
	Base   string      // the public address, without a slash at its end
	Log    *slog.Logger

	// Outbound calls what the operator named, by the operator's exceptions. Strict calls what
	// organizations named, and should have none.
	Outbound, Strict *outbound.Client
}

// Sender keeps webhooks, and sends what they are to get.
type Sender struct {
	Parts

	secrets, headers secret.Box
	room             *delivery.Room

	mu      sync.Mutex
	busy    map[string]bool    // by id: a batch is on the way
	scanned map[string]scanned // by id
}

// scanned is how far the log after a cursor was read and had nothing for the webhook. Only memory
// knows it, so that events that nobody subscribed to write nothing.
type scanned struct{ cursor, to int64 }

// What secrets and headers are sealed for.
const (
	secretsBox = "webhook secrets"
	headersBox = "webhook headers"
)

// Sealed are the columns of this package that a rotation of keys seals again.
var Sealed = []secret.Column{
	{Table: "webhooks", Name: "headers_sealed", Purpose: headersBox, Row: []string{"org_id", "id"}, For: func(row []string) string { return row[1] }},
	{Table: "webhook_secrets", Name: "sealed", Purpose: secretsBox, Row: []string{"org_id", "webhook_id", "id"}, For: func(row []string) string { return secretRow(row[1], row[2]) }},
}

// secretRow is what a secret is sealed for.
func secretRow(webhook, id string) string { return webhook + " " + id }

// NewSender returns a Sender with the keys that it derives.
func NewSender(p Parts, keys secret.Keys) *Sender {
	return &Sender{
		Parts: p, secrets: secret.NewBox(keys.Sealing, secretsBox), headers: secret.NewBox(keys.Sealing, headersBox),
		room: delivery.NewRoom(delivery.Limits{All: mostAtOnce, Owner: mostOfOwner, One: atOnce}),
		busy: map[string]bool{}, scanned: map[string]scanned{},
	}
}

// client returns the client for the address of a webhook.
func (s *Sender) client(org directory.OrgID) *outbound.Client {
	if org == "" {
		return s.Outbound
	}
	return s.Strict
}

const columns = `w.org_id, w.id, w.name, w.kind, w.form, w.address, w.events, w.with_values, w.version, w.headers, w.headers_sealed, w.state = 'on', w.why,
	w.cursor, w.failures, w.parked_at, w.told_at, w.next_try_at, w.taken_at, w.tested_at, w.created_at, w.changed_at`

func (w *Webhook) targets() []any {
	return db.Into(&w.OrgID, &w.ID, &w.Name, &w.Kind, &w.Form, &w.Address, db.Words(&w.Events), &w.Values, &w.Version, db.Words(&w.Headers), &w.sealed, &w.On, &w.Why,
		&w.Cursor, &w.Failures, (*db.Time)(&w.ParkedAt), (*db.Time)(&w.toldAt), (*db.Time)(&w.NextTryAt), (*db.Time)(&w.TakenAt), (*db.Time)(&w.TestedAt),
		(*db.Time)(&w.CreatedAt), (*db.Time)(&w.ChangedAt))
}

// ByID returns a webhook of an organization, for those who read its administration.
func ByID(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, id string) (Webhook, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return Webhook{}, err
	}
	return byID(ctx, r, org, id)
}

func byID(ctx context.Context, r db.Reader, org directory.OrgID, id string) (Webhook, error) {
	var w Webhook
	found, err := r.One(ctx, w.targets(), `
		select `+columns+`
		from webhooks w
		where w.org_id = $1 and w.id = $2`, string(org), id)
	if err == nil && !found {
		err = directory.ErrNotFound
	}
	return w, err
}

// Of lists the webhooks of an organization by name, for those who read its administration.
func Of(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) ([]Webhook, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return nil, err
	}
	return db.List(ctx, r, (*Webhook).targets, `
		select `+columns+`
		from webhooks w
		where w.org_id = $1
		order by w.name, w.id`, string(org))
}
