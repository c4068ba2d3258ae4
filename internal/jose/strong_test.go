package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"fmt"
	"math/big"
	"testing"
)

func TestOnlyKeysThatNobodyElseSignsForAreStrong(t *testing.T) {
	modulus := func(bits int) *big.Int { // odd, which is all that Strong checks beside the size
		return new(big.Int).SetBit(new(big.Int).Lsh(big.NewInt(1), uint(bits-1)), 0, 1) //nolint:gosec // A test's own size.
	}
	curve := elliptic.P256().Params()
	point := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public()
	for name, c := range map[string]struct {
		key  any
		want bool
	}{
		"RSA of 2048 bits":          {&rsa.PublicKey{N: modulus(2048), E: 65537}, true},
		"RSA of 8192 bits":          {&rsa.PublicKey{N: modulus(8192), E: 65537}, true},
		"RSA of 1024 bits":          {&rsa.PublicKey{N: modulus(1024), E: 65537}, false},
		"RSA of 2047 bits":          {&rsa.PublicKey{N: modulus(2047), E: 65537}, false},
		"RSA of 16384 bits":         {&rsa.PublicKey{N: modulus(16384), E: 65537}, false},
		"RSA with the exponent 1":   {&rsa.PublicKey{N: modulus(2048), E: 1}, false},
		"RSA with the exponent 0":   {&rsa.PublicKey{N: modulus(2048), E: 0}, false},
		"RSA with an even exponent": {&rsa.PublicKey{N: modulus(2048), E: 4}, false},
		"RSA with an even modulus":  {&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537}, false},
		//lint:ignore SA1019 Others send such keys. ./check reads this line, golangci-lint the end of the next.
		"a point of P-256": {&ecdsa.PublicKey{Curve: elliptic.P256(), X: curve.Gx, Y: curve.Gy}, true}, //nolint:staticcheck // Others send such keys.
		//lint:ignore SA1019 Others send such keys. ./check reads this line, golangci-lint the end of the next.
		"a point beside P-256":            {&ecdsa.PublicKey{Curve: elliptic.P256(), X: curve.Gx, Y: curve.Gx}, false}, //nolint:staticcheck // Others send such keys.
		"Ed25519":                         {point, true},
		"Ed25519 of 31 bytes":             {point.(ed25519.PublicKey)[:31], false},
		"an all-zero Ed25519 key":         {ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)), false},
		"a secret, which has no two ends": {[]byte("secret"), false},
		"nothing":                         {nil, false},
	} {
		if got := Strong(c.key); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}

// For each refused point one signature, the identity, fits some message without any private key.
// Strong refuses the point with either sign.
func TestAnybodySignsForAPointOfSmallOrder(t *testing.T) {
	signature := make([]byte, ed25519.SignatureSize)
	signature[0] = 1
	for _, y := range smallOrder {
		for _, sign := range []byte{0, 0x80} {
			key := ed25519.PublicKey(append([]byte(nil), y...))
			key[ed25519.PublicKeySize-1] |= sign
			if Strong(key) {
				t.Errorf("%x is taken", key)
			}
			forged := false
			for n := range 200 {
				forged = forged || ed25519.Verify(key, fmt.Append(nil, n), signature)
			}
			if !forged && sign == 0 {
				t.Errorf("nobody signs for %x, so it is on the list by mistake", key)
			}
		}
	}
}
