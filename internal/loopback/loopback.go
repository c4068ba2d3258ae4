// Package loopback finds ports of this machine for programs that a test starts.
package loopback

import (
	"context"
	"net"
	"os"
	"strconv"
	"sync"
)

// Ports given out are from first on. The system gives every connection, and every listener that
// asks for port 0, one from 32768 on (net.ipv4.ip_local_port_range), so it takes none of these
// between the moment when Port finds it free and the moment when a program listens on it.
const (
	first = 11000
	many  = 21000
)

var (
	mu sync.Mutex
	// Programs that look for ports at the same time begin far from each other.
	next = os.Getpid() * 131 % many
)

// Port returns a port of 127.0.0.1 on which nobody listens, another one at each call, so that a
// program that is stopped finds its port free when it is started again.
func Port() string {
	mu.Lock()
	defer mu.Unlock()
	for {
		port := strconv.Itoa(first + next)
		next = (next + 1) % many
		if l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:"+port); err == nil {
			l.Close() //nolint:errcheck // Nobody was let in.
			return port
		}
	}
}
