package db

import "context"

// bulk are settings of SQLite's writer for very many inserts: how many pages of 4 kB it keeps in memory,
// that what a statement of several rows would take back stays there too, and after how many pages of
// the log these are brought into the file. So a page of an index that is needed again is not read
// again, and one that changed several times is written there once. SQLite forgets these pages when
// another process wrote, so they mostly serve one transaction.
var bulk = []string{"cache_size = 2000", "temp_store = memory", "wal_autocheckpoint = 4000"}

// Bulk prepares a process for very many inserts. It takes about 8 MB; on PostgreSQL it does nothing.
func (d *DB) Bulk(ctx context.Context) error {
	if d.dialect != sqliteDialect {
		return nil
	}
	for _, setting := range bulk {
		if err := d.rows(ctx, &d.write, func(func(...any) error) error { return nil }, "pragma "+setting, nil); err != nil {
			return err
		}
	}
	return nil
}
