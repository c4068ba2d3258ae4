package db_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parvis/internal/db"
)

// impostor is a server that begins as PostgreSQL does, with a certificate of its own or without TLS, and
// reports what it was told after that.
func impostor(t *testing.T, names []string, until time.Time) (port, root string, told chan string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "database"}, DNSNames: names, NotBefore: until.Add(-time.Hour * 48), NotAfter: until,
		IsCA: true, BasicConstraintsValid: true,
	}
	raw, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root = filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	told = make(chan string, 20)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			told <- greeted(c, names != nil, tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key})
			c.Close()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, root, told
}

// greeted answers the wish for TLS, and returns what a client says inside of it.
func greeted(c net.Conn, secured bool, with tls.Certificate) string {
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	wish := make([]byte, 8)
	if _, err := io.ReadFull(c, wish); err != nil || string(wish) != "\x00\x00\x00\x08\x04\xd2\x16\x2f" {
		return string(wish) // something else than the wish
	}
	if !secured {
		_, _ = c.Write([]byte{'N'})
	} else {
		_, _ = c.Write([]byte{'S'})
		c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{with}})
	}
	said := make([]byte, 1000)
	n, _ := c.Read(said)
	return string(said[:n])
}

// R-CFG-02: a database on another machine is told nothing, not even a user's name, before its
// certificate is verified.
func TestADatabaseIsToldNothingBeforeItsCertificateIsVerified(t *testing.T) {
	t.Parallel()
	later := time.Now().Add(time.Hour)
	for _, one := range []struct {
		name    string
		names   []string
		until   time.Time
		trusted bool
		says    string
	}{
		{"a good one", []string{"localhost"}, later, true, ""},
		{"of nobody who is trusted", []string{"localhost"}, later, false, "unknown authority"},
		{"for another name", []string{"other.test"}, later, true, "not localhost"},
		{"of yesterday", []string{"localhost"}, time.Now().Add(-time.Hour), true, "expired"},
		{"none", nil, later, true, "refused TLS"},
	} {
		t.Run(one.name, func(t *testing.T) {
			t.Parallel()
			port, root, told := impostor(t, one.names, one.until)
			if !one.trusted {
				_, root, _ = impostor(t, one.names, one.until)
			}
			d, err := db.Open(t.Context(), "postgres://parvis:hunter2@localhost:"+port+"/people?sslmode=verify-full&sslrootcert="+root)
			if err == nil {
				d.Close()
				t.Fatal("it is opened")
			}
			said := <-told
			if good := one.says == ""; strings.Contains(said, "parvis") != good {
				t.Errorf("it is told %q: %v", said, err)
			}
			if !strings.Contains(err.Error(), one.says) {
				t.Errorf("the refusal is %v", err)
			}
		})
	}
}
