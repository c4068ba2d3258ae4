package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parvis/internal/app"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/provisioning"
)

// scim measures what customers' directories do: a first sync with people signing in beside it, and
// look-ups and changes where there are 100,000 people. A source may call 400 times a second, so the
// people are those of ten.
func (b *bench) scim() error {
	const users, sources = 100_000, 10
	data := b.work + "/scim"
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
	all, err := provision(data, sources)
	if err != nil {
		return err
	}
	if s, err = b.start(data); err != nil {
		return err
	}
	defer s.stop()
	for i := range all {
		all[i].address = s.url + "/scim/v2/" + all[i].id
	}
	if err := b.syncs(s, all[0], people); err != nil {
		return err
	}
	return b.looks(s, all[1:])
}

// feed is a source with people whom it keeps.
type feed struct {
	id, token string
	address   string // of the source, once the server runs
	users     []directory.User
}

// provision makes sources of the bench's organization, and gives all but the first the people.
func provision(data string, n int) (all []feed, err error) {
	ctx := context.Background()
	d, err := db.Open(ctx, databaseOf(data))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	keys, err := readKeys(data)
	if err != nil {
		return nil, err
	}
	a, err := app.New(app.Settings{DB: d, Keys: keys, Base: &url.URL{Scheme: "http", Host: "127.0.0.1"}, From: "no-reply@bench.example"})
	if err != nil {
		return nil, err
	}
	err = d.Update(ctx, func(tx *db.Tx) error {
		all = nil
		org, err := directory.OrganizationByName(ctx, tx, "bench")
		for i := 0; err == nil && i < n; i++ {
			var source provisioning.Source
			source, err = a.Sources.Create(ctx, tx, directory.Operator(), org.ID, provisioning.Settings{Name: fmt.Sprint("Directory ", i), Provider: "entra"}, true)
			if err == nil {
				err = a.Sources.Turn(ctx, tx, directory.Operator(), org.ID, source.ID, provisioning.On)
			}
			f := feed{id: source.ID}
			if err == nil {
				_, f.token, err = a.Sources.Issue(ctx, tx, directory.Operator(), org.ID, source.ID)
			}
			all = append(all, f)
		}
		if err != nil {
			return err
		}
		// Owners are no source's to change; who signs in beside the sync stays one. The others are
		// shared out by the first digit of their number.
		for i, f := range all[1:] {
			if _, err := tx.Exec(ctx, `update users set source_id = $1, external_id = 'x-' || id, role = 'member' where org_id = $2 and not has_password and substr(email, 7, 1) = $3`,
				f.id, string(org.ID), fmt.Sprint(i+1)); err != nil {
				return err
			}
		}
		for i := range all[1:] {
			f := &all[i+1]
			if f.users, err = db.List(ctx, tx, (*directory.User).Targets, `
				select `+directory.UserColumns+` from users u where u.org_id = $1 and u.source_id = $2 order by u.email_key limit 400`, string(org.ID), f.id); err != nil {
				return err
			}
		}
		return nil
	})
	return all, err
}

// syncs is a first sync of 10,000 people by 8 callers, and somebody who signs in beside it.
func (b *bench) syncs(s *server, f feed, people []person) error {
	const many = 10_000
	var next, failed atomic.Int64
	in := func(c *http.Client) error { return signIn(c, s.url, people[int(next.Add(1))%len(people)]) }
	var alone, beside []float64
	measure := func(into *[]float64) error {
		for range b.rounds {
			got := s.load(b.length, 1, in)
			if got.err != nil {
				return fmt.Errorf("signing in: %w", got.err)
			}
			*into = append(*into, got.perSecond)
		}
		return nil
	}
	if err := measure(&alone); err != nil {
		return err
	}
	var last atomic.Value
	began := time.Now()
	done := make(chan time.Duration)
	go func() {
		var at atomic.Int64
		var wg sync.WaitGroup
		c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
		for range 8 {
			wg.Go(func() {
				for n := at.Add(1); n <= many; n = at.Add(1) {
					body := fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"hired%d@bench.example","externalId":"h-%d","active":true,"displayName":"Hired %d","name":{"givenName":"Hired","familyName":"%d"},"emails":[{"type":"work","value":"hired%d@bench.example","primary":true}]}`, n, n, n, n, n)
					if err := f.call(c, http.MethodPost, "/Users", body); err != nil {
						failed.Add(1)
						last.Store(err)
					}
				}
			})
		}
		wg.Wait()
		done <- time.Since(began)
	}()
	err := measure(&beside)
	took := <-done
	if err != nil {
		return err
	}
	if err, _ := last.Load().(error); err != nil {
		fmt.Println(err)
	}
	b.row("SCIM: first sync of 10,000 people, 8 callers", "≤ 60 s", "%.0f s, %d errors", took.Seconds(), failed.Load())
	b.row("SCIM: sign-ins beside it, against alone, one caller", "≥ 0.80", "%.2f", medianF(beside)/medianF(alone))
	return nil
}

// looks are look-ups and changes.
func (b *bench) looks(s *server, all []feed) error {
	var next atomic.Int64
	of := func() (int, feed, directory.User) {
		n := int(next.Add(1))
		f := all[n%len(all)]
		return n, f, f.users[n/len(all)%len(f.users)]
	}
	var look, change, others []float64
	for range b.rounds {
		found := s.load(b.length, 4, func(c *http.Client) error {
			_, f, u := of()
			return f.call(c, http.MethodGet, "/Users?filter="+url.QueryEscape(`userName eq "`+u.Email+`"`), "")
		})
		patched := s.load(b.length, 4, func(c *http.Client) error {
			n, f, u := of()
			body := fmt.Sprintf(`{"schemas":["urn:ietf:params:scim:api:messages:2.0:PatchOp"],"Operations":[{"op":"Replace","path":"title","value":"Title %d"}]}`, n)
			return f.call(c, http.MethodPatch, "/Users/"+string(u.ID), body)
		})
		for _, got := range []outcome{found, patched} {
			if got.err != nil {
				return fmt.Errorf("%d of %d failed: %w", got.errors, got.done, got.err)
			}
			others = append(others, got.others)
		}
		look, change = append(look, found.cpuEach*1000), append(change, patched.cpuEach*1000)
	}
	b.row("SCIM: look-up of a person by name, CPU", "≤ 0.6 ms", "%.2f ms%s", medianF(look), marked(others))
	b.row("SCIM: PATCH of a person, durable, CPU", "≤ 1.5 ms", "%.2f ms", medianF(change))
	return nil
}

func (f feed) call(c *http.Client, method, path, body string) error {
	r, err := http.NewRequestWithContext(context.Background(), method, f.address+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+f.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	if method == http.MethodPost {
		return expect(c, r, http.StatusCreated)
	}
	return expect(c, r, http.StatusOK)
}
