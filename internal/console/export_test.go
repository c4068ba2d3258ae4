package console_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/administration"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

const export = "/o/alpha/admin/people/export"

// cells reads a file that was downloaded.
func cells(t *testing.T, p *idptest.Page) [][]string {
	t.Helper()
	text, marked := strings.CutPrefix(p.Body, "\uFEFF")
	idptest.Want(t, p, idptest.Status(200), idptest.Header("Content-Type", "text/csv; charset=utf-8"), idptest.Header("Cache-Control", "no-store"))
	expect.Equal(t, "mark of UTF-8", marked, true)
	all, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPeopleAreExportedAsTheListShowsThem(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Helpdesk]
	list := seen(t, b.Get("/o/alpha/admin/people?state=invited&q=WAIT"), 200)
	idptest.Want(t, list, idptest.Link(export+"?q=WAIT&state=invited"))
	page := seen(t, b.Get(export+"?q=WAIT&state=invited"), 200)
	idptest.Want(t, page, idptest.Says("console.export.count", "Count", 1), idptest.Says("console.people.state.invited"), idptest.Shows("WAIT"))
	file := page.Form("main").Submit("")
	idptest.Want(t, file, idptest.Header("Content-Disposition", `attachment; filename="parvis-people-`+w.Clock.Now().UTC().Format(time.DateOnly)+`.csv"`))
	got := cells(t, file)
	expect.Equal(t, "columns", strings.Join(got[0], " "), "email name role state language created_utc last_sign_in_utc given_name family_name external_id")
	created := w.Clock.Now().UTC().Format(time.DateTime)
	expect.Equal(t, "invited", fmt.Sprint(len(got), got[1]), fmt.Sprint(2, []string{"waiting@alpha.example", "", "member", "invitation " + string(directory.InvitationSent), "en", created, "", "", "", ""}))
	all := cells(t, b.Get(export).Form("main").Submit(""))
	expect.Equal(t, "everybody", len(all), 1+len(directory.Roles)+1) // one is invited
	expect.Equal(t, "nobody of the neighbour", strings.Contains(fmt.Sprint(all), "beta"), false)

	exported := w.events(t, w.alpha.ID, "people.exported")
	expect.Equal(t, "events", len(exported), 2)
	slices.SortFunc(exported, func(a, b audit.Stored) int { return strings.Compare(fmt.Sprint(a.After), fmt.Sprint(b.After)) })
	expect.Equal(t, "of the filter", fmt.Sprint(exported[1].ActorName, exported[1].After), "Person helpdesk of alphamap[filter:state: invited rows:1 search:WAIT]")
	expect.Equal(t, "of everybody", fmt.Sprint(exported[0].After), "map[filter: rows:6 search:]")

	idptest.Want(t, b.Get(export+"?q=nobody+at+all"), idptest.Status(200), idptest.Says("console.people.none"), idptest.NoElement("form", "id", "main"))
	for _, hostile := range []string{"state=unknown", "q=%00", "before=x", "%zz", strings.Repeat("q=a&", 2000) + "q=" + strings.Repeat("a", 300)} {
		expect.Equal(expect.Case(t, "%.20s", hostile), "status", b.Post(export, url.Values{"filter": {hostile}}).Status, 400)
	}
	member := w.alpha.browsers[directory.Member]
	expect.Equal(t, "a member", member.Post(export, url.Values{"filter": {""}}).Status, 403)
	if p := b.Post("/o/beta/admin/people/export", url.Values{"filter": {""}}); !atDoor(p, "beta") || strings.Contains(p.Body, "@beta.example") {
		t.Errorf("the neighbour's people: %d at %s", p.Status, p.URL)
	}
	expect.Equal(t, "events at the end", len(w.events(t, w.alpha.ID, "people.exported")), 2)
	expect.Equal(t, "events of the neighbour", len(w.events(t, w.beta.ID, "people.exported")), 0)
}

// INJ-3: what somebody called themselves is no formula in another person's spreadsheet.
func TestINJ3ExportedCellsAreNoFormulas(t *testing.T) {
	t.Parallel()
	w := start(t)
	names := map[string]string{
		`=HYPERLINK("https://evil.example")`: `'=HYPERLINK("https://evil.example")`,
		"+1":                                 "'+1",
		"-2+3":                               "'-2+3",
		"@SUM(A1)":                           "'@SUM(A1)",
		"＝1+1":                               "'＝1+1",
		"Ada;=1+1":                           "Ada;'=1+1",
		"Ada,\"=1+1":                         "Ada,'\"=1+1",
		`Ada "Countess" O'Hara-Lovelace`:     `Ada "Countess" O'Hara-Lovelace`,
		"Đặng, Linh":                         "Đặng, Linh",
	}
	i := 0
	for name := range names {
		i++
		w.Update(t, func(ctx context.Context, tx *db.Tx) error {
			_, err := w.Invitations.Send(ctx, tx, directory.Operator(), w.alpha.Organization, directory.NewInvitation{Email: fmt.Sprintf("formula%d@alpha.example", i), Name: name, Role: directory.Member, Language: "en"})
			return err
		})
	}
	w.invitation(t, w.alpha.Organization, "=cmd@alpha.example", directory.Member)
	got := cells(t, w.alpha.browsers[directory.Auditor].Get(export+"?state=invited").Form("main").Submit(""))
	shown := map[string]bool{}
	for _, row := range got {
		shown[row[0]], shown[row[1]] = true, true
	}
	for name, want := range names {
		expect.Equal(expect.Case(t, "%s", name), "as "+want, shown[want], true)
	}
	expect.Equal(t, "address", shown["'=cmd@alpha.example"], true)
}

