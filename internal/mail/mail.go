// Package mail writes letters to people and keeps the outbox they wait in.
//
// A letter is a row of the table letters. Put inserts it in the transaction that it reports
// on, so it exists exactly if that transaction was committed. Its values are sealed in the
// row, because a link may be among them. Sweep renders and sends the letters that are due,
// outside any transaction, and the statement that ends a letter erases its values. After a
// crash between sending and ending, a letter is sent once more with the same Message-ID. No
// letter is ever lost.
//
// It owns letters. Other packages join it on (org_id, id) and read a Delivery.
package mail

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	netmail "net/mail"
	"time"

	"parvis/internal/db"
	"parvis/internal/i18n"
	"parvis/internal/measure"
	"parvis/internal/secret"
)

// A Letter is one message to one person.
type Letter struct {
	OrgID      string // empty for a letter of the whole installation
	Recipient  string // the canonical address, without a name
	Language   i18n.Tag
	TimeZone   string    // the recipient's, by its IANA name; empty is UTC
	Leaves     time.Time // not before; zero for now
	Parameters Parameters
}

// ErrRecipient is returned for a text that is not exactly one plain address. Addresses that
// people type are checked long before; this is the last check.
var ErrRecipient = errors.New("a letter goes to one plain address")

// Outbox stores letters and sends them. Build it once; it never changes.
type Outbox struct {
	box        secret.Box
	catalogue  *i18n.Catalogue
	from       string
	server     *SMTP
	letterhead func(context.Context, db.Reader, string) (Letterhead, error)
	log        *slog.Logger
	grace      time.Duration
	days       int // see Settings

	// Calls are what was handed to the mail server, and how that ended; a connection that could not
	// be made counts too.
	Calls measure.By[measure.Timer]
}

// Settings are what an Outbox needs.
type Settings struct {
	Sealing   *secret.Ring
	Catalogue *i18n.Catalogue
	From      string // the plain address that letters come from
	Server    *SMTP  // if nil, letters are stored and wait until there is one
	// Letterhead reads what the letters of an organization have in common. It is asked when
	// a letter is sent.
	Letterhead func(ctx context.Context, r db.Reader, orgID string) (Letterhead, error)
	Days       int // for which letters are kept once they have ended; KeptByDefault where 0
	Log        *slog.Logger
}

// NewOutbox makes an outbox.
func NewOutbox(s Settings) *Outbox {
	return &Outbox{
		box: secret.NewBox(s.Sealing, lettersBox), catalogue: s.Catalogue, from: s.From, server: s.Server,
		letterhead: s.Letterhead, log: s.Log, grace: grace, days: cmp.Or(s.Days, KeptByDefault),
	}
}

// lettersBox is what the parameters of letters are sealed for.
const lettersBox = "letters"

// Sealed are the columns of this package that a rotation of keys seals again.
var Sealed = []secret.Column{{
	Table: "letters", Name: "parameters", Purpose: lettersBox, Row: []string{"org_id", "id"},
	For: func(r []string) string { return row(r[0], r[1]) },
}}

// NewLetterID makes the id of a letter whose link has to be stored before Put is called.
func NewLetterID() string { return secret.NewID("let") }

// Put seals l and stores it for the next Sweep. It returns the letter's id.
func (o *Outbox) Put(ctx context.Context, tx *db.Tx, l Letter) (string, error) {
	if a, err := netmail.ParseAddress(l.Recipient); err != nil || a.Address != l.Recipient {
		return "", ErrRecipient
	}
	plain, err := json.Marshal(l.Parameters)
	if err != nil {
		return "", fmt.Errorf("putting a letter: %w", err)
	}
	id, leaves := NewLetterID(), tx.Now() // one that leaves later is as old as if it were made then
	if l.Leaves.After(leaves) {
		leaves = l.Leaves
	}
	if own, ok := l.Parameters.(interface{ letterID() string }); ok {
		id = cmp.Or(own.letterID(), id)
	}
	_, err = tx.Exec(ctx, `
		insert into letters (org_id, id, kind, recipient, language, time_zone, parameters, created_at, ends_at, next_try_at, tries)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
		l.OrgID, id, l.Parameters.kind(), l.Recipient, string(l.Language), l.TimeZone,
		o.box.Seal(plain, row(l.OrgID, id)), db.Time(leaves), db.Time(l.Parameters.endsAt()), db.Time(leaves), 0)
	return id, err
}

// Told reports whether a letter of the same kind as p was stored for a recipient since a
// time, whether or not it was sent.
func (o *Outbox) Told(ctx context.Context, r db.Reader, orgID, recipient string, p Parameters, since time.Time) (bool, error) {
	var id string
	return r.One(ctx, db.Into(&id), `
		select id from letters
		where org_id = $1 and recipient = $2 and kind = $3 and created_at > $4
		limit 1`, orgID, recipient, p.kind(), db.Time(since))
}

// row is the associated data of a letter's sealed parameters, so that they do not open if
// they are moved to another row.
func row(orgID, id string) string { return "letters/" + orgID + "/" + id }

// Withdraw ends a letter that was not sent yet. It does not change one that was.
func (o *Outbox) Withdraw(ctx context.Context, tx *db.Tx, orgID, id string) error {
	return end(ctx, tx, orgID, id, ending{givenUp: tx.Now()})
}

// An ending says how a letter ended. Exactly one of its times is set.
type ending struct {
	sent, bounced, givenUp time.Time
	answer                 Answer
}

// end ends a letter that is still waiting and erases its parameters.
func end(ctx context.Context, tx *db.Tx, orgID, id string, e ending) error {
	_, err := tx.Exec(ctx, `
		update letters
		set sent_at = $1, bounced_at = $2, given_up_at = $3, reply = coalesce($4, reply),
			next_try_at = null, parameters = null
		where org_id = $5 and id = $6 and next_try_at is not null`,
		db.Time(e.sent), db.Time(e.bounced), db.Time(e.givenUp), db.Text(e.answer), orgID, id)
	return err
}
