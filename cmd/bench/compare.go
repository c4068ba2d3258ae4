package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// A side is one of two programs that are compared, with what it is asked about: both have a copy
// of the same data.
type side struct {
	*server
	signed, opaque relyingParty
	access         map[relyingParty][]string
	refresh        chan tokens
	next           *atomic.Int64 // person; nodes that are asked together share it, so that none is asked about whom another is
}

// compared is one kind of request, asked of both sides.
type compared struct {
	what string
	ask  func(*side, *http.Client) error
	read bool // beside a bare handler
}

// figure is what one kind of request came to in each round.
type figure struct{ cpu, perSecond, ofBare [2][]float64 }

// beside compares the two with as many users as the part that is named has.
func (b *bench) beside(only string) error {
	users, known := map[string]int{"": 1_000, "small": 1_000, "large": 100_000}[only]
	if !known {
		return fmt.Errorf("%s is not compared: small or large", only)
	}
	older, err := filepath.Abs(b.older)
	if err != nil {
		return err
	}
	if err := b.compare(older, users); err != nil {
		return err
	}
	fmt.Printf("\n| what | old | new | new ÷ old |\n|---|---|---|---|\n%s\n", strings.Join(b.rows, "\n"))
	return nil
}

// compare measures an older program and this one in alternation, in each round, so that what else
// the machine does falls on both. The older one makes the data, whose copy the newer one migrates.
func (b *bench) compare(older string, users int) error {
	people, signed, opaque, err := b.before(older, users)
	if err != nil {
		return err
	}
	var sides [2]*side
	for i, binary := range []string{older, b.binary} {
		s, err := startBinary(binary, fmt.Sprintf("%s/side-%d", b.work, i))
		if err != nil {
			return fmt.Errorf("%s: %w", binary, err)
		}
		defer s.stop()
		sides[i] = &side{next: new(atomic.Int64), server: s, signed: signed, opaque: opaque, access: map[relyingParty][]string{}, refresh: make(chan tokens, len(people))}
		if err := sides[i].equip(people); err != nil {
			return fmt.Errorf("%s: %w", binary, err)
		}
	}
	bare, err := b.startBare()
	if err != nil {
		return err
	}
	defer bare.stop()
	kinds := questionsOf(people)
	figures, others := make([]figure, len(kinds)), []float64{0}
	var hash []float64
	for round := range b.rounds {
		hash = append(hash, bareHashes(b.length, 4).cpuEach)
		limit := bare.load(b.length, 4, func(c *http.Client) error { return visit(c, bare.url+"/", "", http.StatusOK) })
		for k, kind := range kinds {
			for i := range sides {
				i = (i + round) % 2 // who is first changes with each round
				out := sides[i].load(b.length, 4, func(c *http.Client) error { return kind.ask(sides[i], c) })
				if out.errors > 0 {
					return fmt.Errorf("%s: %d of %d failed: %w", kind.what, out.errors, out.done, out.err)
				}
				f := &figures[k]
				f.cpu[i], f.perSecond[i] = append(f.cpu[i], out.cpuEach), append(f.perSecond[i], out.perSecond)
				f.ofBare[i], others = append(f.ofBare[i], limit.cpuEach/out.cpuEach), append(others, out.others)
			}
		}
	}
	for k, kind := range kinds {
		b.compared(kind, figures[k], medianF(hash))
	}
	fmt.Fprintf(os.Stderr, "both in alternation%s\n", marked(others))
	return b.flushes(sides, people)
}

// before makes what both sides start from: by the older program, so that both can read it.
func (b *bench) before(older string, users int) (people []person, signed, opaque relyingParty, err error) {
	data := b.work + "/side-0"
	s, err := startBinary(older, data)
	if err == nil {
		err = s.stop()
	}
	if err == nil {
		people, err = seed(data, users)
	}
	if err == nil {
		signed, opaque, err = register(data)
	}
	if err != nil {
		return nil, signed, opaque, fmt.Errorf("filling a database of %s: %w", older, err)
	}
	return people, signed, opaque, copyData(data, b.work+"/side-1")
}

// copyData copies a server's folder, whose files nobody else may read: the server refuses others.
func copyData(from, to string) error {
	files, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	err = os.Mkdir(to, 0o700)
	for _, f := range files {
		var content []byte
		if err == nil {
			content, err = os.ReadFile(filepath.Join(from, f.Name()))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, f.Name()), content, 0o600)
		}
	}
	return err
}

// equip gets what is asked about: two access tokens and a refresh token for each person.
func (s *side) equip(people []person) error {
	for _, p := range people {
		for _, a := range []relyingParty{s.signed, s.opaque} {
			t, err := a.enter(redirectless(), s.server, p)
			if err != nil {
				return err
			}
			s.access[a] = append(s.access[a], t.Access)
			if a == s.signed {
				s.refresh <- t
			}
		}
	}
	return nil
}

