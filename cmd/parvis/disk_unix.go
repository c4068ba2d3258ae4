//go:build linux || darwin

package main

import (
	"io/fs"
	"syscall"
)

// freeSpace returns how many bytes an ordinary user may still store at path.
func freeSpace(path string) (bytes uint64, known bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, false
	}
	return s.Bavail * uint64(s.Bsize), true //nolint:unconvert // The type differs between systems.
}

// lent reports whether a file is root's, and a group may read it and do nothing else: so Kubernetes and
// systemd hand a secret to a service that is in that group.
func lent(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Uid == 0 && info.Mode().Perm()&0o037 == 0
}
