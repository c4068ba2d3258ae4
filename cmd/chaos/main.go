// Command chaos lives through the days that nobody wants: several nodes of the real binary on one
// PostgreSQL with a synchronous standby, while people sign in, are invited, change their passwords
// and use applications, and while nodes, databases, connections and disks fail. What was answered
// is written down, and at the end all of it must be there, once. ./check chaos runs it.
//
// With --soak nothing fails, and the memory of the nodes must stay flat.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

type settings struct {
	binary, work string
	lasts        time.Duration
	seed         uint64
	nodes        int
	people       int // journeys that are on the way at once
	soak         bool
}

func main() {
	var s settings
	flag.StringVar(&s.binary, "parvis", "", "the binary to run")
	flag.StringVar(&s.work, "work", "", "a folder for its data, which the user postgres may enter")
	flag.DurationVar(&s.lasts, "for", 10*time.Minute, "how long")
	flag.Uint64Var(&s.seed, "seed", 0, "of what happens when; a new one each time unless it is given")
	flag.IntVar(&s.nodes, "nodes", 3, "how many nodes there are")
	flag.IntVar(&s.people, "people", 12, "how many journeys are on the way at once")
	flag.BoolVar(&s.soak, "soak", false, "nothing fails, and the memory of the nodes must stay flat")
	flag.Parse()
	if s.seed == 0 {
		s.seed = uint64(time.Now().UnixNano())
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	found, err := run(ctx, s)
	switch {
	case err != nil:
		log.Fatal(err)
	case found > 0:
		log.Fatalf("%d findings; the seed was %d", found, s.seed)
	}
	fmt.Printf("note: chaos: nothing was found with seed %d in %s\n", s.seed, s.lasts)
}

// run returns how many findings there were.
func run(ctx context.Context, s settings) (int, error) {
	fmt.Printf("seed %d, %d nodes, %s\n", s.seed, s.nodes, s.lasts)
	began := time.Now()
	j := newJudge(began)
	w, err := build(ctx, s, j)
	defer w.stop()
	if err != nil {
		return 0, err
	}
	fmt.Printf("it stands after %s\n", time.Since(began).Round(time.Second))
	l := newLedger(w)
	// The first people come in while nothing fails.
	if err := l.populate(ctx, 8); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.lasts)
	defer cancel()
	var all sync.WaitGroup
	for i := range s.people {
		all.Go(func() { l.live(ctx, rand.New(rand.NewPCG(s.seed, uint64(i)))) })
	}
	var memory *watch
	if s.soak {
		memory = w.watch(ctx, s.lasts)
	} else {
		all.Go(func() { w.breakNodes(ctx, rand.New(rand.NewPCG(s.seed, 1000))) })
		all.Go(func() { w.breakDatabase(ctx, rand.New(rand.NewPCG(s.seed, 1001))) })
	}
	all.Wait()
	if memory != nil {
		memory.judge(j)
	}
	// What was still on its way ends, and everything stands again.
	if err := w.heal(context.WithoutCancel(ctx)); err != nil {
		j.find("it does not come back: %v", err)
	} else {
		l.check(context.WithoutCancel(ctx))
		w.check(context.WithoutCancel(ctx))
	}
	return j.report(), nil
}
