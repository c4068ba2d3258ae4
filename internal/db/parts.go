package db

import "context"

// Part is how many rows a sweep changes in one transaction. SQLite has one writer, so whatever
// takes long keeps everybody waiting. A session that ends takes 50 µs, with its indexes.
const Part = 50

// InParts runs a statement that removes or changes what was kept long enough, Part rows in a
// transaction until there are no more, and returns how many they were. The statement chooses its
// rows by a subquery whose limit is the last placeholder, and does not choose them again.
func (d *DB) InParts(ctx context.Context, query string, args ...any) (all int64, err error) {
	args = append(args, Part)
	for {
		var n int64
		err := d.Update(ctx, func(tx *Tx) (err error) {
			n, err = tx.Exec(ctx, query, args...)
			return err
		})
		if all += n; err != nil || n < Part {
			return all, err
		}
	}
}
