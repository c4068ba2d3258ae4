package idptest

import (
	"bytes"
	"crypto/x509"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"parvis/internal/app"
	"parvis/internal/dbtest"
	"parvis/internal/i18n"
	"parvis/internal/outbound"
	"parvis/internal/page"
	"parvis/internal/region"
	"parvis/internal/secret"
)

// StartRegions runs two regions that ask each other, Europe (eu) and Americas
// (us), each with a database, keys and an address of its own.
func StartRegions(t testing.TB) (eu, us *Server) {
	t.Helper()
	all := StartManyRegions(t, "eu", "us")
	return all[0], all[1]
}

// regionNames are what people call the regions of tests.
var regionNames = map[string]map[i18n.Tag]string{"eu": {"en": "Europe"}, "us": {"en": "Americas", "fr": "Amériques"}, "ap": {"en": "Asia"}}

// StartManyRegions runs regions of which each two share a key.
func StartManyRegions(t testing.TB, names ...string) (servers []*Server) {
	t.Helper()
	var fronts []*front
	var all []page.Region
	roots, pairs := x509.NewCertPool(), map[string]map[string][]byte{}
	for i, id := range names {
		f := newFront(t)
		roots.AddCert(f.http.Certificate())
		fronts, pairs[id] = append(fronts, f), map[string][]byte{}
		all = append(all, page.Region{ID: id, Address: f.http.URL, Names: regionNames[id]})
		for _, other := range names[:i] {
			key := secret.Bytes(region.KeyBytes)
			pairs[id][other], pairs[other][id] = key, key
		}
	}
	for i, id := range names {
		d, clock := dbtest.Open(t)
		servers = append(servers, fronts[i].serve(t, d, clock, secret.NewKeys(), func(s *app.Settings) {
			s.Regions, s.Pairs = page.Regions{Here: id, All: all}, pairs[id]
			s.Outbound, s.Patience = outbound.New(nil).Trusting(roots), time.Minute
		}))
	}
	return servers
}

// Dies makes every connection to the server fail from now on, as that of a region that lost its power.
func (s *Server) Dies() { s.http.CloseClientConnections(); s.http.Listener.Close() }

// Here returns the id of the server's region.
func (s *Server) Here() string { return s.Regions.Here }

// Watch calls seen with every request from now on, with its body and that of the answer.
func (s *Server) Watch(seen func(r *http.Request, asked, answered string)) {
	var one sync.Mutex
	inner := s.front.handler
	s.front.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		kept := &copied{ResponseWriter: w}
		inner.ServeHTTP(kept, r)
		one.Lock()
		defer one.Unlock()
		seen(r, string(body), kept.body.String())
	})
}

// copied keeps what is written.
type copied struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (c *copied) Write(b []byte) (int, error) {
	c.body.Write(b)
	return c.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (c *copied) Unwrap() http.ResponseWriter { return c.ResponseWriter }
