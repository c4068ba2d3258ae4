package main

import (
	"errors"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/idptest"
	"parvis/internal/secret"
)

// nodes returns programs on one database, each with a connection of its own.
func nodes(t *testing.T, count int) ([]*storage, *dbtest.Clock) {
	t.Helper()
	address, clock := dbtest.Address(t), dbtest.NewClock()
	var all []*storage
	for range count {
		d := dbtest.OpenAt(t, address)
		d.Clock = clock.Now
		all = append(all, &storage{plan: plan{base: &url.URL{Scheme: "http", Host: "localhost:8080"}}, db: d})
	}
	return all, clock
}

// offered returns what a node prints as it starts.
func (s *storage) offered(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	if err := s.offerSetup(t.Context(), &out, false); err != nil && !errors.Is(err, directory.ErrHasOwner) {
		t.Error(err)
	}
	return out.String()
}

// usable reports whether a printed link opens the page.
func (s *storage) usable(t *testing.T, link string) bool {
	t.Helper()
	err := directory.BootstrapUsable(t.Context(), s.db, secret.ParseToken(link[strings.LastIndex(link, "/")+1:]), s.db.Now())
	if err != nil && !errors.Is(err, directory.ErrBootstrapDead) {
		t.Fatal(err)
	}
	return err == nil
}

// Of nodes that start at once one prints the link, and it works: the others say until when it
// does.
func TestNodesThatStartTogetherPrintOneSetUpLink(t *testing.T) {
	t.Parallel()
	all, _ := nodes(t, 4)
	printed := make([]string, len(all))
	var starting sync.WaitGroup
	for i, s := range all {
		starting.Go(func() { printed[i] = s.offered(t) })
	}
	starting.Wait()
	links := setupLink.FindAllString(strings.Join(printed, "\n"), -1)
	if len(links) != 1 {
		t.Fatalf("%d links were printed: %q", len(links), printed)
	}
	if !all[0].usable(t, links[0]) {
		t.Error("the one that was printed does not work")
	}
	const until = "works until 2026-11-23 09:00:00 UTC and cannot be printed again"
	for _, out := range printed {
		if !strings.Contains(out, links[0]) && !strings.Contains(out, until) {
			t.Errorf("a node printed neither the link nor until when it works: %q", out)
		}
	}
}

func TestAnotherStartLeavesTheSetUpLinkAlone(t *testing.T) {
	t.Parallel()
	all, clock := nodes(t, 2)
	first := setupLink.FindString(all[0].offered(t))
	clock.Advance(directory.BootstrapLifetime - time.Second)
	for name, s := range map[string]*storage{"a restart": all[0], "a second node": all[1]} {
		if out := s.offered(t); setupLink.MatchString(out) || !strings.Contains(out, "'parvis setup-link'") {
			t.Errorf("%s prints %q, want until when the link works and what makes another", name, out)
		}
		if !s.usable(t, first) {
			t.Errorf("%s killed the link", name)
		}
	}
	clock.Advance(time.Second)
	second := setupLink.FindString(all[1].offered(t))
	if second == "" || !all[0].usable(t, second) {
		t.Errorf("once it has ended, a start prints %q, which should work", second)
	}
	if all[0].usable(t, first) {
		t.Error("the ended link works again")
	}
}

// Once somebody owns an organization in another way, by the operator's invitation, the link
// that still waits is worthless.
func TestALinkThatWaitsIsNotOfferedOnceThereIsAnOwner(t *testing.T) {
	t.Parallel()
	all, clock := nodes(t, 1)
	link := setupLink.FindString(all[0].offered(t))
	w := idptest.StartOn(t, all[0].db, clock, secret.NewKeys())
	w.Join(t, w.Organization(t, "Meridian Freight", "meridian"), "ana@meridian.example", "Ana", directory.Owner)
	if all[0].usable(t, link) {
		t.Error("the link works beside an owner")
	}
	if out := all[0].offered(t); out != "" {
		t.Errorf("a start prints %q beside an owner", out)
	}
}

func TestDoctorSaysWhetherASetUpLinkWorks(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	running := p.start(t)
	lines, code := p.doctor(t)
	wantLine(t, lines, "owner", "note", "A set-up link works until 20")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	execAll(t, p.database, `update bootstraps set expires_at = 0`)
	lines, _ = p.doctor(t)
	wantLine(t, lines, "owner", "note", "no set-up link works: 'parvis setup-link' prints one")
	execAll(t, p.database, `update bootstraps set expires_at = 4000000000000000`)
	owner(t, running)
	lines, _ = p.doctor(t)
	if said := lines["owner"]; said != "" {
		t.Errorf("beside an owner doctor says %q", said)
	}
}
