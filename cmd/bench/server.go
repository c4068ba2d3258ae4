package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/crypto/argon2"

	"parvis/internal/credential"
	"parvis/internal/loopback"
)

// server is a child process that listens on loopback.
type server struct {
	url        string
	operations string // where its metrics are, if they are read
	cmd        *exec.Cmd
	ready      time.Duration // from starting the process to its first answer
}

// start starts the server with a folder of data, and with a database of its own on PostgreSQL where
// those are measured: the folder's parvis.toml names it, for the server and for databaseOf.
func (b *bench) start(data string) (*server, error) {
	if b.postgres != "" && databaseOf(data) == data+"/parvis.db" {
		own, drop, err := database(context.Background(), b.postgres, "parvis_bench_"+strings.ReplaceAll(filepath.Base(data), "-", "_"))
		if err != nil {
			return nil, err
		}
		b.drops = append(b.drops, drop)
		if err := os.MkdirAll(data, 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(data+"/parvis.toml", fmt.Appendf(nil, "database = %q\ndatabase_memory = \"on\"\n", own), 0o600); err != nil {
			return nil, err
		}
	}
	return startBinary(b.binary, data)
}

// databaseOf is where a folder's server keeps its rows.
func databaseOf(data string) string {
	text, err := os.ReadFile(data + "/parvis.toml")
	if m := regexp.MustCompile(`(?m)^database = "(.*)"$`).FindSubmatch(text); err == nil && m != nil {
		return string(m[1])
	}
	return data + "/parvis.db"
}

func startBinary(binary, data string, more ...string) (*server, error) {
	cmd, base := serving(binary, data, more...)
	return begin(cmd, base, "/sign-in")
}

// serving is the command that serves, and where it will.
func serving(binary, data string, more ...string) (*exec.Cmd, string) {
	address := freeAddress()
	return exec.Command(binary, append([]string{"serve", "--data", data, "--listen", address, "--public-address", "http://" + address}, more...)...), "http://" + address //nolint:gosec // What is measured.
}

func (b *bench) startBare() (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address := freeAddress()
	return begin(exec.Command(self, "--bare", address), "http://"+address, "/")
}

func begin(cmd *exec.Cmd, base, path string) (*server, error) {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, io.Discard
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for time.Since(began) < 20*time.Second {
		if visit(http.DefaultClient, base+path, "", http.StatusOK) == nil {
			return &server{url: base, cmd: cmd, ready: time.Since(began)}, nil
		}
		time.Sleep(time.Millisecond)
	}
	return nil, fmt.Errorf("%v did not answer: %s", cmd.Args, said.String())
}

func (s *server) stop() error {
	http.DefaultClient.CloseIdleConnections()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := s.cmd.Wait()
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
		return nil // the bare server does not catch the signal
	}
	return err
}

func freeAddress() string { return "127.0.0.1:" + loopback.Port() }

// memory reads a line such as VmRSS or VmHWM of the process, in bytes.
func (s *server) memory(name string) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	m := regexp.MustCompile(name + `:\s+([0-9]+) kB`).FindSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return n * 1024
}

// cpu is user and system time that the process has used, in seconds.
func (s *server) cpu() float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+2:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100
}

// busy is the time that all cores together were not idle, in seconds.
func busy() float64 {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	sum := 0.0
	for i, f := range strings.Fields(strings.SplitN(string(text), "\n", 2)[0])[1:9] {
		if n, _ := strconv.ParseFloat(f, 64); i != 3 && i != 4 { // idle, iowait
			sum += n
		}
	}
	return sum / 100
}

func selfCPU() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// outcome of a load.
type outcome struct {
	done, errors int64
	err          error
	perSecond    float64
	cpuEach      float64 // seconds of the server
	storedEach   float64 // seconds of PostgreSQL
	others       float64 // share of the machine that neither servers nor PostgreSQL nor load used
}

func (s *server) load(length time.Duration, callers int, op func(*http.Client) error) outcome {
	return load([]*server{s}, length, callers, op)
}

