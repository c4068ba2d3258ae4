package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"parvis/cmd/parvis/keyring"
	"parvis/cmd/parvis/machine"
	"parvis/cmd/parvis/serving"
	"parvis/internal/app"
	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/i18n"
	"parvis/internal/lifetime"
	"parvis/internal/outbound"
	"parvis/internal/rotation"
	"parvis/internal/secret"
	"parvis/internal/trace"
)

type serveCommand struct{ servingFlags }

// Run serves until it is told to end. Standard output gets what a person must see once,
// standard error the log.
func (c *serveCommand) Run(p *program) error {
	read := func() *configuration { return loadConfig(c.servingFlags, p.environ) }
	loaded := read()
	plan := loaded.check()
	if err := loaded.err(); err != nil {
		return err
	}
	level := new(slog.LevelVar)
	level.Set(plan.level)
	log, flush := newServerLog(p.ctx, p.err, plan.text, level)
	defer flush() // also if Run panics
	hangups := hangups()
	// The port comes first: if two servers are started by mistake, the second must touch
	// nothing.
	listener, err := new(net.ListenConfig).Listen(p.ctx, "tcp", plan.listen)
	if err != nil {
		return fmt.Errorf("listening on %s: %w. %s Choose another address with --listen", plan.listen, err, machine.Taken(err))
	}
	defer listener.Close() //nolint:errcheck // The server has closed it already, or was never started.
	forOperations, err := plan.listenForOperations(p.ctx, log)
	if err != nil {
		return err
	}
	if forOperations != nil {
		defer forOperations.Close() //nolint:errcheck // So has this one been.
	}
	s, err := open(p.ctx, plan, true, func(m db.Migration) {
		log.Info("database migrated", "from", m.From, "to", m.To, "backup", m.Backup)
	})
	if err != nil {
		return err
	}
	tracer := plan.tracer(log)
	certificate := s.certificate(log)
	a, err := s.app(log, plan.printer(p.out), tracer, certificate)
	if err != nil {
		return errors.Join(err, s.db.Close())
	}
	if err := s.current(p.ctx, a, log); err != nil {
		return errors.Join(err, s.db.Close())
	}
	keys := s.rotating()
	if err := keys.Reload(p.ctx); err != nil {
		return errors.Join(err, s.db.Close())
	}
	if err := s.offerSetup(p.ctx, p.out, false); err != nil && !errors.Is(err, directory.ErrHasOwner) {
		return errors.Join(err, s.db.Close())
	}
	for _, name := range plan.strangers {
		log.Warn("unknown variable in the environment", "variable", name, "do", "'parvis config' shows those that exist")
	}
	if plan.smtp == nil {
		fmt.Fprintln(p.out, "No mail server is configured: letters wait in the outbox until [mail] address is set.")
	}
	s.announce(log)
	r := &reloader{read: read, started: loaded, level: level, passwords: a.Passwords, certificate: certificate, keys: keys, db: s.db, log: log}
	go r.run(p.ctx, hangups)
	return errors.Join(s.serve(p.ctx, launch{a, keys, listener, r.certificate, forOperations, tracer, log}), s.db.Close())
}

// app builds the program on an open installation. There is no other wiring.
func (s *storage) app(log *slog.Logger, printer audit.Printer, tracer *trace.Tracer, c *certificate) (*app.App, error) {
	p := s.plan
	var ends func() time.Time
	if c != nil {
		ends = c.ends
	}
	a, err := app.New(app.Settings{
		DB: s.db, Keys: s.keys, Base: p.base, From: p.from, Operator: p.operator, SMTP: p.smtp, Links: p.links, Regions: p.regions, Pairs: p.pairs, Proxies: p.proxies,
		Outbound: outbound.New(p.allow), Resolver: p.resolver,
		Lifetimes: p.lifetimes, Passwords: credential.Options{Breached: p.breached}, Roots: p.rootsPath(), AuditDays: p.kept.audit, LetterDays: p.kept.letters, Log: log, Print: printer, Trace: tracer, Ends: ends,
	})
	if err != nil {
		return nil, fmt.Errorf("starting: %w", err)
	}
	return a, nil
}

