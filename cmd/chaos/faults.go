package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"parvis/internal/dbtest"
)

// What a fault explains after its end: connections that were forgotten cost the next request as long
// as a silent database may take, those that were closed a moment.
const (
	afterSilence = 10 * time.Second
	afterCrash   = 5 * time.Second
	afterCut     = 2 * time.Second
)

// breaks is a way to break something, which returns when it is whole again.
type breaks func(ctx context.Context, chance *rand.Rand)

// deal breaks one thing after the other until ctx ends, each once before any comes twice. Some
// come close together, and some after a calm in which nothing explains anything any longer.
func deal(ctx context.Context, chance *rand.Rand, all []breaks) {
	whole := context.WithoutCancel(ctx) // what was begun is ended
	for {
		for _, i := range chance.Perm(len(all)) {
			pause := time.Second + time.Duration(chance.IntN(3000))*time.Millisecond
			if chance.IntN(3) == 0 {
				pause += afterSilence
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			all[i](whole, chance)
		}
	}
}

func upTo(chance *rand.Rand, most time.Duration) {
	time.Sleep(time.Duration(chance.Int64N(int64(most))))
}

// breakNodes breaks one node at a time, or the way to it or to its database.
func (w *world) breakNodes(ctx context.Context, chance *rand.Rand) {
	var all []breaks
	for range 2 { // nodes die most often
		all = append(all, w.killsANode)
	}
	deal(ctx, chance, append(all, w.stopsANode, w.cutsVisitors, w.slowsVisitors, w.cutsANode, w.silencesANode, w.slowsANode))
}

func (w *world) one(chance *rand.Rand) *node { return w.nodes[chance.IntN(len(w.nodes))] }

// killsANode kills a process, which is started again a moment later.
func (w *world) killsANode(_ context.Context, chance *rand.Rand) {
	n := w.one(chance)
	end := w.judge.begin(fault{what: "kill -9", kind: ofNode, node: n.number, after: afterCut})
	defer end()
	n.kill()
	for until := time.Now().Add(time.Minute); !n.serves(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			w.judge.find("node %d does not start again", n.number)
			return
		}
	}
}

// stopsANode stops a process for a while, as a machine that swaps or is moved.
func (w *world) stopsANode(_ context.Context, chance *rand.Rand) {
	n := w.one(chance)
	// The calls that were on their way to the database when it stopped are late, too.
	defer w.judge.begin(fault{what: "SIGSTOP", kind: ofNode | ofDatabase, node: n.number, after: afterCut})()
	n.signal(syscall.SIGSTOP)
	upTo(chance, 10*time.Second)
	n.signal(syscall.SIGCONT)
}

func (w *world) cutsVisitors(_ context.Context, chance *rand.Rand) {
	n := w.one(chance)
	defer w.judge.begin(fault{what: "connections of visitors cut", kind: ofNode, node: n.number, after: afterCut})()
	for range 10 {
		n.http.Cut()
		time.Sleep(100 * time.Millisecond)
	}
}

func (w *world) slowsVisitors(_ context.Context, chance *rand.Rand) {
	n := w.one(chance)
	defer w.judge.begin(fault{what: "connections of visitors slow", kind: ofNode, node: n.number, after: afterCut})()
	slows([]*dbtest.Wire{n.http}, chance)
}