// load calls op, which asks some of these servers, from so many callers for a while.
func load(servers []*server, length time.Duration, callers int, op func(*http.Client) error) outcome {
	c := &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: callers},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer c.CloseIdleConnections()
	var mu sync.Mutex
	var out outcome
	var done, failed atomic.Int64
	ours := func() (sum float64) {
		for _, s := range servers {
			sum += s.cpu()
		}
		return sum
	}
	cpu, stored, self, all, began := ours(), postgresCPU(), selfCPU(), busy(), time.Now()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for time.Since(began) < length {
				err := op(c)
				done.Add(1)
				if err != nil {
					failed.Add(1)
					mu.Lock()
					out.err = err
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	used, there := ours()-cpu, postgresCPU()-stored
	out.done, out.errors = done.Load(), failed.Load()
	out.perSecond, out.cpuEach, out.storedEach = float64(out.done)/took, used/float64(out.done), there/float64(out.done)
	out.others = max(0, (busy()-all-used-there-(selfCPU()-self))/(took*float64(runtime.NumCPU())))
	return out
}

// bareHashes is the limit of sign-ins: Argon2id and nothing else.
func bareHashes(length time.Duration, callers int) outcome {
	var done atomic.Int64
	cpu, began := selfCPU(), time.Now()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for time.Since(began) < length {
				argon2.IDKey([]byte("password"), []byte("salt of 16 bytes"), credential.DefaultCost.Passes, credential.DefaultCost.Memory, credential.DefaultCost.Lanes, 32)
				done.Add(1)
			}
		})
	}
	wg.Wait()
	n := float64(done.Load())
	return outcome{perSecond: n / time.Since(began).Seconds(), cpuEach: (selfCPU() - cpu) / n}
}

func visit(c *http.Client, address, cookie string, status int) error {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	if cookie != "" {
		r.Header.Set("Cookie", "parvis="+cookie)
	}
	return expect(c, r, status)
}

func expect(c *http.Client, r *http.Request, status int) error {
	res, err := c.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != status {
		return fmt.Errorf("%s %s: %d", r.Method, r.URL.Path, res.StatusCode)
	}
	return nil
}

func post(c *http.Client, base, path, cookie string, v url.Values) error {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, base+path, strings.NewReader(v.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Cookie", cookie)
	return expect(c, r, http.StatusSeeOther)
}

// person is one user that the load signs in as.
type person struct{ email, cookie string }

const password = "Seven zebras ride 9 trams!"

func signIn(c *http.Client, base string, p person) error {
	return post(c, base, "/sign-in", "parvis-on=1", url.Values{"email": {p.email}, "password": {password}})
}

func rename(c *http.Client, base string, p person, n int) error {
	return post(c, base, "/o/bench/account", "parvis="+p.cookie, url.Values{"name": {"Person " + strconv.Itoa(n)}, "preferred_language": {"en"}})
}

// page measures the sign-in page on the wire with an empty cache.
func (b *bench) page() error {
	s, err := b.start(b.work + "/page")
	if err != nil {
		return err
	}
	defer s.stop()
	body, err := fetch(s.url + "/sign-in")
	if err != nil {
		return err
	}
	sum, requests := len(body), 1
	plain, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body, err = io.ReadAll(plain); err != nil {
		return err
	}
	for _, m := range regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllSubmatch(body, -1) {
		file, err := fetch(s.url + string(m[1]))
		if err != nil {
			return err
		}
		sum, requests = sum+len(file), requests+1
	}
	b.row("sign-in page on the wire, empty cache (bodies)", "≤ 15 kB, ≤ 3 requests", "%.1f kB, %d requests", float64(sum)/1000, requests)
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	b.row("binary, stripped", "≤ 40 MB", "%.1f MB", float64(info.Size())/1e6)
	return nil
}

// fetch returns a body as it travels.
func fetch(address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept-Encoding", "gzip") // set by hand, so that it is not undone
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return io.ReadAll(res.Body)
}

// flood sends 64 sign-ins at once and sees how far memory grows.
func (b *bench) flood(s *server) error {
	idle := s.memory("VmRSS")
	peak := idle
	stop := make(chan struct{})
	var watch, wg sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
				peak = max(peak, s.memory("VmRSS"))
			}
		}
	})
	c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	for i := range 64 {
		wg.Go(func() {
			_ = post(c, s.url, "/sign-in", "parvis-on=1", url.Values{"email": {fmt.Sprintf("nobody%d@bench.example", i)}, "password": {strings.Repeat("𝔛", 400)}})
		})
	}
	wg.Wait()
	close(stop)
	watch.Wait()
	b.row("memory under 64 sign-ins at once", "≤ idle + 100 MB", "idle %.0f MB + %.0f MB", float64(idle)/1e6, float64(peak-idle)/1e6)
	return nil
}
