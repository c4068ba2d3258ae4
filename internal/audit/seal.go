package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"parvis/internal/db"
	"parvis/internal/measure"
	"parvis/internal/secret"
)

// Logs seals the audit log: one Merkle tree for each organization, and one for the installation,
// whose org_id is empty (RFC 6962, decision 0060).
//
// Events of about the last second have no place in a tree yet, and are not protected.
type Logs struct {
	host    string    // of the public address: keys are named after it
	since   time.Time // the restore that began the epoch; zero before the first
	keys    secret.Box
	old     *secret.Ring // of the chain that was before the trees
	telling *secret.Ring // of what nodes tell each other
	log     *slog.Logger
	most    int // days that events may be kept

	mu      sync.Mutex // one sweep at a time
	known   *memory
	stopped map[string]bool
	alarm   func(ctx context.Context, org string) error
	printer Printer

	// SignIns are those whose events this process sealed, by their way and result.
	SignIns measure.By[measure.Counter]
	// Altered are the logs that this process stopped.
	Altered measure.Counter
}

// Settings are what Logs are made from.
type Settings struct {
	Sealing *secret.Ring // kept outside the database
	Host    string
	File    string    // in which this node keeps the roots that it knows; empty for memory alone
	Days    int       // that an organization may have events kept at most; LongestKept where 0
	Since   time.Time // when the database was last restored; zero if never
	Log     *slog.Logger

	// Alarm, unless nil, is called for each log that is stopped because it was altered, once in a process.
	Alarm func(ctx context.Context, org string) error
	Print Printer
}

// Printer shows events once they are sealed. What a node sealed just before it died is shown by
// nobody: who must not miss an event reads the log, or has a webhook.
type Printer struct {
	All  bool                 // those of organizations too, and not of the installation alone
	Show func([]Stored) error // nil for none
}

// keysBox is what the keys of logs are sealed for.
const keysBox = "audit keys"

// Sealed are the columns of this package that a rotation of keys seals again.
var Sealed = []secret.Column{{
	Table: "audit_keys", Name: "seed", Purpose: keysBox, Row: []string{"org_id", "name"}, For: func(row []string) string { return row[1] },
}}

// NewLogs derives its keys from a ring that is kept outside the database.
func NewLogs(s Settings) *Logs {
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	return &Logs{
		host: s.Host, since: s.Since, keys: secret.NewBox(s.Sealing, keysBox), old: s.Sealing.For("audit seals"), telling: s.Sealing.For(rootsRing), log: s.Log,
		most: cmp.Or(s.Days, LongestKept), known: &memory{path: s.File, epoch: EpochName(s.Since)}, stopped: map[string]bool{}, alarm: s.Alarm, printer: s.Print,
	}
}

// Longest returns for how many days an organization may have its events kept.
func (l *Logs) Longest() int { return l.most }

// perSweep is the most events that one sweep seals. Its first transaction seals db.Part of them, because
// everybody waits meanwhile for SQLite's only writer. Where more wait, each of the next seals twice
// as many, up to mostPart: an event costs half of what it does alone, and fewer wait for the disk.
const (
	perSweep = 5000
	mostPart = 4 * db.Part
)

// Sweep seals the events committed since the last sweep, and counts them by day. Growing a tree
// inside each recording transaction would make all of an organization's wait for each other
// (decision 0012).
//
// A log whose tree is not the one that this node knows is stopped: nothing more is sealed in it,
// and each sweep that could have returns ErrAltered.
func (l *Logs) Sweep(ctx context.Context, d *db.DB) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	part := db.Part
	for n := 0; n < perSweep; {
		var id string
		if some, err := d.One(ctx, db.Into(&id), `select id from audit_events where leaf is null limit 1`); err != nil || !some {
			return err
		}
		if err := l.known.load(); err != nil {
			return err
		}
		sealed, err := l.sealPart(ctx, d, part)
		if err != nil {
			return err
		}
		if sealed < part {
			break
		}
		n += sealed
		part = min(2*part, mostPart, perSweep-n)
	}
	return l.stillStopped()
}

