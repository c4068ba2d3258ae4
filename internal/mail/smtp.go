package mail

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"parvis/internal/number"
)

// TLSMode says how a connection to the mail server is protected.
type TLSMode string

// The modes. The first two require a certificate that is valid for the server's name, and
// no setting switches that off (R-CFG-02).
const (
	StartTLS    TLSMode = "starttls" // usually on port 587
	ImplicitTLS TLSMode = "tls"      // usually on port 465
	NoTLS       TLSMode = "none"     // on this machine only
)

// SMTP describes the mail server that accepts our letters.
type SMTP struct {
	Address  string // host:port
	TLS      TLSMode
	Username string // empty if the server asks for none
	Password string
	Name     string         // that we greet the server with, known to the DNS; this machine's name if empty
	Timeout  time.Duration  // for one letter, and for connecting; 30 s if zero
	Roots    *x509.CertPool // trusted authorities for the server's certificate; the system's if nil
}

const (
	defaultTimeout = 30 * time.Second
	// goodbye is how long a server may take to answer QUIT, whose answer does not
	// matter.
	goodbye = 3 * time.Second
)

// Validate reports what is wrong with the settings, without connecting.
func (s *SMTP) Validate() error {
	host, port, err := net.SplitHostPort(s.Address)
	if _, ok := number.Port(port); err != nil || host == "" || !ok {
		return fmt.Errorf("a mail server is host:port, not %q", s.Address)
	}
	switch s.TLS {
	case StartTLS, ImplicitTLS:
		return nil
	case NoTLS:
		if !loopback(host) {
			return fmt.Errorf("only a mail server on this machine is used without TLS, not %s", host)
		}
		return nil
	}
	return fmt.Errorf("TLS of a mail server is %s, %s or %s, not %q", StartTLS, ImplicitTLS, NoTLS, s.TLS)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// ErrSender is returned by Check if the server takes no letters from the sender's address.
var ErrSender = errors.New("the mail server takes no letters from this address")

// Check connects, signs in, names the sender and disconnects, to find out whether letters can be sent.
func (s *SMTP) Check(ctx context.Context, from string) error {
	c, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.client.UpdateDeadline(c.timeout); err != nil {
		return err
	}
	c.client.SkipSMTPUTF8(isASCII(from))
	if err := c.client.Mail(from); err != nil {
		return fmt.Errorf("%w: %w", ErrSender, withoutWords(err))
	}
	return nil
}

// A connection sends one message after another. It ends when its context does.
type connection struct {
	client  *smtp.Client
	timeout time.Duration
	hangUp  func()
}

func (s *SMTP) connect(ctx context.Context) (*connection, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	host, _, _ := net.SplitHostPort(s.Address) // Validate has checked it
	c := &connection{timeout: cmp.Or(s.Timeout, defaultTimeout), hangUp: func() {}}
	protection := &tls.Config{ServerName: host, RootCAs: s.Roots, MinVersion: tls.VersionTLS12}
	options := []gomail.Option{
		gomail.WithTimeout(c.timeout),
		gomail.WithTLSConfig(protection),
		gomail.WithTLSPolicy(gomail.NoTLS), // ImplicitTLS is done by the dialling below
		// go-mail forgets to close a connection on which anything after
		// dialling fails, and heeds its context only until then.
		gomail.WithDialContextFunc(func(dialing context.Context, network, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(dialing, network, s.Address)
			if err != nil {
				return nil, err
			}
			stop := context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // The connection is given up.
			c.hangUp = func() {
				stop()
				conn.Close() //nolint:errcheck // Everything sent on it has been answered.
			}
			if s.TLS != ImplicitTLS {
				return conn, nil
			}
			secured := tls.Client(conn, protection)
			return secured, secured.HandshakeContext(dialing)
		}),
	}
	if s.Name != "" {
		options = append(options, gomail.WithHELO(s.Name))
	}
	if s.TLS == StartTLS {
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if s.Username != "" {
		options = append(options, gomail.WithUsername(s.Username), gomail.WithPassword(s.Password),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	client, err := gomail.NewClient(host, options...)
	if err != nil {
		return nil, fmt.Errorf("connecting to the mail server: %w", err)
	}
	if c.client, err = client.DialToSMTPClientWithContext(ctx); err != nil {
		c.hangUp()
		return nil, fmt.Errorf("connecting to the mail server: %w", withoutWords(err))
	}
	return c, nil
}

func (c *connection) close() {
	if c.client.UpdateDeadline(goodbye) == nil {
		c.client.Quit() //nolint:errcheck // Every letter has been answered already.
	}
	c.hangUp()
}

// A refusal is the server's answer to one letter. Any other error of send means that the
// server or the connection cannot be used at the moment.
type refusal struct {
	answer    Answer
	permanent bool
}

func (r *refusal) Error() string { return "the mail server refused the letter: " + string(r.answer) }

// send sends one message and returns the server's answer.
func (c *connection) send(m message) (Answer, error) {
	if err := c.client.UpdateDeadline(c.timeout); err != nil {
		return "", err
	}
	// Older servers on the way would return a message marked as SMTPUTF8.
	c.client.SkipSMTPUTF8(isASCII(m.from) && isASCII(m.to))
	if err := c.client.Mail(m.from); err != nil {
		return "", withoutWords(err) // the server does not refuse this letter in particular
	}
	if err := c.client.Rcpt(m.to); err != nil {
		return "", c.refused(err)
	}
	w, err := c.client.Data()
	if err != nil {
		return "", c.refused(err)
	}
	if _, err := w.Write(m.raw); err != nil {
		return "", withoutWords(err)
	}
	if err := w.Close(); err != nil {
		return "", c.refused(err)
	}
	if d, ok := w.(*smtp.DataCloser); ok {
		return answerOf(250, d.ServerResponse()), nil
	}
	return "", nil
}

// refused returns a refusal if an answer is about the letter, and another error if it is
// about the server's own problems. The second digit says which (RFC 5321 §4.2.1): 5 is about
// mail, such as a mailbox that does not exist, 3 about signing in, 2 about the connection,
// and 0 about syntax, of which only 501 can be caused by the address.
func (c *connection) refused(err error) error {
	said, ok := errors.AsType[*textproto.Error](err)
	if !ok || said.Code/10%10 != 5 && said.Code != 501 {
		return withoutWords(err)
	}
	if err := c.client.Reset(); err != nil {
		c.hangUp() // an error shows with the next letter
	}
	return &refusal{answer: answerOf(said.Code, said.Msg), permanent: said.Code >= 500}
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 127 })
}
