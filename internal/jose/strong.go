// Package jose is the one place where signed tokens and keys are read: those of applications, of
// identity providers and, only for the strength of a key, of people's passkeys. Each kind of token
// states its rules; the checks are the same for all. go-jose verifies the signatures, and no other
// package of ours imports it.
package jose

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/hex"
	"slices"
)

// Shorter RSA keys can be factored (R-CRY-02); longer ones take too long to verify.
const leastRSA, mostRSA = 2048, 8192

// Strong reports whether only the holder of the private key can sign for this public key,
// as far as the public key shows. It returns false for a type of key that it does not know.
func Strong(public any) bool {
	switch key := public.(type) {
	case *rsa.PublicKey:
		// With the exponent 1 every message is its own signature. Exponent and modulus of an
		// RSA key are odd (RFC 8017 §3.1).
		bits := key.N.BitLen()
		return bits >= leastRSA && bits <= mostRSA && key.N.Bit(0) == 1 && key.E >= 3 && key.E%2 == 1
	case *ecdsa.PublicKey:
		_, err := key.ECDH() // fails if the point is not on its curve, or the curve is not one of NIST's
		return err == nil
	case ed25519.PublicKey:
		return len(key) == ed25519.PublicKeySize && !slices.ContainsFunc(smallOrder, func(small []byte) bool { return sameY(key, small) })
	}
	return false
}

// smallOrder are the encoded y coordinates of the Ed25519 points whose order divides 8.
// Two of them can also be written unreduced. Anybody can sign for these keys
// (RFC 8032 §5.1; Chalkias, Garillot, Nikolaenko: Taming the many EdDSAs, §2).
var smallOrder = decoded(
	"0000000000000000000000000000000000000000000000000000000000000000", // order 4
	"0100000000000000000000000000000000000000000000000000000000000000", // order 1
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 2
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // the first, unreduced
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // the second, unreduced
)

func decoded(all ...string) (list [][]byte) {
	for _, text := range all {
		b, err := hex.DecodeString(text)
		if err != nil {
			panic(err) // cannot happen: the constants above are valid
		}
		list = append(list, b)
	}
	return list
}

// sameY compares two keys except for the highest bit, which is the sign of x.
func sameY(key, other []byte) bool {
	last := ed25519.PublicKeySize - 1
	return bytes.Equal(key[:last], other[:last]) && key[last]&0x7f == other[last]
}
