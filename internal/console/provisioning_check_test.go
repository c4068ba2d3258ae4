package console_test

import (
	"net/url"
	"testing"
	"time"

	"parvis/internal/directory"
	"parvis/internal/idptest"
)

// An administrator is told in words what a call would do, keeps what they pasted on the page, and
// nowhere else.
func TestABodyIsCheckedInWords(t *testing.T) {
	t.Parallel()
	w := start(t)
	b, path := w.alpha.browsers[directory.Administrator], "/o/alpha/admin/provisioning/"+w.alpha.source
	idptest.Want(t, seen(t, b.Get(path), 200), idptest.Link(path+"/check"))
	body := `{"userName": "lin@alpha.example", "shoe": 44}`
	before := w.stored(t)
	form := url.Values{"method": {"POST"}, "path": {"/Users"}, "scim_body": {body}}
	idptest.Want(t, seen(t, b.Post(path+"/check", form), 200), idptest.Says("console.provisioning.call.watched"),
		idptest.Says("provisioning.did.created", "Name", "lin@alpha.example", "Email", "lin@alpha.example"), idptest.Says("scim.note_unknown", "At", "shoe"),
		idptest.Says("console.provisioning.check.undone"), idptest.Shows(body))
	form.Set("scim_body", "{\n  oops")
	idptest.Want(t, seen(t, b.Post(path+"/check", form), 200), idptest.Says("console.provisioning.check.refused"), idptest.Says("scim.not_json", "Line", "2", "Column", "3"))
	form.Set("path", "/Bulk")
	idptest.Want(t, b.Post(path+"/check", form), idptest.Status(422), idptest.Says("provisioning.sent_path"), idptest.Shows("oops"))
	after := w.stored(t)
	for table, was := range before {
		if after[table] != was {
			t.Errorf("%s changed", table)
		}
	}
	idptest.Want(t, w.beta.browsers[directory.Owner].Post("/o/beta/admin/provisioning/"+w.alpha.source+"/check", form), idptest.Status(404))

	// Over a sign-in the rest of the form is kept, and the body is not.
	w.Clock.Advance(13 * time.Hour)
	b.Get("/o/alpha/home")
	p := proveAgain(t, b.Post(path+"/check", form))
	idptest.Want(t, p, idptest.Path(path+"/check"), idptest.Input("path", "/Bulk"), idptest.ShowsNot("oops"))
}
