//go:build !linux && !darwin

package backup

import (
	"errors"
	"os"
)

// hold knows no locks here.
func hold(*os.File) (bool, error) { return false, errors.ErrUnsupported }
