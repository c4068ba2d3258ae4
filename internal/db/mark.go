package db

import "context"

// A Marked learns from the closures of Update, and keeps it for the rest of a request. When a
// transaction runs again, it forgets what the earlier run told it.
type Marked interface {
	// Mark returns what takes back all that came after it.
	Mark() (forget func())
}

type markedKey struct{}

// WithMarked returns a context whose transactions tell m when they run again.
func WithMarked(ctx context.Context, m Marked) context.Context {
	return context.WithValue(ctx, markedKey{}, m)
}

func marked(ctx context.Context) (forget func()) {
	if m, ok := ctx.Value(markedKey{}).(Marked); ok {
		return m.Mark()
	}
	return func() {}
}
