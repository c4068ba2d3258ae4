package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// imports measures how long 100,000 people take to move in while a server runs, and what the command
// takes of memory beyond an idle server.
func (b *bench) imports() error {
	const users = 100_000
	data := b.work + "/imports"
	s, err := b.start(data)
	if err != nil {
		return err
	}
	defer s.stop()
	idle := s.memory("VmRSS")
	file := b.work + "/people.csv"
	if err := writePeople(file, users); err != nil {
		return err
	}
	command := func(args ...string) *exec.Cmd {
		return exec.Command(b.binary, append(args, "--data", data, "--public-address", s.url)...)
	}
	if said, err := command("organization", "create", "Bench", "--short-name", "bench", "--owner", "ana@bench.example").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	began := time.Now()
	moving := command("import", file, "--from", "csv", "--organization", "bench")
	if said, err := moving.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, said)
	}
	took := time.Since(began)
	most := float64(moving.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) * 1024
	b.row("import of 100,000 people with bcrypt hashes beside a running server", "≤ 60 s", "%.1f s", took.Seconds())
	b.row("memory of the import", "≤ idle + 64 MB", "idle %.0f MB + %.0f MB", float64(idle)/1e6, (most-float64(idle))/1e6)
	return nil
}

// writePeople writes a file of people with a password, a group for each thousand of them, and an
// authenticator for every tenth.
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
		fmt.Fprintf(w, "person%d@bench.example,true,Person %d,Group %d,$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW,%s\n", i, i, i/1000, app)
	}
	return w.Flush()
}
