package scim_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/provisioning"
)

// round is two new organizations of a server with their three directories, and the model of them.
type round struct {
	w       *world
	sources [3]*source
	orgs    [2]directory.Organization
	bosses  [2]directory.User
	m       *model
	log     []string
	seen    map[string]int // what happened how often, in all rounds of a server
}

// rounds counts the rounds of a server, whose organizations need names of their own.
func (w *world) round(t *testing.T, number int) *round {
	t.Helper()
	domain := fmt.Sprintf("r%d.example", number)
	r := &round{w: w, m: &model{domain: domain, waits: map[waitKey]waitModel{}}}
	for i := range r.orgs {
		r.orgs[i] = w.Organization(t, fmt.Sprintf("Round %d, %d", number, i), fmt.Sprintf("round-%d-%d", number, i))
		w.Update(t, func(ctx context.Context, tx *db.Tx) (err error) {
			r.bosses[i], err = directory.CreateFirstOwner(ctx, tx, directory.User{
				OrgID: r.orgs[i].ID, ID: directory.NewUserID(), Email: r.m.boss(), Name: "The Boss", Language: "en",
			})
			return err
		})
		dbtest.GivePassword(t, w.DB, string(r.orgs[i].ID), string(r.bosses[i].ID))
		r.m.people = append(r.m.people, &personModel{
			id: string(r.bosses[i].ID), org: i, keeper: nobody, role: directory.Owner, wayIn: true, address: r.m.boss(),
			name: spoken{display: "The Boss"}, outBy: nobody, goneBy: nobody,
		})
	}
	dbtest.Do(t, w.DB, `insert into domains (org_id, id, domain_key, proof, created_at, proven_at) values ($1, $2, $3, '', 1, 1)`,
		string(r.orgs[0].ID), "dom_"+domain, domain)
	for i := range r.sources {
		r.m.sources[i] = sourceModel{org: i / 2, calls: map[provisioning.Outcome]int{}}
		r.sources[i] = w.source(t, r.orgs[i/2], provisioning.On, true)
	}
	return r
}

// run makes steps. What each is answered is compared with the model at once, what is stored after each
// fourth and after two that were made together, and what sources read after each fiftieth. It returns
// how many it made, and what was wrong with the last.
func (r *round) run(ctx context.Context, t *testing.T, all []step) (int, error) {
	for i, s := range all {
		r.w.Clock.Advance(s.after)
		r.m.now = r.w.Clock.Now()
		deeds := []deed{r.m.chosen(s)}
		if s.beside != nil {
			if other := r.m.chosen(*s.beside); other.source() && deeds[0].source() {
				deeds = append(deeds, other)
			}
		}
		if err := r.together(ctx, t, deeds, i%4 == 3 || i == len(all)-1); err != nil {
			return i + 1, err
		}
		if i%50 == 49 || i == len(all)-1 {
			if err := r.asSourcesSeeIt(ctx); err != nil {
				return i + 1, err
			}
		}
	}
	return len(all), nil
}

// together does deeds at the same time. What comes of them must be what comes of them in one of
// their orders.
func (r *round) together(ctx context.Context, t *testing.T, deeds []deed, compare bool) error {
	results := make([]result, len(deeds))
	if len(deeds) == 1 {
		results[0] = r.do(ctx, t, deeds[0])
	} else {
		var wg sync.WaitGroup
		for n := range deeds {
			i := (n + len(r.log)) % 2 // who begins gets there first, mostly
			wg.Go(func() { results[i] = r.call(ctx, deeds[i]) })
		}
		wg.Wait()
	}
	for i, d := range deeds {
		r.log = append(r.log, fmt.Sprintf("%s %s: %d %v%s", r.w.Clock.Now().Format(time.DateTime), d, results[i].status, results[i].err, strings.Repeat(" (beside the one before)", i)))
	}
	r.m.now = r.w.Clock.Now()
	var stored []string
	if compare = compare || len(deeds) == 2; compare {
		var err error
		if stored, err = r.stored(ctx); err != nil {
			return err
		}
	}
	var wrong error
	for first := range deeds {
		m := r.m.copied()
		err := m.apply(deeds[first], results[first])
		if err == nil && len(deeds) == 2 {
			err = m.apply(deeds[1-first], results[1-first])
		}
		if err == nil && compare {
			err = differing(stored, r.lines(m))
		}
		if err == nil {
			r.m = m
			r.saw(deeds, results, first)
			return nil
		}
		wrong = errors.Join(wrong, err)
	}
	return wrong
}

