package console

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/federation"
	"parvis/internal/federation/oidc"
	"parvis/internal/federation/saml"
	"parvis/internal/i18n"
	"parvis/internal/number"
	"parvis/internal/page"
	"parvis/internal/picture"
	"parvis/internal/secret"
)

var (
	presentFields     = page.Fields{"name", page.Tick("shown"), "seen", page.Tick("sessions")}
	metadataFields    = page.Fields{"metadata", page.File("metadata_file"), "metadata_address"}
	clientFields      = page.Fields{"issuer", "tenant", "client_id", "client_secret", "method"}
	certificateFields = page.Fields{"certificate", "fingerprint"}
	detailsFields     = page.Fields{
		"attribute_email", "attribute_name", "attribute_groups", "context",
		page.Tick("sign_requests"), page.Tick("allow_cbc"), "want_signed", "name_id_format", "tolerance", "scopes",
	}
	admissionFields = page.Fields{"people", page.Tick("vouches"), page.Tick("creates"), page.Tick("unsolicited"), "group[]", "role[]"}
	linkFields      = page.Fields{"email", "letter_language"}
)

// A bench is where a connection is set up: its page in the console, or the page behind a setup
// link, which shows less and may do less.
type bench struct {
	*page.Visitor
	connection   federation.Connection
	organization directory.Organization
	by           federation.Editor
	tester       string
	path         func(part string) string // path of the connection's page, or of one of its forms
	link         bool
	mayChange    bool
	render       func(connectionPage) error
}

// atConsole finds the connection that the path names, in the viewer's organization.
func (s *Server) atConsole(do func(bench) error) func(*page.Viewer) error {
	return func(v *page.Viewer) error {
		c, err := federation.ConnectionOf(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID, v.ID())
		if err != nil {
			return err
		}
		return do(bench{
			Visitor: v.Visitor, connection: c, organization: v.Organization, by: federation.ByActor(v.User.AsActor()),
			tester: string(v.User.ID), path: func(part string) string { return v.Path("admin/connections", c.ID) + part }, mayChange: rules(v.User.Role),
			render: func(p connectionPage) error { return s.renderAtConsole(v, p) },
		})
	}
}

// behindLink finds what a setup link opens.
func (s *Server) behindLink(do func(bench) error) func(*page.Visitor) error {
	return func(v *page.Visitor) error {
		typed := v.R.PathValue("token")
		l, c, org, err := federation.SetupLinkByToken(v.R.Context(), s.site.DB, secret.ParseToken(typed))
		if err != nil {
			return err
		}
		return do(bench{
			Visitor: v, connection: c, organization: org, by: l.Editor(),
			tester: l.ID, path: func(part string) string { return "/connection-setup" + part + "/" + url.PathEscape(typed) }, link: true, mayChange: c.State != federation.On,
			render: func(p connectionPage) error { return v.Render("connection-setup", p) },
		})
	}
}

// sent is behindLink for forms: they are counted, against guesses and abuse.
func (s *Server) sent(do func(bench) error) func(*page.Visitor) error {
	return func(v *page.Visitor) error {
		if err := s.site.SignIn.TakeLink(v.R.Context()); err != nil {
			return err
		}
		err := s.behindLink(do)(v)
		if errors.Is(err, federation.ErrLinkOver) {
			err = errors.Join(err, federation.RecordDeadLink(v.R.Context(), s.site.DB, s.dead, secret.ParseToken(v.R.PathValue("token"))))
		}
		return err
	}
}

// connectionPage shows one connection, with what to type at its provider.
type connectionPage struct {
	federation.Connection
	Organization directory.Organization
	Guide        shownGuide
	Certificates []shownCertificate
	Chips        []chip
	path         func(part string) string
	MayChange    bool
	ByLink       bool
	Saved        bool
	Base         string

	Tests []attempt // behind a setup link: its own

	Waiting *shownChange // waits beside the connection, which is on; the forms then show what waits

	// In the console only.
	Domains   []domain.Domain // domains of the organization
	Link      *federation.SetupLink
	LinkSent  bool
	Grantable []directory.Role
	MayOwner  bool // the viewer is an owner
	Links     shownLinks

	frame *page.Form
}

// shownCertificate is a certificate that the provider may sign with.
type shownCertificate struct {
	federation.Certificate
	Chip chip
}

// shownChange is a change that waits beside a connection.
type shownChange struct {
	federation.WaitingChange
	Changes []change
}

func (s *Server) showConnection(b bench) error {
	p := connectionPage{
		Connection: b.connection, Organization: b.organization, Guide: guideOf(b.connection, s.base()), Chips: connectionChips(b.connection),
		path: b.path, MayChange: b.mayChange, ByLink: b.link, Saved: b.Just("saved"), Base: s.base(), frame: b.Form,
	}
	w, waiting, err := federation.Waiting(b.R.Context(), s.site.DB, b.connection)
	if err != nil {
		return err
	}
	if waiting {
		p.Connection, p.Waiting = w.Connection, &shownChange{w, changesOf(w.Before, w.After)}
	}
	all, err := p.Connection.Certificates()
	if err != nil {
		return err
	}
	for _, certificate := range all {
		p.Certificates = append(p.Certificates, s.shownCertificate(certificate))
	}
	if b.link {
		if p.Tests, err = s.ownTests(b); err != nil {
			return err
		}
	}
	b.FormIf(p.MayChange)
	return b.render(p)
}