func TestMoreThan500PeopleNeedAFreshProof(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.crowd(t, administration.ExportedFreely-len(directory.Roles)-1) // with those who are there, 500
	b := w.alpha.browsers[directory.Owner]
	w.Clock.Advance(11 * time.Minute)
	page := seen(t, b.Get(export), 200)
	idptest.Want(t, page, idptest.Says("console.export.count", "Count", 500))
	expect.Equal(t, "500 rows without a proof", len(cells(t, page.Form("main").Submit(""))), 501)
	w.crowd(t, 1)
	page = seen(t, b.Get(export), 200)
	idptest.Want(t, page, idptest.Says("console.export.more", "Most", 500))
	form := page.Form("main")
	back := seen(t, proveAgain(t, form.Submit("")), 200)
	idptest.Want(t, back, idptest.Path(export), idptest.Says("page.returned"), idptest.Says("console.export.more", "Most", 500))
	expect.Equal(t, "the proof exports nothing", len(w.events(t, w.alpha.ID, "people.exported")), 1)
	expect.Equal(t, "501 rows with it", len(cells(t, back.Form("main").Submit(""))), 502)
	// The filter comes back from the proof too.
	w.crowd(t, 6)
	w.Clock.Advance(11 * time.Minute)
	back = seen(t, proveAgain(t, b.Get(export+"?q=crowd").Form("main").Submit("")), 200)
	expect.Equal(t, "rows of the filter", len(cells(t, back.Form("main").Submit(""))), 502)
}

func TestAPersonIsExportedAfterAFreshProof(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	owner := "/o/alpha/admin/people/" + w.alpha.user
	idptest.Want(t, seen(t, b.Get(owner), 200), idptest.NoLink(owner+"/export"))
	expect.Equal(t, "the page of an owner, above the administrator", b.Get(owner+"/export").Status, 403)
	expect.Equal(t, "the file of an owner", b.Post(owner+"/export", url.Values{}).Status, 403)
	idptest.Want(t, seen(t, w.alpha.browsers[directory.Owner].Get(owner), 200), idptest.Link(owner+"/export"))
	id := w.idOf(t, w.alpha.ID, "users", "member@alpha.example")
	person := "/o/alpha/admin/people/" + id
	idptest.Want(t, seen(t, w.alpha.browsers[directory.Auditor].Get(person), 200), idptest.NoLink(person+"/export"))
	idptest.Want(t, seen(t, b.Get(person), 200), idptest.Link(person+"/export"))
	w.Clock.Advance(11 * time.Minute)
	page := seen(t, b.Get(person+"/export"), 200)
	idptest.Want(t, page, idptest.Says("console.person.export_has", "Name", "Person member of alpha"))
	back := seen(t, proveAgain(t, page.Form("main").Submit("")), 200)
	idptest.Want(t, back, idptest.Path(person+"/export"))
	expect.Equal(t, "the proof exports nothing", len(w.events(t, w.alpha.ID, "user.exported")), 0)
	file := back.Form("main").Submit("")
	idptest.Want(t, file, idptest.Status(200), idptest.Header("Content-Type", "application/json"), idptest.Header("Cache-Control", "no-store"),
		idptest.Header("Content-Disposition", `attachment; filename="parvis-person-`+w.Clock.Now().UTC().Format(time.DateOnly)+`.json"`))
	var got struct {
		UserID string `json:"user_id"`
		Tables map[string][]map[string]any
		Events []map[string]any
	}
	if err := json.Unmarshal([]byte(file.Body), &got); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "person", got.UserID, id)
	expect.Equal(t, "address", got.Tables["users"][0]["email"], any("member@alpha.example"))
	expect.Equal(t, "sessions", len(got.Tables["sessions"]), 1)
	expect.Equal(t, "whether there are events", len(got.Events) > 2, true)
	exported := w.events(t, w.alpha.ID, "user.exported")
	expect.Equal(t, "events", len(exported), 1)
	expect.Equal(t, "of whom", exported[0].Target, id)

	foreign := "/o/alpha/admin/people/" + w.beta.user + "/export"
	expect.Equal(t, "the page of the neighbour's person", b.Get(foreign).Status, 404)
	expect.Equal(t, "the file of the neighbour's person", b.Post(foreign, url.Values{}).Status, 404)
	expect.Equal(t, "events of the neighbour", len(w.events(t, w.beta.ID, "user.exported")), 0)
}

// crowd adds members to alpha, whose addresses follow those of an earlier crowd.
func (w *world) crowd(t *testing.T, n int) {
	t.Helper()
	w.Update(t, func(ctx context.Context, tx *db.Tx) error {
		for range n {
			u := directory.User{OrgID: w.alpha.ID, ID: directory.NewUserID(), Name: "Crowd", Language: "en"}
			u.Email = "crowd." + string(u.ID) + "@alpha.example"
			if _, err := directory.CreateFirstOwner(ctx, tx, u); err != nil {
				return err
			}
		}
		return nil
	})
}
