package console_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/idptest"
)

// buttonsTo returns what the buttons of a page's forms to a path send as do, with the hidden fields
// and the typed text beside each.
func buttonsTo(p *idptest.Page, path string) (all []url.Values) {
	root, err := html.Parse(strings.NewReader(p.Body))
	if err != nil {
		return nil
	}
	for n := range root.Descendants() {
		if n.Data != "form" || strings.EqualFold(attr(n, "method"), "get") || strings.TrimSuffix(attr(n, "action"), path) != "" {
			continue
		}
		fields := url.Values{}
		var dos []string
		for d := range n.Descendants() {
			switch name := attr(d, "name"); {
			case d.Data == "button" && attr(d, "type") != "button":
				dos = append(dos, attr(d, "value"))
			case d.Data == "input" && name != "" && name != "language" && attr(d, "type") != "checkbox" && attr(d, "type") != "radio" && attr(d, "type") != "file":
				fields.Add(name, attr(d, "value"))
			}
		}
		for _, do := range dos {
			sent := url.Values{}
			for name, values := range fields {
				sent[name] = slices.Clone(values)
			}
			if do != "" {
				sent.Set("do", do)
			}
			all = append(all, sent)
		}
	}
	return all
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// Each form of the administration, sent with each of its buttons, or as the table has it, by a session whose proof is too old,
// does nothing by the proof alone: it stands there filled in, and says so (decision 0056).
func TestNothingIsDoneByFreshProofAlone(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.asks(t, w.alpha)
	b := w.alpha.browsers[directory.Owner]
	member := w.idIn(t, directory.Member)
	extra := map[string]url.Values{ // what a page's own fields do not hold, since a person ticks or chooses it
		"/people/change":                 {"deed": {"deactivate"}, "person[]": {member}},
		"/groups/{id}":                   {"person[]": {w.alpha.user}},
		"/groups/{id}/add":               {"person[]": {member}},
		"/applications/{id}/place":       {"audience": {"everyone"}, "standing": {"forbidden"}},
		"/rules/second-step":             {"everyone": {"yes"}, "required_from": {"2020-01-01"}},
		"/rules/sessions":                {"idle": {"5m0s"}, "absolute": {"1h0m0s"}},
		"/single-sign-on/add":            {"provider": {"okta"}, "protocol": {"saml"}, "name": {"Another"}},
		"/people/{id}/links":             {"person": {member}, "link": {"0123"}},
		"/people/{id}/second-step":       {"reason": {"Lost the phone"}},
		"/single-sign-on":                {"connection": {w.alpha.connection}},
		"/single-sign-on/only":           {"do": {"on"}, "break_glass[]": {w.alpha.user}},
		"/single-sign-on/attempts/{id}":  {"confirmed": {"yes"}},
		"/connections/{id}/links":        {"person": {member}, "link": {"0123"}},
		"/connections/{id}/client":       {"issuer": {"https://idp.example"}, "client_id": {"parvis"}},
		"/connections/{id}/certificates": {"certificate": {"AAAA"}},
		"/connections/{id}/details":      {"tolerance": {"60"}},
		"/webhooks/add":                  {"kind": {"events"}, "name": {"Another"}, "address": {"https://192.0.43.7/"}, "all": {"yes"}},
		"/webhooks/{id}/headers":         {"header[]": {"X-Key"}},
		"/applications/add":              {"kind": {"link"}, "name": {"Another"}, "address": {"https://another.example/"}},
	}
	tried, asked := 0, 0
	for _, route := range w.consoleRoutes() {
		pattern, posts := strings.CutPrefix(route, "POST ")
		if !posts || strings.HasSuffix(pattern, "/export") || strings.HasSuffix(pattern, "/check") { // these change nothing
			continue
		}
		id := w.alpha.idFor(route)
		if strings.Contains(pattern, "/people/{id}") {
			id = member
		}
		if strings.Contains(pattern, "/audit/{id}") {
			id = w.erasedEntry(t)
		}
		path := strings.NewReplacer("{org}", "alpha", "{id}", id).Replace(pattern)
		shown := w.fresh(t, b, path)
		sent := buttonsTo(shown, path)
		more, chosen := extra[strings.TrimPrefix(pattern, "/o/{org}/admin")]
		if chosen && (len(sent) == 0 || shown.URL.Path != path) {
			sent = []url.Values{{}} // from another page
		}
		if strings.HasSuffix(pattern, "/provisioning/{id}/token") {
			sent = []url.Values{{}} // the page offers no third token
		}
		if len(sent) == 0 {
			t.Errorf("%s: no form is sent", route)
		}
		for _, form := range sent {
			for name, values := range more {
				form[name] = values
			}
			of := expect.Case(t, "%s with do=%q", route, form.Get("do"))
			w.Clock.Advance(11 * time.Minute)
			before := w.settled(t)
			p := b.Post(path, form)
			if !strings.HasPrefix(p.URL.Path, "/sign-in/") {
				of.Errorf("no proof is asked for: %d at %s", p.Status, p.URL)
				continue
			}
			p = proveAgain(t, p)
			idptest.Want(of, p, idptest.Path(path), idptest.Element("div", "role", "status"))
			tried++
			if p.Has("input", "name", "confirmed") {
				asked++
				idptest.Want(of, p, idptest.Says("console.confirm.returned"), idptest.Says("console.confirm.cancel"), idptest.Element("form", "id", "main"))
				for name := range form {
					if name != "do" && name != "seen" {
						idptest.Want(of, p, idptest.Element("input", "name", name))
					}
				}
				// So does the button of the page that asks.
				button := p.Form("main")
				w.Clock.Advance(11 * time.Minute)
				p = proveAgain(t, button.Submit(button.Values.Get("asked")))
				idptest.Want(of, p, idptest.Path(path), idptest.Says("console.confirm.returned"), idptest.Input("confirmed", "yes"))
			} else {
				idptest.Want(of, p, idptest.Says("page.returned"))
			}
			after := w.settled(t)
			for table, was := range before {
				if after[table] != was {
					of.Errorf("the proof alone changed %s", table)
				}
			}
		}
	}
	if tried < 44 || asked < 12 {
		t.Errorf("%d forms were tried, of which %d were asked about", tried, asked)
	}
}

// settled returns everything in the database that a sign-in does not touch, and neither does the
// clock, which passes midnight on the way.
func (w *world) settled(t *testing.T) map[string]string {
	t.Helper()
	all := w.stored(t)
	for _, table := range []string{"sessions", "passwords", "letters", "active_people"} {
		delete(all, table)
	}
	return all
}
