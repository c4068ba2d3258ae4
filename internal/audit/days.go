package audit

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"parvis/internal/db"
)

// KeptDays is how long the counts by day are kept.
const KeptDays = 400 * 24 * time.Hour

// The actions that are counted by day.
const (
	SignedIn      Action = "signin.done"
	SignInRefused Action = "signin.refused"
	Opened        Action = "application.opened"
	Accepted      Action = "invitation.accepted"
)

// Way is how somebody signed in, or tried to.
type Way string

// The ways, in the order in which they are shown. Any other method, such as that of an event
// from before ways were recorded, is OtherWay.
const (
	ByPassword     Way = "password"
	ByPasskey      Way = "passkey"
	BySingleSignOn Way = "federated"
	ByInvitation   Way = "invitation"
	ByReset        Way = "reset"
	BySecondStep   Way = "second_step" // only refused: who proves a second step came in by something else
	OtherWay       Way = "other"
)

// Methods returns what events have as their method that are counted for a way.
func (w Way) Methods() []string {
	switch w {
	case ByPassword, BySingleSignOn, ByInvitation, ByReset:
		return []string{string(w)}
	case ByPasskey:
		return []string{"passkey", "verified_passkey"}
	case BySecondStep:
		return []string{"app", "recovery"}
	case OtherWay:
	}
	return nil
}

// Known reports whether events can be selected by the way.
func (w Way) Known() bool { return len(w.Methods()) > 0 }

// pattern returns the like pattern for the fields of an event with method i of the way. The text
// is JSON of our own, in which a value cannot look like a field.
func (w Way) pattern(i int) string {
	methods := w.Methods()
	if len(methods) == 0 {
		return "%"
	}
	return `%"method":"` + strings.ReplaceAll(methods[min(i, len(methods)-1)], "_", `\_`) + `"%`
}

// Ways lists every way.
var Ways = []Way{ByPassword, ByPasskey, BySingleSignOn, ByInvitation, ByReset, BySecondStep, OtherWay}

// Count is how many events of a kind there were on a day.
type Count struct {
	Day    time.Time // its beginning in UTC
	Action Action
	Result Result
	About  string // the Way of a sign-in; the id of the application that was opened; else empty
	Events int
}

// Days returns what was counted in an organization since a day.
func Days(ctx context.Context, r db.Reader, orgID string, since time.Time) ([]Count, error) {
	return db.List(ctx, r, func(c *Count) []any {
		return db.Into((*db.Time)(&c.Day), &c.Action, &c.Result, &c.About, &c.Events)
	}, `
		select day, action, result, about, events
		from audit_days
		where org_id = $1 and day >= $2
		order by day, action, result, about`, orgID, db.Time(since))
}

// kind is what events have in common that are counted together.
type kind struct {
	org    string
	day    time.Time
	action Action
	result Result
	about  string
}

// counts counts events by their kinds.
func counts(events []leaf) map[kind]int {
	all := map[kind]int{}
	for i := range events {
		e := &events[i]
		if about, counted := e.about(); counted {
			all[kind{e.Org, db.Day(e.At), e.Action, e.Result, about}]++
		}
	}
	return all
}

// count adds events that are being sealed to the counts. It runs in the transaction that seals
// them, so each event is counted exactly once.
func count(ctx context.Context, tx *db.Tx, counts map[kind]int) error {
	var all [][]any
	for k, n := range counts {
		all = append(all, []any{k.org, db.Time(k.day), string(k.action), string(k.result), k.about, n})
	}
	return tx.Insert(ctx, `insert into audit_days (org_id, day, action, result, about, events) values `, all,
		` on conflict (org_id, day, action, result, about) do update set events = audit_days.events + excluded.events`)
}

// about returns under what an event is counted, and reports whether it is counted at all. Fields
// that cannot be read name no way: they must not keep the log from being sealed.
func (l *leaf) about() (about string, counted bool) {
	switch l.Action {
	case SignedIn, SignInRefused:
		var after struct{ Method string }
		if json.Unmarshal([]byte(l.after), &after) != nil {
			return string(OtherWay), true
		}
		return string(wayOf(after.Method)), true
	case Opened:
		return l.Target, true
	case Accepted:
		return "", true
	default:
		return "", false
	}
}

func wayOf(method string) Way {
	for _, w := range Ways {
		for _, m := range w.Methods() {
			if m == method {
				return w
			}
		}
	}
	return OtherWay
}

// SweepDays removes counts that were kept long enough.
func SweepDays(ctx context.Context, d *db.DB) error {
	return d.Update(ctx, func(tx *db.Tx) error {
		_, err := tx.Exec(ctx, `delete from audit_days where day < $1`, db.Time(db.Day(tx.Now().Add(-KeptDays))))
		return err
	})
}
