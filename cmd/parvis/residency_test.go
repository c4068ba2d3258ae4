package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/loopback"
)

// A tapped address hands everything on to a server, and keeps what passed on each connection.
type tapped struct {
	mu    sync.Mutex
	conns []*text
}

// tap returns an address before another one, and what passes there.
func tap(t *testing.T, behind string) (port string, passed *tapped) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	passed = &tapped{}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", behind)
			if err != nil {
				near.Close()
				continue
			}
			kept := &text{}
			passed.mu.Lock()
			passed.conns = append(passed.conns, kept)
			passed.mu.Unlock()
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				go func() {
					_, _ = io.Copy(way[1], io.TeeReader(way[0], kept)) // it ends with either side
					way[1].Close()
				}()
			}
		}
	}()
	return l.Addr().String()[strings.LastIndex(l.Addr().String(), ":")+1:], passed
}

// between returns what servers said to each other. Browsers have another User-Agent.
func (p *tapped) between() (all []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		if said := c.String(); strings.Contains(said, "\r\nUser-Agent: parvis\r\n") {
			all = append(all, said)
		}
	}
	return all
}

// kept returns everything that an installation keeps, and what it logged.
func (p patient) kept(t *testing.T, server *process) string {
	t.Helper()
	d, err := db.Open(t.Context(), p.database)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	query := `select name from sqlite_master where type = 'table' and name not like 'sqlite_%'`
	if d.Path() == "" {
		query = `select table_name from information_schema.tables where table_schema = current_schema()`
	}
	tables, err := db.List(t.Context(), d, db.Value[string], query)
	if err != nil || len(tables) < 40 {
		t.Fatalf("%d tables (%v)", len(tables), err)
	}
	var all strings.Builder
	for _, table := range tables {
		all.WriteString(dbtest.Dump(t, d, table) + "\n")
	}
	return all.String() + server.log.String() + server.out.String()
}

// Two regions are two programs, each with a database of its own, and all that passes between them is
// captured: of the people of one, and of somebody who typed an address in the wrong one, nothing is
// in the other or on the way. TestResidencyOfPeople has a whole day, within one program.
func TestResidencyBetweenTwoPrograms(t *testing.T) {
	t.Parallel()
	var patients [2]patient
	var passed [2]*tapped
	var listens [2]string
	for i, host := range []string{"localhost", "us.localhost"} {
		patients[i], listens[i] = newPatient(t), "127.0.0.1:"+loopback.Port()
		var port string
		port, passed[i] = tap(t, listens[i])
		patients[i].base = "http://" + host + ":" + port
	}
	eu, us := &patients[0], &patients[1]
	list := fmt.Sprintf(`PARVIS_REGIONS=[{"id":"eu","address":%q,"name":{"en":"Europe"}},{"id":"us","address":%q,"name":{"en":"Americas"}}]`, eu.base, us.base)
	key := strings.Repeat("A", 43)
	eu.env = append(slices.Clone(eu.env), list, "PARVIS_REGION=eu", "PARVIS_REGION_KEYS=us="+key)
	us.env = append(slices.Clone(us.env), list, "PARVIS_REGION=us", "PARVIS_REGION_KEYS=eu="+key)
	eu.env[2], us.env[2] = "PARVIS_PUBLIC_ADDRESS="+eu.base, "PARVIS_PUBLIC_ADDRESS="+us.base
	there := us.start(t, "--listen", listens[1])
	here := eu.start(t, "--listen", listens[0])

	c := owner(t, here)
	u, err := url.Parse(eu.base)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{"ana@meridian.test", url.QueryEscape("ana@meridian.test"), testPassword, url.QueryEscape(testPassword)}
	for _, cookie := range c.Jar.Cookies(u) {
		if len(cookie.Value) > 20 {
			secrets = append(secrets, cookie.Value)
		}
	}
	time.Sleep(2 * time.Second) // what regions remember of each other's names is read again
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	wrong := &http.Client{Jar: jar, Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, "127.0.0.1:"+port(address)) // as browsers find names that end in localhost
	}}}
	led := false
	for _, one := range []struct {
		path string
		form url.Values
	}{
		{"/sign-in", url.Values{"email": {"ana@meridian.test"}, "password": {testPassword}}},
		{"/sign-in", url.Values{"email": {"ana@meridian.test"}, "password": {testPassword}, "organization": {"meridian"}}},
		{"/organization", url.Values{"organization": {"meridian"}, "region": {"us"}}},
		{"/organization", url.Values{"organization": {"ana@meridian.test"}, "region": {"us"}}},
		{"/forgot-password", url.Values{"email": {"ana@meridian.test"}, "organization": {"meridian"}, "region": {"us"}}},
		{"/forgot-organization", url.Values{"email": {"ana@meridian.test"}}},
	} {
		_, body, err := sendTo(wrong, us.base+one.path, one.form)
		if err != nil {
			t.Fatal(err)
		}
		led = led || strings.Contains(body, eu.base)
	}
	if !led {
		t.Error("the name leads nowhere: this test looks past the questions")
	}
	time.Sleep(3 * time.Second) // sweeps of a second answer what was asked
	home, foreign := eu.kept(t, here), us.kept(t, there)
	ids := regexp.MustCompile(`\b(usr|ses|brw|inv|org|att|ltr)_[a-z2-7]{26}\b`).FindAllString(home, -1)
	if len(ids) < 3 || !strings.Contains(home, "ana@meridian.test") {
		t.Fatalf("only %d ids at home: this test looks past them", len(ids))
	}
	questions := slices.Concat(passed[0].between(), passed[1].between())
	if len(questions) == 0 {
		t.Error("no question passed between the regions")
	}
	for _, said := range questions {
		if !strings.HasPrefix(said, "POST /regions/question HTTP/1.1\r\n") {
			t.Errorf("this passed between the regions:\n%s", said)
		}
	}
	traffic := strings.Join(questions, "\n")
	for _, secret := range append(secrets, ids...) {
		if strings.Contains(foreign, secret) {
			t.Errorf("the other region keeps %q", secret)
		}
		if strings.Contains(traffic, secret) {
			t.Errorf("%q passed between the regions", secret)
		}
	}
	if strings.Contains(traffic, "meridian") {
		t.Error("the name passed between the regions in clear")
	}
}
