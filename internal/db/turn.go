package db

import (
	"context"
	"time"
)

// A turn is held by one transaction of this process that lost several races on PostgreSQL. Those that
// begin meanwhile wait a moment, so that it meets few others. Without it a long transaction among many
// short ones on the same pages can lose for as long as they come: the first to commit wins.
type turn chan struct{}

// losses is after how many lost races a transaction takes the turn.
const losses = 3

// take waits until the turn is free, and gives it back by what it returns. Who does not get it until
// then goes on without.
func (t turn) take(ctx context.Context, until time.Time) (leave func()) {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	select {
	case t <- struct{}{}:
		return func() { <-t }
	case <-ctx.Done():
		return func() {}
	}
}

// longestTurn is how long others wait for the one who holds the turn. Where all have lost races, because the
// machine has too much to do, they so run one after another, which is what ends it.
const longestTurn = time.Second

// pass waits while somebody holds the turn, but not for long: a holder may hang.
func (t turn) pass(ctx context.Context) {
	if len(t) == 0 {
		return
	}
	t.take(ctx, time.Now().Add(longestTurn))()
}
