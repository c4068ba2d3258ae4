package internal

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"parvis/internal/dbtest"
)

var update = flag.Bool("update", false, "write into docs/scale.md what other engines cannot do")

// A documented limit of an engine that divides tables among machines, here by org_id.
type limit struct {
	engine, what, source string
	meets                *regexp.Regexp
	of                   whom
}

// Of which statements a limit is: of all, of those on tables that are divided, or of those of them
// that name no organization and so run on several machines.
type whom int

const (
	all whom = iota
	divided
	several
)

const (
	citusSQL   = "https://docs.citusdata.com/en/stable/develop/reference_workarounds.html"
	yugabyte   = "https://docs.yugabyte.com/stable/explore/ysql-language-features/postgresql-compatibility/"
	cockroach  = "https://www.cockroachlabs.com/docs/stable/postgresql-compatibility"
	cockroachF = "https://www.cockroachlabs.com/docs/stable/functions-and-operators"
)

var limits = []limit{
	{"Citus", "a recursive query within one organization only", citusSQL, regexp.MustCompile(`\bwith recursive\b`), several},
	{"Citus", "`for update` within one organization only", citusSQL, regexp.MustCompile(`\bfor (no key )?(update|share)\b`), several},
	{"Citus", "`grouping sets` within one organization only", citusSQL, regexp.MustCompile(`\b(grouping sets|rollup|cube) ?\(`), several},
	{"Citus", "a subquery with `limit` that refers to the row outside it, within one organization only", citusSQL, regexp.MustCompile(`\(select [^()]*(\([^()]*\)[^()]*)* limit `), several},
	{"Citus", "no subquery among the values of an insert", citusSQL, regexp.MustCompile(`^insert into .* values \(.*\(select `), divided},
	{"Citus", "no volatile function in an update", citusSQL, regexp.MustCompile(`^update .*\b(random|clock_timestamp|nextval|gen_random_uuid)\(`), divided},
	{"Citus", "a row does not move to another organization", citusSQL, regexp.MustCompile(`^update \w+( as \w+)? set ([^=]+ = [^=]+, )?org_id =`), divided},
	{"YugabyteDB", "no numbers of transactions, no system columns", "https://github.com/yugabyte/yugabyte-db/issues/15638", transactionNumbers, all},
	{"YugabyteDB", "no `lock table`, no `listen`", yugabyte, regexp.MustCompile(`^(lock table|listen|notify) `), all},
	{"CockroachDB", "no numbers of transactions among its functions", cockroachF, transactionNumbers, all},
	{"CockroachDB", "`/` of two integers is a decimal", cockroachF, regexp.MustCompile(`[\w)] / [\w(]`), all},
	{"CockroachDB", "no `listen`, no system columns", cockroach, regexp.MustCompile(`^(listen|notify) |\b(xmin|ctid)\b`), all},
}

var transactionNumbers = regexp.MustCompile(`\b(pg_current_xact_id|pg_current_snapshot|pg_snapshot_xmin|txid_current|age)\(|\b(xmin|xmax|ctid)\b`)

// beyond are the statements that meet a limit: how each begins, with its package.
var beyond = map[string][]string{
	"Citus: a subquery with `limit` that refers to the row outside it, within one organization only": {
		"audit: update audit_events set leaf = numbered.leaf from ( select w", // to be found first, and numbered for each organization
	},
	"YugabyteDB: no numbers of transactions, no system columns":   hears,
	"CockroachDB: no numbers of transactions among its functions": hears,
}

// hears are the statements by which nodes hear what others changed. They run only where the memory is on.
var hears = []string{
	"db: delete from changes where xid in ( select c.xid from changes",
	"db: insert into changes (xid, node, at, touched) values (pg_curr",
	"db: select pg_postmaster_start_time()::text, pg_snapshot_xmin(pg",
}

