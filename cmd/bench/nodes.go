package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
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
	first := &side{next: new(atomic.Int64), signed: signed, opaque: opaque, access: map[relyingParty][]string{}, refresh: make(chan tokens, len(people))}
	if first.server, err = b.start(data); err != nil {
		return err
	}
	if err := errors.Join(first.equip(people), first.stop()); err != nil {
		return err
	}
	nodes, stop, err := b.nodesOf(data, first, 3)
	defer stop()
	if err != nil {
		return err
	}
	// A bare handler in as many programs says what of the difference is Go's and the machine's.
	kinds := append([]compared{{"bare net/http handler", nil, true}}, questionsOf(people)...)
	// A program that is asked more often sleeps and wakes less often for each request. Three
	// nodes with as many callers for each as the one has are compared, and the same callers on both.
	sides := [4]struct{ nodes, callers int }{{1, 1}, {3, 3}, {1, 4}, {3, 4}}
	costs := make([][4]cost, len(kinds))
	// The first round opens connections and prepares statements, and does not count.
	for round := range b.rounds + 1 {
		for i := range sides {
			i = (i + round) % len(sides) // who is first changes with each round
			if err := b.together(nodes[:sides[i].nodes], sides[i].callers, kinds, func(k int, one cost) {
				if round > 0 {
					costs[k][i].add(one)
				}
			}); err != nil {
				return err
			}
		}
	}
	b.table(kinds, costs)
	fmt.Println("\n" + strings.Join(b.rows, "\n"))
	b.rows = nil
	return nil
}

// table writes a line for each kind of request, from its costs on the sides of nodes.
func (b *bench) table(kinds []compared, costs [][4]cost) {
	b.rows = []string{"| what, on PostgreSQL | one caller: on one node | three callers: on three | ratio | four callers: on one | on three | ratio | run again |", "|---|---|---|---|---|---|---|---|"}
	for k, kind := range kinds {
		one, three, busy, spread := costs[k][0], costs[k][1], costs[k][2], costs[k][3]
		b.line(kind.what, "%.2f ms | %.2f ms | %.2f | %.2f ms | %.2f ms | %.2f | %.2f %%, %.2f %%, %.2f %%, %.2f %%%s",
			one.each()*1e3, three.each()*1e3, three.each()/one.each(), busy.each()*1e3, spread.each()*1e3, spread.each()/busy.each(),
			one.share()*100, three.share()*100, busy.share()*100, spread.share()*100, marked(slices.Concat(one.others, three.others, busy.others, spread.others)))
	}
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

// node is one of several servers, with a client that reaches this one by the address of all.
type node struct {
	*side

	client *http.Client
	bare   *server
}

// nodesOf starts nodes, all with the public address of the server that gave the tokens, whose issuer
// it is.
func (b *bench) nodesOf(data string, asked *side, many int) (nodes []node, stop func(), err error) {
	stop = func() {
		for _, n := range nodes {
			n.stop()
			n.bare.stop()
		}
	}
	for range many {
		address, operations := freeAddress(), freeAddress()
		cmd := exec.Command(b.binary, "serve", "--data", data, "--listen", address, "--public-address", asked.url) //nolint:gosec // What is measured.
		cmd.Env = append(os.Environ(), "PARVIS_OPERATIONS_LISTEN="+operations)
		s, err := begin(cmd, "http://"+operations, "/readyz")
		if err != nil {
			return nodes, stop, err
		}
		s.url, s.operations = asked.url, s.url
		bare, err := b.startBare()
		if err != nil {
			return nodes, stop, errors.Join(err, s.stop())
		}
		nodes = append(nodes, node{
			&side{next: asked.next, server: s, signed: asked.signed, opaque: asked.opaque, access: asked.access, refresh: asked.refresh},
			&http.Client{
				Transport: &http.Transport{MaxIdleConnsPerHost: 4, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return (&net.Dialer{}).DialContext(ctx, network, address)
				}},
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			},
			bare,
		})
	}
	return nodes, stop, nil
}

// together asks everything of some nodes, in turn, by so many callers at the same time.
func (b *bench) together(nodes []node, callers int, kinds []compared, tell func(int, cost)) error {
	var servers, bare []*server
	for _, n := range nodes {
		servers, bare = append(servers, n.server), append(bare, n.bare)
	}
	var turn atomic.Int64
	for k, kind := range kinds {
		asked := servers
		if kind.ask == nil {
			asked = bare
		}
		ask := func(c *http.Client) error {
			n := nodes[int(turn.Add(1))%len(nodes)]
			if kind.ask == nil {
				return visit(c, n.bare.url, "", http.StatusOK)
			}
			return kind.ask(n.side, n.client)
		}
		load(asked, b.length, callers, ask) // whom nobody asked for a second remembers nothing
		before, err := repeated(servers)
		if err != nil {
			return err
		}
		out := load(asked, b.length, callers, ask)
		if out.errors > 0 {
			return fmt.Errorf("%s on %d nodes: %d of %d failed: %w", kind.what, len(nodes), out.errors, out.done, out.err)
		}
		after, err := repeated(servers)
		if err != nil {
			return err
		}
		tell(k, cost{cpu: []float64{out.cpuEach + out.storedEach}, done: float64(out.done), repeated: after - before, others: []float64{out.others}})
	}
	return nil
}

// repeated is how many transactions of these servers ran again so far.
func repeated(servers []*server) (sum float64, err error) {
	for _, s := range servers {
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
