// Package app connects the packages to one running program. The command and the tests build it
// in the same way: there is no second wiring.
package app

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"parvis/internal/access"
	"parvis/internal/administration"
	"parvis/internal/api"
	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/console"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/edge"
	"parvis/internal/federation"
	"parvis/internal/i18n"
	"parvis/internal/lifetime"
	"parvis/internal/limit"
	"parvis/internal/mail"
	"parvis/internal/measure"
	"parvis/internal/once"
	"parvis/internal/op"
	"parvis/internal/op/ask"
	"parvis/internal/outbound"
	"parvis/internal/page"
	"parvis/internal/provisioning"
	"parvis/internal/purge"
	"parvis/internal/region"
	"parvis/internal/scim"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
	"parvis/internal/trace"
	"parvis/internal/web"
	"parvis/internal/webhook"
)

// Policies lists the policies of every limiter; each is stated beside the work that it protects
// (docs/limits.md).
var Policies = slices.Concat(directory.Policies, domain.Policies, signin.Policies, administration.Policies, federation.Policies, op.Policies)

// Settings are what an installation is made from.
type Settings struct {
	DB        *db.DB
	Keys      secret.Keys
	Base      *url.URL   // public address: scheme and host, no path
	From      string     // address that letters come from
	Operator  string     // address of who runs the installation; empty for nobody
	SMTP      *mail.SMTP // nil where none is configured: letters wait
	Links     page.Links
	Regions   page.Regions
	Pairs     map[string][]byte // the key that this region shares with each of the others
	Patience  time.Duration     // for answers of other regions; region.Patience where zero, which only tests replace
	Proxies   []netip.Prefix
	Outbound  *outbound.Client // one without exceptions where nil
	Webhooks  *outbound.Client // for the webhooks of organizations; one without exceptions where nil, which only tests replace
	Resolver  domain.Resolver  // for DNS; this machine's where nil
	Lifetimes lifetime.Overrides
	Passwords credential.Options
	Roots     string // file for the roots of the audit log that this node knows; empty for memory alone
	Log       *slog.Logger
	Print     audit.Printer
	Trace     *trace.Tracer    // nil where nothing is traced
	Ends      func() time.Time // when the certificate in use ends; nil where somebody else does TLS

	AuditDays  int // for which an organization may have its events kept at most
	LetterDays int // for which letters are kept once they have ended
}

// App is a program that is ready to serve.
type App struct {
	Site        *page.Site // the http.Handler
	Invitations *directory.Invitations
	Domains     *domain.Prover
	Resets      *credential.Resets
	Hub         *federation.Hub
	Provider    *op.Provider
	Sources     *provisioning.Service
	Outbox      *mail.Outbox
	Passwords   *credential.Store
	Audit       *audit.Logs
	Webhooks    *webhook.Sender
	Regions     *region.Service

	db       *db.DB
	log      *slog.Logger
	node     string
	sweeps   []*sweep
	trace    *trace.Tracer
	families []measure.Family
}

var templates = page.Templates(api.Templates, ask.Templates, federation.Templates, web.Templates, console.Templates)

// connects reports whether an organization has a connection.
func connects(ctx context.Context, r db.Reader, org directory.OrgID, id string) (bool, error) {
	all, err := federation.ConnectionsOf(ctx, r, directory.System(org), org)
	return slices.ContainsFunc(all, func(c federation.Connection) bool { return c.ID == id }), err
}

