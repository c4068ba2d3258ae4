package webhook

import (
	"time"
)

// Idle waits until nothing is on the way.
func (s *Sender) Idle(patience time.Duration) bool {
	for range int(patience / (5 * time.Millisecond)) {
		s.mu.Lock()
		n := len(s.busy)
		s.mu.Unlock()
		if n == 0 {
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

// What the tests of the forms call.
var (
	LineOf     = line
	RetryAfter = retryAfter
)
