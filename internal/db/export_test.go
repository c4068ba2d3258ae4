package db

import (
	"slices"
	"time"
)

// HeardOf makes the last hearing one of another server, or of a later moment, or long ago.
func (d *DB) HeardOf(server string, xmin int64, ago time.Duration) {
	d.hearing.one.Lock()
	defer d.hearing.one.Unlock()
	if server != "" {
		d.hearing.server = server
	}
	d.hearing.xmin += xmin
	at := d.hearing.at.Load().Add(-ago)
	d.hearing.at.Store(&at)
}

// Watched lists by which columns a change of each table is told, of rows there and of new ones.
func Watched() (tables, added map[string][]string) {
	tables, added = map[string][]string{}, map[string][]string{}
	for table, w := range watched {
		tables[table], added[table] = slices.Clone(w.row), slices.Clone(w.added)
	}
	return tables, added
}

// Believed is for how long what was heard is believed.
const Believed = believed

// Waiting returns how many transactions have waited for the writing connection so far.
func (d *DB) Waiting() int64 { return d.write.Stats().WaitCount }

// Idle returns how many connections nobody uses.
func (d *DB) Idle() int { return d.write.Stats().Idle }