// quiet builds the program for a command that ends: it writes no log, and prints no events.
func (s *storage) quiet() (*app.App, error) {
	return s.app(slog.New(slog.DiscardHandler), audit.Printer{}, nil, nil)
}

// settled is when a server has started: its first sweeps are done.
const settled = 200 * time.Millisecond

// launch is what a program needs that is about to serve.
type launch struct {
	app           *app.App
	keys          *rotation.Server
	listener      net.Listener
	certificate   *certificate // nil where a proxy does TLS
	forOperations net.Listener // nil for none
	tracer        *trace.Tracer
	log           *slog.Logger
}

// serve answers requests and does the repeated work until ctx ends. Then it is not
// ready any more, takes requests for a while yet if it was told to, finishes those that have begun and then
// the work; traces of all that are sent last, and those who watch are answered until then.
func (s *storage) serve(ctx context.Context, r launch) error {
	a, log := r.app, r.log
	ctx, die := context.WithCancelCause(ctx)
	defer die(nil)
	always := context.WithoutCancel(ctx)
	taking, refuse := context.WithCancel(always)
	defer refuse()
	working, stop := context.WithCancel(always)
	watching, end := context.WithCancel(always)
	defer end()
	h := s.operations(a, log)
	context.AfterFunc(ctx, func() {
		h.End()
		if stale(context.Cause(ctx)) {
			refuse() // nothing more is answered from a database that was put back
			return
		}
		time.AfterFunc(s.plan.watched.drain, refuse)
	})
	var sweeps, watchers sync.WaitGroup
	watchers.Go(func() { watch(watching, log, r.forOperations, h) })
	watchers.Go(func() { serving.Keep(watching, log, "traces", r.tracer.Run) })
	sweeps.Go(func() { a.Run(working) })
	sweeps.Go(func() { s.watch(working, a, log, die) })
	sweeps.Go(func() { s.answer(working, a, log) })
	sweeps.Go(func() { keyring.Follow(working, r.keys, log) })
	mountIdentity(a.Site, s.keys, s.plan.shared)
	// The start leaves more garbage than an idle server makes in minutes.
	settling := time.AfterFunc(settled, debug.FreeOSMemory)
	defer settling.Stop()
	server := serving.Server{Listener: r.listener, Handler: a.Site, Proxies: s.plan.proxies, Client: func(r *http.Request) string {
		at, _ := a.Site.Source(r)
		return at
	}, Refused: a.Site.Edge.Refusals(edge.OfNetwork).Inc}
	if r.certificate != nil {
		server.TLS = r.certificate.tlsConfig()
	}
	// systemd holds back what is ordered after this unit until it is told (sd_notify(3)). Without systemd
	// nobody listens, and an error means no more than that.
	_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
	defer context.AfterFunc(ctx, func() { _, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) })()
	err := serving.Run(taking, log, server)
	if why := context.Cause(ctx); stale(why) {
		err = errors.Join(why, err)
	}
	stop()
	sweeps.Wait()
	end()
	watchers.Wait()
	log.Info("ended")
	return err
}

// announce logs how the program runs, beginning with what is not fit for production.
func (s *storage) announce(log *slog.Logger) {
	p := s.plan
	if info, err := os.Stat(p.data); err == nil && machine.Loose(info) {
		log.Warn("others on this machine can look into the data folder", "folder", p.data, "do", "chmod 700 "+p.data)
	}
	if p.lifetimes != (lifetime.Overrides{}) {
		log.Warn("lifetimes are overridden by the configuration", "lifetimes", fmt.Sprintf("%+v", p.lifetimes))
	}
	if p.smtp == nil {
		log.Warn("no mail server is configured, so letters wait in the outbox", "do", "set [mail] address and restart")
	}
	if p.watched.pprof {
		log.Warn("profiles show memory, with keys in it, to everybody on this machine", "listen", p.watched.listen, "do", "set [operations] pprof to off when you have looked")
	}
	if len(p.allow) > 0 {
		log.Warn("administrators of organizations can have these hosts asked, which are not public", "allow", p.allow)
	}
	if p.base.Scheme == "https" && !p.secured && len(p.proxies) == 0 {
		log.Warn("no proxy is trusted, so everybody seems to come from it", "do", "set trusted_proxies")
	}
	log.Info("serving", "public_address", p.base.String(), "listen", p.listen, "tls", p.secured, "database", shownDatabase(p.database))
}

