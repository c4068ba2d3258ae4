package form

import "time"

// WebhookSettings is what can be changed of a webhook.
type WebhookSettings struct {
	Name    string   `json:"name"`
	Form    string   `json:"form" enum:"parvis ocsf"`
	Address string   `json:"address"`
	Events  []string `json:"events"` // actions, areas as 'user.*', or '*' for all
	Values  bool     `json:"values"` // names, networks and the values that changed are sent too
}

// NewWebhook is a webhook that is to be made.
type NewWebhook struct {
	Kind    string          `json:"kind" enum:"events log"`
	Name    string          `json:"name"`
	Form    string          `json:"form" enum:"parvis ocsf" optional:"true"` // parvis unless sent
	Address string          `json:"address"`
	Events  []string        `json:"events"`
	Values  bool            `json:"values" optional:"true"`
	Scheme  string          `json:"scheme" enum:"v1 v1a" optional:"true"` // v1, an HMAC, unless sent; v1a is Ed25519
	Headers []WebhookHeader `json:"headers" optional:"true"`              // of a log
}

// WebhookHeader is a header that a log is sent with. Its value is never shown.
type WebhookHeader struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// WebhookHeaders replace those of a log.
type WebhookHeaders struct {
	Headers []WebhookHeader `json:"headers"`
}

// Webhook is an address to which events are sent.
type Webhook struct {
	ID   string `json:"id"`
	Kind string `json:"kind" enum:"events log"`
	WebhookSettings
	Version   int        `json:"version"` // of its bodies
	Headers   []string   `json:"headers"` // their names
	State     string     `json:"state" enum:"on parked off"`
	Why       *string    `json:"why"`      // it is off
	Sequence  int64      `json:"sequence"` // of the last event that was sent or waits to be sent again; -1 for none
	Behind    int64      `json:"behind"`   // so many events of the log come after it
	Failures  int64      `json:"failures"` // in a row
	ParkedAt  *time.Time `json:"parked_at"`
	NextTryAt *time.Time `json:"next_try_at"` // nothing is sent before
	TakenAt   *time.Time `json:"taken_at"`    // when the receiver last took something
	CreatedAt time.Time  `json:"created_at"`
	ChangedAt time.Time  `json:"changed_at"`
}

// MadeWebhook is a webhook that was just made, with what its receiver verifies signatures with.
type MadeWebhook struct {
	Webhook
	Secret *string `json:"secret"` // shown this once; a public key with v1a
}

// Rotation asks for a new secret.
type Rotation struct {
	Scheme string `json:"scheme" enum:"v1 v1a" optional:"true"` // as before unless sent
}

// WebhookSecret is what a webhook is signed with.
type WebhookSecret struct {
	ID        string     `json:"id"`
	Scheme    string     `json:"scheme" enum:"v1 v1a"`
	Public    *string    `json:"public_key"` // of v1a
	CreatedAt time.Time  `json:"created_at"`
	EndsAt    *time.Time `json:"ends_at"` // of the one before the newest
}

// NewWebhookSecret is one that was just made.
type NewWebhookSecret struct {
	WebhookSecret
	Secret *string `json:"secret"` // shown this once; a public key with v1a
}

// Delivery is one request that was sent to a webhook.
type Delivery struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	EventID string    `json:"event_id"` // of a batch, the first one
	Action  string    `json:"action"`
	Events  int       `json:"events"`
	TookMS  int64     `json:"took_ms"`
	Taken   bool      `json:"taken"`
	Status  *int      `json:"status"` // null where there was no answer
	Why     *string   `json:"why"`    // there was none
}

// WaitingEvent is an event that a webhook did not take.
type WaitingEvent struct {
	EventID   string     `json:"event_id"`
	Tries     int        `json:"tries"`
	FailedAt  time.Time  `json:"failed_at"`
	NextTryAt *time.Time `json:"next_try_at"` // null once given up
}

// SentEvent names an event that is to be sent again.
type SentEvent struct {
	EventID string `json:"event_id"`
}

// Replay says from where on everything is sent again: one of the two.
type Replay struct {
	After *int64     `json:"after" optional:"true"` // a sequence; -1 is before the first
	Since *time.Time `json:"since" optional:"true"`
}