// sealPart seals the oldest events in one transaction, at most so many, and returns how many they were.
func (l *Logs) sealPart(ctx context.Context, d *db.DB, most int) (n int, err error) {
	if err := l.adopt(ctx, d); err != nil {
		return 0, err
	}
	for {
		var s sealing
		var events []Stored
		err := d.Update(ctx, func(tx *db.Tx) (err error) {
			if s, err = l.seal(ctx, tx, most); err == nil {
				events, err = l.printer.read(ctx, tx, s.grown)
			}
			return err
		})
		if err != nil {
			return 0, err
		}
		if len(s.broken) == 0 {
			l.measure(s.counted)
			for _, t := range s.grown {
				n += int(t.size - t.before)
			}
			return n, errors.Join(l.known.keep(s.grown), l.printer.show(events))
		}
		for _, t := range s.broken {
			l.stop(ctx, t.org, s.why)
		}
	}
}

// measure adds sign-ins to those that this process sealed: each is sealed exactly once.
func (l *Logs) measure(counted map[kind]int) {
	for k, n := range counted {
		if k.action == SignedIn || k.action == SignInRefused {
			l.SignIns.Of(measure.Labels{k.about, string(k.result)}).Add(n)
		}
	}
}

// read reads what is to be shown of trees that grew, in the order of each log.
func (p Printer) read(ctx context.Context, r db.Reader, grown []tree) (all []Stored, err error) {
	for _, t := range grown {
		if err == nil && p.Show != nil && (p.All || t.org == "") {
			var some []Stored
			some, err = After(ctx, r, t.org, t.before-1, int(t.size-t.before))
			all = append(all, some...)
		}
	}
	return all, err
}

func (p Printer) show(events []Stored) error {
	if len(events) == 0 {
		return nil
	}
	return p.Show(events)
}

// stop seals nothing more in a log, and raises the alarm.
func (l *Logs) stop(ctx context.Context, org string, why error) {
	if !l.stopped[org] {
		l.Altered.Inc()
		l.log.ErrorContext(ctx, "the audit log was altered, and is stopped", "organization", org, "error", why.Error())
		if l.alarm != nil {
			if err := l.alarm(ctx, org); err != nil {
				l.log.ErrorContext(ctx, "no letter says that the audit log was altered", "organization", org, "error", err.Error())
			}
		}
	}
	l.stopped[org] = true
}

// stillStopped returns ErrAltered with the names of what is stopped.
func (l *Logs) stillStopped() error {
	if len(l.stopped) == 0 {
		return nil
	}
	return fmt.Errorf("%w: stopped for %s", ErrAltered, strings.Join(slices.Sorted(maps.Keys(l.stopped)), ", "))
}

// sealing is what came of sealing once.
type sealing struct {
	grown   []tree
	counted map[kind]int // its events, as they are counted by day
	broken  []tree       // that are not what this node knows, and why
	why     error
}

// seal gives the oldest events that have none their places, and writes what grew. If a tree is not
// the one that this node knows, nothing is written, and broken has it.
func (l *Logs) seal(ctx context.Context, tx *db.Tx, most int) (s sealing, err error) {
	trees, broken, why, err := l.trees(ctx, tx, most)
	if err != nil || len(broken) > 0 {
		return sealing{broken: broken, why: why}, err
	}
	events, err := l.number(ctx, tx, most)
	if err != nil {
		return sealing{}, err
	}
	grown := map[tileAt][]tlog.Hash{}
	for i := range events {
		e := &events[i]
		t := trees[e.Org]
		if t == nil {
			t = &tree{org: e.Org}
			trees[e.Org] = t
		}
		if e.number != t.size || e.ByHash == "" {
			return sealing{}, fmt.Errorf("event %s of %q got place %d of %d, or has no hashes yet", e.ID, e.Org, e.number, t.size)
		}
		t.add(e.hash(), func(level int, n int64, h tlog.Hash) {
			at := tileAt{e.Org, level, n >> tileHeight}
			grown[at] = append(grown[at], h)
		})
	}
	for _, t := range trees {
		s.grown = append(s.grown, *t)
	}
	s.counted = counts(events)
	return s, errors.Join(write(ctx, tx, s.grown, grown), count(ctx, tx, s.counted))
}

