package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// imports measures how long 100,000 people take to move in, beside a server in which people sign in and
// by themselves, and what the command takes of memory beyond an idle server; on PostgreSQL too where
// PARVIS_TEST_POSTGRES names a server.
func (b *bench) imports() error {
	file := b.work + "/people.csv"
	if err := writePeople(file, b.many()); err != nil {
		return err
	}
	return b.onBoth("imports", func(name, data string, more ...string) error { return b.importOn(name, data, file, more...) })
}

// many is 100,000 people, or a tenth of them in a quick run.
func (b *bench) many() int {
	if b.rounds == 1 {
		return 10_000
	}
	return 100_000
}

func (b *bench) importOn(name, data, file string, more ...string) error {
	s, people, err := b.peopled(data, signers, more...)
	if err != nil {
		return err
	}
	defer s.stop()
	idle := s.memory("VmRSS")
	alone, err := s.now(people, func() error { time.Sleep(2 * b.length); return nil })
	if err != nil {
		return err
	}
	command := func(args ...string) *exec.Cmd {
		return exec.Command(b.binary, append(append(args, "--data", data, "--public-address", s.url), more...)...) //nolint:gosec // What is measured.
	}
	for _, place := range []string{"moved", "alone"} {
		if said, err := command("organization", "create", place, "--short-name", place, "--owner", "ana@moved.example").CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, said)
		}
	}
	moving := command("import", file, "--from", "csv", "--organization", "moved")
	var took time.Duration
	cpu := s.cpu()
	beside, err := s.now(people, func() error {
		began := time.Now()
		said, err := moving.CombinedOutput()
		if took = time.Since(began); err != nil {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return err
	})
	if err != nil {
		return err
	}
	used := moving.ProcessState.UserTime() + moving.ProcessState.SystemTime()
	most := float64(moving.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) * 1024
	b.row(fmt.Sprintf("import of %d people with bcrypt hashes beside a server with two sign-ins a second, %s", b.many(), name), "≤ 60 s",
		"%.1f s (CPU: %.0f s, the server's %.0f s)", took.Seconds(), used.Seconds(), s.cpu()-cpu)
	b.row("memory of the import, "+name, "≤ idle + 64 MB", "idle %.0f MB + %.0f MB", float64(idle)/1e6, (most-float64(idle))/1e6)
	b.row("a sign-in beside it, two a second, "+name, "–", "%d ms, at most %d ms; alone %d ms, at most %d ms",
		median(beside).Milliseconds(), slices.Max(beside).Milliseconds(), median(alone).Milliseconds(), slices.Max(alone).Milliseconds())
	s.stop()
	again := command("import", file, "--from", "csv", "--organization", "alone")
	began := time.Now()
	if said, err := again.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	b.row(fmt.Sprintf("the same import again, into another organization, where nothing else runs, %s", name), "≤ 60 s",
		"%.1f s (CPU: %.0f s)", time.Since(began).Seconds(), (again.ProcessState.UserTime() + again.ProcessState.SystemTime()).Seconds())
	return nil
}

// now lets somebody sign in every half second while work goes on, and returns how long each took.
func (s *server) now(people []person, work func() error) (took []time.Duration, err error) {
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ended := make(chan error, 1)
	go func() { ended <- work() }()
	for i := 0; ; i++ {
		began := time.Now()
		if err := signIn(c, s.url, people[i%len(people)]); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
		select {
		case err := <-ended:
			return took, err
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// writePeople writes a file of people with a password, a group for each thousand of them, and an
// authenticator for every tenth. Neighbours in it are no neighbours by name, as in the files of others.
func writePeople(path string, users int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "email,email_verified,name,groups,password_hash,totp_secret")
	for i := range users {
		app := ""
		if i%10 == 0 {
			app = strings.Repeat("JBSWY3DPEHPK3PXP", 2)
		}
		n := i * 7919 % 1_000_003
		fmt.Fprintf(w, "moved%d@moved.example,true,Person %d,Group %d,$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW,%s\n", n, n, i/1000, app)
	}
	return w.Flush()
}
