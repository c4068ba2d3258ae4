//go:build !twice

package db

// twice makes Update run each closure two times: see twice.go.
const twice = false
