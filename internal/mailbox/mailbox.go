// Package mailbox is a mail server that keeps what it gets and shows it: where
// the demo's letters arrive, and what tests talk to. It listens on loopback
// only, delivers nothing to anybody, and remembers no more than the last few
// hundred letters.
package mailbox

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const (
	mostLetters   = 500
	longestLetter = 1 << 20 // bytes
	patience      = time.Minute
)

// Options are what a test wants otherwise; the zero value takes every letter.
type Options struct {
	TLS      *tls.Config // offer STARTTLS, or
	Implicit bool        // expect TLS from the first byte
	Username string      // ask for a name and password
	Password string
	// Sender, if set, is asked before letters from an address are taken, Recipient
	// before a letter to one is, Accept before it is kept. An error of Refuse is what the client is told;
	// one that blocks is a server that hangs.
	Sender    func(address string) error
	Recipient func(address string) error
	Accept    func(Received) error
}

// Refuse is an answer such as 550 or 451 for Options.
func Refuse(code int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.NoEnhancedCode, Message: text}
}

// Mailbox is a running server.
type Mailbox struct {
	options  Options
	server   *smtp.Server
	listener net.Listener
	closing  sync.Once // its end and Close may come together

	mu      sync.Mutex
	letters []Received // oldest first
	count   int        // of all that ever came; the last one's ID
	arrived chan struct{}
}

// Start listens on a loopback address, such as 127.0.0.1:0, until ctx ends or
// Close is called.
func Start(ctx context.Context, address string, o Options) (*Mailbox, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("starting the mailbox: %w", err)
	}
	if tcp, ok := l.Addr().(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return nil, errors.Join(errors.New("the mailbox takes anybody's letters, so it listens on loopback only"), l.Close())
	}
	m := &Mailbox{options: o, listener: l, arrived: make(chan struct{})}
	m.server = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{mailbox: m, trusted: o.Username == ""}, nil
	}))
	m.server.Domain = "localhost"
	m.server.MaxMessageBytes = longestLetter
	m.server.MaxRecipients = 10
	m.server.ReadTimeout = patience
	m.server.WriteTimeout = patience
	m.server.EnableSMTPUTF8 = true
	m.server.AllowInsecureAuth = o.TLS == nil
	m.server.ErrorLog = slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug)
	if o.Implicit {
		l = tls.NewListener(l, o.TLS)
	} else {
		m.server.TLSConfig = o.TLS
	}
	go m.server.Serve(l) //nolint:errcheck // It ends with Close, and a test that gets no letter says so.
	context.AfterFunc(ctx, m.Close)
	return m, nil
}

// Address is where it listens, as host:port.
func (m *Mailbox) Address() string { return m.listener.Addr().String() }

// Close stops it. The letters stay readable.
func (m *Mailbox) Close() {
	m.closing.Do(func() {
		m.server.Close()   //nolint:errcheck // It only says that something was closed before.
		m.listener.Close() //nolint:errcheck // Serve may not have told the server of it yet.
	})
}

// Letters returns what came, newest first.
func (m *Mailbox) Letters() []Received {
	m.mu.Lock()
	defer m.mu.Unlock()
	letters := slices.Clone(m.letters)
	slices.Reverse(letters)
	return letters
}

// Letter finds one by its ID.
func (m *Mailbox) Letter(id int) (Received, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.letters {
		if r.ID == id {
			return r, true
		}
	}
	return Received{}, false
}

// Wait returns the letters to an address, newest first, as soon as there are n.
func (m *Mailbox) Wait(ctx context.Context, to string, n int) ([]Received, error) {
	for {
		m.mu.Lock()
		arrived := m.arrived
		m.mu.Unlock()
		letters := slices.DeleteFunc(m.Letters(), func(r Received) bool { return !strings.EqualFold(r.To, to) })
		if len(letters) >= n {
			return letters, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return letters, fmt.Errorf("%d of %d letters to %s came: %w", len(letters), n, to, ctx.Err())
		}
	}
}

func (m *Mailbox) keep(r Received) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count++
	r.ID = m.count
	m.letters = append(m.letters, r)
	if len(m.letters) > mostLetters {
		m.letters = slices.Delete(m.letters, 0, 1)
	}
	close(m.arrived)
	m.arrived = make(chan struct{})
}

// session is one connection.
type session struct {
	mailbox *Mailbox
	trusted bool
	from    string
	to      []string
}

// AuthMechanisms implements smtp.AuthSession.
func (s *session) AuthMechanisms() []string {
	if s.mailbox.options.Username == "" {
		return nil
	}
	return []string{sasl.Plain}
}

// Auth implements smtp.AuthSession.
func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if o := s.mailbox.options; username != o.Username || password != o.Password {
			return smtp.ErrAuthFailed
		}
		s.trusted = true
		return nil
	}), nil
}

// Mail implements smtp.Session.
func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if !s.trusted {
		return smtp.ErrAuthRequired
	}
	if ask := s.mailbox.options.Sender; ask != nil {
		if err := ask(from); err != nil {
			return err
		}
	}
	s.from = from
	return nil
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if ask := s.mailbox.options.Recipient; ask != nil {
		if err := ask(to); err != nil {
			return err
		}
	}
	s.to = append(s.to, to)
	return nil
}

// Data implements smtp.Session. Each recipient gets a copy.
func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	parsed, err := parse(raw)
	if err != nil {
		return Refuse(554, err.Error())
	}
	parsed.From = s.from
	for _, to := range s.to {
		parsed.To = to
		if ask := s.mailbox.options.Accept; ask != nil {
			if err := ask(parsed); err != nil {
				return err
			}
		}
		s.mailbox.keep(parsed)
	}
	return nil
}

// Reset implements smtp.Session.
func (s *session) Reset() { s.from, s.to = "", nil }

// Logout implements smtp.Session.
func (s *session) Logout() error { return nil }