// Every statement of the program is compared with what engines that divide tables among machines say
// of themselves. It was run on none of them.
func TestStatementsAreComparedWithLimitsOfOtherEngines(t *testing.T) {
	h, met, seen := newHouse(t), map[string][]string{}, 0
	for _, p := range packages {
		if slices.Contains([]string{"dbtest", "idptest", "mailbox", "expect"}, p.name) || strings.HasPrefix(p.name, "cmd/") {
			continue
		}
		for _, file := range goFiles(t, p.name, false) {
			for _, sql := range textsOf(file) {
				if !verb.MatchString(sql) {
					continue
				}
				seen++
				for _, l := range limits {
					if l.meets.MatchString(sql) && (l.of == all || touches(h, sql) && (l.of == divided || !scoped(sql))) {
						met[l.engine+": "+l.what] = append(met[l.engine+": "+l.what], fmt.Sprintf("%s: %.60s", p.name, sql))
					}
				}
			}
		}
	}
	if seen < 400 {
		t.Errorf("only %d statements: this test looks past the others", seen)
	}
	for _, l := range limits {
		name := l.engine + ": " + l.what
		slices.Sort(met[name])
		if got := slices.Compact(met[name]); !slices.Equal(got, beyond[name]) {
			t.Errorf("%s: these meet that limit: %q; listed are %q", name, got, beyond[name])
		}
	}
	var lines []string
	for _, l := range limits {
		n := len(beyond[l.engine+": "+l.what])
		lines = append(lines, fmt.Sprintf("| %s | [%s](%s) | %d |", l.engine, l.what, l.source, n))
	}
	inScale(t, "| engine | documented limit | statements that meet it |", lines)
}

// touches reports whether a statement reads or writes a table of organizations.
func touches(h *house, sql string) bool {
	for _, m := range append(reads.FindAllStringSubmatch(sql, -1), writes.FindAllStringSubmatch(sql, -1)...) {
		if slices.Contains(h.tenants, m[1]) {
			return true
		}
	}
	return false
}

// Where tables are divided by org_id, a value can be unique only together with it (Citus), or is
// looked for on every machine.
func TestWhatIsUniqueWithoutAnOrganizationIsListed(t *testing.T) {
	d := dbtest.OpenAt(t, dbtest.Address(t))
	if d.Path() == "" {
		t.Skip("the schema is the same there")
	}
	tenants, columns := tablesOfOrganizations(t), map[string][]string{}
	if err := d.Rows(t.Context(), func(scan func(...any) error) error {
		var table, index, column string
		err := scan(&table, &index, &column)
		if slices.Contains(tenants, table) {
			columns[table+" "+index] = append(columns[table+" "+index], column)
		}
		return err
	}, `
		select m.name, i.name, coalesce(c.name, '')
		from sqlite_master m
		join pragma_index_list(m.name) i on i."unique" = 1
		join pragma_index_info(i.name) c
		where m.type = 'table'
		order by m.name, i.name, c.seqno`); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for index, of := range columns {
		if !slices.Contains(of, "org_id") {
			table, _, _ := strings.Cut(index, " ")
			lines = append(lines, "| `"+table+"` | `"+strings.Join(of, ", ")+"` |")
		}
	}
	slices.Sort(lines)
	inScale(t, "| table | unique without org_id |", slices.Compact(lines))
}

// inScale compares a table of docs/scale.md with what it must be, or writes it.
func inScale(t *testing.T, head string, lines []string) {
	t.Helper()
	text := read(t, "docs/scale.md")
	before, rest, found := strings.Cut(text, head+"\n")
	old, after, _ := strings.Cut(rest, "\n\n")
	if !found {
		t.Fatalf("docs/scale.md has no table %q", head)
	}
	table := "|" + strings.Repeat("---|", strings.Count(head, "|")-1) + "\n" + strings.Join(lines, "\n")
	if old == table {
		return
	}
	if !*update {
		t.Errorf("docs/scale.md has not this table: go test ./internal -run 'Engines|Unique' -update\n%s\n%s", head, table)
	} else if err := os.WriteFile("../docs/scale.md", []byte(before+head+"\n"+table+"\n\n"+after), 0o600); err != nil {
		t.Fatal(err)
	}
}
