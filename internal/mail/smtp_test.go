package mail

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"parvis/internal/expect"
	"parvis/internal/mailbox"
)

// No letter is sent to a server whose certificate is not trusted or is for another name
// (R-CFG-02).
func TestLettersLeaveOnlyOverVerifiedTLS(t *testing.T) {
	t.Parallel()
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	defer certified.Close()
	settings := &tls.Config{Certificates: certified.TLS.Certificates}
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate()) // for 127.0.0.1, not for localhost
	b := newBench(t, mailbox.Options{})
	for _, mode := range []TLSMode{StartTLS, ImplicitTLS} {
		box := startMailbox(t, mailbox.Options{TLS: settings, Implicit: mode == ImplicitTLS, Username: "parvis", Password: "opens"})
		bare := startMailbox(t, mailbox.Options{})
		good := SMTP{Address: box.Address(), TLS: mode, Username: "parvis", Password: "opens", Roots: roots, Timeout: 5 * time.Second}
		tests := map[string]struct {
			change func(*SMTP)
			works  bool
		}{
			"trusted":        {func(*SMTP) {}, true},
			"self-signed":    {func(s *SMTP) { s.Roots = nil }, false},
			"another name":   {func(s *SMTP) { s.Address = strings.Replace(s.Address, "127.0.0.1", "localhost", 1) }, false},
			"no TLS there":   {func(s *SMTP) { s.Address, s.Username = bare.Address(), "" }, false},
			"wrong password": {func(s *SMTP) { s.Password = "guess" }, false},
			"nobody there":   {func(s *SMTP) { s.Address = "127.0.0.1:1" }, false},
		}
		for name, tt := range tests {
			t.Run(string(mode)+" "+name, func(t *testing.T) {
				server := good
				tt.change(&server)
				if err := server.Check(t.Context(), sender); (err == nil) != tt.works {
					t.Errorf("checking the server gives %v", err)
				}
				b.outbox.server = &server
				id := b.put(Letter{})
				b.sweep()
				got := b.stored(id)
				expect.Equal(t, "sent", got.state == Sent, tt.works)
				if !tt.works && (got.tries != 0 || got.next != pause) {
					t.Errorf("the letter is %+v", got)
				}
				b.withdraw(id)
			})
		}
		if letters := append(box.Letters(), bare.Letters()...); len(letters) != 1 {
			t.Errorf("%d letters left over %s, want 1", len(letters), mode)
		}
	}
}

func TestSettingsOfAMailServerAreChecked(t *testing.T) {
	tests := map[string]struct {
		server SMTP
		good   bool
	}{
		"submission":          {SMTP{Address: "mail.example.org:587", TLS: StartTLS}, true},
		"implicit TLS":        {SMTP{Address: "[2001:db8::1]:465", TLS: ImplicitTLS}, true},
		"this machine":        {SMTP{Address: "127.0.0.1:25", TLS: NoTLS}, true},
		"this machine, v6":    {SMTP{Address: "[::1]:25", TLS: NoTLS}, true},
		"this machine, named": {SMTP{Address: "mail.localhost:25", TLS: NoTLS}, true},
		"bare, elsewhere":     {SMTP{Address: "mail.example.org:25", TLS: NoTLS}, false},
		"bare, pretending":    {SMTP{Address: "localhost.example.org:25", TLS: NoTLS}, false},
		"no port":             {SMTP{Address: "mail.example.org", TLS: StartTLS}, false},
		"a port by name":      {SMTP{Address: "mail.example.org:smtp", TLS: StartTLS}, false},
		"a port with a sign":  {SMTP{Address: "mail.example.org:+25", TLS: StartTLS}, false},
		"a port with a zero":  {SMTP{Address: "mail.example.org:025", TLS: StartTLS}, false},
		"no host":             {SMTP{Address: ":25", TLS: StartTLS}, false},
		"a socket":            {SMTP{Address: "unix:///run/smtp:25", TLS: StartTLS}, false},
		"no mode":             {SMTP{Address: "mail.example.org:25"}, false},
	}
	for name, tt := range tests {
		if err := tt.server.Validate(); (err == nil) != tt.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}