// saw counts what happened.
func (r *round) saw(deeds []deed, results []result, first int) {
	if r.seen == nil {
		return // it is repeated only to be shorter
	}
	for i, d := range deeds {
		what := strings.TrimSpace(fmt.Sprint(d.kind, " ", d.ask))
		if d.source() {
			what = fmt.Sprint(d.kind, " ", results[i].status)
		}
		if results[i].err != nil {
			what += ", refused"
		}
		r.seen[what]++
	}
	if len(deeds) == 2 {
		r.seen[[]string{"at once", "at once, the second first"}[first]]++
	}
}

// call makes a source's call.
func (r *round) call(ctx context.Context, d deed) result {
	a, err := r.sources[d.by].try(ctx, d.request())
	if err != nil {
		return result{err: err}
	}
	return result{status: a.status, id: a.id(), shown: wished(a.body).String(), found: len(a.resources()), text: a.text}
}

// do makes a source's call, or does by hand what an owner does.
func (r *round) do(ctx context.Context, t *testing.T, d deed) (got result) {
	if d.source() {
		return r.call(ctx, d)
	}
	org, user := r.orgs[d.org].ID, directory.UserID(d.id)
	boss := r.bosses[d.org].AsActor()
	switch d.kind {
	case month:
		r.w.Clock.Advance(31 * 24 * time.Hour)
		return result{err: directory.EraseDeleted(ctx, r.w.DB)}
	case password:
		dbtest.GivePassword(t, r.w.DB, string(org), d.id)
		return result{}
	default: // the others happen in a transaction
	}
	got.err = r.w.DB.Update(ctx, func(tx *db.Tx) (err error) {
		switch d.kind {
		case agree, dismiss:
			return r.settle(ctx, tx, d)
		case adoptAll:
			_, err = r.w.Sources.AdoptMembers(ctx, tx, boss, org, r.sources[d.by].ID)
		case turnOn:
			err = r.w.Sources.Turn(ctx, tx, boss, org, r.sources[d.by].ID, provisioning.On)
		case shutOut:
			err = directory.Deactivate(ctx, tx, boss, org, user)
		case letIn:
			err = directory.Reactivate(ctx, tx, boss, org, user)
		case deletePerson:
			err = directory.Delete(ctx, tx, boss, org, user)
		case restore:
			err = directory.Restore(ctx, tx, boss, org, user)
		case promote:
			err = directory.ChangeRole(ctx, tx, boss, org, user, d.role)
		case arrive:
			var u directory.User
			u, err = directory.CreateFederated(ctx, tx, directory.User{OrgID: org, Email: d.wish.address, Name: "By Hand", Role: directory.Member, Language: "en"}, "con_1")
			got.id = string(u.ID)
		case found:
			got.id, err = r.found(ctx, tx, d)
		default:
			err = fmt.Errorf("nobody can %s", d.kind)
		}
		return err
	})
	if d.kind == arrive && got.err == nil {
		dbtest.GivePassword(t, r.w.DB, string(org), got.id)
	}
	return got
}

// found makes a group by hand.
func (r *round) found(ctx context.Context, tx *db.Tx, d deed) (string, error) {
	org, boss := r.orgs[d.org].ID, r.bosses[d.org].AsActor()
	g, err := directory.CreateGroup(ctx, tx, boss, org, d.name)
	if err == nil {
		var members []directory.UserID
		for _, id := range d.members {
			members = append(members, directory.UserID(id))
		}
		_, err = directory.AddMembers(ctx, tx, boss, org, g.ID, members)
	}
	return g.ID, err
}

