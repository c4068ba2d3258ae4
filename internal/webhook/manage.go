package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/secret"
)

// New is a webhook that is to be made. What its receiver verifies signatures with is made with it.
type New struct {
	Settings

	Headers []Header
	Scheme  Scheme // Symmetric if empty
}

// Create makes a webhook, which gets what happens from now on. It returns the text that the receiver
// verifies signatures with: a secret that is shown this once, or a public key. The caller asked for
// a fresh proof, and has checked the address outside of the transaction.
func (s *Sender) Create(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, n New) (Webhook, string, error) {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return Webhook{}, "", err
	}
	settings, err := n.clean(s.client(org))
	if err != nil {
		return Webhook{}, "", err
	}
	headers, err := cleanHeaders(settings.Kind, n.Headers)
	if err != nil {
		return Webhook{}, "", err
	}
	var has int
	if _, err := tx.One(ctx, db.Into(&has), `select count(*) from webhooks where org_id = $1`, string(org)); err != nil {
		return Webhook{}, "", err
	}
	if has >= Most {
		return Webhook{}, "", ErrTooMany.With("Most", Most)
	}
	size, err := audit.SizeOf(ctx, tx, string(org))
	if err != nil {
		return Webhook{}, "", err
	}
	w := Webhook{Settings: settings, OrgID: org, ID: secret.NewID("whk"), Version: bodyVersion, On: true, Cursor: size - 1, CreatedAt: tx.Now(), ChangedAt: tx.Now()}
	if err := s.keep(&w, headers); err != nil {
		return Webhook{}, "", err
	}
	if _, err := tx.Exec(ctx, `
		insert into webhooks (org_id, id, name, kind, form, address, events, with_values, version, headers, headers_sealed, state, why, cursor, failures, created_at, changed_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'on', '', $12, 0, $13, $13)`,
		string(org), w.ID, w.Name, string(w.Kind), string(w.Form), w.Address, strings.Join(w.Events, " "), w.Values, w.Version, strings.Join(w.Headers, " "), w.sealed,
		w.Cursor, db.Time(tx.Now())); err != nil {
		return Webhook{}, "", fmt.Errorf("keeping webhook %s: %w", w.ID, err)
	}
	text, err := s.newSecret(ctx, tx, w, n.Scheme)
	if err != nil {
		return Webhook{}, "", err
	}
	e := w.event(actor, "webhook.created")
	e.After = w.fields(w.Headers)
	return w, text, audit.Record(ctx, tx, e)
}

// keep puts headers into a webhook: their names, and all of them sealed.
func (s *Sender) keep(w *Webhook, headers []Header) error {
	w.Headers, w.sealed = nil, ""
	for _, h := range headers {
		w.Headers = append(w.Headers, h.Name)
	}
	if len(headers) == 0 {
		return nil
	}
	plain, err := json.Marshal(headers)
	if err != nil {
		return fmt.Errorf("keeping headers of %s: %w", w.ID, err)
	}
	w.sealed = s.headers.Seal(plain, w.ID)
	return nil
}

// rewrite gives a webhook other headers, unless they are nil or those that it has.
func (s *Sender) rewrite(w *Webhook, headers []Header) (others bool, err error) {
	if headers == nil {
		return false, nil
	}
	cleaned, err := cleanHeaders(w.Kind, headers)
	if err != nil {
		return false, err
	}
	kept, err := s.headersOf(*w)
	if err != nil || slices.Equal(cleaned, kept) {
		return false, err
	}
	return true, s.keep(w, cleaned)
}

