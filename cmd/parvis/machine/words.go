package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// InWords returns the text of an error with what the machine answered as people read it: a path or an
// address and what is wrong with it, without the name of the call that Go puts before, and nothing
// twice.
func InWords(err error) string {
	text := reworded(err.Error(), err)
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if n := len(lines); n == 0 || !strings.HasSuffix(lines[n-1], strings.TrimSpace(line)) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// reworded replaces the texts of err and of those that it wraps, the outermost first.
func reworded(text string, err error) string {
	var path, what string
	switch e := err.(type) { //nolint:errorlint // Each of the chain is looked at by itself.
	case *fs.PathError:
		path, what = e.Path, e.Err.Error()
	case *os.LinkError:
		path, what = e.New, e.Err.Error()
	case *net.OpError:
		what = reworded(e.Err.Error(), e.Err)
		if e.Addr != nil {
			path = e.Addr.String()
		}
	case *os.SyscallError:
		what = e.Err.Error()
	}
	if what != "" {
		before, after, found := strings.Cut(text, err.Error())
		if !found {
			return text
		}
		if path != "" && !strings.HasSuffix(before, path+": ") {
			before += path + ": "
		}
		return before + what + reworded(after, err)
	}
	switch e := err.(type) { //nolint:errorlint // The same.
	case interface{ Unwrap() error }:
		if e.Unwrap() != nil {
			return reworded(text, e.Unwrap())
		}
	case interface{ Unwrap() []error }:
		for _, each := range e.Unwrap() {
			text = reworded(text, each)
		}
	}
	return text
}

// Sentence is fmt.Sprintf with errors InWords.
func Sentence(format string, args ...any) string {
	said := slices.Clone(args)
	for i, arg := range said {
		if err, ok := arg.(error); ok {
			said[i] = InWords(err)
		}
	}
	return fmt.Sprintf(format, said...)
}

// Taken says why a program may not listen at an address.
func Taken(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "A port below 1024 is root's: let a proxy listen there, or give the program the right (sudo setcap cap_net_bind_service=+ep parvis)."
	}
	return "Is another server running?"
}

// Span writes a duration as people type it: 24h and not 24h0m0s.
func Span(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
