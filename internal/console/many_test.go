package console_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"parvis/internal/administration/sheet"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

const many = "/o/alpha/admin/people/invite/many"

// letters returns how many letters each of some addresses got.
func (w *world) letters(t *testing.T, addresses ...string) string {
	t.Helper()
	var all []string
	for _, address := range addresses {
		all = append(all, fmt.Sprint(strings.TrimSuffix(address, "@alpha.example"), " ", len(w.LettersTo(t, address))))
	}
	return strings.Join(all, ", ")
}

func TestManyAreInvitedFromAFile(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	invite := seen(t, b.Get("/o/alpha/admin/people/invite"), 200)
	idptest.Want(t, invite, idptest.Link(many))
	var named []string
	for _, key := range []string{"console.column.email", "console.column.name", "console.column.role", "console.column.language"} {
		named = append(named, idptest.SentenceIn(t, "fr", key))
	}
	first := strings.Join(append(named, "Service"), ";")
	auditor := idptest.SentenceIn(t, "fr", "console.role.auditor")
	file := "\uFEFF" + first + "\r\nlin@alpha.example;\"Wei; Lin\";" + auditor + ";Français;IT\r\nowner@alpha.example;;;;\r\nkim@alpha.example;;chef;;\r\n"
	preview := seen(t, b.Get(many).Form("main").Choose([]byte(file)).Submit("preview"), 200)
	idptest.Want(t, preview, idptest.Says("console.many.ready", "Count", 1), idptest.Says("console.change.leaves_out", "Count", 2), idptest.Says("console.many.ignored", "Columns", "Service"),
		idptest.Shows("Wei; Lin"), idptest.Says("console.role.auditor"), idptest.Shows("Français"), idptest.Says("directory.already_member"), idptest.Says("administration.role_unknown"), idptest.Shows("chef"))
	expect.Equal(t, "after the preview", w.letters(t, "lin@alpha.example", "kim@alpha.example"), "lin 0, kim 0")

	done := seen(t, preview.Form("main").Submit("invite"), 200)
	idptest.Want(t, done, idptest.Says("console.many.done", "Count", 1), idptest.Says("console.many.left_out", "Count", 2), idptest.Says("administration.role_unknown"))
	expect.Equal(t, "after the deed", w.letters(t, "lin@alpha.example", "kim@alpha.example"), "lin 1, kim 0")
	rest := done.Form("main")
	expect.Equal(t, "what is left to correct", strings.ReplaceAll(strings.TrimSpace(rest.Values.Get("people")), "\r", ""),
		first+"\nowner@alpha.example;;;;\nkim@alpha.example;;chef;;")

	// Corrected in place, it is previewed again; the answer to an old preview is a new one.
	corrected := seen(t, rest.Fill("people", "email,role\nkim@alpha.example,member\n").Submit("preview"), 200)
	changed := corrected.Form("main").Fill("people", "email,role\nkim@alpha.example,helpdesk\n")
	again := seen(t, changed.Submit("invite"), 200)
	idptest.Want(expect.Case(t, "text that was changed after its preview"), again, idptest.Says("console.many.preview_title"), idptest.Says("console.role.helpdesk"))
	expect.Equal(t, "before the second deed", w.letters(t, "kim@alpha.example"), "kim 0")
	idptest.Want(t, seen(t, again.Form("main").Submit("invite"), 200), idptest.Says("console.many.done", "Count", 1), idptest.Element("a", "href", "/o/alpha/admin/people?state=invited"))
	expect.Equal(t, "after the second deed", w.letters(t, "kim@alpha.example"), "kim 1")

	// The same form once more invites nobody twice, and says so.
	twice := seen(t, again.Form("main").Submit("invite"), 422)
	idptest.Want(t, twice, idptest.Says("console.many.left_out", "Count", 1), idptest.Says("directory.already_invited"))
	expect.Equal(t, "after the same form again", w.letters(t, "kim@alpha.example"), "kim 1")
}

func TestAFileThatIsNoneIsRefusedInItsField(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Helpdesk]
	for name, c := range map[string]struct {
		file, text string
		key        string
		pairs      []any
	}{
		"nothing":      {"", "", "administration.file_empty", nil},
		"a workbook":   {"PK\x03\x04\x14\x00\x06", "", "administration.file_workbook", nil},
		"UTF-16":       {"\xFF\xFEe\x00m\x00", "", "administration.file_utf16", nil},
		"Latin-1":      {"email;name\nlin@alpha.example;Ren\xE9e", "", "administration.file_not_utf8", []any{"Line", 2}},
		"too large":    {strings.Repeat("lin@alpha.example\n", 1<<16), "", "administration.file_large", nil},
		"no columns":   {"first,last\nLin,Wei\n", "", "administration.file_columns", nil},
		"501 people":   {"email\n" + strings.Repeat("lin@alpha.example\n", 501), "", "administration.file_many", []any{"People", 501, "Most", 500}},
		"pasted quote": {"", "email,name\nlin@alpha.example,\"Lin", "administration.file_quotes", []any{"Line", 2}},
	} {
		form := b.Get(many).Form("main")
		if c.file != "" {
			form.Choose([]byte(c.file))
		}
		p := form.Fill("people", c.text).Submit("preview")
		of := expect.Case(t, "%s", name)
		idptest.Want(of, p, idptest.Status(422), idptest.Says(c.key, c.pairs...), idptest.Element("textarea", "aria-invalid", "true"))
		if c.text != "" {
			expect.Equal(of, "kept", strings.TrimSpace(p.Form("main").Values.Get("people")), strings.TrimSpace(c.text))
		}
	}
	if p := b.Upload(many, "people_file", make([]byte, 17<<20), nil); p.Status != 413 {
		t.Errorf("17 MiB: %d", p.Status)
	}
	for _, field := range []string{"role", "org_id", "email", "line[]"} {
		if p := b.Post(many, url.Values{"people": {"a@alpha.example"}, field: {"x"}}); p.Status != 400 {
			t.Errorf("a field %s: %d, want 400", field, p.Status)
		}
	}
}

