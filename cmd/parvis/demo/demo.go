// Package demo shows Parvis to somebody who has only the program: two regions on loopback,
// sample organizations and a mailbox, all in one process and a temporary folder. It builds
// everything through the ordinary functions, and no password exists until somebody makes one.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"parvis/cmd/parvis/serving"
	"parvis/internal/app"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/i18n"
	"parvis/internal/mail"
	"parvis/internal/mailbox"
	"parvis/internal/outbound"
	"parvis/internal/page"
	"parvis/internal/region"
	"parvis/internal/secret"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// Options are what the command line says.
type Options struct {
	Port        int // of the first region's pages; any free one if 0
	OtherPort   int // of the other region's pages; any free one if 0
	MailboxPort int // of the mailbox; any free one if 0
	// ApplicationPort is the port of the first sample application; the others get the following
	// ones. Any free ones if 0.
	ApplicationPort int
	CompanyPort     int // of the company's sign-in server; any free one if 0
	DirectoryPort   int // of the staff directory; any free one if 0
	JSON            bool
	Out             io.Writer
	Log             *slog.Logger
}

// A customer is one organization of the demo.
type customer struct {
	region string
	directory.NewOrganization
	owner, email string
	password     credential.Rules
	session      session.Rules
	second       bool // everybody needs a second step; otherwise each person chooses
}

// customers are three in one region, one with the rules that customers ask for, one with those
// that NIST advises and one whose people sign in at their company, and one in the other region.
func customers() []customer {
	const day = 24 * time.Hour
	return []customer{{
		region:          "eu",
		NewOrganization: directory.NewOrganization{DisplayName: "Meridian Freight", ShortName: "meridian", Language: "en"},
		owner:           "Ana Duarte", email: "ana@meridian.example",
		password: credential.Classic,
		session:  session.Rules{Idle: session.Idle, Absolute: session.Absolute},
	}, {
		region:          "eu",
		NewOrganization: directory.NewOrganization{DisplayName: "Lumen Health", ShortName: "lumen", Language: "en", InvitationLifetime: 3 * day},
		owner:           "Lin Okafor", email: "lin@lumen.example",
		password: credential.Modern,
		session:  session.Rules{Idle: session.Idle, Absolute: session.ModernAbsolute},
		second:   true,
	}, {
		region:          "eu",
		NewOrganization: directory.NewOrganization{DisplayName: "Halden Rail", ShortName: employerOrganization, Language: "en"},
		owner:           employees()[0].Name, email: employees()[0].Email,
		password: credential.Classic,
		session:  session.Rules{Idle: session.Idle, Absolute: session.Absolute},
	}, {
		region:          "us",
		NewOrganization: directory.NewOrganization{DisplayName: "Cobalt Air", ShortName: "cobalt", Language: "en"},
		owner:           "Noor Haddad", email: "noor@cobalt.example",
		password: credential.Classic,
		session:  session.Rules{Idle: session.Idle, Absolute: session.Absolute},
	}}
}

// Run runs the demo until ctx ends, and leaves nothing behind.
func Run(ctx context.Context, o Options) (err error) {
	s := &show{o: o}
	defer func() { err = errors.Join(err, s.close()) }()
	first, err := s.listen(ctx, o.Port, "the pages", "--port")
	if err != nil {
		return err
	}
	other, err := s.listen(ctx, o.OtherPort, "the other region's pages", "--other-port")
	if err != nil {
		return err
	}
	if s.letters, err = s.listen(ctx, o.MailboxPort, "the mailbox", "--mailbox-port"); err != nil {
		return err
	}
	s.mailbox = "mailbox.localhost:" + port(s.letters)
	for n, a := range applications() {
		at := o.ApplicationPort
		if at != 0 {
			at += n
		}
		if a.listener, err = s.listen(ctx, at, a.name, "--application-port"); err != nil {
			return err
		}
		s.applications = append(s.applications, a)
	}
	if s.employer.listener, err = s.listen(ctx, o.CompanyPort, "the company's sign-in server", "--company-port"); err != nil {
		return err
	}
	if s.staff.listener, err = s.listen(ctx, o.DirectoryPort, "the staff directory", "--directory-port"); err != nil {
		return err
	}
	if s.folder, err = os.MkdirTemp("", "parvis-demo-"); err != nil {
		return err
	}
	if s.box, err = mailbox.Start(ctx, "127.0.0.1:0", mailbox.Options{}); err != nil {
		return err
	}
	// Each region has a host name of its own, because cookies go to every port of one.
	regions := []page.Region{
		{ID: "eu", Address: "http://localhost:" + port(first), Names: map[i18n.Tag]string{"en": "Europe", "fr": "Europe"}},
		{ID: "us", Address: "http://us.localhost:" + port(other), Names: map[i18n.Tag]string{"en": "Americas", "fr": "Amériques"}},
	}
	s.pair = secret.Bytes(region.KeyBytes)
	for i, l := range []net.Listener{first, other} {
		if err := s.open(ctx, page.Regions{Here: regions[i].ID, All: regions}, regions[i].Address, l); err != nil {
			return err
		}
	}
	return s.run(ctx)
}

