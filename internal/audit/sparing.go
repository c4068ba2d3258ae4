package audit

import (
	"context"
	"sync"
	"time"

	"parvis/internal/db"
)

// Sparing records what strangers can cause as often as they like: one event about the same thing in
// a window, and mostSpared in a minute, on this process. The rest is counted in the metrics and has
// its lines in the log of the program. The zero Sparing is ready.
type Sparing struct {
	mutex  sync.Mutex
	until  map[string]time.Time // by what it is about
	minute int64
	events int // in this minute
}

const (
	mostSpared     = 60
	mostRemembered = 10_000 // things
)

// Record records the event that e returns, unless there was one about the same thing.
func (s *Sparing) Record(ctx context.Context, d *db.DB, about string, window time.Duration, e func(*db.Tx) (Event, error)) error {
	if !s.first(about, window, d.Now()) {
		return nil
	}
	return d.Update(ctx, func(tx *db.Tx) error {
		event, err := e(tx)
		if err == nil {
			err = Record(ctx, tx, event)
		}
		return err
	})
}

// first reports whether an event about something is to be recorded now.
func (s *Sparing) first(about string, window time.Duration, now time.Time) bool {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if now.Before(s.until[about]) {
		return false
	}
	if minute := now.Unix() / 60; minute != s.minute {
		s.minute, s.events = minute, 0
	}
	if s.events >= mostSpared {
		return false
	}
	s.events++
	if len(s.until) >= mostRemembered || s.until == nil {
		s.until = map[string]time.Time{} // some are recorded once more: who fills it must not blind it for a day
	}
	s.until[about] = now.Add(window)
	return true
}