func (w *world) cutsANode(_ context.Context, chance *rand.Rand) {
	n := w.one(chance)
	defer w.judge.begin(fault{what: "connections to the database cut", kind: ofDatabase, node: n.number, after: afterCut})()
	for range 5 {
		for _, wire := range n.database {
			wire.Cut()
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (w *world) silencesANode(_ context.Context, chance *rand.Rand) {
	n := w.one(chance)
	defer w.judge.begin(fault{what: "packets to the database dropped", kind: ofDatabase, node: n.number, after: afterSilence})()
	silences(n.database, chance)
}

func (w *world) slowsANode(_ context.Context, chance *rand.Rand) {
	n := w.one(chance)
	// A page of many statements, each of which waits, may be late.
	defer w.judge.begin(fault{what: "packets to the database delayed", kind: ofNode | ofDatabase, node: n.number, after: afterSilence})()
	slows(n.database, chance)
}

func slows(all []*dbtest.Wire, chance *rand.Rand) {
	by := 20*time.Millisecond + time.Duration(chance.IntN(150))*time.Millisecond
	for _, wire := range all {
		wire.Delay(by)
	}
	upTo(chance, 6*time.Second)
	for _, wire := range all {
		wire.Delay(0)
	}
}

func silences(all []*dbtest.Wire, chance *rand.Rand) {
	for _, wire := range all {
		wire.Silence()
	}
	upTo(chance, 12*time.Second)
	for _, wire := range all {
		wire.Resume()
	}
}

// breakDatabase breaks what all nodes depend on.
func (w *world) breakDatabase(ctx context.Context, chance *rand.Rand) {
	all := []breaks{w.crashesPostgres, w.promotesTheStandby, w.cutsTheTrunk, w.silencesTheTrunk}
	if w.pooler != nil {
		all = append(all, w.killsThePooler)
	} else {
		fmt.Println("note: LEFT OUT: PgBouncer is not installed")
	}
	if w.cluster.disks {
		all = append(all, w.fillsTheDisk)
	} else {
		fmt.Printf("note: LEFT OUT: no disk was filled: %s\n", w.cluster.noDisks)
	}
	deal(ctx, chance, all)
}

// forAll begins a fault of the database, which every node feels.
func (w *world) forAll(what string, after time.Duration) (end func()) {
	return w.judge.begin(fault{what: what, kind: ofDatabase, node: -1, after: after})
}

func (w *world) crashesPostgres(ctx context.Context, chance *rand.Rand) {
	defer w.forAll("PostgreSQL crashed", afterCrash)()
	if err := w.cluster.crash(ctx, w.cluster.primary); err != nil {
		w.judge.find("the driver cannot crash PostgreSQL: %v", err)
	}
	upTo(chance, 3*time.Second)
	w.startsPostgres(ctx)
}

func (w *world) startsPostgres(ctx context.Context) {
	if err := w.cluster.start(ctx, w.cluster.primary); err != nil {
		w.judge.find("PostgreSQL does not start: %v", err)
	}
	if err := w.cluster.streams(ctx); err != nil { // until then every commit waits
		w.judge.find("the standby does not follow: %v", err)
	}
}

// promotesTheStandby loses the primary for good.
func (w *world) promotesTheStandby(ctx context.Context, _ *rand.Rand) {
	end := w.forAll("standby promoted", afterCrash)
	err := w.cluster.promote(ctx, func() {
		w.trunk.Lead(w.cluster.host(w.cluster.primary))
		w.trunk.Cut()
		end()
	})
	if err != nil {
		w.judge.find("the driver cannot promote the standby: %v", err)
	}
}

// trunks are the wires on all ways to the database.
func (w *world) trunks() []*dbtest.Wire {
	return append([]*dbtest.Wire{w.trunk}, w.nodes[0].database...)
}

func (w *world) cutsTheTrunk(context.Context, *rand.Rand) {
	defer w.forAll("every connection to the database cut", afterCut)()
	for _, wire := range w.trunks() {
		wire.Cut()
	}
}

func (w *world) silencesTheTrunk(_ context.Context, chance *rand.Rand) {
	defer w.forAll("every packet to the database dropped", afterSilence)()
	silences(w.trunks(), chance)
}

func (w *world) killsThePooler(_ context.Context, chance *rand.Rand) {
	defer w.judge.begin(fault{what: "PgBouncer killed", kind: ofDatabase, node: w.settings.nodes - 1, after: afterCut})()
	w.pooler.Stop()
	upTo(chance, 2*time.Second)
	if err := w.pooler.Start(); err != nil {
		w.judge.find("PgBouncer does not start: %v", err)
	}
}

// fillsTheDisk takes the room of the primary's disk away for a while, and where chance wants it has
// PostgreSQL need more for its log, without which it stops.
func (w *world) fillsTheDisk(ctx context.Context, chance *rand.Rand) {
	defer w.forAll("disk full", afterCrash)()
	empty, err := w.cluster.fill()
	if err != nil {
		w.judge.find("the driver cannot fill the disk: %v", err)
		return
	}
	for range 5 {
		if chance.IntN(2) == 0 {
			_ = w.cluster.one(ctx, []any{new(string)}, `select pg_switch_wal()::text`) // it fails once there is no room
		}
		upTo(chance, 2*time.Second)
	}
	if err := empty(); err != nil {
		w.judge.find("the driver cannot empty the disk: %v", err)
	}
	time.Sleep(time.Second)
	if !w.cluster.runs(ctx, w.cluster.primary) {
		w.judge.count("PostgreSQL stopped without room")
		w.startsPostgres(ctx)
		return
	}
	if err := w.cluster.ask(ctx, `select true`); err != nil {
		w.judge.find("PostgreSQL does not come back: %v", err)
	}
}
