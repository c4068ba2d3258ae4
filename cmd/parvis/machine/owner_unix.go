//go:build unix

package machine

import (
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Owner returns the name of a file's owner; its number where it has no name.
func Owner(info fs.FileInfo) string {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	number := strconv.FormatUint(uint64(s.Uid), 10)
	if u, err := user.LookupId(number); err == nil {
		return u.Username
	}
	return number
}

// Lent reports whether a file is root's, and a group may read it and do nothing else: so Kubernetes and
// systemd hand a secret to a service that is in that group.
func Lent(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Uid == 0 && info.Mode().Perm()&0o037 == 0
}

// OwnAs gives a file to the owner of another one.
func OwnAs(path string, like fs.FileInfo) error {
	s, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return os.Chown(path, int(s.Uid), int(s.Gid))
}

// Strangers lists the files in a folder that belong to somebody else than the folder: a command that
// was run as another user made them.
func Strangers(folder string) (names []string) {
	of, err := os.Stat(folder)
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || Owner(info) == Owner(of) {
			continue
		}
		// A file of root's that a group may read is lent to the service, such as its keys.
		if s, ok := info.Sys().(*syscall.Stat_t); !ok || s.Uid != 0 || info.Mode().Perm()&0o040 == 0 {
			names = append(names, filepath.Join(folder, e.Name()))
		}
	}
	return names
}
