package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"time"
)

// backups measures sign-ins beside a backup of 100,000 people, in alternation with sign-ins alone, and
// what a backup takes; on PostgreSQL too where PARVIS_TEST_POSTGRES names a server.
func (b *bench) backups() error { return b.onBoth("backups", b.backupOf) }

// onBoth measures on SQLite, and on PostgreSQL where PARVIS_TEST_POSTGRES names a server: each time with
// a folder of data, and flags that name the database.
func (b *bench) onBoth(part string, measure func(name, data string, more ...string) error) error {
	if err := measure("SQLite", b.work+"/"+part); err != nil {
		return err
	}
	address := os.Getenv("PARVIS_TEST_POSTGRES")
	if address == "" {
		return nil
	}
	own, drop, err := database(context.Background(), address, "parvis_bench")
	if err != nil {
		return err
	}
	defer drop()
	return measure("PostgreSQL", b.work+"/"+part+"-postgres", "--database", own)
}

func (b *bench) backupOf(name, data string, more ...string) error {
	s, people, err := b.peopled(data, b.many(), more...)
	if err != nil {
		return err
	}
	defer s.stop()
	idle := s.memory("VmRSS")
	quiet, err := b.backup(data, more...) // nobody signs in beside this one
	if err != nil {
		return err
	}
	var next atomic.Int64
	in := func(c *http.Client) error { return signIn(c, s.url, people[int(next.Add(1))%len(people)]) }
	var ratios, others []float64
	var took []time.Duration
	for range b.rounds {
		alone := s.load(3*b.length, 4, in)
		last := make(chan error, 1)
		var ends atomic.Bool
		go func() {
			for {
				made, err := b.backup(data, more...)
				if took = append(took, made.took); err != nil || ends.Load() {
					last <- err
					return
				}
			}
		}()
		beside := s.load(3*b.length, 4, in)
		ends.Store(true)
		if err := <-last; err != nil {
			return err
		}
		if alone.errors+beside.errors > 0 {
			return fmt.Errorf("%d sign-ins failed: %w %w", alone.errors+beside.errors, alone.err, beside.err)
		}
		ratios, others = append(ratios, beside.perSecond/alone.perSecond), append(others, alone.others)
	}
	b.row(fmt.Sprintf("sign-ins with 4 callers beside a backup of %d people, against alone, %s", b.many(), name), "≥ 0.90", "%.2f%s", medianF(ratios), marked(others))
	b.row("that backup, "+name, "–", "%.1f s, %.1f s where nobody signs in; %.1f MB", median(took).Seconds(), quiet.took.Seconds(), float64(quiet.size)/1e6)
	b.row("memory of the backup, "+name, "–", "idle %.0f MB + %.0f MB", float64(idle)/1e6, (quiet.most-float64(idle))/1e6)
	return nil
}

// made is what a backup took.
type made struct {
	took time.Duration
	size int64
	most float64 // bytes of memory
}

// backup makes a backup and removes it.
func (b *bench) backup(data string, more ...string) (made, error) {
	path := b.work + "/of-people.backup"
	began := time.Now()
	c := exec.Command(b.binary, append([]string{"backup", path, "--without-keys", "--data", data}, more...)...) //nolint:gosec // What is measured.
	if said, err := c.CombinedOutput(); err != nil {
		return made{}, fmt.Errorf("%w: %s", err, said)
	}
	m := made{took: time.Since(began), most: float64(c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) * 1024}
	info, err := os.Stat(path)
	if err != nil {
		return m, err
	}
	m.size = info.Size()
	return m, os.Remove(path)
}

// peopled starts a server with so many people, of whom some sign in; the flags may name its database.
func (b *bench) peopled(data string, users int, more ...string) (*server, []person, error) {
	s, err := startBinary(b.binary, data, more...)
	if err != nil {
		return nil, nil, err
	}
	if err := s.stop(); err != nil {
		return nil, nil, err
	}
	address := data + "/parvis.db"
	if len(more) > 0 {
		address = more[len(more)-1]
	}
	people, err := seedAt(data, address, users)
	if err != nil {
		return nil, nil, err
	}
	s, err = startBinary(b.binary, data, more...)
	return s, people, err
}
