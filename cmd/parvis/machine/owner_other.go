//go:build !unix

package machine

import "io/fs"

// Owner is not known here.
func Owner(fs.FileInfo) string { return "" }

// Lent knows no way here in which a secret is handed to a service.
func Lent(fs.FileInfo) bool { return false }

// OwnAs does nothing here.
func OwnAs(string, fs.FileInfo) error { return nil }

// Strangers are not known here.
func Strangers(string) []string { return nil }
