// Command bench measures a real parvis binary over loopback, each figure beside
// its limit in the same run, several times in alternation, and prints medians.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

func main() {
	binary := flag.String("parvis", "", "the binary to measure")
	work := flag.String("work", "", "a folder for its data")
	quick := flag.Bool("quick", false, "one round of short runs")
	bare := flag.String("bare", "", "serve a fixed page on this address: the limit that pages are compared with")
	only := flag.String("only", "", "some parts, with commas between: starts, page, small, large, crowd, applications, parity, console, api, scim, events, import, backup, million, scale or nodes")
	postgres := flag.Bool("postgres", false, "measure starts, small, large, crowd and applications on the PostgreSQL that PARVIS_TEST_POSTGRES names, with database_memory on")
	model := flag.String("model", "", "print how much is needed for many people, by the costs in this paper, which is docs/scale.md")
	compare := flag.String("compare", "", "an older binary, measured in alternation with this one")
	flag.Parse()
	if *bare != "" {
		log.Fatal(serveBare(*bare))
	}
	if *model != "" {
		if err := printModel(*model); err != nil {
			log.Fatal(err)
		}
		return
	}
	b := bench{binary: *binary, work: *work, older: *compare}
	if *postgres {
		if b.postgres = os.Getenv("PARVIS_TEST_POSTGRES"); b.postgres == "" {
			log.Fatal("PARVIS_TEST_POSTGRES names no server")
		}
	}
	if err := run(b, *only, *quick); err != nil {
		log.Fatal(err)
	}
}

// barePage is about as long as the home page.
var barePage = []byte("<!doctype html>" + strings.Repeat("<p>nothing but bytes</p>\n", 120))

func serveBare(address string) error {
	s := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(barePage)
	})}
	return s.ListenAndServe()
}

type bench struct {
	binary, work string
	older        string        // compared with it; empty where only this one is measured
	postgres     string        // the server on which databases are made; empty for SQLite
	drops        []func()      // remove those databases
	length       time.Duration // of one run
	rounds       int
	rows         []string
}

func run(b bench, only string, quick bool) error {
	b.length, b.rounds = 4*time.Second, 3
	if quick {
		b.length, b.rounds = time.Second, 1
	}
	if b.older != "" {
		return b.beside(only)
	}
	defer func() {
		for _, drop := range b.drops {
			drop()
		}
	}()
	type part struct {
		name string
		run  func() error
	}
	parts := []part{
		{"starts", b.starts},
		{"page", b.page},
		{"small", b.small},
		{"large", b.large},
		{"crowd", b.crowd},
		{"applications", b.applications},
		{"parity", b.parity},
		{"console", b.console},
		{"api", b.api},
		{"scim", b.scim},
		{"events", b.events},
		{"import", b.imports},
		{"backup", b.backups},
		{"million", b.million},
		{"scale", b.scale},
		{"nodes", b.nodes},
	}
	for name := range strings.SplitSeq(only, ",") {
		if name != "" && !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("there is no part %q", name)
		}
	}
	for _, part := range parts {
		if !wanted(part.name, only, b.postgres != "") {
			continue
		}
		if err := part.run(); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	if len(b.rows) == 0 {
		return nil
	}
	fmt.Printf("\n| what | measured | target |\n|---|---|---|\n%s\n", strings.Join(b.rows, "\n"))
	return nil
}

// wanted reports whether a part is measured. What takes long or needs a PostgreSQL for itself is
// measured only where it is named, and some parts only on SQLite.
func wanted(part, only string, postgres bool) bool {
	if only != "" {
		return slices.Contains(strings.Split(only, ","), part)
	}
	if postgres {
		return slices.Contains([]string{"starts", "small", "large", "crowd", "applications"}, part)
	}
	return !slices.Contains([]string{"million", "scale", "nodes"}, part)
}

func (b *bench) row(what, target, format string, args ...any) {
	row := fmt.Sprintf("| %s | %s | %s |", what, fmt.Sprintf(format, args...), target)
	b.rows = append(b.rows, row)
	fmt.Fprintln(os.Stderr, row)
}

// starts measures the first start, which migrates, and later ones.
func (b *bench) starts() error {
	var first, later []time.Duration
	var idle int64
	for i := range 2*b.rounds + 1 {
		data := fmt.Sprintf("%s/start-%d", b.work, i)
		for _, took := range []*[]time.Duration{&first, &later} {
			s, err := b.start(data)
			if err != nil {
				return err
			}
			*took = append(*took, s.ready)
			time.Sleep(300 * time.Millisecond)
			idle = s.memory("VmRSS")
			if err := s.stop(); err != nil {
				return err
			}
		}
	}
	b.row("first start with migrations", "≤ 200 ms", "%d ms", median(first).Milliseconds())
	b.row("cold start with a database", "≤ 30 ms", "%d ms", median(later).Milliseconds())
	b.row("idle memory (resident)", "≤ 30 MB", "%.0f MB", float64(idle)/1e6)
	return nil
}

