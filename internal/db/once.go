//go:build !twice

package db

// twice makes Update run each closure twice: see twice.go.
const twice = false
