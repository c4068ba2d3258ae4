package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"time"

	"parvis/internal/administration"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// console measures the list of people where an organization has 100,000: each order and filter
// with its counts, on SQLite and, where PARVIS_TEST_POSTGRES names a server, on PostgreSQL; and
// what a browser gets of it.
func (b *bench) console() error {
	const users = 100_000
	ctx := context.Background()
	data := b.work + "/console"
	s, err := b.start(data)
	if err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	people, err := seed(data, 1)
	if err != nil {
		return err
	}
	lite, err := db.Open(ctx, databaseOf(data))
	if err != nil {
		return err
	}
	defer lite.Close()
	on := []crowded{{name: "SQLite", d: lite}}
	if address := os.Getenv("PARVIS_TEST_POSTGRES"); address != "" {
		d, drop, err := postgres(ctx, address)
		if err != nil {
			return err
		}
		defer drop()
		on = append(on, crowded{name: "PostgreSQL", d: d})
	}
	for i := range on {
		if err := on[i].crowd(ctx, users); err != nil {
			return err
		}
	}
	if err := b.lists(ctx, on); err != nil {
		return err
	}
	if s, err = b.start(data); err != nil {
		return err
	}
	defer s.stop()
	return b.pageOfPeople(s, people[0])
}

// crowded is a database in which an organization has many people.
type crowded struct {
	name  string
	d     *db.DB
	org   directory.OrgID
	group [2]string // of a fifth of the people, and of fifty
}

// database makes an empty database on a server, and returns its address and what removes it.
func database(ctx context.Context, address, name string) (string, func(), error) {
	server, err := db.Open(ctx, address)
	if err != nil {
		return "", nil, err
	}
	for _, statement := range []string{`drop database if exists ` + name + ` with (force)`, `create database ` + name} {
		if err := server.Exec(ctx, ignore, statement); err != nil {
			return "", nil, err
		}
	}
	own, _, _ := strings.Cut(address, "?")
	return own[:strings.LastIndex(own, "/")] + "/" + name + address[len(own):], func() {
		_ = server.Exec(ctx, ignore, `drop database if exists `+name+` with (force)`)
		_ = server.Close()
	}, nil
}

// postgres makes a database with our tables on a server, and returns what removes it.
func postgres(ctx context.Context, address string) (*db.DB, func(), error) {
	address, drop, err := database(ctx, address, "parvis_bench")
	if err != nil {
		return nil, nil, err
	}
	d, err := db.Open(ctx, address)
	if err != nil {
		return nil, nil, err
	}
	if _, err := d.Migrate(ctx); err != nil {
		return nil, nil, err
	}
	err = d.Update(ctx, func(tx *db.Tx) error {
		_, err := directory.CreateOrganization(ctx, tx, directory.Operator(), directory.NewOrganization{DisplayName: "Bench", ShortName: "bench", Language: "en"})
		return err
	})
	return d, func() {
		_ = d.Close()
		drop()
	}, err
}

