package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"

	"parvis/internal/access"
	"parvis/internal/db"
	"parvis/internal/directory"
)

// api measures calls of the administration's API, each caller with a token of their own, beside the
// session check and a bare handler.
func (b *bench) api() error {
	const users = 100_000
	data := b.work + "/api"
	s, err := b.start(data)
	if err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	people, err := seed(data, users)
	if err != nil {
		return err
	}
	callers, err := issue(data, people)
	if err != nil {
		return err
	}
	if s, err = b.start(data); err != nil {
		return err
	}
	defer s.stop()
	bare, err := b.startBare()
	if err != nil {
		return err
	}
	defer bare.stop()
	return b.calls(s, bare, people, callers)
}

func (b *bench) calls(s, bare *server, people []person, callers []caller) error {
	var next atomic.Int64
	of := func() (int, caller) {
		n := int(next.Add(1))
		return n, callers[n%len(callers)]
	}
	var toCheck, toBare, list, change, others []float64
	for range b.rounds {
		limit := bare.load(b.length, 4, func(c *http.Client) error { return visit(c, bare.url+"/", "", http.StatusOK) })
		check := s.load(b.length, 4, func(c *http.Client) error {
			return visit(c, s.url+"/o/bench/admin/people/change", people[int(next.Add(1))%len(people)].cookie, http.StatusSeeOther)
		})
		one := s.load(b.length, 4, func(c *http.Client) error {
			_, who := of()
			return who.call(c, http.MethodGet, s.url+"/api/v1/users/"+who.id, "")
		})
		page := s.load(b.length, 4, func(c *http.Client) error {
			_, who := of()
			return who.call(c, http.MethodGet, s.url+"/api/v1/users?limit=50", "")
		})
		patch := s.load(b.length, 4, func(c *http.Client) error {
			n, who := of()
			whom := callers[(n+1)%len(callers)] // nobody administers themselves
			return who.call(c, http.MethodPatch, s.url+"/api/v1/users/"+whom.id, fmt.Sprintf(`{"name": "Renamed %d"}`, n))
		})
		for _, got := range []outcome{limit, check, one, page, patch} {
			if got.err != nil {
				return fmt.Errorf("%d of %d failed: %w", got.errors, got.done, got.err)
			}
			others = append(others, got.others)
		}
		toCheck, toBare = append(toCheck, check.cpuEach/one.cpuEach), append(toBare, limit.cpuEach/one.cpuEach)
		list, change = append(list, page.cpuEach*1000), append(change, patch.cpuEach*1000)
	}
	b.row("API: one user against a session check, CPU each", "≥ 0.60", "%.2f%s", medianF(toCheck), marked(others))
	b.row("API: one user against bare net/http, CPU each", "≥ 0.15", "%.2f", medianF(toBare))
	b.row("API: a page of 50 users, CPU", "≤ 1.0 ms", "%.2f ms", medianF(list))
	b.row("API: a changed user with its audit event, durable, CPU", "≤ 1.2 ms", "%.2f ms", medianF(change))
	return nil
}

// caller is a user with a token.
type caller struct{ id, token string }

// issue makes a token for each person.
func issue(data string, people []person) ([]caller, error) {
	ctx := context.Background()
	d, err := db.Open(ctx, databaseOf(data))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	var all []caller
	err = d.Update(ctx, func(tx *db.Tx) error {
		all = nil
		org, err := directory.OrganizationByName(ctx, tx, "bench")
		if err != nil {
			return err
		}
		for _, p := range people {
			found, err := directory.Addressed(ctx, tx, org.ID, []string{p.email})
			if err != nil {
				return err
			}
			_, text, err := access.Issue(ctx, tx, found[0].AsActor(), org.ID, access.New{Name: "Bench", Scopes: []access.Scope{access.ReadPeople, access.WritePeople}})
			if err != nil {
				return err
			}
			all = append(all, caller{string(found[0].ID), text})
		}
		return nil
	})
	return all, err
}

func (k caller) call(c *http.Client, method, address, body string) error {
	r, err := http.NewRequestWithContext(context.Background(), method, address, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+k.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return expect(c, r, http.StatusOK)
}