// New wires the packages together.
func New(s Settings) (*App, error) {
	catalogue, err := i18n.Load()
	if err != nil {
		return nil, err
	}
	s.Passwords.Words = slices.Concat(s.Passwords.Words, s.Regions.Words())
	passwords, err := credential.NewStore(s.Keys.Pepper, s.Passwords)
	if err != nil {
		return nil, err
	}
	base := s.Base.Scheme + "://" + s.Base.Host
	passkeys, err := s.passkeys(base)
	if err != nil {
		return nil, err
	}
	outbox := mail.NewOutbox(mail.Settings{
		Sealing: s.Keys.Sealing, Catalogue: catalogue, From: s.From, Server: s.SMTP, Letterhead: directory.Letterhead, Days: s.LetterDays, Log: s.Log,
	})
	door := &session.Door{Outbox: outbox, Base: base, Keys: s.Keys.Lookup.For("session tokens"), Lifetimes: s.Lifetimes}
	invitations := &directory.Invitations{Outbox: outbox, Base: base, Lifetimes: s.Lifetimes}
	emails := &directory.EmailChanges{Outbox: outbox, Base: base, Lifetimes: s.Lifetimes}
	limits := limit.NewLimiter(s.Keys.Lookup)
	if s.Resolver == nil {
		s.Resolver = net.DefaultResolver
	}
	s.Outbound, s.Webhooks = cmp.Or(s.Outbound, outbound.New(nil)), cmp.Or(s.Webhooks, outbound.New(nil))
	calls := new(measure.By[measure.Timer])
	domains := &domain.Prover{Resolver: s.Resolver, Limits: limits, Outbox: outbox, Base: base}
	sources := &provisioning.Service{DB: s.DB, Invitations: invitations, Emails: emails, Outbox: outbox, Base: base, ComesIn: federation.ComesIn, Connects: connects}
	resets := &credential.Resets{Outbox: outbox, Base: base, Lifetimes: s.Lifetimes, Invites: invitations, Invited: sources.Invites}
	signIn := signin.NewService(signin.Parts{
		DB: s.DB, Passwords: passwords, Sessions: door, Limits: limits, Authenticators: credential.NewAuthenticators(s.Keys.Sealing), Passkeys: passkeys,
		Invites: invitations, Emails: emails, Resets: resets, Outbox: outbox, Base: base, Log: s.Log, Lifetimes: s.Lifetimes,
	}, s.Keys)
	hub := federation.NewHub(federation.Parts{
		DB: s.DB, SignIn: signIn, Sessions: door, Limits: signIn.Limits, Outbox: outbox, Outbound: s.Outbound.For("provider", calls), Base: base, Log: s.Log,
	}, s.Keys)
	provider := op.NewProvider(op.Parts{
		DB: s.DB, SignIn: signIn, Sessions: door, Limits: limits, Base: base, Log: s.Log, Lifetimes: s.Lifetimes,
		Reach: application.Reach{DB: s.DB, Outbound: s.Outbound.For("application", calls), Limits: limits},
	}, s.Keys)
	logs := audit.NewLogs(audit.Settings{Sealing: s.Keys.Sealing, Host: s.Base.Host, File: s.Roots, Days: s.AuditDays, Since: s.DB.Restored, Log: s.Log, Alarm: s.alarm(outbox), Print: s.Print})
	webhooks := webhook.NewSender(webhook.Parts{
		DB: s.DB, Outbox: outbox, Limits: limits, Logs: logs, Base: base, Log: s.Log, Outbound: s.Outbound.For("webhook", calls), Strict: s.Webhooks.For("webhook", calls),
	}, s.Keys)
	site, err := page.New(page.Settings{
		Edge:     edge.New(edge.Settings{DB: s.DB, Base: s.Base, Proxies: s.Proxies, Log: s.Log, Trace: s.Trace, Organization: organizationNamed}),
		Sessions: door, SignIn: signIn, Administration: &administration.Service{DB: s.DB, SignIn: signIn, Audit: logs}, Catalogue: catalogue,
		Links: s.Links, Regions: s.Regions, NoReply: s.From, Places: secret.NewBox(s.Keys.Sealing, "places in lists"), Warnings: s.warnings(),
	}, templates)
	if err != nil {
		return nil, err
	}
	hub.Mount(site)
	provider.Mount(site.Edge, catalogue)
	regions := s.others(site.Edge, calls)
	web.Mount(site, hub, ask.Mount(site, provider, hub.SignOut), regions)
	console.Mount(site, console.Parts{Invitations: invitations, Domains: domains, Resets: resets, Hub: hub, Provider: provider, Sources: sources, Webhooks: webhooks, Regions: regions})
	api.Mount(site, api.Parts{DB: s.DB, Administration: site.Administration, Domains: domains, Hub: hub, Sources: sources, Provider: provider, Webhooks: webhooks, Regions: regions, Base: base, Catalogue: catalogue}, s.Keys)
	scim.Mount(site.Edge, scim.Parts{DB: s.DB, Sources: sources, Base: base, Catalogue: catalogue}, s.Keys)
	a := &App{
		Site: site, Invitations: invitations, Domains: domains, Resets: resets, Hub: hub, Provider: provider, Sources: sources, Outbox: outbox, Passwords: passwords,
		Audit: logs, Webhooks: webhooks, Regions: regions,
		db: s.DB, log: s.Log, node: secret.NewID("node"), trace: s.Trace,
	}
	a.sweeps = []*sweep{
		newSweep("resets", time.Second, resets.Sweep),
		newSweep("letters", time.Second, outbox.Sweep),
		newSweep("audit log", time.Second, a.Audit.Sweep),
		newSweep("webhooks", time.Second, webhooks.Sweep),
		newSweep("webhooks kept", time.Hour, webhook.SweepKept),
		newSweep("audit checkpoints", time.Hour, a.Audit.SweepCheckpoints),
		newSweep("checkpoints recorded", time.Hour, webhooks.SweepCheckpoints),
		newSweep("void sessions", time.Second, door.SweepVoid),
		newSweep("applications told", time.Second, provider.Sweep),
		newSweep("keys", time.Hour, provider.Keys.Sweep),
		newSweep("grants", 10*time.Minute, provider.SweepGrants),
		newSweep("tiles", time.Minute, provider.Reach.Sweep),
		newSweep("sessions", time.Minute, door.Sweep),
		newSweep("browsers", time.Hour, door.SweepBrowsers),
		newSweep("active people", time.Minute, session.SweepActive),
		newSweep("directory", time.Hour, directory.Sweep),
		newSweep("deleted organizations", time.Hour, purge.Sweeper{Logs: logs, Log: a.log}.Sweep),
		newSweep("setup links", time.Hour, federation.SweepSetupLinks),
		newSweep("domains", time.Hour, domains.Sweep),
		newSweep("API access", 10*time.Second, access.Sweeper{Outbox: outbox, Base: base}.Sweep),
		newSweep("attempts", 5*time.Minute, signIn.Sweep),
		newSweep("federation", 5*time.Minute, hub.Sweep),
		newSweep("single sign-on only", time.Minute, hub.SweepOnly),
		newSweep("metadata", 10*time.Minute, hub.SweepRenewals),
		newSweep("certificates", time.Hour, hub.SweepCertificates),
		newSweep("password costs", time.Hour, credential.SweepCosts),
		newSweep("ceremonies", 5*time.Minute, credential.SweepOnce),
		newSweep("limits", 5*time.Minute, limit.Sweep),
		newSweep("sources", time.Hour, sources.Sweep),
		newSweep("answers", time.Hour, once.Sweep),
		newSweep("counts by day", time.Hour, audit.SweepDays),
		newSweep("audit erasure", time.Hour, audit.SweepErased),
		newSweep("audit retention", time.Hour, logs.SweepKept),
		newSweep("letters retention", time.Hour, outbox.SweepKept),
		newSweep("changes", time.Minute, db.SweepChanges),
		newSweep("names in other regions", time.Minute, regions.Sweep),
	}
	a.families = a.measures(measured{calls, passwords.Queue(), limits, s.Ends})
	return a, nil
}