// crowd fills an organization with people by plain rows: a tenth never signed in, a third has no
// second step, few are anything but members. Ten own what nobody else does.
func (c *crowded) crowd(ctx context.Context, users int) error {
	if _, err := c.d.One(ctx, db.Into(&c.org), `select id from organizations where short_name = 'bench'`); err != nil {
		return err
	}
	c.group = [2]string{secret.NewID("grp"), secret.NewID("grp")}
	now := time.Now().UnixMicro()
	err := c.d.Update(ctx, func(tx *db.Tx) error {
		for i, id := range c.group {
			if _, err := tx.Exec(ctx, `insert into groups (org_id, id, name, name_key, created_at) values ($1, $2, $3, $3, $4)`, string(c.org), id, fmt.Sprintf("group %d", i), now); err != nil {
				return err
			}
		}
		r := rand.New(rand.NewPCG(1, 2))
		for i := range users {
			if err := c.person(ctx, tx, r, i, users); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("filling %s: %w", c.name, err)
	}
	if c.d.Path() == "" { // what autovacuum does within a minute
		for _, table := range []string{"users", "members"} {
			if err := c.d.Exec(ctx, ignore, `vacuum analyze `+table); err != nil {
				return err
			}
		}
	}
	return nil
}

var (
	firsts = strings.Fields("Ada Bert Chloé Dmitri Elif Farah Göran Hana Ida Jürgen Kwame Łukasz Mei Noor Olu Priya")
	lasts  = strings.Fields("Smith Okafor Lindqvist Yılmaz Nguyen García Rossi Kowalski Schmidt Haddad Tanaka Mensah")
)

// person inserts one of so many users, and puts some into the groups.
func (c *crowded) person(ctx context.Context, tx *db.Tx, r *rand.Rand, i, users int) error {
	now := time.Now().UnixMicro()
	name := firsts[r.IntN(len(firsts))] + " " + lasts[r.IntN(len(lasts))]
	email := fmt.Sprintf("%s.%d@meridian-freight.example", strings.ToLower(naming.SearchKey(strings.Fields(name)[1])), i)
	role, state, second := "member", "active", []string{"none", "app", "app", "passkey", "both"}[r.IntN(5)]
	switch {
	case i < 5:
		role = "owner"
	case i < 50:
		role = "administrator"
	case i < 300:
		role = "helpdesk"
	case i < 350:
		role = "auditor"
	}
	var deactivated, deleted, last any
	if i%20 == 7 {
		state, deactivated = "deactivated", now
	}
	if i%100 == 3 {
		state, deactivated, deleted = "deleted", now, now
	}
	signed := int64(0)
	if r.IntN(10) > 0 {
		signed = now - r.Int64N(400*24*3600)*1_000_000
		last = signed
	}
	// Everybody who has a passkey alone was linked to a provider, except for ten.
	password, linked := second != "passkey", second == "passkey" || i%3 == 0
	if i%(users/10) == 11 {
		second, password, linked = "none", false, false
	}
	id := secret.NewID("usr")
	if _, err := tx.Exec(ctx, `
		insert into users (org_id, id, email, email_key, display_name, search_key, role, language, time_zone, created_at, generation,
			last_sign_in_at, signed_in_at, deactivated_at, deleted_at, state, second_step, has_password, linked)
		values ($1, $2, $3, $3, $4, $5, $6, 'en', '', $7, 1, $8, $9, $10, $11, $12, $13, $14, $15)`,
		string(c.org), id, email, name, naming.SearchKey(name, email), role, now-int64(i)*60_000_000, last, signed, deactivated, deleted, state, second, password, linked); err != nil {
		return err
	}
	for g, every := range []int{5, users / 50} {
		if i%every == 0 {
			if _, err := tx.Exec(ctx, `insert into members (org_id, group_id, user_id, added_at) values ($1, $2, $3, $4)`, string(c.org), c.group[g], id, now); err != nil {
				return err
			}
		}
	}
	return nil
}

// listing is a filter of the list of people.
type listing struct {
	title, target string
	f             administration.Filter
}

// listings are filters that find much, little and nothing, and searches.
func (c crowded) listings() (all []listing) {
	type filter = administration.Filter
	before := time.Now().AddDate(0, 0, -90)
	for _, f := range []listing{
		{title: "all"},
		{title: "deactivated", f: filter{State: administration.Deactivated}},
		{title: "owners", f: filter{Role: directory.Owner}},
		{title: "without a second step", f: filter{SecondStep: directory.NoSecondStep}},
		{title: "by a passkey alone", f: filter{WayIn: administration.ByPasskey}},
		{title: "the ten with no way in", f: filter{WayIn: administration.ByNothing}},
		{title: "not seen for 90 days", f: filter{SignedInBefore: before}},
		{title: "a group of 20,000", f: filter{Group: c.group[0]}},
		{title: "a group of 50", f: filter{Group: c.group[1]}},
		{title: "five filters at once", f: filter{
			State: administration.Deactivated, Role: directory.Member, SecondStep: directory.StepByApp, WayIn: administration.ByPassword, SignedInBefore: before,
		}},
	} {
		all = append(all, listing{f.title, "≤ 50 ms", f.f})
	}
	for _, text := range []string{"ada lind", "okafor.77777@", "e", "nobody is called this"} {
		all = append(all, listing{"searching for '" + text + "'", "≤ 150 ms", filter{Text: text}})
	}
	return append(all, listing{"searching for 'ada' among members without a second step", "≤ 150 ms", filter{Text: "ada", Role: directory.Member, SecondStep: directory.NoSecondStep}})
}

// lists measures each of them in every order, and tells the slowest.
func (b *bench) lists(ctx context.Context, on []crowded) error {
	for i := range on[0].listings() {
		var told []string
		var l listing
		for _, c := range on {
			l = c.listings()[i]
			var slowest time.Duration
			var by string
			for _, sort := range []administration.Sort{administration.ByName, administration.BySignIn, administration.ByRole, administration.ByState, administration.ByJoined} {
				for _, down := range []bool{false, true} {
					took, err := c.measure(ctx, administration.Query{Filter: l.f, Sort: sort, Down: down})
					if err != nil {
						return fmt.Errorf("%s on %s: %w", l.title, c.name, err)
					}
					if took > slowest {
						slowest, by = took, string(sort)
					}
				}
			}
			told = append(told, fmt.Sprintf("%s %.0f ms (by %s)", c.name, ms(slowest), by))
		}
		b.row("people, "+l.title+": the slowest of ten orders and two pages", l.target, "%s", strings.Join(told, ", "))
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// measure reads a page of the list with its counts, and the page behind it, and returns the slower
// one. It takes the quickest of seven, because what else the machine does only adds.
func (c crowded) measure(ctx context.Context, q administration.Query) (time.Duration, error) {
	quickest := [2]time.Duration{time.Hour, time.Hour}
	for range 7 {
		q.After = administration.Place{}
		for page := range quickest {
			began := time.Now()
			if err := c.d.View(ctx, func(tx *db.Tx) error {
				found, err := administration.People(ctx, tx, directory.Operator(), c.org, q)
				if err == nil && q.Filter != (administration.Filter{}) {
					_, err = administration.CountPeople(ctx, tx, directory.Operator(), c.org, administration.Filter{}, administration.MostCounted+1)
				}
				q.After = found.Next
				return err
			}); err != nil {
				return 0, err
			}
			quickest[page] = min(quickest[page], time.Since(began))
			if q.After.ID == "" {
				break
			}
		}
	}
	if quickest[1] == time.Hour {
		return quickest[0], nil
	}
	return max(quickest[0], quickest[1]), nil
}

// pageOfPeople measures what a browser gets.
func (b *bench) pageOfPeople(s *server, owner person) error {
	var took []time.Duration
	var body []byte
	for range 2*b.rounds + 1 {
		r, err := http.NewRequest(http.MethodGet, s.url+"/o/bench/admin/people", nil)
		if err != nil {
			return err
		}
		r.Header.Set("Cookie", "parvis="+owner.cookie)
		began := time.Now()
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		body, err = io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK {
			return fmt.Errorf("the list of people answers %d: %w", res.StatusCode, err)
		}
		took = append(took, time.Since(began))
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(body); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	b.row("the first page of people over HTTP", "–", "%.0f ms", ms(median(took)))
	b.row("its size, 100 people: compressed, and as sent (decision 0048)", "≤ 25 kB compressed", "%.1f kB, %.1f kB", float64(packed.Len())/1000, float64(len(body))/1000)
	return nil
}

// ignore takes the rows of a statement that returns none.
func ignore(func(...any) error) error { return nil }