// trees reads the trees in which something is to be sealed, and compares them with what this node
// knows of them.
func (l *Logs) trees(ctx context.Context, tx *db.Tx, most int) (all map[string]*tree, broken []tree, why, err error) {
	all = map[string]*tree{}
	except, args := l.exceptStopped()
	err = tx.Rows(ctx, func(scan func(...any) error) error {
		var org string
		var size, first *int64
		var root, roots *string
		if err := scan(&org, &size, &root, &roots, &first); err != nil {
			return err
		}
		t := &tree{org: org}
		if size != nil {
			t.size, t.before, t.first = *size, *size, *first
			if altered := t.read(*root, *roots); altered != nil {
				broken, why = append(broken, *t), errors.Join(why, altered)
			}
		}
		all[org] = t
		return nil
	}, `
		select e.org_id, l.size, l.root, l.edge, l.first
		from (select distinct org_id from (
			select org_id from audit_events where leaf is null `+except+` order by at, org_id, id limit $1) waiting) e
		left join audit_logs l on l.org_id = e.org_id`, append([]any{most}, args...)...)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, t := range all {
		altered := l.known.compare(*t, newTiles(ctx, tx, t.org))
		if altered != nil && !errors.Is(altered, ErrAltered) {
			return nil, nil, nil, altered
		}
		if altered != nil {
			broken, why = append(broken, *t), errors.Join(why, altered)
		}
	}
	return all, broken, why, nil
}

// number gives the oldest events without a place the next ones of their logs, and returns them in
// their order.
func (l *Logs) number(ctx context.Context, tx *db.Tx, most int) ([]leaf, error) {
	var all []leaf
	except, args := l.exceptStopped()
	err := tx.Rows(ctx, func(scan func(...any) error) error {
		var e leaf
		err := scan(&e.Org, &e.ID, (*db.Time)(&e.At), &e.Actor, &e.Action, &e.Result, &e.Target, &e.Request, &e.ByHash, &e.OfHash, &e.after, &e.number)
		all = append(all, e)
		return err
	}, `
		update audit_events set leaf = numbered.leaf
		from (
			select w.org_id, w.id, coalesce(l.size, 0) + row_number() over (partition by w.org_id order by w.at, w.id) - 1 as leaf
			from (select org_id, id, at from audit_events where leaf is null `+except+` order by at, org_id, id limit $1) w
			left join audit_logs l on l.org_id = w.org_id) numbered
		where audit_events.org_id = numbered.org_id and audit_events.id = numbered.id
		returning audit_events.org_id, audit_events.id, audit_events.at, audit_events.actor, audit_events.action, audit_events.result,
			audit_events.target, audit_events.request, audit_events.by_hash, audit_events.of_hash, audit_events.after, audit_events.leaf`,
		append([]any{most}, args...)...)
	slices.SortFunc(all, func(a, b leaf) int {
		if a.Org != b.Org {
			return strings.Compare(a.Org, b.Org)
		}
		return int(a.number - b.number)
	})
	return all, err
}

// exceptStopped returns a condition that leaves out what is stopped.
func (l *Logs) exceptStopped() (condition string, args []any) {
	if len(l.stopped) == 0 {
		return "", nil
	}
	for _, org := range slices.Sorted(maps.Keys(l.stopped)) {
		args = append(args, org)
	}
	return "and org_id not in (" + db.Places(2, len(args)) + ")", args
}

// tileAt is the place of a tile.
type tileAt struct {
	org   string
	level int
	n     int64
}

// write writes trees that grew, and the hashes by which their tiles did.
func write(ctx context.Context, tx *db.Tx, trees []tree, grown map[tileAt][]tlog.Hash) error {
	var logs, tiles [][]any
	for _, t := range trees {
		logs = append(logs, []any{t.org, t.size, textOf(t.root()), textOf(t.roots...), 0})
	}
	for at, hashes := range grown {
		tiles = append(tiles, []any{at.org, at.level, at.n, textOf(hashes...)})
	}
	return errors.Join(
		tx.Insert(ctx, `insert into audit_logs (org_id, size, root, edge, first) values `, logs,
			` on conflict (org_id) do update set size = excluded.size, root = excluded.root, edge = excluded.edge`),
		tx.Insert(ctx, `insert into audit_tiles (org_id, level, n, hashes) values `, tiles,
			` on conflict (org_id, level, n) do update set hashes = audit_tiles.hashes || excluded.hashes`))
}

// Unsealed returns how many events have no place in a tree yet, and when the oldest was recorded; the
// zero time if there is none.
func Unsealed(ctx context.Context, r db.Reader) (n int, oldest time.Time, err error) {
	_, err = r.One(ctx, db.Into(&n, (*db.Time)(&oldest)), `select count(*), min(at) from audit_events where leaf is null`)
	return n, oldest, err
}
