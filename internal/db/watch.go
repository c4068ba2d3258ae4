package db

import (
	"hash/fnv"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A watch says by which of its columns a change of a row is told to remembered answers (Recall).
// An answer hangs on the ids of its rows; it is void once one of them is
// told.
type watch struct {
	row   []string // of a row that was updated or deleted
	added []string // of an inserted one, for answers that depend on what was not there
}

// watched are the tables that remembered answers are read from. A test finds every table of every
// remembered statement here. The ids of all tables differ, so an id alone names its row.
var watched = map[string]watch{
	"browsers":             {row: []string{"id"}},
	"sessions":             {row: []string{"id", "browser_id"}, added: []string{"browser_id"}},
	"session_rules":        {row: []string{"org_id"}, added: []string{"org_id"}},
	"users":                {row: []string{"id"}},
	"organizations":        {row: []string{"id"}},
	"groups":               {row: []string{"org_id"}},
	"members":              {row: []string{"user_id"}, added: []string{"user_id"}},
	"clients":              {row: []string{"id"}},
	"client_secrets":       {row: []string{"client_id"}},
	"client_organizations": {row: []string{"client_id"}, added: []string{"client_id"}},
	"grants":               {row: []string{"id"}},
}

// watchHash tells processes that watch other tables from this one.
var watchHash = func() string {
	h := fnv.New64a()
	for _, table := range slices.Sorted(maps.Keys(watched)) {
		h.Write([]byte(table + "(" + strings.Join(watched[table].row, " ") + "|" + strings.Join(watched[table].added, " ") + ")"))
	}
	return strconv.FormatUint(h.Sum64(), 36)
}()

// A telling is a statement that writes a watched table, changed to return the ids of what
// it wrote.
type telling struct {
	text string
	ids  int // how many columns it returns behind its own
}

var (
	writing   = regexp.MustCompile(`^\s*(insert into|update|delete from)\s+(\w+)`)
	returning = regexp.MustCompile(`\sreturning\s`)
	tellings  sync.Map // text → *telling, nil for a statement that tells nothing
)

// tells returns how a statement is run to tell what it changes, or nil if it changes
// nothing that is watched. Statements are constants, so each is looked at once.
func tells(query string) *telling {
	if known, ok := tellings.Load(query); ok {
		return known.(*telling)
	}
	t := newTelling(query)
	tellings.Store(query, t)
	return t
}

func newTelling(query string) *telling {
	m := writing.FindStringSubmatch(query)
	if m == nil {
		return nil
	}
	table := m[2]
	columns := watched[table].row
	if m[1] == "insert into" {
		columns = watched[table].added
	}
	if len(columns) == 0 {
		return nil
	}
	before := "\nreturning "
	if returning.MatchString(query) {
		before = ", "
	}
	return &telling{query + before + table + "." + strings.Join(columns, ", "+table+"."), len(columns)}
}

// told are the ids of rows that a transaction changed. More than mostTold are not counted: then
// everything is void.
type told struct {
	ids []string
	all bool
}

const mostTold = 1000

func (t *told) nothing() bool { return !t.all && len(t.ids) == 0 }

func (t *told) add(ids []Text) {
	for _, id := range ids {
		if id != "" && !slices.Contains(t.ids[max(0, len(t.ids)-8):], string(id)) {
			t.ids = append(t.ids, string(id))
		}
	}
	if len(t.ids) > mostTold {
		*t = told{all: true}
	}
}

// targets are where a telling's own columns are scanned to.
func (g *telling) targets() ([]Text, []any) {
	ids := make([]Text, g.ids)
	into := make([]any, g.ids)
	for i := range ids {
		into[i] = &ids[i]
	}
	return ids, into
}

// telling hands each row to each, without the ids that the statement tells.
func (t *Tx) telling(g *telling, each func(scan func(...any) error) error) func(scan func(...any) error) error {
	return func(scan func(...any) error) error {
		heard := false
		err := each(func(into ...any) error {
			ids, more := g.targets()
			err := scan(slices.Concat(into, more)...)
			t.told.add(ids)
			heard = heard || err == nil
			return err
		})
		if !heard {
			t.told = told{all: true} // each did not look at the row
		}
		return err
	}
}
