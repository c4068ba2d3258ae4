package webhook

import (
	"time"

	"parvis/internal/audit"
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

// LineOf returns an event as a new webhook is sent it.
func LineOf(e audit.Stored, form Form, values bool) ([]byte, error) {
	return Webhook{Settings: Settings{Form: form, Values: values}, Version: bodyVersion}.line(e)
}

// What the tests of the forms call.
var RetryAfter = retryAfter
