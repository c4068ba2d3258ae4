package db

import (
	"context"
	"database/sql"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"

	"parvis/internal/measure"
	"parvis/internal/trace"
)

// Measures are how this process gets on with the database.
type Measures struct {
	Repeated    measure.Counter // transactions that ran again because they lost a race
	GivenUp     measure.Counter // those that lost for too long
	Unavailable measure.Counter // statements that failed because the database could not work

	took [len(verbs)]measure.Timer
}

// verbs are the kinds of statements that are timed: to begin is to wait for a connection, or on
// SQLite for the turn to write; to commit is to wait for the disk.
var verbs = [...]string{"other", "begin", "commit", "delete", "insert", "select", "update"}

// verbOf returns the index of a statement's first word. Statements are constants of ours, in small
// letters, so one letter tells.
func verbOf(query string) int {
	for i := range len(query) {
		switch query[i] {
		case ' ', '\n', '\t':
			continue
		case 'b':
			return 1
		case 'c':
			return 2
		case 'd':
			return 3
		case 'i':
			return 4
		case 's':
			return 5
		case 'u':
			return 6
		}
		break
	}
	return 0
}

// Statements visits how long the statements of each kind took, until their first row.
func (m *Measures) Statements(visit func(*measure.Timer, ...string)) {
	for i := range verbs {
		if m.took[i].Count() > 0 {
			visit(&m.took[i], verbs[i])
		}
	}
}

// Pools returns the state of the connections, by what they are for.
func (d *DB) Pools() map[string]sql.DBStats {
	if d.dialect == postgresDialect {
		return map[string]sql.DBStats{"all": d.write.Stats()}
	}
	return map[string]sql.DBStats{"read": d.read.Stats(), "write": d.write.Stats()}
}

// A statement is one that runs: this is the one place where statements are timed and traced.
type statement struct {
	db       *DB
	query    string
	watch    measure.Stopwatch
	span     *trace.Span
	answered bool
}

func (d *DB) statement(ctx context.Context, query string) statement {
	s := statement{db: d, query: query, watch: measure.Start(), span: trace.Statement(ctx, "")}
	if s.span != nil {
		what := subject.FindString(query)
		if what == "" {
			what = verbs[verbOf(query)]
		}
		s.span.Name(what)
		s.span.Text("db.system.name", [...]string{sqliteDialect: "sqlite", postgresDialect: "postgresql"}[d.dialect])
		s.span.Text("db.query.text", query) // a constant with placeholders
	}
	return s
}

// answer stops the watch: what a caller does with each row is not the database's time.
func (s *statement) answer() {
	if !s.answered {
		s.db.Measures.took[verbOf(s.query)].Observe(s.watch.Took())
	}
	s.answered = true
}

// end ends the statement.
func (s *statement) end(err error) {
	s.answer()
	if err != nil {
		if IsUnavailable(err) {
			s.db.Measures.Unavailable.Inc()
		}
		s.span.Fail(codeOf(err))
	}
	s.span.End()
}

// codeOf names an error without its text, which may quote a row.
func codeOf(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return "sqlite " + strconv.Itoa(lite.Code())
	}
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case IsUnavailable(err):
		return "unavailable"
	}
	return "error"
}

func (s *statement) found(err error) (bool, error) {
	ok, err := found(s.query, err)
	s.end(err)
	return ok, err
}

func (s *statement) rows(rows *sql.Rows, err error, each func(scan func(...any) error) error) error {
	err = s.eachRow(rows, err, each)
	s.end(err)
	return err
}

func (s *statement) eachRow(rows *sql.Rows, err error, each func(scan func(...any) error) error) error {
	if err != nil {
		return failed(s.query, err)
	}
	defer rows.Close()
	query := s.query // so that s need not be on the heap
	scan := func(into ...any) error { return failed(query, rows.Scan(into...)) }
	for rows.Next() {
		s.answer()
		if err := each(scan); err != nil {
			return err
		}
	}
	return failed(s.query, rows.Err())
}