// base returns the public address.
func (s *Server) base() string { return s.site.Base.Scheme + "://" + s.site.Base.Host }

// nearEnd is how long before its end a certificate is shown as something to do.
const nearEnd = 30 * 24 * time.Hour

func (s *Server) shownCertificate(c federation.Certificate) shownCertificate {
	shown := shownCertificate{c, chip{"console.sso.certificate_valid", "ok"}}
	switch now := s.site.DB.Now(); {
	case !now.Before(c.Until):
		shown.Chip = chip{"console.sso.certificate_ended", "bad"}
	case now.Before(c.From):
		shown.Chip = chip{"console.sso.certificate_early", "bad"}
	case !now.Add(nearEnd).Before(c.Until):
		shown.Chip = chip{"console.sso.certificate_ends", "warn"}
	}
	return shown
}

// renderAtConsole adds what only the organization's own people see.
func (s *Server) renderAtConsole(v *page.Viewer, p connectionPage) error {
	ctx := v.R.Context()
	if err := s.site.DB.View(ctx, func(tx *db.Tx) error {
		domains, err := domain.Of(ctx, tx, v.User.AsActor(), v.User.OrgID)
		if err != nil {
			return err
		}
		p.Domains = slices.DeleteFunc(domains, func(d domain.Domain) bool { return !d.Held() })
		links, err := federation.LinksAt(ctx, tx, v.User.OrgID, p.ID, linksShown)
		if err != nil {
			return err
		}
		p.Links = shownLinks{Rows: linksShownTo(v, links), At: p.At("/links"), Whose: true}
		link, found, err := federation.SetupLinkOf(ctx, tx, v.User.OrgID, p.ID)
		if found {
			p.Link = &link
		}
		return err
	}); err != nil {
		return err
	}
	p.LinkSent, p.MayOwner = v.Just("sent"), v.User.Role == directory.Owner
	p.Grantable = slices.DeleteFunc(slices.Clone(v.User.Role.Grants()), func(r directory.Role) bool { return r == directory.Owner || r == directory.Member })
	return v.Render("console-connection", p)
}

// OwnersTurn reports whether only an owner can accept the waiting change, and the viewer is none.
func (p connectionPage) OwnersTurn() bool {
	return p.Waiting != nil && p.Waiting.OwnersTurn && !p.MayOwner
}

// Seen identifies the state that a form shows, so that nobody confirms another one.
func (p connectionPage) Seen() string { return strconv.FormatInt(p.ChangedAt.UnixMicro(), 10) }

// At returns where a form of the page is sent; the empty part is the page itself.
func (p connectionPage) At(part string) string { return p.path(part) }

// Ticked reports whether a box is ticked: as it was sent with its form, of which the field
// always is sent every time, or as things are.
func (p connectionPage) Ticked(name, always string, otherwise bool) bool {
	if p.frame.Has(always) {
		return p.frame.Has(name)
	}
	return otherwise
}

// Groups returns the lines of the mapping: as they were sent or as they are stored, and some
// empty ones to fill in.
func (p connectionPage) Groups() []federation.GroupRole {
	lines := p.Mapping.Roles
	if p.frame.Has("people") {
		lines = groupsIn(p.frame)
	}
	return append(slices.Clone(lines), make([]federation.GroupRole, 3)...)
}

// Methods lists the methods to choose from.
func (connectionPage) Methods() []oidc.Method { return federation.Methods }
func (connectionPage) Formats() []string      { return federation.NameIDFormats }
func (connectionPage) Signings() []saml.Signed {
	return []saml.Signed{saml.Either, saml.Response, saml.Assertion}
}
func (p connectionPage) ToleranceSeconds() string { return strconv.Itoa(int(p.Tolerance().Seconds())) }
func (p connectionPage) IsSAML() bool             { return p.Protocol == federation.SAML }
func (p connectionPage) Contexts() string {
	return strings.Join(append(slices.Clone(p.SAML.AuthnContext), p.OIDC.ACR...), " ")
}
func (p connectionPage) ScopesText() string { return strings.Join(p.OIDC.Scopes, " ") }
func (p connectionPage) Published() string  { return p.Connection.Metadata(p.Base) }
func (p connectionPage) KeySet() string     { return federation.KeySet(p.Base) }

// changed alters the connection and returns to its page.
func (s *Server) changed(b bench, what federation.Change) error {
	return b.Do(func(ctx context.Context, tx *db.Tx) error {
		_, err := s.Hub.Change(ctx, tx, b.by, b.connection.OrgID, b.connection.ID, what)
		return err
	}, b.path("")+"?saved")
}

func (s *Server) saveMetadata(b bench) error {
	text := []byte(b.Form.Get("metadata"))
	if file := b.Form.File(); len(file) > 0 {
		text = file
	}
	what, err := s.Hub.ReadMetadata(b.R.Context(), b.connection, federation.Metadata{Text: text, Address: b.Form.Get("metadata_address")})
	if err != nil {
		return err
	}
	return s.changed(b, what)
}

