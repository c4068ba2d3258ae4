//go:build !unix

package machine

import "io/fs"

// Owner is not known here.
func Owner(fs.FileInfo) string { return "" }

// Strangers are not known here.
func Strangers(string) []string { return nil }
