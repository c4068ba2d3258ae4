package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/loopback"
	"parvis/internal/mailbox"
)

// world is everything that runs: nodes behind wires, the wires to their database, PgBouncer before
// the last node's, PostgreSQL with its standby, and a mail server.
type world struct {
	settings
	judge   *judge
	base    string // the public address, at which nobody listens: browsers choose a node
	mail    *mailbox.Mailbox
	cluster *cluster
	trunk   *dbtest.Wire   // to the primary, for all nodes except the first, which knows both servers
	pooler  *dbtest.Pooler // nil where it is not installed
	nodes   []*node
	seeded  seeded
	machine struct { // its token for the API
		sync.Mutex
		token string
		at    time.Time
	}
}

// node is a process of the real binary, which is started again whenever it ends.
type node struct {
	w        *world
	number   int
	data     string
	listen   string
	http     *dbtest.Wire   // from its visitors
	database []*dbtest.Wire // to the trunk, to PgBouncer, or to each of both servers
	address  string         // of the database behind them

	mu      sync.Mutex
	cmd     *exec.Cmd
	ended   chan struct{}
	killed  chan struct{} // the ended of the process that the driver killed
	stopped bool          // it is not started again
}

// build starts everything. What it returns with an error is stopped too.
func build(ctx context.Context, s settings, j *judge) (w *world, err error) {
	w = &world{settings: s, judge: j, base: "http://localhost:" + loopback.Port()}
	if w.mail, err = mailbox.Start(ctx, "127.0.0.1:0", mailbox.Options{}); err != nil {
		return w, err
	}
	if w.cluster, err = newCluster(ctx, s.work); err != nil {
		return w, err
	}
	if w.trunk, err = dbtest.NewWire(w.cluster.host(0)); err != nil {
		return w, err
	}
	if w.pooler, err = dbtest.StartPooler(s.work, w.cluster.address(w.trunk.Address())); err != nil && !errors.Is(err, dbtest.ErrNoPooler) {
		return w, err
	}
	for i := range s.nodes {
		n, err := w.newNode(i)
		if err != nil {
			return w, err
		}
		w.nodes = append(w.nodes, n)
	}
	// The first one makes the keys, which the others get a copy of.
	if err := w.nodes[0].start(); err != nil {
		return w, err
	}
	keys, err := os.ReadFile(filepath.Join(w.nodes[0].data, "keys"))
	if err != nil {
		return w, err
	}
	if w.seeded, err = seed(ctx, w.cluster.address(w.cluster.host(0))); err != nil {
		return w, err
	}
	for _, n := range w.nodes[1:] {
		if err := os.WriteFile(filepath.Join(n.data, "keys"), keys, 0o600); err != nil {
			return w, err
		}
		if err := n.start(); err != nil {
			return w, err
		}
	}
	return w, nil
}

func (w *world) newNode(i int) (*node, error) {
	n := &node{w: w, number: i, data: filepath.Join(w.work, "node-"+strconv.Itoa(i)), listen: "127.0.0.1:" + loopback.Port()}
	if err := os.MkdirAll(n.data, 0o700); err != nil {
		return nil, err
	}
	behind, more := []string{w.trunk.Address()}, ""
	switch {
	case i == 0:
		behind, more = []string{w.cluster.host(0), w.cluster.host(1)}, "&target_session_attrs=read-write"
	case i == w.settings.nodes-1 && w.pooler != nil:
		behind = []string{w.pooler.Address()}
	}
	var begin []string
	for _, host := range behind {
		wire, err := dbtest.NewWire(host)
		if err != nil {
			return nil, err
		}
		n.database, begin = append(n.database, wire), append(begin, wire.Address())
	}
	n.address = w.cluster.address(strings.Join(begin, ",")) + more
	var err error
	n.http, err = dbtest.NewWire(n.listen)
	return n, err
}

// start starts the process and what looks after it, and waits until it answers.
func (n *node) start() error {
	if err := n.launch(); err != nil {
		return err
	}
	go n.supervise()
	for until := time.Now().Add(time.Minute); !n.serves(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			text, _ := os.ReadFile(n.log())
			return fmt.Errorf("node %d does not answer\n%s", n.number, text)
		}
	}
	return nil
}

func (n *node) log() string { return filepath.Join(n.w.work, "node-"+strconv.Itoa(n.number)+".log") }

func (n *node) launch() error {
	log, err := os.OpenFile(n.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(n.w.binary, "serve", "--data", n.data, "--listen", n.listen, "--public-address", n.w.base)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + n.data, "PARVIS_DATABASE=" + n.address, "PARVIS_DATABASE_MEMORY=on",
		"PARVIS_TRUSTED_PROXIES=127.0.0.1", "PARVIS_MAIL_ADDRESS=" + n.w.mail.Address(), "PARVIS_MAIL_TLS=none", "PARVIS_MAIL_FROM=no-reply@chaos.example",
	}
	cmd.Stderr = log // and what a person must see once is not for the file
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	n.mu.Lock()
	n.cmd, n.ended = cmd, ended
	if n.stopped {
		_ = cmd.Process.Kill()
	}
	n.mu.Unlock()
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	return nil
}

