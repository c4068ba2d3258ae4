package dbtest

import (
	"errors"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"parvis/internal/loopback"
)

const pgbouncer = "/usr/sbin/pgbouncer"

// ErrNoPooler is returned where PgBouncer is not installed.
var ErrNoPooler = errors.New(pgbouncer + " is not installed: ./check all installs it")

// A Pooler is a PgBouncer that gives each transaction another connection, where it can.
type Pooler struct {
	address, folder string
	user            *syscall.Credential
	cmd             *exec.Cmd
}

// StartPooler starts PgBouncer before the server of a database. It keeps its files in folder, which
// every user may enter.
func StartPooler(folder, database string) (*Pooler, error) {
	if _, err := os.Stat(pgbouncer); err != nil {
		return nil, ErrNoPooler
	}
	u, err := url.Parse(database)
	if err != nil {
		return nil, err
	}
	p := &Pooler{folder: filepath.Join(folder, "pooler")}
	if err := os.Mkdir(p.folder, 0o700); err != nil {
		return nil, err
	}
	if p.user, err = Postgres(); err != nil {
		return nil, err
	}
	if p.user != nil {
		if err := os.Chown(p.folder, int(p.user.Uid), int(p.user.Gid)); err != nil {
			return nil, err
		}
	}
	port, auth := loopback.Port(), "md5"
	p.address = "127.0.0.1:" + port
	password, ok := u.User.Password()
	if !ok {
		auth = "trust" // as that server does
	}
	text := `[databases]
* = host=` + u.Hostname() + ` port=` + u.Port() + ` connect_query='set idle_in_transaction_session_timeout = 10000; set enable_seqscan = off; set jit = off'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ` + port + `
unix_socket_dir =
auth_type = ` + auth + `
auth_file = ` + filepath.Join(p.folder, "users") + `
pool_mode = transaction
server_round_robin = 1
server_idle_timeout = 3
server_login_retry = 1
server_connect_timeout = 4
default_pool_size = 8
max_client_conn = 1000
logfile = ` + filepath.Join(p.folder, "log") + `
`
	for name, text := range map[string]string{"users": `"` + u.User.Username() + `" "` + password + `"` + "\n", "pgbouncer.ini": text} {
		if err := os.WriteFile(filepath.Join(p.folder, name), []byte(text), 0o644); err != nil { //nolint:gosec // Read by another user, in a folder of its own.
			return nil, err
		}
	}
	if err := p.Start(); err != nil {
		p.Stop()
		return nil, err
	}
	return p, nil
}

// Postgres returns the user as whom PostgreSQL and PgBouncer run, since both refuse to run as root, and nil
// for another user, who runs them.
func Postgres() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // exec.Cmd says it so, too.
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// Address returns host and port.
func (p *Pooler) Address() string { return p.address }

// Start starts a pooler that was stopped.
func (p *Pooler) Start() error {
	p.cmd = exec.Command(pgbouncer, "-q", filepath.Join(p.folder, "pgbouncer.ini"))
	p.cmd.Dir, p.cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: p.user, Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	for range 100 {
		if c, err := net.Dial("tcp", p.address); err == nil {
			return c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("PgBouncer did not start")
}

// Stop kills it, if it was started.
func (p *Pooler) Stop() {
	if p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}

// PooledAndWired returns the address of a new database behind a PgBouncer of the test's own, with the wire
// between that and the server. It skips the test on SQLite, and where PgBouncer is not installed.
func PooledAndWired(t testing.TB) (string, *Wire) {
	t.Helper()
	server := os.Getenv(PostgresVariable)
	if server == "" {
		t.Skip("SQLite has no pooler")
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWire(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	folder, err := os.MkdirTemp("", "parvis-pooler-") // the folder of a test is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o711); err != nil { //nolint:gosec // PgBouncer runs as another user.
		t.Fatal(err)
	}
	p, err := StartPooler(folder, at(server, w.Address()))
	if errors.Is(err, ErrNoPooler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return at(inDatabase(server, claimed(t, server).name), p.address), w
}