func (r *round) settle(ctx context.Context, tx *db.Tx, d deed) error {
	s := r.sources[d.by]
	boss := r.bosses[d.org].AsActor()
	all, err := provisioning.WaitingFor(ctx, tx, boss, s.Source, 1000)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(w provisioning.Waiting) bool {
		return w.Kind == d.ask && (w.Subject == d.id || d.ask == provisioning.WholeBatch)
	})
	if i < 0 {
		return fmt.Errorf("no %s of %s waits", d.ask, d.id)
	}
	return r.w.Sources.Settle(ctx, tx, boss, s.Source, all[i].ID, d.kind == agree)
}

// differing says what only one of two lists has.
func differing(got, want []string) error {
	only := func(a, b []string) (all []string) {
		for _, line := range a {
			if !slices.Contains(b, line) {
				all = append(all, line)
			}
		}
		return all
	}
	there, missing := only(got, want), only(want, got)
	if len(there)+len(missing) == 0 && len(got) == len(want) {
		return nil
	}
	return fmt.Errorf("there is\n\t%s\ninstead of\n\t%s", strings.Join(there, "\n\t"), strings.Join(missing, "\n\t"))
}

var seeded = flag.Uint64("seed", 1, "of the random steps of two directories; 0 chooses one")

// Two directories of one organization, and one of another, tell the same people apart and the other
// way around, in any order and at the same time, while an owner decides what they ask for. After each
// of 10,000 steps everything is as the model says (N12). On PostgreSQL, where a step waits ten times
// for the wire, there are 1,000. Other steps: go test ./internal/scim -run Model -seed 0.
func TestDirectoriesWithTheSamePeopleAgainstAModel(t *testing.T) {
	t.Parallel()
	const ofRound = 500
	rounds := 20
	if os.Getenv(dbtest.PostgresVariable) != "" {
		rounds = 2
	}
	seed := *seeded
	if seed == 0 {
		seed = rand.Uint64() // a failure names it
	}
	w := start(t)
	seen := map[string]int{}
	for number := range rounds {
		all := steps(rand.New(rand.NewPCG(seed, uint64(number))), ofRound)
		r := w.round(t, number)
		r.seen = seen
		made, err := r.run(t.Context(), t, all)
		if err == nil {
			continue
		}
		short, r, err := w.shortened(t, all[:made], r, err)
		t.Fatalf("seed %d, round %d, step %d: %v\n%d of its steps are enough:\n%s", seed, number, made, err, short, strings.Join(r.log[max(0, len(r.log)-60):], "\n"))
	}
	t.Log(seen)
	for _, what := range []string{
		"agree adopt_person", "agree let_in_again", "agree delete_person", "agree remove_members", "agree whole_batch", "restore",
		"give a role", "create 409", "put 404", "patch 503", "delete 202", "at once",
	} {
		if seen[what] == 0 && rounds == 20 {
			t.Errorf("seed %d: in 10,000 steps there was no %q, only %v", seed, what, seen)
		}
	}
}

// shortened leaves out steps without which it fails all the same, each time in organizations of their
// own, and returns how many are left with the round that failed last.
func (w *world) shortened(t *testing.T, all []step, r *round, err error) (int, *round, error) {
	t.Helper()
	number := 1000
	for part := len(all) / 2; part > 0; part /= 2 {
		for i := 0; i+part <= len(all) && number < 1080; {
			fewer := slices.Concat(all[:i], all[i+part:])
			number++
			again := w.round(t, number)
			made, failed := again.run(t.Context(), t, fewer)
			if failed == nil {
				i += part
				continue
			}
			all, r, err = fewer[:made], again, failed
		}
	}
	return len(all), r, err
}