// supervise starts a process again that ended, as the service manager of a machine does, until stop.
// A node may end by itself at its start while its database does not answer, and never otherwise.
func (n *node) supervise() {
	for again := true; again; {
		n.mu.Lock()
		ended := n.ended
		n.mu.Unlock()
		<-ended
		time.Sleep(200 * time.Millisecond)
		n.mu.Lock()
		again = !n.stopped
		killed := n.killed == ended
		n.mu.Unlock()
		if now := time.Now(); again && !killed && !n.w.judge.explained(n.number, now, now, ofDatabase) {
			n.w.judge.find("node %d ended by itself", n.number)
		}
		if again {
			n.w.judge.count("a node was started")
			if err := n.launch(); err != nil {
				n.w.judge.find("node %d cannot be started: %v", n.number, err)
				return
			}
		}
	}
}

// kill ends the process as a power cut does, and waits until it is gone.
func (n *node) kill() {
	n.mu.Lock()
	ended := n.ended
	n.killed = ended
	n.mu.Unlock()
	n.signal(syscall.SIGKILL)
	<-ended
}

// signal sends a signal to the process.
func (n *node) signal(s syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	_ = n.cmd.Process.Signal(s) // it may have ended by itself
}

// serves reports whether the node answers a page, whatever it says.
func (n *node) serves() bool {
	status, _ := n.ask("/sign-in")
	return status != 0
}

// stop ends the process for good.
func (n *node) stop() {
	n.mu.Lock()
	n.stopped = true
	cmd, ended := n.cmd, n.ended
	n.mu.Unlock()
	if cmd == nil {
		return
	}
	n.signal(syscall.SIGKILL)
	<-ended
}

func (w *world) stop() {
	for _, n := range w.nodes {
		n.stop()
	}
	if w.pooler != nil {
		w.pooler.Stop()
	}
	if w.cluster != nil {
		w.cluster.stop(context.Background())
	}
	if w.mail != nil {
		w.mail.Close()
	}
}

// heal waits until everything stands again: the database with its standby, and every node.
func (w *world) heal(ctx context.Context) error {
	if err := w.cluster.streams(ctx); err != nil {
		return err
	}
	for _, n := range w.nodes {
		var status int
		for until := time.Now().Add(time.Minute); status != 200; time.Sleep(100 * time.Millisecond) {
			if status, _ = n.ask("/o/" + shortName); time.Now().After(until) {
				return fmt.Errorf("node %d answers %d", n.number, status)
			}
		}
	}
	time.Sleep(time.Second) // and has closed what did not answer
	return nil
}

// check looks at what the operator would look at: doctor, the logs, and what the audit log says of
// things that happen once.
func (w *world) check(ctx context.Context) {
	n := w.nodes[0]
	cmd := exec.CommandContext(ctx, w.binary, "doctor", "--data", n.data, "--public-address", w.base)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + n.data, "PARVIS_DATABASE=" + w.cluster.address(w.cluster.host(w.cluster.primary))}
	out, _ := cmd.CombinedOutput() // it finds that nobody listens at the public address
	for _, check := range []string{"database", "keys", "audit log"} {
		if !strings.Contains(string(out), "\nok    "+check) && !strings.HasPrefix(string(out), "ok    "+check) {
			w.judge.find("doctor is not content with the %s:\n%s", check, out)
		}
	}
	for _, n := range w.nodes {
		text, err := os.ReadFile(n.log())
		if err != nil {
			w.judge.find("no log: %v", err)
			continue
		}
		for _, bad := range []string{"panic", "altered", "DATA RACE", "fatal error"} {
			for line := range bytes.Lines(text) {
				if bytes.Contains(line, []byte(bad)) {
					w.judge.find("node %d says %q: %.600s", n.number, bad, line)
					break
				}
			}
		}
	}
	if err := w.happenedOnce(ctx); err != nil {
		w.judge.find("%v", err)
	}
}

// happenedOnce looks for an invitation that was accepted twice, and an event without a place in its
// log.
func (w *world) happenedOnce(ctx context.Context) error {
	d, err := db.Open(ctx, w.cluster.address(w.cluster.host(w.cluster.primary)))
	if err != nil {
		return err
	}
	defer d.Close()
	twice, err := db.List(ctx, d, db.Value[string], `
		select target from audit_events
		where org_id = $1 and action = 'invitation.accepted'
		group by target
		having count(*) > 1`, w.seeded.org)
	if err != nil {
		return err
	}
	if len(twice) > 0 {
		return fmt.Errorf("accepted twice: %v", twice)
	}
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		var waiting int
		if _, err := d.One(ctx, db.Into(&waiting), `select count(*) from audit_events where leaf is null`); err != nil || waiting == 0 {
			return err
		}
		if time.Now().After(until) {
			return errors.New("events are not sealed")
		}
	}
}
