// Package demo shows Parvis to somebody who has nothing but the program: a
// server on loopback, two sample organizations and a mailbox, all in one process
// and a temporary folder. It builds everything through the ordinary functions,
// and no password is known before somebody creates one.
package demo

import (
	"context"
	"encoding/json"
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
	"strings"
	"sync"
	"syscall"
	"time"

	"parvis/cmd/parvis/serving"
	"parvis/internal/app"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/mail"
	"parvis/internal/mailbox"
	"parvis/internal/secret"
	"parvis/internal/session"
)

// Options are what the command line says.
type Options struct {
	Port        int // of the pages; a free one where 0
	MailboxPort int // of the mailbox; a free one where 0
	JSON        bool
	Out         io.Writer
	Log         *slog.Logger
}

// A sample is one organization of the demo.
type sample struct {
	directory.NewOrganization
	owner, email string
	password     credential.Rules
	session      session.Rules
}

// samples are the two: one as customers ask for, one as NIST advises.
func samples() []sample {
	const day = 24 * time.Hour
	return []sample{{
		NewOrganization: directory.NewOrganization{DisplayName: "Meridian Freight", ShortName: "meridian", Language: "en"},
		owner:           "Ana Duarte", email: "ana@meridian.example",
		password: credential.Classic,
		session:  session.Rules{Idle: session.Idle, Absolute: session.Absolute},
	}, {
		NewOrganization: directory.NewOrganization{DisplayName: "Lumen Health", ShortName: "lumen", Language: "en", InvitationLifetime: 3 * day},
		owner:           "Lin Okafor", email: "lin@lumen.example",
		password: credential.Modern,
		session:  session.Rules{Idle: session.Idle, Absolute: session.ModernAbsolute},
	}}
}

// Addresses is what a browser test wants to know, and the form of --json.
type Addresses struct {
	Address string            `json:"address"`
	Mailbox string            `json:"mailbox"`
	Links   map[string]string `json:"links"` // short name → the owner's set-up link
}

// Run runs the demo until ctx ends, and leaves nothing behind.
func Run(ctx context.Context, o Options) (err error) {
	pages, err := listen(ctx, o.Port, "the pages", "--port")
	if err != nil {
		return err
	}
	defer pages.Close() //nolint:errcheck // Once it served, it is closed already.
	letters, err := listen(ctx, o.MailboxPort, "the mailbox", "--mailbox-port")
	if err != nil {
		return err
	}
	defer letters.Close() //nolint:errcheck // As above.
	folder, err := os.MkdirTemp("", "parvis-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	d, err := db.Open(ctx, filepath.Join(folder, "parvis.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	if _, err := d.Migrate(ctx); err != nil {
		return err
	}
	box, err := mailbox.Start(ctx, "127.0.0.1:0", mailbox.Options{})
	if err != nil {
		return err
	}
	defer box.Close()
	s := &show{
		o: o, db: d, box: box, pages: pages, letters: letters,
		base:    &url.URL{Scheme: "http", Host: "localhost:" + port(pages)},
		mailbox: "mailbox.localhost:" + port(letters),
	}
	return s.run(ctx)
}

// show is a demo with its doors open.
type show struct {
	o              Options
	db             *db.DB
	box            *mailbox.Mailbox
	pages, letters net.Listener
	base           *url.URL
	mailbox        string // host and port
}

func (s *show) run(ctx context.Context) error {
	a, err := app.New(app.Settings{
		DB: s.db, Keys: secret.NewKeys(), Base: s.base, From: "no-reply@parvis.example",
		SMTP: &mail.SMTP{Address: s.box.Address(), TLS: mail.NoTLS}, Log: s.o.Log,
	})
	if err != nil {
		return err
	}
	for _, sample := range samples() {
		if err := s.add(ctx, a, sample); err != nil {
			return fmt.Errorf("making %s: %w", sample.DisplayName, err)
		}
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var work sync.WaitGroup
	work.Go(func() { a.Run(ctx) })
	work.Go(func() {
		stop(serving.Run(ctx, s.o.Log,
			serving.Server{Listener: s.pages, Handler: a.Site},
			serving.Server{Listener: s.letters, Handler: s.onlyUnder(s.mailbox, s.box.Handler())}))
	})
	err = s.tell(ctx)
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
func (s *show) add(ctx context.Context, a *app.App, sample sample) error {
	return s.db.Update(ctx, func(tx *db.Tx) error {
		operator := directory.Operator()
		org, err := directory.CreateOrganization(ctx, tx, operator, sample.NewOrganization)
		if err != nil {
			return err
		}
		if err := credential.SetRules(ctx, tx, operator, org.ID, sample.password); err != nil {
			return err
		}
		if err := session.SetRules(ctx, tx, directory.Operator(), org.ID, sample.session); err != nil {
			return err
		}
		_, err = a.Invitations.Send(ctx, tx, operator, org, directory.NewInvitation{
			Email: sample.email, Name: sample.owner, Role: directory.Owner, Language: sample.Language,
		})
		return err
	})
}

// firstLetters is how long the first letters may take, on a slow machine.
const firstLetters = 30 * time.Second

// tell waits for the owners' letters and prints what to do.
func (s *show) tell(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, firstLetters)
	defer cancel()
	told := Addresses{Address: s.base.String(), Mailbox: "http://" + s.mailbox, Links: map[string]string{}}
	for _, sample := range samples() {
		link, err := s.linkTo(waiting, sample.email)
		if err != nil {
			return err
		}
		told.Links[sample.ShortName] = link
	}
	if s.o.JSON {
		return json.NewEncoder(s.o.Out).Encode(told)
	}
	_, err := fmt.Fprintf(s.o.Out, script, told.Links["meridian"], told.Mailbox, told.Links["lumen"], told.Address)
	return err
}

const script = `Parvis is running, on this machine only. Try this:

 1  You are Ana, who owns Meridian Freight. Open your invitation and create a password:
    %s

 2  Under Administration, invite somebody: any address will do, such as bo@meridian.example.

 3  Open the letter in the mailbox, where all mail of this demo arrives, and join as Bo.
    Use a private window or another browser, if you want to stay signed in as Ana too:
    %s

 4  Lumen Health has modern rules: one long password, no required kinds of characters.
    You are Lin, its owner:
    %s

Close the browser and come back: you are still signed in. This is the front page:
    %s

Ctrl-C ends the demo and removes everything.
`

// linkTo takes the link out of the letter that arrived.
func (s *show) linkTo(ctx context.Context, address string) (string, error) {
	letters, err := s.box.Wait(ctx, address, 1)
	if err != nil {
		return "", err
	}
	for _, link := range letters[0].Links {
		if strings.HasPrefix(link, s.base.String()+"/invitation/") {
			return link, nil
		}
	}
	return "", fmt.Errorf("the letter to %s has no link to %s", address, s.base)
}

// onlyUnder answers under one name: a page elsewhere whose name was made to
// point to this machine cannot read letters.
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
func listen(ctx context.Context, port int, what, flag string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %d, for %s, is taken by another program. Choose another with %s, or %s 0 for a free one", port, what, flag, flag)
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
