package edge

import (
	"sync"
	"time"
)

// mostCallers is how many callers a Pace remembers.
const mostCallers = 10_000

// Pace counts the calls of each caller on this process: a bucket of Burst calls that fills with
// PerSecond.
type Pace struct {
	PerSecond, Burst int

	mutex sync.Mutex
	full  map[string]time.Time // when the caller's bucket is full again
}

// Take counts a call, and returns how long to wait if there were too many.
func (p *Pace) Take(caller string, now time.Time) time.Duration {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if len(p.full) >= mostCallers {
		for key, full := range p.full {
			if !full.After(now) {
				delete(p.full, key)
			}
		}
	}
	if p.full == nil {
		p.full = map[string]time.Time{}
	}
	each := time.Second / time.Duration(p.PerSecond)
	full := p.full[caller]
	if full.Before(now) {
		full = now
	}
	if full = full.Add(each); full.Sub(now) > time.Duration(p.Burst)*each {
		return full.Sub(now) - time.Duration(p.Burst)*each
	}
	p.full[caller] = full
	return 0
}
