package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
)

// scale measures what journeys cost a server and its PostgreSQL, which PARVIS_TEST_POSTGRES names on
// this machine, beside what pgbench costs the same PostgreSQL. Without one it measures nothing.
func (b *bench) scale() error {
	address := os.Getenv("PARVIS_TEST_POSTGRES")
	if address == "" {
		fmt.Fprintln(os.Stderr, "scale: PARVIS_TEST_POSTGRES names no server")
		return nil
	}
	own, drop, err := database(context.Background(), address, "parvis_bench")
	if err != nil {
		return err
	}
	defer drop()
	others := b.rows
	b.rows = []string{"| what, on PostgreSQL, 4 callers | CPU of the server | CPU of PostgreSQL | in transactions of pgbench that write | a second |", "|---|---|---|---|---|"}
	defer func() {
		fmt.Println("\n" + strings.Join(b.rows, "\n"))
		b.rows = others
	}()
	measure, err := b.pgbench(own)
	if err != nil {
		return err
	}
	data := b.work + "/scale"
	s, err := startBinary(b.binary, data, "--database", own)
	if err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	users := 10_000
	if b.rounds == 1 { // quick
		users = 1_000
	}
	people, err := seedAt(data, own, users)
	if err != nil {
		return err
	}
	signed, opaque, err := registerAt(own)
	if err != nil {
		return err
	}
	for _, memory := range []string{"off", "on"} {
		if err := os.Setenv("PARVIS_DATABASE_MEMORY", memory); err != nil {
			return err
		}
		if s, err = startBinary(b.binary, data, "--database", own); err != nil {
			return err
		}
		side := &side{next: new(atomic.Int64), server: s, signed: signed, opaque: opaque, access: map[relyingParty][]string{}, refresh: make(chan tokens, len(people))}
		err = side.equip(people)
		if err == nil {
			err = b.journeys(side, people, memory, measure)
		}
		if err := errors.Join(err, s.stop()); err != nil {
			return err
		}
	}
	return nil
}

// pgbench measures the two transactions of pgbench that everybody knows, and returns what one that
// writes costs PostgreSQL, in seconds.
func (b *bench) pgbench(address string) (float64, error) {
	program, err := exec.LookPath("pgbench")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
		if len(found) == 0 {
			return 0, err
		}
		program = found[len(found)-1]
	}
	run := func(more ...string) (string, error) {
		text, err := exec.Command(program, append(more, address)...).CombinedOutput() //nolint:gosec // Found on this machine.
		if err != nil {
			return "", fmt.Errorf("pgbench: %w: %s", err, text)
		}
		return string(text), nil
	}
	if _, err := run("--initialize", "--quiet", "--scale=10"); err != nil {
		return 0, err
	}
	var writes float64
	for _, kind := range []struct{ title, script string }{{"pgbench, a transaction that writes (`tpcb-like`)", "tpcb-like"}, {"pgbench, one look-up (`select-only`)", "select-only"}} {
		var each, perSecond []float64
		for range b.rounds {
			cpu := postgresCPU()
			said, err := run("--no-vacuum", "--client=4", "--jobs=1", "--protocol=prepared", "--builtin="+kind.script, fmt.Sprintf("--time=%d", max(1, int(b.length.Seconds()))))
			if err != nil {
				return 0, err
			}
			done, tps := numberIn(said, `actually processed: (\d+)`), numberIn(said, `tps = ([0-9.]+)`)
			if done == 0 {
				return 0, fmt.Errorf("pgbench says nothing: %s", said)
			}
			each, perSecond = append(each, (postgresCPU()-cpu)/done), append(perSecond, tps)
		}
		if writes == 0 {
			writes = medianF(each)
		}
		b.line(kind.title, "– | %.2f ms | %.2f | %.0f", medianF(each)*1e3, medianF(each)/writes, medianF(perSecond))
	}
	return writes, nil
}

func numberIn(text, pattern string) float64 {
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	return n
}

// journeys measures every kind of request on PostgreSQL, each in a row as docs/scale.md has it.
func (b *bench) journeys(s *side, people []person, memory string, measure float64) error {
	var n atomic.Int64
	kinds := append(questionsOf(people), compared{"code with PKCE, its `/authorize` alone", func(s *side, c *http.Client) error {
		_, err := s.signed.authorize(c, s.server, people[int(n.Add(1))%len(people)])
		return err
	}, false}, compared{"a changed name, with its audit event", func(s *side, c *http.Client) error {
		i := int(n.Add(1))
		return rename(c, s.url, people[i%len(people)], i)
	}, false})
	for _, kind := range kinds {
		var cpu, stored, perSecond, others []float64
		for range b.rounds {
			out := s.load(b.length, 4, func(c *http.Client) error { return kind.ask(s, c) })
			if out.errors > 0 {
				return fmt.Errorf("%s: %d of %d failed: %w", kind.what, out.errors, out.done, out.err)
			}
			cpu, stored, perSecond = append(cpu, out.cpuEach), append(stored, out.storedEach), append(perSecond, out.perSecond)
			others = append(others, out.others)
		}
		b.line(kind.what+", memory "+memory, "%.2f ms | %.2f ms | %.2f | %.0f%s", medianF(cpu)*1e3, medianF(stored)*1e3, medianF(stored)/measure, medianF(perSecond), marked(others))
	}
	return nil
}

// postgresCPU is user and system time that every PostgreSQL of this machine has used, in seconds,
// with the processes that ended.
func postgresCPU() float64 {
	sum := 0.0
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(text), " (postgres) ") {
			continue
		}
		fields := strings.Fields(string(text[strings.LastIndex(string(text), ")")+2:]))
		for _, i := range []int{11, 12, 13, 14} {
			n, _ := strconv.ParseFloat(fields[i], 64)
			sum += n
		}
	}
	return sum / 100
}
