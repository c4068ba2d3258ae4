package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/loopback"
	"parvis/internal/secret"
)

// cluster is a PostgreSQL with a synchronous standby: two servers that change places. fsync is off:
// processes die here, and no machine loses its power.
type cluster struct {
	programs, work string
	user           *syscall.Credential // PostgreSQL refuses to run as root
	password       string
	ports          [2]string
	primary        int
	disks          bool // each has a small disk of its own, which can be filled
	noDisks        string
}

func newCluster(ctx context.Context, work string) (*cluster, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil || len(found) == 0 {
		return nil, errors.New("no PostgreSQL is installed: ./check all installs it")
	}
	c := &cluster{programs: found[len(found)-1], work: work, password: secret.NewToken().Reveal()}
	if c.user, err = dbtest.Postgres(); err != nil {
		return nil, err
	}
	c.mount(ctx)
	for i := range c.ports {
		if err := c.own(c.folder(i)); err != nil {
			return c, err
		}
		c.ports[i] = loopback.Port()
	}
	file := filepath.Join(c.folder(0), "password")
	if err := os.WriteFile(file, []byte(c.password+"\n"), 0o644); err != nil { //nolint:gosec // initdb reads it as another user, in a folder of its own.
		return c, err
	}
	if err := c.run(ctx, "initdb", "--no-sync", "--username=parvis", "--pwfile="+file, "--auth=password", "--encoding=UTF8", "--locale=C.UTF-8",
		"--wal-segsize=4", "--pgdata="+c.data(0)); err != nil {
		return c, err
	}
	if err := errors.Join(os.Remove(file), c.include(0), c.configure(0, ""), c.start(ctx, 0)); err != nil {
		return c, err
	}
	return c, c.attach(ctx)
}

// mount gives each server a disk in memory, where that is allowed.
func (c *cluster) mount(ctx context.Context) {
	if os.Geteuid() != 0 {
		c.noDisks = "only root mounts a disk"
		return
	}
	for i := range c.ports {
		if err := os.MkdirAll(c.folder(i), 0o700); err != nil {
			c.noDisks = err.Error()
			return
		}
		if out, err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", "size=320m,mode=700", "chaos", c.folder(i)).CombinedOutput(); err != nil {
			c.noDisks = strings.TrimSpace(string(out))
			return
		}
	}
	c.disks = true
}

// own makes a folder that belongs to the user of PostgreSQL.
func (c *cluster) own(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if c.user == nil {
		return nil
	}
	return os.Chown(folder, int(c.user.Uid), int(c.user.Gid))
}

func (c *cluster) folder(i int) string { return filepath.Join(c.work, "postgres-"+strconv.Itoa(i)) }
func (c *cluster) data(i int) string   { return filepath.Join(c.folder(i), "data") }
func (c *cluster) host(i int) string   { return "127.0.0.1:" + c.ports[i] }

// address is that of the database on one server, or behind whatever listens at host.
func (c *cluster) address(host string) string {
	return "postgres://parvis:" + c.password + "@" + host + "/postgres?sslmode=disable"
}

func (c *cluster) run(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(c.programs, program), args...)
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "PGPASSWORD="+c.password)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.user, Setpgid: true}
	log, err := os.CreateTemp(c.work, "postgres-out-") // a pipe would stay open for as long as the server
	if err != nil {
		return err
	}
	defer os.Remove(log.Name())
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		out, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s: %w\n%s", program, err, out)
	}
	return nil
}

