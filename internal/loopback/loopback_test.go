package loopback

import (
	"net"
	"strconv"
	"testing"
)

func TestEveryPortIsFreeAnotherAndNoneThatTheSystemGives(t *testing.T) {
	given := map[string]bool{}
	for range 200 {
		port := Port()
		if number, err := strconv.Atoi(port); err != nil || number < first || number >= 32768 {
			t.Errorf("port %s is one that the system may give to a connection", port)
		}
		if given[port] {
			t.Errorf("port %s is given a second time", port)
		}
		given[port] = true
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Fatalf("port %s: %v", port, err)
		}
		t.Cleanup(func() { l.Close() })
	}
}

func TestAPortThatIsTakenIsPassedOver(t *testing.T) {
	mu.Lock()
	port := strconv.Itoa(first + next)
	mu.Unlock()
	l, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Skipf("somebody else has the next port: %v", err)
	}
	defer l.Close()
	if got := Port(); got == port {
		t.Errorf("port %s is given although somebody listens there", port)
	}
}
