package federation_test

import (
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/federation/samltest"
	"parvis/internal/idptest"
)

func TestBegunOnOneNodeAndAnsweredOnAnother(t *testing.T) {
	w := start(t, idptest.Named)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	node := idptest.StartOn(t, w.DB, w.Clock, w.Keys, idptest.Named)
	idp := w.idp()
	i := w.issuer(nil)
	w.allow(i.host())
	node.Hub.Outbound = w.Hub.Outbound
	c, o := w.samlConnection(w.org, idp), w.oidcConnection(w.org, i)
	here, there := w.Browser(t), node.Browser(t)
	there.Client.Jar = here.Client.Jar
	w.inside(w.answer(there, idp, c, w.begin(here, c), person(ada)), w.org, "Ada")
	w.inside(here.Get("/o/alpha/home"), w.org, "Ada")

	here, there = w.Browser(t), node.Browser(t)
	there.Client.Jar = here.Client.Jar
	address := w.begin(here, o)
	w.inside(there.Get(back(o, address, i.code(address, claimsOf("ada", ada)))), w.org, "Ada")
	w.inside(here.Get("/o/alpha/home"), w.org, "Ada")
}

func TestEightFirstSignInsAtOnceMakeOneUser(t *testing.T) {
	w := start(t, idptest.Named)
	nodes := []*idptest.Server{w.Server, idptest.StartOn(t, w.DB, w.Clock, w.Keys, idptest.Named)}
	idp := w.idp()
	c := w.samlConnection(w.org, idp, creates)
	browsers, forms := make([]*idptest.Browser, 8), make([]samltest.Form, 8)
	for n := range browsers {
		browsers[n] = nodes[n%2].Browser(t)
		forms[n] = w.respond(idp, c, w.begin(browsers[n], c), person(ada))
	}
	in := w.together(8, func(n int) bool { return w.post(browsers[n], forms[n]).URL.Path == "/o/alpha/home" })
	var users, links int
	if _, err := w.DB.One(t.Context(), db.Into(&users, &links), `select (select count(*) from users), (select count(*) from identities)`); err != nil {
		t.Fatal(err)
	}
	if in != 8 || users != 1 || links != 1 {
		t.Errorf("%d came in as %d users by %d links: %s\n%s", in, users, links, dbtest.Dump(t, w.DB, "users"), w.traces())
	}
}
