// Package safely is for work in a goroutine of its own, where a panic would end the program.
package safely

import (
	"fmt"
	"runtime/debug"
)

// Do does the work. A panic in it becomes an error, which says where it happened.
func Do(work func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return work()
}
