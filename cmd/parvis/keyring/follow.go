package keyring

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"parvis/cmd/parvis/serving"
	"parvis/internal/rotation"
)

// follows is how often a node looks which key writes.
const follows = 5 * time.Second

// Follow changes over to keys that were put in use, until ctx ends. First it names those that somebody
// meant to put in use by hand.
func Follow(ctx context.Context, keys *rotation.Server, log *slog.Logger) {
	for _, id := range keys.FirstByHand() {
		log.WarnContext(ctx, "a key was put first in the keys by hand, and nothing is written with it", "key", id, "do", "parvis keys use "+id)
	}
	serving.Repeat(ctx, log, "following the keys", time.Tick(follows), func() (over bool) {
		if err := keys.Follow(ctx); err != nil && !errors.Is(err, context.Canceled) {
			log.ErrorContext(ctx, "this node does not follow a change of the keys", "error", err.Error(), "do", "parvis keys")
		}
		return false
	})
	if err := keys.End(context.WithoutCancel(ctx)); err != nil {
		log.WarnContext(ctx, "it is not said that this node ends", "error", err.Error())
	}
}
