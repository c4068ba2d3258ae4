package console_test

import (
	"context"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/i18n"
	"parvis/internal/idptest"
)

func TestAuditLog(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Auditor]
	member := w.alpha.browsers[directory.Member]
	form := member.Get("/o/alpha/account").Form("main").Fill("name", "Mia Renamed")
	seen(t, form.Submit(""), 200)
	seen(t, member.Get("/o/alpha/admin"), 403)

	p := seen(t, b.Get("/o/alpha/admin/audit"), 200)
	for _, line := range []string{
		idptest.Sentence(t, "audit.action.user.profile_changed") + " 22 November 2026, 09:00 UTC " + idptest.Sentence(t, "console.audit.changed") + " " +
			idptest.Sentence(t, "audit.field.name") + " Person member of alpha Mia Renamed done",
		idptest.Sentence(t, "audit.action.request.refused") + " 22 November 2026, 09:00 UTC Mia Renamed GET /o/alpha/admin refused",
		idptest.Sentence(t, "audit.action.invitation.sent") + " 22 November 2026, 09:00 UTC " + idptest.Sentence(t, "audit.actor.operator"),
	} {
		if !p.Says(line) {
			t.Errorf("the log does not say %q: %s", line, p.Text())
		}
	}
	p = seen(t, b.Get("/o/alpha/admin/audit?result=refused"), 200)
	expect.Equal(t, "what was refused", strings.Join(logged(t, p), " "), "audit.action.request.refused")
	id := w.idOf(t, w.alpha.ID, "users", "member@alpha.example")
	person := seen(t, b.Get("/o/alpha/admin/people/"+id), 200)
	entries := slices.DeleteFunc(person.Links(), func(l string) bool { return !strings.Contains(l, "audit?q=") })
	if len(entries) != 1 {
		t.Fatalf("the way to a person's entries: %v", entries)
	}
	p = seen(t, b.Get(entries[0]), 200)
	about := expect.Case(t, "one person's entries")
	idptest.Want(about, p, idptest.ShowsNot("Person owner of alpha"))
	for _, key := range []string{"audit.action.signin.done", "audit.action.user.profile_changed"} {
		expect.Equal(about, key, slices.Contains(logged(t, p), key), true)
	}
}

// logged returns the catalogue keys of the entries that a page of the log lists, each once.
func logged(t *testing.T, p *idptest.Page) (keys []string) {
	t.Helper()
	names := map[string]string{}
	for action := range audit.Actions {
		key := "audit.action." + string(action)
		names[idptest.SentenceIn(t, i18n.Tag(p.Lang()), key)] = key
	}
	doc, err := html.Parse(strings.NewReader(strings.ReplaceAll(p.Body, "<wbr>", "")))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Data != "a" || n.FirstChild == nil || n.Parent.Data != "td" {
			continue
		}
		if key := names[n.FirstChild.Data]; key != "" && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

// Each filter leaves out what it says, they go together, and the next page keeps them.
func TestAuditFilters(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Auditor]
	seen(t, b.Get("/o/alpha/account").Form("main").Fill("time_zone", "Pacific/Pago_Pago").Submit(""), 200) // 22:00 of the day before
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for _, e := range []audit.Event{
			{Actor: audit.System, Action: "domain.lapsed"}, {Actor: audit.Operator, Action: "organization.suspended"},
			{Actor: audit.Anonymous, Action: "signin.refused", Result: audit.Refused},
		} {
			e.OrgID = string(w.alpha.ID)
			if err := audit.Record(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	const log = "/o/alpha/admin/audit"
	for query, want := range map[string]string{
		"action=domain.lapsed":                               "audit.action.domain.lapsed",
		"by=system&q=lapsed":                                 "audit.action.domain.lapsed",
		"by=operator&action=organization.suspended":          "audit.action.organization.suspended",
		"by=anonymous":                                       "audit.action.signin.refused",
		"by=system&action=signin.refused":                    "",
		"by=user&action=signin.refused":                      "",
		"by=user&action=user.profile_changed":                "audit.action.user.profile_changed",
		"by=anonymous&result=done":                           "",
		"action=domain.lapsed&from=2026-11-21":               "audit.action.domain.lapsed",
		"action=domain.lapsed&to=2026-11-21":                 "audit.action.domain.lapsed",
		"action=domain.lapsed&from=2026-11-22":               "",
		"action=domain.lapsed&to=2026-11-20":                 "",
		"action=domain.lapsed&from=9999-12-31":               "",
		"from=2026-11-23&to=2026-11-01":                      "",
		"action=domain.lapsed&from=0001-01-01&to=9999-12-31": "audit.action.domain.lapsed",
	} {
		got := strings.Join(logged(t, seen(t, b.Get(log+"?"+query), 200)), " ")
		expect.Equal(expect.Case(t, "%s", query), "entries", got, want)
	}
	for _, query := range []string{"from=22/11/2026", "from=2026-02-30", "to=tomorrow", "to=0000-01-01", "from=%00"} {
		p := b.Get(log + "?" + query)
		idptest.Want(expect.Case(t, "%s", query), p, idptest.Status(422), idptest.Says("console.audit.no_day"), idptest.SaysNot("console.audit.none"))
	}
	for _, query := range []string{"action=everything", "action=audit.action", "by=beta", "by=usr_x"} {
		idptest.Want(expect.Case(t, "%s", query), b.Get(log+"?"+query), idptest.Status(400), idptest.Says("page.query_malformed"))
	}
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for range 60 {
			if err := audit.Record(ctx, tx, audit.Event{OrgID: string(w.alpha.ID), Actor: audit.System, Action: "domain.missing"}); err != nil {
				return err
			}
		}
		return nil
	})
	p := seen(t, b.Get(log+"?action=domain.missing&by=system&from=2026-11-21"), 200)
	older := slices.DeleteFunc(p.Links(), func(l string) bool { return !strings.Contains(l, "before=") })
	if len(older) != 1 {
		t.Fatalf("the way to the next page: %v", older)
	}
	for _, kept := range []string{"action=domain.missing", "by=system", "from=2026-11-21"} {
		expect.Equal(t, kept, strings.Contains(older[0], kept), true)
	}
	expect.Equal(t, "the next page", strings.Join(logged(t, seen(t, b.Get(older[0]), 200)), " "), "audit.action.domain.missing")
	today := slices.DeleteFunc(p.Links(), func(l string) bool {
		return !strings.Contains(l, "from=2026-11-21") || strings.Contains(l, "before=") || strings.Contains(l, "/export")
	})
	expect.Equal(t, "today", strings.Join(today, " "), log+"?action=domain.missing&by=system&from=2026-11-21")
}