func (b *bench) small() error { return b.figures("1,000 users", 1_000) }
func (b *bench) large() error { return b.figures("100,000 users", 100_000) }

func (b *bench) million() error { return b.figures("1,000,000 users", 1_000_000) }

// figures measures one server with so many users.
func (b *bench) figures(title string, users int) error {
	data := fmt.Sprintf("%s/users-%d", b.work, users)
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
	if s, err = b.start(data); err != nil {
		return err
	}
	defer s.stop()
	bare, err := b.startBare()
	if err != nil {
		return err
	}
	defer bare.stop()
	if err := b.signIns(title, s, people); err != nil {
		return err
	}
	if err := b.pages(title, s, bare, people); err != nil {
		return err
	}
	if err := b.writers(title, s, people); err != nil {
		return err
	}
	if users == 1_000 {
		return b.flood(s)
	}
	return nil
}

// signIns compares sign-ins with bare hashes, in alternation.
func (b *bench) signIns(title string, s *server, people []person) error {
	var cpu, wall, perSecond, others []float64
	var next atomic.Int64
	for range b.rounds {
		hashes := bareHashes(b.length, 4)
		in := s.load(b.length, 4, func(c *http.Client) error {
			return signIn(c, s.url, people[int(next.Add(1))%len(people)])
		})
		if in.errors > 0 {
			return fmt.Errorf("%d of %d sign-ins failed: %w", in.errors, in.done, in.err)
		}
		cpu = append(cpu, (in.cpuEach-hashes.cpuEach)*1000)
		wall, perSecond = append(wall, in.perSecond/hashes.perSecond), append(perSecond, in.perSecond)
		others = append(others, in.others)
	}
	b.row("password sign-in, CPU beyond the hash, "+title, "≤ 1.0 ms", "%.2f ms%s", medianF(cpu), marked(others))
	b.row("password sign-in, wall clock with 4 callers against the hash limit, "+title, "≥ 0.90", "%.2f, %.0f a second%s", medianF(wall), medianF(perSecond), marked(others))
	return nil
}

// pages compares a session check, and a whole signed-in page, with a bare
// handler, in alternation. The check is a page of the administration that only
// leads to another: who is there, and may they, with one database read.
func (b *bench) pages(title string, s, bare *server, people []person) error {
	var check, checkCPU, page, pageCPU, checks, ignored []float64
	var next atomic.Int64
	for range b.rounds {
		limit := bare.load(b.length, 4, func(c *http.Client) error { return visit(c, bare.url+"/", "", http.StatusOK) })
		for _, of := range []struct {
			path                  string
			status                int
			ratio, cpu, perSecond *[]float64
		}{{"/o/bench/admin/people/change", http.StatusSeeOther, &check, &checkCPU, &checks}, {"/o/bench/home", http.StatusOK, &page, &pageCPU, &ignored}} {
			ours := s.load(b.length, 4, func(c *http.Client) error {
				return visit(c, s.url+of.path, people[int(next.Add(1))%len(people)].cookie, of.status)
			})
			if ours.errors > 0 {
				return fmt.Errorf("%d of %d pages failed: %w", ours.errors, ours.done, ours.err)
			}
			*of.ratio = append(*of.ratio, ours.perSecond/limit.perSecond)
			*of.cpu = append(*of.cpu, limit.cpuEach/ours.cpuEach)
			*of.perSecond = append(*of.perSecond, ours.perSecond)
		}
	}
	b.row("session check against bare net/http, requests a second, "+title, "≥ 0.60", "%.2f, %.0f a second", medianF(check), medianF(checks))
	b.row("session check against bare net/http, CPU each, "+title, "≥ 0.55", "%.2f", medianF(checkCPU))
	b.row("whole signed-in page against bare net/http, requests a second, "+title, "–", "%.2f", medianF(page))
	b.row("whole signed-in page against bare net/http, CPU each, "+title, "–", "%.2f", medianF(pageCPU))
	return nil
}

// writers counts errors with 32 writers at once.
func (b *bench) writers(title string, s *server, people []person) error {
	var next atomic.Int64
	out := s.load(b.length, 32, func(c *http.Client) error {
		n := int(next.Add(1))
		return rename(c, s.url, people[n%len(people)], n)
	})
	if out.err != nil {
		fmt.Fprintln(os.Stderr, "a writer failed:", out.err)
	}
	b.row("errors with 32 writers at once, "+title, "0", "%d of %d (%.0f writes a second)", out.errors, out.done, out.perSecond)
	return nil
}

func marked(others []float64) string {
	if slices.Max(others) > 0.10 {
		return fmt.Sprintf(" (others used %.0f %% of the machine)", 100*slices.Max(others))
	}
	return ""
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func medianF(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
