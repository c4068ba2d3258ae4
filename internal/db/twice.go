//go:build twice

package db

// twice makes Update run each closure twice and roll the first run back, as happens after a
// lost race on PostgreSQL. If a closure changes anything but tx and its own variables, its
// second run sees what the first one left behind, and its test fails. './check all' runs the
// tests once with this tag.
const twice = true
