package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
)

// nodes measures what journeys cost one server and three on the same PostgreSQL: CPU of all servers
// and of PostgreSQL together, and transactions that ran again because they lost a race. The three
// are asked in turn, and share the processors with everything else, so only CPU is compared.
func (b *bench) nodes() error {
	if b.postgres = os.Getenv("PARVIS_TEST_POSTGRES"); b.postgres == "" {
		fmt.Fprintln(os.Stderr, "nodes: PARVIS_TEST_POSTGRES names no server")
		return nil
	}
	data := b.work + "/nodes"
	s, err := b.start(data)
	if err != nil {
		return err
	}
	if err := s.stop(); err != nil {
		return err
	}
	people, err := seed(data, 10_000)
	if err != nil {
		return err
	}
	signed, opaque, err := register(data)
	if err != nil {
		return err
	}
	first := &side{signed: signed, opaque: opaque, access: map[relyingParty][]string{}, refresh: make(chan tokens, len(people))}
	if first.server, err = b.start(data); err != nil {
		return err
	}
	if err := errors.Join(first.equip(people), first.stop()); err != nil {
		return err
	}
	kinds := questionsOf(people)
	costs := make([][2]cost, len(kinds))
	for round := range b.rounds {
		for i := range 2 {
			i = (i + round) % 2 // who is first changes with each round
			if err := b.together(first, kinds, []int{1, 3}[i], func(k int, one cost) { costs[k][i].add(one) }); err != nil {
				return err
			}
		}
	}
	b.rows = []string{"| what, on PostgreSQL, 4 callers | CPU on one node | CPU on three | three ÷ one | run again, on one and on three |", "|---|---|---|---|---|"}
	for k, kind := range kinds {
		one, three := costs[k][0], costs[k][1]
		b.line(kind.what, "%.2f ms | %.2f ms | %.2f | %.2f %%, %.2f %%%s", one.each()*1e3, three.each()*1e3, three.each()/one.each(), one.share()*100, three.share()*100, marked(append(one.others, three.others...)))
	}
	fmt.Println("\n" + strings.Join(b.rows, "\n"))
	b.rows = nil
	return nil
}

// cost is what one kind of request came to: of all nodes and of PostgreSQL.
type cost struct {
	cpu            []float64 // seconds, one for each round
	done, repeated float64
	others         []float64
}

func (c *cost) add(of cost) {
	c.cpu, c.others = append(c.cpu, of.cpu...), append(c.others, of.others...)
	c.done, c.repeated = c.done+of.done, c.repeated+of.repeated
}

func (c *cost) each() float64  { return medianF(c.cpu) }
func (c *cost) share() float64 { return c.repeated / c.done }

// together asks everything of so many nodes.
func (b *bench) together(asked *side, kinds []compared, many int, tell func(int, cost)) (err error) {
	var nodes []*server
	var sides []*side
	defer func() {
		for _, s := range nodes {
			err = errors.Join(err, s.stop())
		}
	}()
	for range many {
		cmd, base := serving(b.binary, b.work+"/nodes")
		operations := freeAddress()
		cmd.Env = append(os.Environ(), "PARVIS_OPERATIONS_LISTEN="+operations)
		s, err := begin(cmd, base, "/sign-in")
		if err != nil {
			return err
		}
		s.operations = "http://" + operations
		nodes = append(nodes, s)
		sides = append(sides, &side{server: s, signed: asked.signed, opaque: asked.opaque, access: asked.access, refresh: asked.refresh})
	}
	var turn atomic.Int64
	for k, kind := range kinds {
		before, err := repeated(nodes)
		if err != nil {
			return err
		}
		out := load(nodes, b.length, 4, func(c *http.Client) error { return kind.ask(sides[int(turn.Add(1))%many], c) })
		if out.errors > 0 {
			return fmt.Errorf("%s on %d nodes: %d of %d failed: %w", kind.what, many, out.errors, out.done, out.err)
		}
		after, err := repeated(nodes)
		if err != nil {
			return err
		}
		tell(k, cost{cpu: []float64{out.cpuEach + out.storedEach}, done: float64(out.done), repeated: after - before, others: []float64{out.others}})
	}
	return nil
}

// repeated is how many transactions of these nodes ran again so far.
func repeated(nodes []*server) (sum float64, err error) {
	for _, s := range nodes {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.operations+"/metrics", nil)
		if err != nil {
			return 0, err
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0, err
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		m := regexp.MustCompile(`(?m)^parvis_db_transactions_repeated_total (\S+)$`).FindSubmatch(bytes.TrimSpace(text))
		if err != nil || m == nil {
			return 0, fmt.Errorf("no count of repeated transactions: %w", err)
		}
		n, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
