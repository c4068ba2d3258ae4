package keyring_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"parvis/cmd/parvis/keyring"
	"parvis/internal/expect"
	"parvis/internal/secret"
)

// A first start and a restore may write keys at the same moment. Those that are replaced would be those of
// a database that nobody can read any more.
func TestKeysThatAreThereAreNotReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	const writers = 8
	keys, ended := make([]secret.Keys, writers), make(chan int, writers)
	for i := range writers {
		keys[i] = secret.NewKeys()
		go func() {
			switch err := keyring.Write(path, keys[i]); {
			case err == nil:
				ended <- i
			case errors.Is(err, fs.ErrExist):
				ended <- -1
			default:
				t.Error(err)
				ended <- -1
			}
		}()
	}
	var stored []int
	for range writers {
		if i := <-ended; i >= 0 {
			stored = append(stored, i)
		}
	}
	if len(stored) != 1 {
		t.Fatalf("%d of %d writers were told that their keys are stored, want 1", len(stored), writers)
	}
	got, err := keyring.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "the keys are those of the writer who was told so", bytes.Equal(got.Text(), keys[stored[0]].Text()), true)
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "files in the folder", len(left), 1)
}
