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

// Follow changes over to keys that were put in use, until ctx ends.
func Follow(ctx context.Context, keys *rotation.Server, log *slog.Logger) {
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
