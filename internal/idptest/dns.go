package idptest

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// DNS is a name server that knows the TXT records a test gives it.
type DNS struct {
	Address string

	mu      sync.Mutex
	records map[string][]string
	failing bool
	asked   []string
}

// StartDNS runs a name server on loopback.
func StartDNS(t testing.TB) *DNS {
	t.Helper()
	conn, err := new(net.ListenConfig).ListenPacket(context.Background(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &DNS{Address: conn.LocalAddr().String(), records: map[string][]string{}}
	t.Cleanup(func() { conn.Close() }) //nolint:gosec // Nothing is left to be written.
	go s.serve(conn)
	return s
}

// Set gives a name its TXT records; without values the name exists and has none.
func (s *DNS) Set(name string, values ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records[strings.ToLower(name)+"."] = values
}

// Remove makes a name not exist.
func (s *DNS) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, strings.ToLower(name)+".")
}

// Fail makes every answer a failure of the server, until it is called with false.
func (s *DNS) Fail(failing bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = failing
}

// Asked returns the names that were asked for since the last call.
func (s *DNS) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

// Resolver returns a resolver that asks this server and no other.
func (s *DNS) Resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Address)
	}}
}

func (s *DNS) serve(conn net.PacketConn) {
	b := make([]byte, 4096)
	for {
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			return
		}
		if answer := s.answer(b[:n]); answer != nil {
			if _, err := conn.WriteTo(answer, from); err != nil {
				return
			}
		}
	}
}

func (s *DNS) answer(query []byte) []byte {
	var p dnsmessage.Parser
	header, err := p.Start(query)
	if err != nil {
		return nil
	}
	question, err := p.Question()
	if err != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.ToLower(question.Name.String())
	s.asked = append(s.asked, strings.TrimSuffix(name, "."))
	values, known := s.records[name]
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: header.ID, Response: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{question},
	}
	switch {
	case s.failing:
		m.RCode = dnsmessage.RCodeServerFailure
	case !known:
		m.RCode = dnsmessage.RCodeNameError
	case question.Type == dnsmessage.TypeTXT:
		for _, value := range values {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: question.Name, Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.TXTResource{TXT: []string{value}},
			})
		}
	}
	answer, err := m.Pack()
	if err != nil {
		return nil
	}
	return answer
}