// others makes the service that asks, and answers, the other regions with which a key is shared.
func (s Settings) others(e *edge.Edge, calls *measure.By[measure.Timer]) *region.Service {
	var peers []region.Peer
	for _, r := range s.Regions.All {
		if key, shared := s.Pairs[r.ID]; shared && r.ID != s.Regions.Here {
			peers = append(peers, region.Peer{ID: r.ID, Address: r.Address, Key: key})
		}
	}
	regions := region.New(region.Settings{
		DB: s.DB, Here: s.Regions.Here, Peers: peers, Outbound: s.Outbound.For("region", calls), Patience: s.Patience, Log: s.Log, Domains: federation.EachLed,
	})
	regions.Mount(e)
	return regions
}

// organizationNamed returns the id of the organization with a short name, or an empty one.
func organizationNamed(ctx context.Context, r db.Reader, name string) (string, error) {
	org, err := directory.OrganizationByName(ctx, r, name)
	if errors.Is(err, directory.ErrNotFound) {
		err = nil
	}
	return string(org.ID), err
}

// passkeys makes the relying party, whose id is the host name of the public address. An IP
// address cannot be one: browsers make no passkeys there.
func (s Settings) passkeys(base string) (*credential.Passkeys, error) {
	host := s.Base.Hostname()
	if _, err := netip.ParseAddr(host); err == nil {
		return nil, nil //nolint:nilnil // None is a value here: pages offer no passkeys then.
	}
	return credential.NewPasskeys(s.Keys.Sealing, host, "Parvis", base)
}

// warnings lists the catalogue keys of the console's warnings about settings that are good only
// for trying things out (R-CFG-04).
func (s Settings) warnings() []string {
	var all []string
	if s.SMTP == nil {
		all = append(all, "console.warning.no_mail")
	}
	if s.Lifetimes != (lifetime.Overrides{}) {
		all = append(all, "console.warning.lifetimes")
	}
	return all
}
