package console_test

import (
	"net/url"
	"strings"
	"sync"
	"testing"

	"parvis/internal/app"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/mail"
	"parvis/internal/mailbox"
)

// A quoting mail server refuses letters to some addresses and quotes the letter's link in its
// answer, as filters do that look for listed addresses.
type quoting struct {
	mu      sync.Mutex
	refuses map[string]bool
	links   map[string]string // the last link that was refused, by address
}

func startQuoting(t *testing.T) (*world, *quoting) {
	t.Helper()
	q := &quoting{refuses: map[string]bool{}, links: map[string]string{}}
	box, err := mailbox.Start(t.Context(), "127.0.0.1:0", mailbox.Options{Accept: func(r mailbox.Received) error {
		q.mu.Lock()
		defer q.mu.Unlock()
		if !q.refuses[r.To] {
			return nil
		}
		q.links[r.To] = r.Links[0]
		return mailbox.Refuse(554, "5.7.1 Message contains a listed URL: "+r.Links[0])
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(box.Close)
	s := idptest.Start(t, func(s *app.Settings) { s.SMTP = &mail.SMTP{Address: box.Address(), TLS: mail.NoTLS} })
	s.Mail = box
	w := &world{Server: s, dns: idptest.StartDNS(t)}
	w.alpha = w.organization(t, "Alpha Freight", "alpha", directory.Owner, directory.Helpdesk, directory.Member)
	return w, q
}

// refuse sets whether letters to an address are refused from now on.
func (q *quoting) refuse(address string, refused bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refuses[address] = refused
}

// sent sends the waiting letters and returns the path of the link that was refused last.
func (q *quoting) sent(t *testing.T, w *world, address string) string {
	t.Helper()
	w.LettersTo(t, address)
	q.mu.Lock()
	defer q.mu.Unlock()
	path, ours := strings.CutPrefix(q.links[address], w.URL)
	if !ours {
		t.Fatalf("no letter to %s was refused", address)
	}
	return path
}

// dead wants a link to open nothing, and its quoted token to be on no page and in no log line.
func dead(t *testing.T, w *world, link string, status int, form url.Values, page *idptest.Page) {
	t.Helper()
	stranger := w.Browser(t)
	idptest.Want(t, stranger.Get(link), idptest.Status(status))
	idptest.Want(t, stranger.Post(link, form), idptest.Status(status))
	token := link[strings.LastIndexByte(link, '/')+1:]
	if strings.Contains(page.Body, token) {
		t.Errorf("%s shows the quoted link", page.URL)
	}
	if strings.Contains(w.Log.String(), token) {
		t.Error("the log has the quoted link")
	}
	idptest.Want(t, page, idptest.Says("mail.answer.policy"), idptest.Shows("554 5.7.1"), idptest.Says("page.letter_dead"))
}

func TestARefusedInvitationIsDeadAndCanBeSentAgain(t *testing.T) {
	t.Parallel()
	w, q := startQuoting(t)
	const to = "bo@alpha.example"
	q.refuse(to, true)
	b := w.alpha.browsers[directory.Helpdesk]
	p := idptest.Want(t, b.Post("/o/alpha/admin/people/invite", url.Values{
		"email": {to}, "role": {"member"}, "invited_language": {"en"},
	}), idptest.Status(200))
	link := q.sent(t, w, to)
	p = b.Get(p.URL.Path)
	dead(t, w, link, 410, url.Values{"name": {"Mallory"}, "password": {idptest.Password}, "repetition": {idptest.Password}}, p)
	idptest.Want(t, w.Browser(t).Get(link), idptest.Says("directory.invitation_refused"))
	q.refuse(to, false)
	idptest.Want(t, p.Form("resend").Submit("resend"), idptest.Says("console.state.waiting"))
	idptest.Want(t, w.Browser(t).Get(w.Link(t, to, "/invitation/")), idptest.Status(200), idptest.Field("password"))
}

func TestARefusedResetIsDeadAndCanBeSentAgain(t *testing.T) {
	t.Parallel()
	w, q := startQuoting(t)
	const to = "member@alpha.example"
	q.refuse(to, true)
	b := w.alpha.browsers[directory.Helpdesk]
	path := "/o/alpha/admin/people/" + w.idOf(t, w.alpha.ID, "users", to)
	send := func() {
		t.Helper()
		idptest.Want(t, b.Post("/o/alpha/admin/people/change", url.Values{
			"deed": {"reset"}, "person[]": {w.idOf(t, w.alpha.ID, "users", to)}, "confirmed": {"yes"},
		}), idptest.Status(200))
	}
	send()
	link := q.sent(t, w, to)
	p := b.Get(path)
	dead(t, w, link, 410, url.Values{"password": {idptest.Password + "x"}, "repetition": {idptest.Password + "x"}}, p)
	idptest.Want(t, p, idptest.Element("form", "id", "resend"))
	q.refuse(to, false)
	send()
	idptest.Want(t, w.Browser(t).Get(w.Link(t, to, "/reset/")), idptest.Status(200), idptest.Field("password"))
	idptest.Want(t, b.Get(path), idptest.SaysNot("page.letter_dead"))
}

func TestARefusedChangeOfAddressIsDeadAndCanBeSentAgain(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]directory.Role{"one's own": directory.Member, "by an owner": directory.Owner} {
		t.Run(name, func(t *testing.T) {
			w, q := startQuoting(t)
			const to = "new@alpha.example"
			q.refuse(to, true)
			b, path := w.alpha.browsers[by], "/o/alpha/account/email"
			if by == directory.Owner {
				path = "/o/alpha/admin/people/" + w.idOf(t, w.alpha.ID, "users", "member@alpha.example") + "/email"
			}
			idptest.Want(t, b.Post(path, url.Values{"email": {to}}), idptest.Status(200))
			link := q.sent(t, w, to)
			p := b.Get(path)
			dead(t, w, link, 410, nil, p)
			q.refuse(to, false)
			idptest.Want(t, p.Form("resend").Submit(""), idptest.Status(200))
			idptest.Want(t, w.Browser(t).Post(w.Link(t, to, "/email/"), nil), idptest.Says("web.email_proof.done_title"))
		})
	}
}

func TestARefusedSetUpLinkIsDeadAndCanBeSentAgain(t *testing.T) {
	t.Parallel()
	w, q := startQuoting(t)
	const to = "it@alpha.example"
	q.refuse(to, true)
	b := w.alpha.browsers[directory.Owner]
	path := w.add(t, b, "okta", "saml", "Okta")
	idptest.Want(t, b.Post(path+"/link", url.Values{"email": {to}, "letter_language": {"fr"}}), idptest.Status(200))
	link := q.sent(t, w, to)
	p := b.Get(path)
	dead(t, w, link, 404, nil, p)
	// A form behind it that was opened before does nothing either.
	token := strings.TrimPrefix(link, "/connection-setup/")
	idptest.Want(t, w.Browser(t).Post("/connection-setup/metadata/"+token, url.Values{"metadata": {w.metadata("https://evil.example")}}), idptest.Status(404))
	q.refuse(to, false)
	idptest.Want(t, p.Form("resend-link").Submit(""), idptest.Status(200), idptest.SaysNot("page.letter_dead"))
	idptest.Want(t, w.Browser(t).Get(w.Link(t, to, "/connection-setup/")), idptest.Status(200))
	if l := w.LettersTo(t, to)[0]; !strings.Contains(l.Subject, "Installer") {
		t.Errorf("sent again it is not in French: %s", l.Subject)
	}
}

// 'This was not me' is such a link too: it ends sessions, and may bring an address back. There
// is nobody to whom that letter could be offered again.
func TestARefusedLetterTakesItsNotMeLinkWithIt(t *testing.T) {
	t.Parallel()
	w, q := startQuoting(t)
	const to = "member@alpha.example"
	q.refuse(to, true)
	b := w.alpha.browsers[directory.Member]
	idptest.Want(t, b.Post("/o/alpha/account/email", url.Values{"email": {"new@alpha.example"}}), idptest.Status(200))
	link := q.sent(t, w, to)
	if !strings.HasPrefix(link, "/not-me/") {
		t.Fatalf("the letter's link is %s", link)
	}
	idptest.Want(t, w.Browser(t).Get(link), idptest.Status(410))
	idptest.Want(t, w.Browser(t).Post(link, nil), idptest.Status(410))
	idptest.Want(t, b.Get("/o/alpha/home"), idptest.Path("/o/alpha/home"))
}
