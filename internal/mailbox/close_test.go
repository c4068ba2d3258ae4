package mailbox_test

import (
	"context"
	"sync"
	"testing"

	"parvis/internal/mailbox"
)

// The end of its context and Close come at once when a program stops.
func TestCloseMayComeTwiceAtOnce(t *testing.T) {
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		m, err := mailbox.Start(ctx, "127.0.0.1:0", mailbox.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(cancel)
		wg.Go(m.Close)
		wg.Wait()
	}
}
