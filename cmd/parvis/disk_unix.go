//go:build linux || darwin

package main

import "syscall"

// freeSpace returns how many bytes an ordinary user may still store at path.
func freeSpace(path string) (bytes uint64, known bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, false
	}
	return s.Bavail * uint64(s.Bsize), true //nolint:unconvert // The type differs between systems.
}