// show is a demo with its ports open.
type show struct {
	o             Options
	folder        string
	pair          []byte // the key that the two regions share
	listeners     []net.Listener
	letters       net.Listener
	box           *mailbox.Mailbox
	mailbox       string // host and port
	installations []installation
	applications  []sampleApp
	employer      employer
	staff         staffDirectory
	names         names
	servers       []serving.Server // those of the applications, the company and the directory
}

// installation is one region, with a database and keys of its own.
type installation struct {
	*app.App
	region  string
	address string
	pages   net.Listener
	db      *db.DB
}

// close removes everything that was opened so far.
func (s *show) close() error {
	var all error
	for _, l := range s.listeners {
		l.Close() //nolint:errcheck // Once it served, it is closed already.
	}
	if s.box != nil {
		s.box.Close()
	}
	for _, i := range s.installations {
		all = errors.Join(all, i.db.Close())
	}
	if s.folder != "" {
		all = errors.Join(all, os.RemoveAll(s.folder))
	}
	return all
}

// open builds a region with its sample organizations.
func (s *show) open(ctx context.Context, regions page.Regions, address string, pages net.Listener) error {
	base, err := url.Parse(address)
	if err != nil {
		return err
	}
	d, err := db.Open(ctx, filepath.Join(s.folder, regions.Here+".db"))
	if err != nil {
		return err
	}
	d.Remembers = true
	d.Region = regions.Here
	s.installations = append(s.installations, installation{region: regions.Here, address: address, pages: pages, db: d})
	i := &s.installations[len(s.installations)-1]
	if _, err := d.Migrate(ctx); err != nil {
		return err
	}
	if i.App, err = app.New(app.Settings{
		DB: d, Keys: secret.NewKeys(), Base: base, From: "no-reply@parvis.example", Regions: regions,
		Pairs: map[string][]byte{regions.All[0].ID: s.pair, regions.All[1].ID: s.pair},
		SMTP:  &mail.SMTP{Address: s.box.Address(), TLS: mail.NoTLS}, Log: s.o.Log, Outbound: s.outbound(), Resolver: &s.names,
	}); err != nil {
		return err
	}
	for _, sample := range customers() {
		if sample.region != regions.Here {
			continue
		}
		if err := i.add(ctx, sample); err != nil {
			return fmt.Errorf("making %s: %w", sample.DisplayName, err)
		}
	}
	if len(s.installations) > 1 {
		return nil // the applications, the company and the directory belong to the first region
	}
	for _, serve := range []func(context.Context, *installation) error{s.serveApplications, s.serveEmployer, s.serveStaff} {
		if err := serve(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// outbound returns a client that may reach the applications and the company, on this machine.
func (s *show) outbound() *outbound.Client {
	own := []string{s.employer.host()}
	for _, a := range s.applications {
		own = append(own, a.kind+".localhost:"+port(a.listener))
	}
	return outbound.New(own)
}

func (s *show) run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var work sync.WaitGroup
	servers := append(s.servers, serving.Server{Listener: s.letters, Handler: s.onlyUnder(s.mailbox, s.box.Handler())})
	for _, i := range s.installations {
		work.Go(func() { i.Run(ctx) })
		servers = append(servers, serving.Server{Listener: i.pages, Handler: i.Site})
	}
	work.Go(func() { stop(serving.Run(ctx, s.o.Log, servers...)) })
	err := s.connectEmployer(ctx, &s.installations[0])
	if err == nil {
		err = s.tell(ctx)
	}
	if err != nil {
		stop(err)
	}
	work.Wait()
	if err == nil {
		err = context.Cause(ctx)
	}
	if errors.Is(err, context.Canceled) {
		return nil // as it was told to
	}
	return err
}

// add makes a sample organization and invites its owner, as an operator does.
func (i *installation) add(ctx context.Context, sample customer) error {
	return i.db.Update(ctx, func(tx *db.Tx) error {
		operator := directory.Operator()
		org, err := directory.CreateOrganization(ctx, tx, operator, sample.NewOrganization)
		if err != nil {
			return err
		}
		if err := signin.SetPasswordRules(ctx, tx, operator, org.ID, sample.password); err != nil {
			return err
		}
		if err := session.SetRules(ctx, tx, directory.Operator(), org.ID, sample.session); err != nil {
			return err
		}
		second := signin.DefaultSecondStep
		if second.Privileged = sample.second; sample.second {
			second.RequiredFrom = tx.Now()
		}
		if err := signin.SetSecondStepRules(ctx, tx, operator, org.ID, second); err != nil {
			return err
		}
		_, err = i.Invitations.Send(ctx, tx, operator, org, directory.NewInvitation{
			Email: sample.email, Name: sample.owner, Role: directory.Owner, Language: sample.Language,
		})
		return err
	})
}

// onlyUnder answers under one name only: a page elsewhere whose name was made to point to this
// machine cannot read letters.
func (s *show) onlyUnder(host string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != host {
			http.Redirect(w, r, "http://"+host, http.StatusTemporaryRedirect)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// listen opens a port on loopback, or says how to choose another.
func (s *show) listen(ctx context.Context, port int, what, flag string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %d, for %s, is taken by another program. Choose another with %s, or %s 0 for a free one", port, what, flag, flag)
	}
	if err == nil {
		s.listeners = append(s.listeners, l)
	}
	return l, err
}

func port(l net.Listener) string {
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "" // a TCP listener always has one
	}
	return port
}
