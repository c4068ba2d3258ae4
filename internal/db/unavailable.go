package db

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// errLost marks an error of the connection to the database, whose text alone would look like
// that of any other connection.
var errLost = errors.New("the connection to the database was lost")

// lost marks err if it means that the connection broke during a statement, or between two
// statements of a transaction.
func lost(err error) error {
	if err == nil {
		return nil
	}
	_, network := errors.AsType[net.Error](err)
	switch {
	case network, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.Is(err, sql.ErrTxDone), pgconn.SafeToRetry(err):
		return errors.Join(errLost, err)
	}
	return err
}

// IsUnavailable reports whether the database cannot work at the moment: its server does not
// answer or refuses the login, its disk is full, or a permission is missing. The caller gets
// 503 and not 500, because nothing is wrong with the request and the operator can mend it.
func IsUnavailable(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code[:2] {
		case "08", "28", "53", "57", "58": // connection, login refused, resources, operator, system
			return true
		}
		switch pg.Code {
		case "40001", "40P01", // gave up: serialization failure, deadlock
			"25006",          // read-only standby
			"3D000", "3F000", // no such database, no such schema
			"42501": // insufficient privilege
			return true
		}
		return false
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY,
			sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_NOMEM:
			return true
		}
		return false
	}
	_, connect := errors.AsType[*pgconn.ConnectError](err)
	return connect || errors.Is(err, errLost) || errors.Is(err, sql.ErrConnDone) || pgconn.Timeout(err)
}

// A Trouble is why the database cannot work, as far as an operator can do something about it.
type Trouble int

// What keeps a database from working.
const (
	Other      Trouble = iota
	Silent             // nobody answers at its address, or not in time
	Refused            // the login, or the database does not exist
	Forbidden          // a right is missing
	ReadOnly           // a standby, or a file or disk that is not to be written
	Full               // the disk, or the number of connections
	Statements         // a pooler that allows no transactions
	Damaged            // the file is no database, or not any more
)

// TroubleOf names what keeps the database from working.
func TroubleOf(err error) Trouble {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch {
		case pg.Code[:2] == "28", pg.Code == "3D000":
			return Refused
		case pg.Code == "42501", pg.Code == "3F000":
			return Forbidden
		case pg.Code == "25006":
			return ReadOnly
		case pg.Code[:2] == "53":
			return Full
		case strings.Contains(pg.Message, "statement pooling mode"): // PgBouncer's words; it has no code for it
			return Statements
		}
		return Other
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_READONLY:
			return ReadOnly
		case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH:
			return Forbidden
		case sqlite3.SQLITE_FULL:
			return Full
		case sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT:
			return Damaged
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return Silent
		}
		return Other
	}
	if IsUnavailable(err) {
		return Silent
	}
	return Other
}