// include has the server read our settings, which replace those that it has.
func (c *cluster) include(i int) error {
	f, err := os.OpenFile(filepath.Join(c.data(i), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString("\ninclude '" + c.settings(i) + "'\n")
	return errors.Join(err, f.Close())
}

func (c *cluster) settings(i int) string { return filepath.Join(c.folder(i), "chaos.conf") }

// configure writes the settings of a server, which waits at each commit for the standbys that are
// named, or for nobody.
func (c *cluster) configure(i int, standbys string) error {
	text := `
listen_addresses = '127.0.0.1'
port = ` + c.ports[i] + `
unix_socket_directories = ''
max_connections = 200
shared_buffers = 32MB
fsync = off
max_wal_size = 64MB
min_wal_size = 16MB
wal_keep_size = 48MB
wal_retrieve_retry_interval = 200ms
synchronous_commit = on
synchronous_standby_names = '` + standbys + `'
`
	if err := os.WriteFile(c.settings(i), []byte(text), 0o644); err != nil { //nolint:gosec // It names no secret, and PostgreSQL is another user.
		return err
	}
	return nil
}

func (c *cluster) start(ctx context.Context, i int) error {
	return c.run(ctx, "pg_ctl", "-D", c.data(i), "-l", filepath.Join(c.folder(i), "log"), "-w", "-t", "60", "start")
}

// crash ends a server as a fault of its own would: it recovers when it starts.
func (c *cluster) crash(ctx context.Context, i int) error {
	return c.run(ctx, "pg_ctl", "-D", c.data(i), "-m", "immediate", "-w", "stop")
}

func (c *cluster) runs(ctx context.Context, i int) bool {
	return c.run(ctx, "pg_ctl", "-D", c.data(i), "status") == nil
}

func (c *cluster) reload(ctx context.Context, i int) error {
	return c.run(ctx, "pg_ctl", "-D", c.data(i), "reload")
}

// attach makes the other server a new standby, and has each commit wait for it from then on.
func (c *cluster) attach(ctx context.Context) error {
	standby := 1 - c.primary
	for _, old := range []string{c.data(standby), filepath.Join(c.folder(standby), "ballast")} {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	if err := c.run(ctx, "pg_basebackup", "--no-sync", "-D", c.data(standby), "-h", "127.0.0.1", "-p", c.ports[c.primary], "-U", "parvis",
		"-X", "stream", "-R", "-c", "fast"); err != nil {
		return err
	}
	// Its copy of postgresql.conf names the settings of the other one.
	conf := filepath.Join(c.data(standby), "postgresql.conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		return err
	}
	text = []byte(strings.ReplaceAll(string(text), c.settings(c.primary), c.settings(standby)))
	if err := os.WriteFile(conf, text, 0); err != nil {
		return err
	}
	if err := errors.Join(c.configure(standby, ""), c.start(ctx, standby)); err != nil {
		return err
	}
	if err := c.streams(ctx); err != nil {
		return err
	}
	return errors.Join(c.configure(c.primary, "*"), c.reload(ctx, c.primary))
}

// streams waits until the standby follows.
func (c *cluster) streams(ctx context.Context) error {
	return c.ask(ctx, `select exists (select 1 from pg_stat_replication where state = 'streaming')`)
}

// ask waits until the primary answers a question with yes.
func (c *cluster) ask(ctx context.Context, question string) error {
	var last error
	for until := time.Now().Add(time.Minute); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		var yes bool
		if last = c.one(ctx, db.Into(&yes), question); last == nil && yes {
			return nil
		}
	}
	return fmt.Errorf("the primary never says yes to %q: %w", question, last)
}

func (c *cluster) one(ctx context.Context, into []any, query string, args ...any) error {
	d, err := db.Open(ctx, c.address(c.host(c.primary)))
	if err != nil {
		return err
	}
	_, err = d.One(ctx, into, query, args...)
	return errors.Join(err, d.Close())
}

// promote has the standby take over from a primary that died, and makes that one its standby. led is
// called as soon as the new primary takes writes.
func (c *cluster) promote(ctx context.Context, led func()) error {
	old := c.primary
	if err := c.crash(ctx, old); err != nil {
		return err
	}
	next := 1 - old
	if err := errors.Join(c.configure(next, ""), c.reload(ctx, next), c.run(ctx, "pg_ctl", "-D", c.data(next), "-w", "promote")); err != nil {
		return err
	}
	c.primary = next
	led()
	return c.attach(ctx)
}

// fill takes all the room on the primary's disk, and returns what gives it back.
func (c *cluster) fill() (empty func() error, err error) {
	path := filepath.Join(c.folder(c.primary), "ballast")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	for block := make([]byte, 1<<16); len(block) > 0; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	return func() error { return os.Remove(path) }, f.Close()
}

func (c *cluster) stop(ctx context.Context) {
	for i := range c.ports {
		_ = c.run(ctx, "pg_ctl", "-D", c.data(i), "-m", "immediate", "-w", "stop")
	}
	for i := range c.ports {
		_ = exec.CommandContext(ctx, "umount", "-q", "-l", c.folder(i)).Run() // where one was mounted
	}
}