// questionsOf lists what both sides are asked.
func questionsOf(people []person) []compared {
	one := func(s *side) person { return people[int(s.next.Add(1))%len(people)] }
	token := func(s *side, a relyingParty) string { return s.access[a][int(s.next.Add(1))%len(people)] }
	return []compared{
		{"session check", func(s *side, c *http.Client) error {
			return visit(c, s.url+"/o/bench/admin/people/change", one(s).cookie, http.StatusSeeOther)
		}, true},
		{"whole signed-in page", func(s *side, c *http.Client) error {
			return visit(c, s.url+"/o/bench/home", one(s).cookie, http.StatusOK)
		}, true},
		{"introspection, opaque", func(s *side, c *http.Client) error { return s.opaque.introspect(c, s.server, token(s, s.opaque)) }, true},
		{"introspection, signed", func(s *side, c *http.Client) error { return s.signed.introspect(c, s.server, token(s, s.signed)) }, true},
		{"UserInfo, opaque", func(s *side, c *http.Client) error { return userInfo(c, s.server, token(s, s.opaque)) }, true},
		{"UserInfo, signed", func(s *side, c *http.Client) error { return userInfo(c, s.server, token(s, s.signed)) }, true},
		{"code with PKCE, exchanged", func(s *side, c *http.Client) error {
			_, err := s.signed.enter(c, s.server, one(s))
			return err
		}, false},
		{"refresh with rotation", func(s *side, c *http.Client) error {
			t, err := s.signed.token(c, s.server, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {(<-s.refresh).Refresh}})
			s.refresh <- t
			return err
		}, false},
		{signingIn, func(s *side, c *http.Client) error { return signIn(c, s.url, one(s)) }, false},
	}
}

const signingIn = "password sign-in"

// compared prints what one kind of request takes on both sides. The ratio is the median of those
// of the rounds.
func (b *bench) compared(kind compared, f figure, hash float64) {
	ratio := func(of [2][]float64) float64 {
		var all []float64
		for i := range of[0] {
			all = append(all, of[1][i]/of[0][i])
		}
		return medianF(all)
	}
	cpu, perSecond := ratio(f.cpu), ratio(f.perSecond)
	b.line(kind.what+", CPU each", "%.0f µs | %.0f µs | %.2f", medianF(f.cpu[0])*1e6, medianF(f.cpu[1])*1e6, cpu)
	b.line(kind.what+", requests a second", "%.0f | %.0f | %.2f", medianF(f.perSecond[0]), medianF(f.perSecond[1]), perSecond)
	if kind.read {
		b.line(kind.what+" against bare net/http, CPU", "%.2f | %.2f | –", medianF(f.ofBare[0]), medianF(f.ofBare[1]))
	}
	if kind.what == signingIn {
		b.line(kind.what+", CPU beyond the hash", "%.2f ms | %.2f ms | –", (medianF(f.cpu[0])-hash)*1e3, (medianF(f.cpu[1])-hash)*1e3)
	}
}

func (b *bench) line(what, format string, args ...any) {
	line := "| " + what + " | " + fmt.Sprintf(format, args...) + " |"
	b.rows = append(b.rows, line)
	fmt.Fprintln(os.Stderr, line)
}

// flushes counts how often the server waits for the disk while so many people sign in, one after
// the other, and while nobody does anything. It needs strace, and prints nothing without it.
func (b *bench) flushes(sides [2]*side, people []person) error {
	if _, err := exec.LookPath("strace"); err != nil {
		fmt.Fprintln(os.Stderr, "flushes are not counted: there is no strace")
		return nil //nolint:nilerr // That is said.
	}
	var signedIn, idle [2]float64
	for i, s := range sides {
		n, took, err := s.traced("fsync,fdatasync", func() error { time.Sleep(5 * time.Second); return nil })
		if err != nil {
			return err
		}
		idle[i] = n / took
		of := people[:50]
		n, took, err = s.traced("fsync,fdatasync", func() error {
			for _, p := range of {
				if err := signIn(redirectless(), s.url, p); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		signedIn[i] = max(0, n-idle[i]*took) / float64(len(of))
	}
	b.line("flushes to disk a second, nobody there", "%.1f | %.1f | %.2f", idle[0], idle[1], idle[1]/idle[0])
	b.line("flushes to disk for a sign-in, less those", "%.1f | %.1f | %.2f", signedIn[0], signedIn[1], signedIn[1]/signedIn[0])
	return nil
}

// traced counts system calls of the server while something is done, and how long that takes.
func (s *server) traced(calls string, do func() error) (n, seconds float64, err error) {
	file, err := os.CreateTemp("", "bench-strace")
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	trace := exec.Command("strace", "-f", "-qq", "-e", "trace="+calls, "-e", "signal=none", "-o", file.Name(), "-p", strconv.Itoa(s.cmd.Process.Pid)) //nolint:gosec // Our own child.
	if err := trace.Start(); err != nil {
		return 0, 0, err
	}
	time.Sleep(500 * time.Millisecond) // until it is attached to every thread
	before, failed := os.ReadFile(file.Name())
	began := time.Now()
	err = do()
	seconds = time.Since(began).Seconds()
	stopped := trace.Process.Signal(syscall.SIGINT)
	_ = trace.Wait() // it ends by the signal
	after, unread := os.ReadFile(file.Name())
	// A call that another thread interrupts has two lines, of which the second says 'resumed'.
	n = float64(strings.Count(string(after), "sync(") - strings.Count(string(before), "sync("))
	return n, seconds, errors.Join(failed, err, stopped, unread)
}