// hostOf returns where an address leads: its scheme, host and port.
func hostOf(address string) string {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

// headersOf returns the headers of a webhook with their values.
func (s *Sender) headersOf(w Webhook) ([]Header, error) {
	if w.sealed == "" {
		return nil, nil
	}
	plain, err := s.headers.Open(w.sealed, w.ID)
	if err != nil {
		return nil, fmt.Errorf("opening headers of %s: %w", w.ID, err)
	}
	var all []Header
	if err := json.Unmarshal(plain, &all); err != nil {
		return nil, fmt.Errorf("reading headers of %s: %w", w.ID, err)
	}
	return all, nil
}

// Complete returns headers with the values that a webhook keeps of those that have none. What it does
// not keep stays without one, and so does every header that would go to another host than the one
// for which somebody gave its value.
func (s *Sender) Complete(w Webhook, sent []Header, address string) ([]Header, error) {
	if hostOf(address) != hostOf(w.Address) {
		return sent, nil
	}
	kept, err := s.headersOf(w)
	all := slices.Clone(sent)
	for i, h := range all {
		n := slices.IndexFunc(kept, func(k Header) bool { return k.Name == canonical(strings.TrimSpace(h.Name)) })
		if h.Value == "" && n >= 0 {
			all[i].Value = kept[n].Value
		}
	}
	return all, err
}

// NewValues returns the names of the headers whose values are others after a change.
func (s *Sender) NewValues(was, now Webhook) (names []string, err error) {
	before, err := s.headersOf(was)
	if err != nil {
		return nil, err
	}
	after, err := s.headersOf(now)
	for _, h := range after {
		if !slices.Contains(before, h) {
			names = append(names, h.Name)
		}
	}
	return names, err
}

// Change gives a webhook other settings, and other headers unless these are nil. Events that lie
// before its cursor stay as they are. The caller asked for a fresh proof.
func (s *Sender) Change(ctx context.Context, tx *db.Tx, actor directory.Actor, was Webhook, to Settings, headers []Header) (Webhook, error) {
	if err := actor.MaySetRules(ctx, tx, was.OrgID); err != nil {
		return Webhook{}, err
	}
	if to.Kind != "" && to.Kind != was.Kind {
		return Webhook{}, ErrKind
	}
	to.Kind = was.Kind
	to, err := to.clean(s.client(was.OrgID))
	if err != nil {
		return Webhook{}, err
	}
	now := was
	now.Settings, now.ChangedAt = to, tx.Now()
	if now.Address != was.Address {
		now.TestedAt = time.Time{} // the sweep tries it
	}
	if headers == nil && len(was.Headers) > 0 && hostOf(now.Address) != hostOf(was.Address) {
		return Webhook{}, ErrHeadersStay
	}
	others, err := s.rewrite(&now, headers)
	if err != nil {
		return Webhook{}, err
	}
	if reflect.DeepEqual(now.Settings, was.Settings) && !others {
		return was, nil
	}
	if _, err := tx.Exec(ctx, `
		update webhooks set name = $1, form = $2, address = $3, events = $4, with_values = $5, headers = $6, headers_sealed = $7, changed_at = $8, tested_at = $9
		where org_id = $10 and id = $11`,
		now.Name, string(now.Form), now.Address, strings.Join(now.Events, " "), now.Values, strings.Join(now.Headers, " "), now.sealed, db.Time(tx.Now()), db.Time(now.TestedAt),
		string(was.OrgID), was.ID); err != nil {
		return Webhook{}, fmt.Errorf("changing webhook %s: %w", was.ID, err)
	}
	e := now.event(actor, "webhook.changed")
	e.Before, e.After = was.fields(was.Headers), now.fields(now.Headers)
	maps.DeleteFunc(e.Before, func(name string, v any) bool {
		same := reflect.DeepEqual(v, e.After[name])
		if same {
			delete(e.After, name)
		}
		return same
	})
	return now, audit.Record(ctx, tx, e)
}

// Remove removes a webhook with everything that is kept of it.
func Remove(ctx context.Context, tx *db.Tx, actor directory.Actor, w Webhook) error {
	if err := actor.MaySetRules(ctx, tx, w.OrgID); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `delete from webhooks where org_id = $1 and id = $2`, string(w.OrgID), w.ID); err != nil {
		return fmt.Errorf("removing webhook %s: %w", w.ID, err)
	}
	e := w.event(actor, "webhook.removed")
	e.Before = w.fields(w.Headers)
	return audit.Record(ctx, tx, e)
}

