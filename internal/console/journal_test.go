package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

const eventExport = "/o/alpha/admin/audit/export"

// sealed seals what was recorded.
func (w *world) sealed(t *testing.T) {
	t.Helper()
	if err := w.Audit.Sweep(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
}

// kinds returns the member that each line of a file of JSON Lines begins with.
func kinds(t *testing.T, p *idptest.Page) (all []string) {
	t.Helper()
	for line := range strings.Lines(p.Body) {
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &members); err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{"begin", "gap", "leaf", "end"} {
			if members[kind] != nil {
				all = append(all, kind)
			}
		}
	}
	return all
}

func TestEventsAreExportedAsTheLogListsThem(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.Clock.Advance(time.Second)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return audit.Record(ctx, tx, audit.Event{OrgID: string(w.alpha.ID), Actor: audit.System, ActorName: `=cmd|'/c calc'!A0`, Action: "domain.lapsed", Target: "dom_x", TargetName: "+1;@x"})
	})
	w.sealed(t)
	b := w.alpha.browsers[directory.Auditor]
	idptest.Want(t, seen(t, b.Get("/o/alpha/admin/audit?action=domain.lapsed&by=system"), 200), idptest.Link(eventExport+"?action=domain.lapsed&by=system"))
	p := seen(t, b.Get(eventExport+"?action=domain.lapsed&by=system"), 200)
	idptest.Want(t, p, idptest.Says("audit.action.domain.lapsed"), idptest.Says("console.audit.filtered_what"))

	file := p.Form("main").Submit("")
	idptest.Want(t, file, idptest.Status(200), idptest.Header("Content-Type", "application/jsonl; charset=utf-8"), idptest.Header("Cache-Control", "no-store"),
		idptest.Header("Content-Disposition", `attachment; filename="parvis-audit-`+w.Clock.Now().UTC().Format(time.DateOnly)+`.jsonl"`))
	expect.Equal(t, "lines of a filter", fmt.Sprint(slices.Compact(kinds(t, file))), "[begin gap leaf end]")
	all := seen(t, b.Get(eventExport), 200).Form("main").Submit("")
	expect.Equal(t, "lines of the log", fmt.Sprint(slices.Compact(kinds(t, all))), "[begin leaf end]")
	expect.Equal(t, "something of the neighbour", strings.Contains(all.Body, "of beta"), false) // with a space, which no id has

	table := cells(t, seen(t, b.Get(eventExport+"?action=domain.lapsed"), 200).Form("main").Fill("format", "csv").Submit(""))
	expect.Equal(t, "columns", strings.Join(table[0], " "), "sequence time_utc id actor actor_name action result target target_name before after network agent request erased session method region")
	expect.Equal(t, "names that are formulas", fmt.Sprint(table[1][4], " ", table[1][8]), `'=cmd|'/c calc'!A0 '+1;'@x`)

	exported := w.events(t, w.alpha.ID, "audit.exported")
	var said []string
	for _, e := range exported {
		said = append(said, fmt.Sprint(e.ActorName, e.After))
	}
	slices.Sort(said)
	expect.Equal(t, "what the log keeps", strings.Join(said, "; "), "Person auditor of alphamap[filter: format:jsonl search:]; "+
		"Person auditor of alphamap[filter:action: domain.lapsed format:csv search:]; Person auditor of alphamap[filter:action: domain.lapsed, actor: system format:jsonl search:]")

	for _, form := range []map[string][]string{{"format": {"xml"}}, {"filter": {"action=everything"}}, {"filter": {"from=tomorrow"}}, {"filter": {"q=a&q=b"}}, {"filter": {"%"}}} {
		idptest.Want(expect.Case(t, "%v", form), b.Post(eventExport, form), idptest.Status(400), idptest.Says("page.query_malformed"))
	}
}

func TestTheLogIsCheckedWithoutTrustingUs(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.sealed(t)
	b := w.alpha.browsers[directory.Auditor]
	p := seen(t, b.Get("/o/alpha/admin/audit/check"), 200)
	c, err := w.Audit.Checkpoint(t.Context(), w.DB, string(w.alpha.ID))
	if err != nil {
		t.Fatal(err)
	}
	idptest.Want(t, p, idptest.Shows(c.Key), idptest.Shows("go run ./cmd/auditverify -key '"+c.Key+"' export.jsonl"), idptest.Says("console.check.events", "Count", c.Size), idptest.Link(eventExport))
	expect.Equal(t, "the checkpoint", strings.Contains(p.Text(), strings.Join(strings.Fields(c.Note), " ")), true)

	for _, statement := range []string{`delete from audit_events where leaf is not null`, `delete from audit_logs`, `delete from audit_tiles`} {
		dbtest.Do(t, w.DB, statement)
	}
	idptest.Want(expect.Case(t, "once the database has another log"), b.Get("/o/alpha/admin/audit/check"), idptest.Status(200), idptest.Says("console.check.altered"))
}