func TestAuditEntry(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Auditor]
	member := w.alpha.browsers[directory.Member]
	member.Header.Set("User-Agent", "Lynx/2.9")
	seen(t, member.Get("/o/alpha/account").Form("main").Fill("name", "Mia Renamed").Submit(""), 200)
	event := w.events(t, w.alpha.ID, "user.profile_changed")[0]

	path := "/o/alpha/admin/audit/" + event.ID
	p := seen(t, b.Get(path), 200)
	for _, what := range []string{
		"Name Person member of alpha Mia Renamed", // before and after, side by side
		"user.profile_changed", "Lynx/2.9", "127.0.0.1", event.Origin.Request, event.Session, idptest.Sentence(t, "console.entry.method") + " pwd", event.ID, "2026-11-22T09:00:00Z", idptest.Sentence(t, "console.entry.unsealed"),
	} {
		if !p.Says(what) {
			t.Errorf("the entry does not say %q: %s", what, p.Text())
		}
	}
	if !slices.Contains(p.Links(), "/o/alpha/admin/people/"+event.Actor) {
		t.Errorf("no way to who did it: %v", p.Links())
	}
	if err := w.Audit.Sweep(t.Context(), w.DB); err != nil {
		t.Fatal(err)
	}
	idptest.Want(expect.Case(t, "once it is sealed"), seen(t, b.Get(path), 200), idptest.Says("console.entry.sealed"))
}

// Whatever an event recorded is shown as text, under its recorded name if it has no other.
func TestAuditEntryOfAnyShape(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		return audit.Record(ctx, tx, audit.Event{
			OrgID: string(w.alpha.ID), Actor: audit.System, ActorName: audit.System, Action: "signin.refused", Result: audit.Refused,
			Target: "dom_x", TargetName: "<i>x</i>",
			Before: audit.Fields{"novel": []string{"<b>", "&amp;"}, "digit": false},
			After:  audit.Fields{"digit": true, "history": 10, "unheard": nil},
		})
	})
	id := w.events(t, w.alpha.ID, "signin.refused")[0].ID
	p := seen(t, w.alpha.browsers[directory.Owner].Get("/o/alpha/admin/audit/"+id), 200)
	for _, what := range []string{`novel ["<b>","&amp;"] —`, idptest.Sentence(t, "audit.field.digit") + " false true", idptest.Sentence(t, "audit.field.history") + " — 10", "unheard — null", idptest.Sentence(t, "audit.actor.system"), "<i>x</i> dom_x", idptest.Sentence(t, "console.entry.network") + " —"} {
		if !p.Says(what) {
			t.Errorf("the entry does not say %q: %s", what, p.Text())
		}
	}
	w.Update(t, func(ctx context.Context, tx *db.Tx) error { // no action has such fields, as every test makes sure at its end
		_, err := tx.Exec(ctx, `delete from audit_events where org_id = $1 and id = $2`, string(w.alpha.ID), id)
		return err
	})
}

