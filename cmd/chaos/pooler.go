package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"parvis/internal/loopback"
)

const pgbouncer = "/usr/sbin/pgbouncer"

// pooler is a PgBouncer that gives each transaction another connection, where it can.
type pooler struct {
	address string // empty where PgBouncer is not installed
	user    *syscall.Credential
	file    string
	cmd     *exec.Cmd
}

// newPooler starts PgBouncer before a server. Without it there is none.
func newPooler(c *cluster, server string) (*pooler, error) {
	p := &pooler{user: c.user}
	if _, err := os.Stat(pgbouncer); err != nil {
		return p, nil //nolint:nilerr // It is not installed.
	}
	folder := filepath.Join(c.work, "pooler")
	if err := c.own(folder); err != nil {
		return p, err
	}
	port := loopback.Port()
	host, serverPort, _ := strings.Cut(server, ":")
	p.file, p.address = filepath.Join(folder, "pgbouncer.ini"), "127.0.0.1:"+port
	users := filepath.Join(folder, "users")
	text := `[databases]
* = host=` + host + ` port=` + serverPort + ` connect_query='set idle_in_transaction_session_timeout = 10000; set enable_seqscan = off; set jit = off'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ` + port + `
unix_socket_dir =
auth_type = md5
auth_file = ` + users + `
pool_mode = transaction
server_round_robin = 1
server_idle_timeout = 3
server_login_retry = 1
default_pool_size = 8
max_client_conn = 1000
logfile = ` + filepath.Join(folder, "log") + `
`
	if err := errors.Join(os.WriteFile(users, []byte(`"parvis" "`+c.password+`"`+"\n"), 0o644), os.WriteFile(p.file, []byte(text), 0o644)); err != nil { //nolint:gosec // Read by another user, in a folder of its own.
		return p, err
	}
	return p, p.start()
}

func (p *pooler) is() bool { return p.address != "" }

func (p *pooler) start() error {
	p.cmd = exec.Command(pgbouncer, "-q", p.file)
	p.cmd.Dir, p.cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: p.user, Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	for range 100 {
		if open(p.address) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return errors.New("PgBouncer did not start")
}

func (p *pooler) stop() {
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	}
}
