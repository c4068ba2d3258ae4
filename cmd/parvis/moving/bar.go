package moving

import (
	"fmt"
	"io"
	"time"
)

// A Bar shows on a terminal how far something is.
type Bar struct {
	to     io.Writer // nil where nobody looks
	what   string
	shown  time.Time
	showed bool
}

// NewBar returns a bar with what is done before it.
func NewBar(to io.Writer, what string) *Bar { return &Bar{to: TerminalOf(to), what: what} }

const barWidth = 30

// Show shows how many of all rows are done.
func (b *Bar) Show(done, all int64) {
	now := time.Now() //nolint:forbidigo // How often a terminal is written to.
	if b.to == nil || done < all && now.Sub(b.shown) < 100*time.Millisecond {
		return
	}
	b.shown, b.showed = now, true
	part := int(barWidth * done / max(1, all))
	fmt.Fprintf(b.to, "\r%s [%-*s] %3d %% of %d rows", b.what, barWidth, "##############################"[:min(part, barWidth)], 100*done/max(1, all), all)
}

// End leaves the line.
func (b *Bar) End() {
	if b.showed {
		fmt.Fprintln(b.to)
	}
}