func (s *Server) saveClient(b bench) error {
	what, err := s.Hub.Discover(b.R.Context(), b.connection, federation.Client{
		Issuer: b.Form.Get("issuer"), Tenant: b.Form.Get("tenant"), ID: b.Form.Get("client_id"),
		Secret: b.Form.Get("client_secret"), Method: oidc.Method(b.Form.Get("method")),
	})
	if err != nil {
		return err
	}
	return s.changed(b, what)
}

func (s *Server) saveCertificates(b bench) error {
	if b.Form.Asked() == "remove" {
		return s.changed(b, federation.RemoveCertificate(b.Form.Get("fingerprint")))
	}
	return s.changed(b, federation.AddCertificate(b.Form.Get("certificate")))
}

func (s *Server) saveDetails(b bench) error {
	f := b.Form
	seconds, ok := number.Parse(f.Get("tolerance"))
	if !ok {
		seconds = 0 // not one that can be chosen
	}
	return s.changed(b, federation.Details{
		Email: strings.TrimSpace(f.Get("attribute_email")), Name: strings.TrimSpace(f.Get("attribute_name")), Groups: strings.TrimSpace(f.Get("attribute_groups")),
		Context: strings.Fields(f.Get("context")), SignRequests: f.Ticked("sign_requests"), AllowCBC: f.Ticked("allow_cbc"),
		WantSigned: saml.Signed(f.Get("want_signed")), NameIDFormat: f.Get("name_id_format"),
		Tolerance: time.Duration(seconds) * time.Second, Scopes: strings.Fields(f.Get("scopes")),
	}.Change)
}

// groupsIn returns the lines of the mapping that were filled in.
func groupsIn(f *page.Form) (all []federation.GroupRole) {
	roles := f.All("role[]")
	for i, group := range f.All("group[]") {
		line := federation.GroupRole{Group: strings.TrimSpace(group)}
		if i < len(roles) {
			line.Role = directory.Role(roles[i])
		}
		if line != (federation.GroupRole{}) {
			all = append(all, line)
		}
	}
	return all
}

func (s *Server) saveAdmission(b bench) error {
	f := b.Form
	return s.changed(b, federation.Admit(b.by.Actor, federation.Admission{
		Vouches: f.Ticked("vouches"), Creates: f.Ticked("creates"), Unsolicited: f.Ticked("unsolicited"), Roles: groupsIn(f),
	}))
}

// test leads to the provider, with the connection or with the change that waits beside it.
func (s *Server) test(b bench) error {
	c, err := s.Hub.MayTest(b.R.Context(), b.by, b.connection.OrgID, b.connection.ID, b.Form.Asked() == "test-change")
	if err != nil {
		return err
	}
	return s.Hub.Test(b.Visitor, c, b.tester)
}

// changeConnection does what only the organization's own people may do: the buttons of the
// page, and how the connection is shown.
func (s *Server) changeConnection(v *page.Viewer) error {
	return s.atConsole(func(b bench) error {
		switch b.Form.Asked() {
		case "test", "test-change":
			return s.test(b)
		case "on":
			return s.turned(v, b, seen(v, s.Hub.TurnOn))
		case "take":
			return s.turned(v, b, seen(v, s.Hub.Take))
		case "confirm":
			return s.turned(v, b, seen(v, s.Hub.Confirm))
		case "discard":
			return s.turned(v, b, s.Hub.Discard)
		case "off":
			return s.turned(v, b, s.leaving(v, s.Hub.TurnOff))
		case "remove":
			return s.did(v, b, s.leaving(v, s.Hub.Remove), v.Path("admin/single-sign-on")+"?removed")
		}
		return s.changed(b, federation.Present(b.Form.Get("name"), b.Form.Ticked("shown")))
	})(v)
}

func (s *Server) saveConnectionLogo(v *page.Viewer) error {
	return s.atConsole(func(b bench) error {
		logo, err := v.PictureOrNone(picture.Logo)
		if err != nil {
			return err
		}
		return v.Do(func(ctx context.Context, tx *db.Tx) error {
			return s.Hub.SetLogo(ctx, tx, v.User.AsActor(), v.User.OrgID, b.connection.ID, logo)
		}, b.path("")+"?saved")
	})(v)
}

func (s *Server) changeLink(v *page.Viewer) error {
	return s.atConsole(func(b bench) error {
		if b.Form.Asked() == "withdraw" {
			return s.turned(v, b, s.Hub.WithdrawSetupLink)
		}
		language := cmp.Or(i18n.Tag(b.Form.Get("letter_language")), v.Language())
		if err := s.site.Administration.CountInvitation(v.R.Context(), v.User.AsActor(), v.User.OrgID, b.Form.Get("email")); err != nil {
			return err
		}
		return v.Do(func(ctx context.Context, tx *db.Tx) error {
			return s.Hub.SendSetupLink(ctx, tx, v.User.AsActor(), v.Organization, b.connection.ID, b.Form.Get("email"), language)
		}, b.path("")+"?sent")
	})(v)
}
