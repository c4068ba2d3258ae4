package main

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// giveWay lets everybody else have the processor first. Linux keeps that for each thread, and new
// threads have it from the one that makes them.
func giveWay() error {
	const last = 19
	threads, err := os.ReadDir("/proc/self/task")
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nobody may look there, and it is only for courtesy
	}
	for _, t := range threads {
		id, failed := strconv.Atoi(t.Name())
		if failed == nil {
			failed = syscall.Setpriority(syscall.PRIO_PROCESS, id, last)
		}
		if !errors.Is(failed, syscall.ESRCH) { // the thread ended meanwhile
			err = errors.Join(err, failed)
		}
	}
	return err
}
