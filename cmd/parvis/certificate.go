package main

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"

	"parvis/internal/db"
)

// A certificate is read again when its file changes, because an operator who renews it every
// few weeks should not have to restart the server.
type certificate struct {
	chain, key string
	db         *db.DB // its clock is used
	log        *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	changed time.Time // when the chain's file had changed last, as it was read
	looked  time.Time
}

// certificate returns what this program does TLS with; nil where it does not.
func (s *storage) certificate(log *slog.Logger) *certificate {
	if !s.plan.secured {
		return nil
	}
	return &certificate{chain: s.plan.cert, key: s.plan.key, db: s.db, log: log}
}

// lookAgain is how often the file is looked at.
const lookAgain = time.Minute

// tlsConfig speaks TLS 1.2 and 1.3; all of Go's suites have forward secrecy (R-CFG-01).
func (c *certificate) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current() },
	}
}

// use takes other files from the next connection on, and looks at those that it has again.
func (c *certificate) use(chain, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if chain != c.chain || key != c.key {
		c.chain, c.key, c.changed = chain, key, time.Time{}
	}
	c.looked = time.Time{}
}

func (c *certificate) current() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.db.Now()
	if c.pair != nil && now.Sub(c.looked) < lookAgain {
		return c.pair, nil
	}
	c.looked = now
	err := c.read()
	if err == nil || c.pair == nil {
		return c.pair, err
	}
	// Renewal writes two files, so for a moment they may not belong together.
	c.log.Warn("new certificate cannot be used yet", "error", err.Error())
	return c.pair, nil
}

// ends returns when the certificate in use ends; the zero time if there is none that can be used.
func (c *certificate) ends() time.Time {
	if pair, err := c.current(); err == nil {
		return pair.Leaf.NotAfter
	}
	return time.Time{}
}

func (c *certificate) read() error {
	info, err := os.Stat(c.chain)
	if err != nil || c.pair != nil && info.ModTime().Equal(c.changed) {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.chain, c.key)
	if err != nil {
		return err
	}
	c.pair, c.changed = &pair, info.ModTime()
	return nil
}