func TestAuditPaging(t *testing.T) {
	t.Parallel()
	w := start(t)
	const many = 130
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for range many {
			if err := audit.Record(ctx, tx, audit.Event{OrgID: string(w.alpha.ID), Actor: audit.System, Action: "bootstrap.created"}); err != nil {
				return err
			}
		}
		return nil
	})
	lines, pages := map[string]int{}, 0
	for path := "/o/alpha/admin/audit?q=bootstrap"; path != ""; pages++ {
		p := seen(t, w.alpha.browsers[directory.Owner].Get(path), 200)
		path = ""
		for _, link := range p.Links() {
			switch {
			case strings.Contains(link, "before="):
				path = link
			case strings.Contains(link, "/admin/audit/evt_"):
				lines[link]++
			}
		}
		if back := slices.Contains(p.Links(), "/o/alpha/admin/audit?q=bootstrap"); back != (pages > 0) {
			t.Errorf("page %d leads back to the newest: %v", pages, back)
		}
	}
	if len(lines) != many || pages != 3 {
		t.Errorf("%d lines on %d pages", len(lines), pages)
	}
}

// dotted matches actions, and the catalogue's keys.
// A column of a statement, such as "r.used_at", is neither: its table is one letter.
var dotted = regexp.MustCompile(`"([a-z_]{2,}\.[a-z_]+)"`)

