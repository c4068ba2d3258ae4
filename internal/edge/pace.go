package edge

import (
	"sync"
	"time"

	"parvis/internal/measure"
)

// Limiters that count in the memory of one process, beside the policies of package limit: their
// names are those in the metrics.
const (
	OfCaller  = "api-caller"       // calls of one caller of the API
	OfSource  = "scim-source"      // calls of one source
	OfRegion  = "region"           // questions of one other region
	OfAsking  = "region-network"   // questions of other regions that one network causes
	OfNetwork = "requests-network" // requests of one network on the way at once, which the listener counts
)

// Limiters lists them.
var Limiters = []string{OfCaller, OfSource, OfRegion, OfAsking, OfNetwork}

// Refusals returns the counter of what one of them refused.
func (e *Edge) Refusals(limiter string) *measure.Counter {
	return e.Refused.Of(measure.Labels{limiter})
}

// mostCallers is how many callers a Pace remembers.
const mostCallers = 10_000

// Pace counts the calls of each caller on this process: a bucket of Burst calls that fills with
// PerSecond.
type Pace struct {
	PerSecond, Burst int
	Refused          *measure.Counter // nil where nobody counts

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
		if p.Refused != nil {
			p.Refused.Inc()
		}
		return full.Sub(now) - time.Duration(p.Burst)*each
	}
	p.full[caller] = full
	return 0
}