// offerSetup prints the link that makes the first organization and its owner, while there is
// none. It is the only secret ever printed, and the log never contains it. A link that works
// already is left alone, unless another is wanted: a second node that starts must not void the
// first one's.
func (s *storage) offerSetup(ctx context.Context, w io.Writer, another bool) error {
	lifetime := cmp.Or(s.plan.lifetimes.SetupLink, directory.BootstrapLifetime)
	var token secret.Token
	var waits time.Time
	err := s.db.Update(ctx, func(tx *db.Tx) (err error) {
		token = secret.Token{} // the one of a run that was lost opens nothing
		if waits, err = directory.BootstrapWaits(ctx, tx); err != nil || !another && !waits.IsZero() {
			return err
		}
		token, err = directory.NewBootstrap(ctx, tx, lifetime)
		return err
	})
	if err != nil {
		return err
	}
	catalogue, err := i18n.Load()
	if err != nil {
		return err
	}
	if token.IsZero() {
		fmt.Fprintf(w, "This installation has no owner yet. The set-up link that was printed before works until %s and cannot be printed again.\n"+
			"If it is lost, 'parvis setup-link' with the same settings prints another, and the lost one no longer works.\n", waits.Format(time.DateTime+" MST"))
		return nil
	}
	fmt.Fprintf(w, "This installation has no owner yet. Create the first organization and its owner at\n\n    %s/setup/%s\n\n"+
		"The link works once, within %s. Anybody who has it can become the owner of this installation.\n", s.plan.base, token.Reveal(), catalogue.In("en").Duration(lifetime))
	return nil
}

type setupLinkCommand struct{ addressFlags }

// Run prints a new link in place of one that was lost or has expired.
func (c *setupLinkCommand) Run(p *program) error {
	plan, err := c.plan(p)
	if err != nil {
		return err
	}
	return withStorage(p, plan, func(s *storage) error { return s.offerSetup(p.ctx, p.out, true) })
}

// withStorage opens an existing installation for a command that ends. What was written into a database that
// somebody put back by hand would be lost with it, or stand beside what is not void. Its schema is brought up
// all the same, since this program reads no other.
func withStorage(p *program, plan plan, work func(*storage) error) error {
	s, err := open(p.ctx, plan, false, func(m db.Migration) {
		fmt.Fprintf(p.err, "The database was brought from version %d to %d%s. Restart the server with this version of parvis.\n", m.From, m.To, copyNote(m))
	})
	if err != nil {
		return err
	}
	if !p.older {
		if err := s.newest(p.ctx); err != nil {
			return errors.Join(err, s.db.Close())
		}
	}
	return errors.Join(work(s), s.db.Close())
}

func copyNote(m db.Migration) string {
	if m.Backup == "" {
		return ""
	}
	return ", after copying it to " + m.Backup
}

type migrateCommand struct{ storageFlags }

// Run migrates and does nothing else, so that it can be given the address of a database role
// that owns the tables, which serve need not know.
func (c *migrateCommand) Run(p *program) error {
	plan, err := c.plan(p)
	if err != nil {
		return err
	}
	d, err := openDatabase(p.ctx, plan, true)
	if err != nil {
		return err
	}
	m, err := d.Migrate(p.ctx)
	if err := errors.Join(err, d.Close()); err != nil {
		return err
	}
	if m.From == m.To {
		fmt.Fprintf(p.out, "The database is at version %d already.\n", m.To)
		return nil
	}
	fmt.Fprintf(p.out, "The database was brought from version %d to %d%s.\n", m.From, m.To, copyNote(m))
	return nil
}
