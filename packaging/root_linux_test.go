package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// said is what a process printed, readable while it prints.
type said struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// lay puts the files of an image into a folder, which is then read-only except for its volume, as 'podman run
// --read-only' has it.
func (i unpacked) lay(t *testing.T, root string, uid, gid uint32) {
	t.Helper()
	for _, h := range i.headers {
		path := filepath.Join(root, h.Name)
		err := os.MkdirAll(path, 0o755)
		if h.Name[len(h.Name)-1] != '/' {
			err = errors.Join(os.Remove(path), os.WriteFile(path, i.texts[h.Name], h.FileInfo().Mode().Perm()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	volume := filepath.Join(root, "var/lib/parvis")
	for _, m := range []struct {
		from, at, kind string
		flags          uintptr
		options        string
	}{
		{root, root, "", syscall.MS_BIND, ""},
		{"", root, "", syscall.MS_BIND | syscall.MS_REMOUNT | syscall.MS_RDONLY, ""},
		{"tmpfs", volume, "tmpfs", 0, fmt.Sprintf("size=64m,mode=700,uid=%d,gid=%d", uid, gid)},
	} {
		if err := syscall.Mount(m.from, m.at, m.kind, m.flags, m.options); err != nil {
			t.Skipf("this machine lets nobody mount: %v", err)
		}
		if m.flags&syscall.MS_REMOUNT == 0 {
			t.Cleanup(func() { _ = syscall.Unmount(m.at, syscall.MNT_DETACH) })
		}
	}
	if err := os.WriteFile(filepath.Join(root, "tmp", "x"), nil, 0o600); !errors.Is(err, syscall.EROFS) {
		t.Fatalf("the root is not read-only: %v", err)
	}
}

// The image's own command, as its own user, serves from a root in which nothing can be written, not even
// temporary files, and ends well.
func TestAnImageServesFromAReadOnlyRoot(t *testing.T) {
	if os.Getenv(packages) == "" {
		t.Skip(packages + " names no folder that ./package filled")
	}
	if os.Getuid() != 0 {
		t.Skip("only root gives a process another root")
	}
	i, root := unpack(t, imageFile(t, runtime.GOARCH)), t.TempDir()
	var uid, gid uint32
	if _, err := fmt.Sscanf(i.config.Config.User, "%d:%d", &uid, &gid); err != nil || uid == 0 || gid == 0 {
		t.Fatalf("it runs as %q, %v", i.config.Config.User, err)
	}
	i.lay(t, root, uid, gid)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(at)
	c, log := i.config.Config, &said{}
	cmd := &exec.Cmd{
		Path: c.Entrypoint[0], Args: slices.Concat(c.Entrypoint, c.Cmd), Dir: c.WorkingDir, Stdout: log, Stderr: log,
		Env:         append(c.Env, "PARVIS_PUBLIC_ADDRESS=http://localhost:"+port, "PARVIS_LISTEN="+at, "PARVIS_OPERATIONS_LISTEN=off"),
		SysProcAttr: &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uid, Gid: gid}, Pdeathsig: syscall.SIGKILL},
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	status := 0
	for until := time.Now().Add(30 * time.Second); status != http.StatusOK && time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		if w, err := http.Get("http://localhost:" + port + "/sign-in"); err == nil {
			status = w.StatusCode
			w.Body.Close()
		}
	}
	if status != http.StatusOK {
		t.Fatalf("it answers %d and says\n%s", status, log)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v and says\n%s", err, log)
	}
	for _, name := range []string{"keys", "parvis.db"} {
		about, err := os.Stat(filepath.Join(root, "var/lib/parvis", name))
		if err != nil || about.Sys().(*syscall.Stat_t).Uid != uid {
			t.Errorf("%s is not the service's in its volume: %v", name, err)
		}
	}
}