// In a file that records events, a dotted literal that is no key is an action. The table
// lists each, and nothing else; the catalogue names each, and each field.
func TestActionsAreThoseOfTheTable(t *testing.T) {
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	has := func(key string) bool { return catalogue.In("en").Text(key) != "["+key+"]" }
	used := map[audit.Action]bool{}
	source := os.DirFS("..")
	err = fs.WalkDir(source, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || name == "audit/actions.go" {
			return err
		}
		text, err := fs.ReadFile(source, name)
		if err != nil || strings.HasPrefix(name, "idptest/") {
			return err
		}
		records := strings.Contains(string(text), `"parvis/internal/audit"`)
		for _, m := range dotted.FindAllStringSubmatch(string(text), -1) {
			if has(m[1]) || has("api.operation."+m[1]) && strings.HasPrefix(name, "api/") {
				continue
			}
			used[audit.Action(m[1])] = true
			if _, listed := audit.Actions[audit.Action(m[1])]; records && !listed {
				t.Errorf("%s has %s, which is no key, and no action of audit.Actions", name, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for action, meaning := range audit.Actions {
		if !used[action] {
			t.Errorf("nobody records %s", action)
		}
		if !slices.Contains(audit.Objects, meaning.Object) {
			t.Errorf("the filter does not offer %s, since audit.Objects has no %q", action, meaning.Object)
		}
		if !has("audit.action." + string(action)) {
			t.Errorf("the catalogue does not name %s", action)
		}
		for field := range strings.FieldsSeq(meaning.Personal) {
			if !meaning.Has(field) {
				t.Errorf("%s has no field %s, which is listed as personal", action, field)
			}
		}
	}
	for _, field := range audit.FieldNames() {
		if !has("audit.field." + field) {
			t.Errorf("the catalogue does not name the field %s", field)
		}
	}
}

// Every page is requested in every language, in each of its forms; and in the pseudo-language,
// which shows a sentence that comes from no catalogue.
func TestEveryPageSpeaksEveryLanguage(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.asks(t, w.alpha)
	b := w.alpha.browsers[directory.Owner]
	paths := []string{"people", "people?q=nobody+at+all", "people/" + w.alpha.user, "people/invite", "people/invite/many", "people/export", "people/export?state=invited", "audit", "audit?q=nothing+at+all", "audit/export", "audit/export?result=done", "audit/check", "audit/keeping", "audit/keeping?saved", "audit/" + w.alpha.event, "invitations/" + w.alpha.invitation, "invitations/" + w.alpha.invitation + "?sent",
		"single-sign-on", "single-sign-on?removed", "single-sign-on/add", "single-sign-on/add?provider=adfs", "single-sign-on/only", "single-sign-on/attempts", "single-sign-on/attempts?q=x", "single-sign-on/attempts/" + w.alpha.attempt,
		"connections/" + w.alpha.connection, "connections/" + w.alpha.connection + "?sent",
		"groups", "groups?deleted", "groups/" + w.alpha.group + "?created", "groups/" + w.alpha.group + "?renamed", "groups/" + w.alpha.group + "?added", "groups/" + w.alpha.group + "?removed",
		"groups/" + w.alpha.group + "?q=nobody+at+all", "groups/" + w.alpha.group + "/add", "groups/" + w.alpha.group + "/add?q=nobody+at+all",
		"applications", "applications?removed", "applications/add", "applications/add?kind=web", "applications/add?kind=link",
		"applications/" + w.alpha.application, "applications/" + w.alpha.application + "?added", "applications/collaborate",
		"access", "access?saved", "access?revoked", "access?ended", "access/add", "access/tokens/" + w.alpha.token, "access/machines/" + w.alpha.machine, "access/machines/" + w.alpha.machine + "?saved",
		"provisioning", "provisioning?deleted", "provisioning/add", "provisioning/" + w.alpha.source, "provisioning/" + w.alpha.source + "?adopted", "provisioning/" + w.alpha.source + "/calls", "provisioning/" + w.alpha.source + "/check",
		"webhooks", "webhooks?removed", "webhooks/add", "webhooks/add?kind=events", "webhooks/add?kind=log", "webhooks/" + w.alpha.webhook, "webhooks/" + w.alpha.webhook + "?saved", "webhooks/" + w.alpha.webhook + "?failed"}
	for _, ended := range []string{"opened_at", "accepted_at", "withdrawn_at", "replaced_at"} {
		inv := w.invitation(t, w.alpha.Organization, ended+"@alpha.example", directory.Helpdesk)
		w.Update(t, func(ctx context.Context, tx *db.Tx) error {
			_, err := tx.Exec(ctx, `update invitations set `+ended+` = created_at where org_id = $1 and id = $2`, string(w.alpha.ID), inv.ID)
			return err
		})
		paths = append(paths, "invitations/"+inv.ID)
	}
	for _, language := range []string{"fr", "en"} {
		b.Post("/o/alpha/language", map[string][]string{"language": {language}, "page": {"/o/alpha/home"}})
		for _, path := range paths {
			if p := seen(t, b.Get("/o/alpha/admin/"+path), 200); p.Lang() != language {
				t.Errorf("%s is in %q, not in %q", path, p.Lang(), language)
			}
		}
	}
	w.Site.Catalogue = i18n.Pseudo()
	for _, path := range paths {
		for _, bare := range bareTexts(t, b.Get("/o/alpha/admin/"+path)) {
			t.Errorf("%s says %q, which is in no catalogue", path, bare)
		}
	}
}

// data matches what pages show besides sentences.
var data = regexp.MustCompile(`^(Parvis|—|\?|Alpha Freight|Person \w+ of alpha|Provider of alpha|People of alpha|Books of alpha|Payroll of alpha|Warehouse of alpha|(Hired by |Here before )?Directory of alpha|(POST|PUT|PATCH|DELETE)( /Users)?|Authorization|X-…|Nightly export|parvis admin login .*|Architect|Collaborate / Communicate|collaborate|openid|profile|roles|command_line|ES256|RS256|·|1|Okta|SAML 2\.0|OpenID Connect|https?://.*|urn:oasis:.*|email|name|shoe|groups|42|43|us|them|192\.0\.2\.7|PA|English|Français|[\w.+-]+@[\w.]+|[a-z]{3}_[a-z2-7]+|[a-z_]+\.[a-z_]+|20\d\d-\d\d-\d\dT[\d:]+Z|nobody at all|nothing at all|250 .*|Go-http-client/2\.0|127\.0\.0\.1|(?s:(go run \S+ -key ')?127\.0\.0\.1:\d+/audit/.*)|alpha|en|Person \w+ of alpha · Parvis)$`)

// bareTexts returns the texts of a page's own content that are neither sentences of the
// catalogue nor data.
func bareTexts(t *testing.T, p *idptest.Page) []string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(strings.ReplaceAll(p.Body, "<wbr>", "")))
	if err != nil {
		t.Fatal(err)
	}
	var bare []string
	check := func(text string) {
		text = strings.TrimSpace(text)
		if text != "" && !strings.Contains(text, "[!! ") && !data.MatchString(text) {
			bare = append(bare, text)
		}
	}
	for n := range doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "script" && n.Parent.Data != "style" {
			check(n.Data)
		}
		for _, a := range n.Attr {
			if slices.Contains([]string{"placeholder", "title", "aria-label", "alt"}, a.Key) {
				check(a.Val)
			}
		}
	}
	return bare
}
