//go:build linux || darwin

package backup

import (
	"errors"
	"os"
	"syscall"
)

// hold keeps a file from being held by another process, until this one closes it or ends. It returns
// false where another one does, and an error where the disk knows no locks.
func hold(file *os.File) (bool, error) {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}
