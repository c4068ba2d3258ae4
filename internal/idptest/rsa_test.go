package idptest

import (
	"testing"

	"parvis/internal/secret"
)

// Two keys that were the same would let a test pass in which a key is mistaken for another.
func TestKeysThatSharePrimesAreSoundAndAllDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 30 {
		k := secret.NewRSAKey()
		if err := k.Validate(); err != nil || k.N.BitLen() != 3072 {
			t.Errorf("a key of %d bits: %v", k.N.BitLen(), err)
		}
		seen[k.N.String()] = true
	}
	if len(seen) != 30 {
		t.Errorf("%d of 30 keys differ", len(seen))
	}
}
