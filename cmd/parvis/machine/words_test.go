package machine_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parvis/cmd/parvis/machine"
	"parvis/internal/expect"
)

// What people read names a path or an address and what is wrong with it, and no call of Go.
func TestWhatTheMachineAnsweredIsSaidInWords(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	_, missing := os.Open("nothing.csv")
	_, read := os.ReadFile(folder)
	renamed := os.Rename(filepath.Join(folder, "a"), filepath.Join(folder, "b"))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	_, again := net.Listen("tcp", address)
	plain := errors.New("file is not a database (26)")
	for _, c := range []struct {
		err  error
		want string
	}{
		{missing, "nothing.csv: no such file or directory"},
		{fmt.Errorf("nothing.csv: %w. Nothing was written", missing), "nothing.csv: no such file or directory. Nothing was written"},
		{errors.Join(errors.New("one"), missing), "one\nnothing.csv: no such file or directory"},
		{fmt.Errorf("--keys: %w", read), "--keys: " + folder + ": is a directory"},
		{renamed, filepath.Join(folder, "b") + ": no such file or directory"},
		{fmt.Errorf("listening on %s: %w. Choose another", address, again), "listening on " + address + ": address already in use. Choose another"},
		{errors.Join(fmt.Errorf("opening the database: %w", plain), plain), "opening the database: file is not a database (26)"},
		{plain, plain.Error()},
	} {
		expect.Equal(t, c.err.Error(), machine.InWords(c.err), strings.TrimSpace(c.want))
	}
}