// 500 lines go through preview, proof and deed in the forms that a browser sends.
func TestAFullFileComesBackFromTheProof(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Owner]
	text := "email;name;role;language\n"
	for i := range sheet.Most {
		text += fmt.Sprintf("person.with.a.long.address.%03d@subsidiary.alpha.example;%s %03d;member;fr\n", i, strings.Repeat("Émilie ", 8), i)
	}
	w.Clock.Advance(11 * time.Minute)
	stale := b.Get(many).Form("main").Choose([]byte(text)).Submit("preview")
	preview := seen(t, proveAgain(t, stale), 200)
	idptest.Want(expect.Case(t, "the file is not lost"), preview, idptest.Path(many), idptest.Says("page.returned"), idptest.Says("console.many.ready", "Count", 500))
	w.Clock.Advance(11 * time.Minute)
	back := seen(t, proveAgain(t, preview.Form("main").Submit("invite")), 200)
	idptest.Want(expect.Case(t, "the proof invites nobody"), back, idptest.Path(many), idptest.Says("console.many.invite", "Count", 500))
	expect.Equal(t, "sent before the button", len(w.LettersTo(t, "person.with.a.long.address.007@subsidiary.alpha.example")), 0)
	idptest.Want(t, seen(t, back.Form("main").Submit("invite"), 200), idptest.Says("console.many.done", "Count", 500))
	expect.Equal(t, "letters under way", strings.Count(w.rows(t, w.alpha.ID), "person.with.a.long.address."), 2*500) // each with its invitation
	if n := len(back.Body); n > 400<<10 {
		t.Errorf("the preview has %d bytes", n)
	}
}

func TestNobodyIsInvitedAboveOnesOwnRoleFromAFile(t *testing.T) {
	t.Parallel()
	w := start(t)
	text := "email,role\na@alpha.example,owner\nb@alpha.example,administrator\nc@alpha.example,member\n"
	for role, want := range map[directory.Role]string{directory.Owner: "a 0, b 1, c 1", directory.Administrator: "a 0, b 1, c 1", directory.Helpdesk: "a 0, b 0, c 1"} {
		b := w.alpha.browsers[role]
		body := strings.ReplaceAll(text, "@alpha", "-"+string(role)+"@alpha")
		preview := b.Get(many).Form("main").Fill("people", body).Submit("preview")
		form := preview.Form("main")
		form.Values.Set("lines", "2 3 4") // no page of ours sends this
		form.Submit("invite")
		got := w.letters(t, "a-"+string(role)+"@alpha.example", "b-"+string(role)+"@alpha.example", "c-"+string(role)+"@alpha.example")
		expect.Equal(expect.Case(t, "%s", role), "letters", strings.ReplaceAll(got, "-"+string(role), ""), want)
	}
	before := w.rows(t, w.beta.ID)
	w.alpha.browsers[directory.Owner].Post(strings.Replace(many, "alpha", "beta", 1), url.Values{"people": {text}, "do": {"invite"}, "lines": {"2 3 4"}})
	expect.Equal(t, "the neighbour", w.rows(t, w.beta.ID), before)
}

func TestTheExampleCanBeInvited(t *testing.T) {
	t.Parallel()
	w := start(t)
	b := w.alpha.browsers[directory.Administrator]
	for language, separator := range map[string]string{"en": `"email","name"`, "fr": `"email";"name"`} {
		b.Post("/o/alpha/language", url.Values{"language": {language}, "page": {"/o/alpha/home"}})
		sample := b.Get("/o/alpha/admin/people/invite/sample")
		of := expect.Case(t, "%s", language)
		idptest.Want(of, sample, idptest.Status(200), idptest.Header("Content-Type", "text/csv; charset=utf-8"), idptest.Header("Content-Disposition", `attachment; filename="parvis-invitations.csv"`), idptest.Source(separator))
		idptest.Want(of, b.Get(many).Form("main").Choose([]byte(sample.Body)).Submit("preview"), idptest.Status(200), idptest.Says("console.many.ready", "Count", 2))
	}
}