// TurnOn sends on from the cursor, which stayed where it was. It also ends a pause at once.
func TurnOn(ctx context.Context, tx *db.Tx, actor directory.Actor, w Webhook) error {
	if err := actor.MaySetRules(ctx, tx, w.OrgID); err != nil {
		return err
	}
	signs, err := secretsOf(ctx, tx, w)
	if err == nil && len(signs) == 0 {
		err = ErrNoSecret
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		update webhooks set state = 'on', why = '', failures = 0, parked_at = null, told_at = null, next_try_at = null
		where org_id = $1 and id = $2`, string(w.OrgID), w.ID); err != nil {
		return err
	}
	if err := dueAgain(ctx, tx, w); err != nil || w.On {
		return err
	}
	return audit.Record(ctx, tx, w.event(actor, "webhook.turned_on"))
}

// TurnOff sends nothing until a person turns the webhook on again.
func TurnOff(ctx context.Context, tx *db.Tx, actor directory.Actor, w Webhook) error {
	if err := actor.MaySetRules(ctx, tx, w.OrgID); err != nil {
		return err
	}
	if !w.On {
		return nil
	}
	return w.off(ctx, tx, actor, ByHand)
}

// off turns a webhook off.
func (w Webhook) off(ctx context.Context, tx *db.Tx, actor directory.Actor, why Why) error {
	if _, err := tx.Exec(ctx, `
		update webhooks set state = 'off', why = $1, parked_at = null, told_at = null, next_try_at = null
		where org_id = $2 and id = $3`, string(why), string(w.OrgID), w.ID); err != nil {
		return err
	}
	e := w.event(actor, "webhook.turned_off")
	e.After = audit.Fields{"reason": string(why)}
	return audit.Record(ctx, tx, e)
}

// dueAgain makes everything due that was not taken, what was given up too.
func dueAgain(ctx context.Context, tx *db.Tx, w Webhook) error {
	_, err := tx.Exec(ctx, `
		update webhook_retries set next_try_at = $1
		where org_id = $2 and webhook_id = $3`, db.Time(tx.Now()), string(w.OrgID), w.ID)
	return err
}

// Replay sets the cursor back, so that everything after a place of the log is sent once more; -1 is
// before the first. What waits to be sent again and comes after it is sent in this way.
func Replay(ctx context.Context, tx *db.Tx, actor directory.Actor, w Webhook, after int64) error {
	if err := actor.MaySetRules(ctx, tx, w.OrgID); err != nil {
		return err
	}
	if after < -1 || after > w.Cursor {
		return ErrReplay
	}
	if _, err := tx.Exec(ctx, `update webhooks set cursor = $1 where org_id = $2 and id = $3`, after, string(w.OrgID), w.ID); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `
		delete from webhook_retries
		where org_id = $1 and webhook_id = $2 and leaf > $3`, string(w.OrgID), w.ID, after); err != nil {
		return err
	}
	was, err := audit.SequenceOf(ctx, tx, string(w.OrgID), w.Cursor)
	if err != nil {
		return err
	}
	is, err := audit.SequenceOf(ctx, tx, string(w.OrgID), after)
	if err != nil {
		return err
	}
	e := w.event(actor, "webhook.replayed")
	e.Before, e.After = audit.Fields{"sequence": was}, audit.Fields{"sequence": is}
	return audit.Record(ctx, tx, e)
}

// ReplaySince is Replay from the first event since a time.
func ReplaySince(ctx context.Context, tx *db.Tx, actor directory.Actor, w Webhook, since time.Time) error {
	first, err := audit.PlaceAt(ctx, tx, string(w.OrgID), since)
	if err != nil {
		return err
	}
	return Replay(ctx, tx, actor, w, min(first-1, w.Cursor))
}

func (w Webhook) event(actor directory.Actor, action audit.Action) audit.Event {
	e := actor.Event(w.OrgID, action)
	e.Target, e.TargetName = w.ID, w.Name
	return e
}
