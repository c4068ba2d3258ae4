// Package keyring is what 'parvis keys' asks for and prints, and the file of the keys.
package keyring

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"parvis/cmd/parvis/machine"
	"parvis/internal/backup"
	"parvis/internal/secret"
)

// Read reads a file of keys that only its owner may read.
func Read(path string) (secret.Keys, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return secret.Keys{}, fmt.Errorf("the keys are missing: %w. Copy them from another node, or from where they are backed up", err)
	}
	if err != nil {
		return secret.Keys{}, fmt.Errorf("reading the keys: %w", err)
	}
	if info.IsDir() {
		return secret.Keys{}, fmt.Errorf("%s is a folder, and should be the file of the keys", path)
	}
	if machine.Loose(info) && !machine.Lent(info) {
		return secret.Keys{}, fmt.Errorf("others on this machine can read the keys: chmod 600 %s", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return secret.Keys{}, fmt.Errorf("reading the keys: %w", err)
	}
	k, err := secret.ParseKeys(text)
	if err != nil {
		return secret.Keys{}, fmt.Errorf("%s cannot be read as keys; restore it from a backup: %w", path, err)
	}
	return k, nil
}

// Write writes a new file that survives a loss of power. Nobody reads half of it, and one that is there
// stays (fs.ErrExist).
func Write(path string, k secret.Keys) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.half")
	if err != nil {
		return fmt.Errorf("writing the keys: %w", err)
	}
	_, err = f.Write(k.Text())
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = backup.Settle(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing the keys: %w", err), os.Remove(f.Name()))
	}
	return SyncFolder(filepath.Dir(path))
}

// SyncFolder makes names in a folder survive a loss of power.
func SyncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// replace puts other keys in the place of a file, which keeps its owner and its mode. A reader
// meanwhile finds the old ones or the new ones whole.
func replace(path string, k secret.Keys) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("writing the keys: %w", err)
	}
	fresh := path + ".next"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("writing the keys: %w", err)
	}
	if err := Write(fresh, k); err != nil {
		return err
	}
	err = errors.Join(machine.OwnAs(fresh, info), os.Chmod(fresh, info.Mode().Perm()))
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("writing the keys: %w", err), os.Remove(fresh))
	}
	return SyncFolder(filepath.Dir(path))
}
