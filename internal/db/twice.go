//go:build twice

package db

// twice makes Update run each closure two times, the first of which is rolled back, as
// a lost race on PostgreSQL does. A closure that touches more than tx and its own
// variables then misreads what its first run left behind, and its test fails. './check
// all' runs the tests so once.
const twice = true