func TestAnOwnerSaysHowLongEntriesAreKept(t *testing.T) {
	t.Parallel()
	w := start(t)
	const path = "/o/alpha/admin/audit/keeping"
	b := w.alpha.browsers[directory.Owner]
	p := seen(t, b.Get(path), 200)
	idptest.Want(t, p, idptest.Says("console.keeping.days", "Count", 400))
	idptest.Want(t, seen(t, p.Form("main").Fill("days", "180").Check("hold", "yes").Submit(""), 200), idptest.Says("console.keeping.saved"))
	now := func() audit.Keeping {
		t.Helper()
		k, err := audit.KeepingOf(t.Context(), w.DB, string(w.alpha.ID))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	expect.Equal(t, "days and hold", fmt.Sprint(now().Days, now().Held.Equal(w.Clock.Now())), "180 true")
	idptest.Want(t, seen(t, w.alpha.browsers[directory.Auditor].Get(path), 200), idptest.Says("console.keeping.days", "Count", 180), idptest.NoElement("form", "id", "main"))

	// Something is older than that, so the page asks before it goes.
	dbtest.Do(t, w.DB, `update audit_events set at = at - 8640000000000 where action = 'invitation.sent'`) // 100 days
	asked := seen(t, seen(t, b.Get(path), 200).Form("main").Fill("days", "90").Check("hold", "").Submit(""), 200)
	idptest.Want(t, asked, idptest.Says("console.keeping.for_good"))
	expect.Equal(t, "days before it was confirmed", now().Days, 180)
	idptest.Want(t, seen(t, presses(t, asked), 200), idptest.Says("console.keeping.saved"))
	expect.Equal(t, "days and hold", fmt.Sprint(now().Days, now().Held.IsZero()), "90 true")
	expect.Equal(t, "changes in the log", len(w.events(t, w.alpha.ID, "audit.keeping_changed")), 2)

	for _, days := range []string{"89", "3654", "x", "", "-90", "1e3", "99999999999999999999"} {
		idptest.Want(expect.Case(t, "%q", days), b.Post(path, map[string][]string{"days": {days}}), idptest.Status(422), idptest.Says("audit.kept_bounds"))
	}
	expect.Equal(t, "days after refusals", now().Days, 90)
}

// gone is a user of alpha who was erased.
const gone = "usr_aaaaaaaaaaaaaaaaaaaaaaaaaa"

// erasedEntry records what somebody did who was erased since, and returns the entry that says so.
func (w *world) erasedEntry(t *testing.T) string {
	t.Helper()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for _, e := range []audit.Event{
			{Actor: gone, ActorName: "Zoé Gone", Action: "user.profile_changed", Target: gone, TargetName: "Zoé Gone", Before: audit.Fields{"name": "Zoé"}, After: audit.Fields{"name": "Zoé Gone"}},
			{Actor: audit.System, Action: "user.erased", Target: gone, TargetName: "Zoé Gone"},
		} {
			e.OrgID = string(w.alpha.ID)
			if err := audit.Record(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	w.sealed(t)
	return w.events(t, w.alpha.ID, "user.erased")[0].ID
}

func TestAnOwnerErasesWhatTheLogHasOfAnErasedPerson(t *testing.T) {
	t.Parallel()
	w := start(t)
	entry := "/o/alpha/admin/audit/" + w.erasedEntry(t)
	changed := "/o/alpha/admin/audit/" + w.events(t, w.alpha.ID, "user.profile_changed")[0].ID
	for _, role := range []directory.Role{directory.Administrator, directory.Auditor} {
		about := expect.Case(t, "as %s", role)
		idptest.Want(about, w.alpha.browsers[role].Get(entry), idptest.Status(200), idptest.SaysNot("console.erase.offer"))
		idptest.Want(about, w.alpha.browsers[role].Post(entry, map[string][]string{"do": {"erase"}, "confirmed": {"yes"}}), idptest.Status(403))
	}
	b := w.alpha.browsers[directory.Owner]
	idptest.Want(t, b.Get(changed), idptest.Status(200), idptest.SaysNot("console.erase.offer"))
	b.Post(changed, map[string][]string{"do": {"erase"}, "confirmed": {"yes"}}) // an entry of somebody else, or of something else
	expect.Equal(t, "erased by another entry", len(w.events(t, w.alpha.ID, "audit.erased")), 0)

	asked := seen(t, seen(t, b.Get(entry), 200).Form("main").Submit("erase"), 200)
	idptest.Want(t, asked, idptest.Says("console.erase.title_of", "Name", "Zoé Gone"), idptest.Says("console.erase.stays"))
	idptest.Want(t, seen(t, presses(t, asked), 200), idptest.Says("console.erase.done"))
	// No random text of the table has an accent.
	expect.Equal(t, "traces in the database", strings.Contains(dbtest.Dump(t, w.DB, "audit_events"), "Zoé"), false)
	idptest.Want(t, seen(t, b.Get(changed), 200), idptest.Says("console.entry.erased"), idptest.Says("console.entry.erased_values"))
	idptest.Want(t, seen(t, b.Get("/o/alpha/admin/audit?action=user.profile_changed"), 200), idptest.Says("console.entry.erased"))
	w.sealed(t)
	if _, err := w.Audit.Check(t.Context(), w.DB); err != nil {
		t.Error(err)
	}
	events := w.events(t, w.alpha.ID, "audit.erased")
	expect.Equal(t, "what the log keeps of it", fmt.Sprintf("%d %s %s %v", len(events), events[0].ActorName, events[0].Target, events[0].After), "1 Person owner of alpha "+gone+" map[events:3 kept_actor:false]")
	idptest.Want(t, b.Post(entry, map[string][]string{"do": {"erase"}, "confirmed": {"yes"}}), idptest.Status(409), idptest.Says("audit.nothing_to_erase"))
}
