package idptest

import (
	"crypto/rsa"
	"io"
	"math/big"
	"sync"

	"parvis/internal/secret"
)

// Finding the primes of an RSA key takes a third of a second, and tests need a hundred keys in
// one process. So their keys share primes: each is a pair that no other key is. Such keys are
// good for tests alone, since who has two that share a prime can compute both.
func init() {
	var mu sync.Mutex
	var primes []*big.Int
	var ready []*rsa.PrivateKey
	secret.GenerateRSA = func(random io.Reader, bits int) (*rsa.PrivateKey, error) {
		mu.Lock()
		defer mu.Unlock()
		if len(ready) == 0 {
			found, err := rsa.GenerateKey(random, bits)
			if err != nil {
				return nil, err
			}
			ready = append(ready, found)
			for _, p := range found.Primes {
				for _, q := range primes {
					ready = append(ready, keyOf(p, q, found.E))
				}
			}
			primes = append(primes, found.Primes...)
		}
		key := ready[0]
		ready = ready[1:]
		key.Precompute()
		return key, key.Validate()
	}
}

// keyOf is the key of two primes and a public exponent.
func keyOf(p, q *big.Int, e int) *rsa.PrivateKey {
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	return &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: e},
		D:         new(big.Int).ModInverse(big.NewInt(int64(e)), phi),
		Primes:    []*big.Int{p, q},
	}
}
