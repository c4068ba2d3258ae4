package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis/internal/api/form"
)

type eventsCommand struct {
	where
	Follow bool      `short:"f" help:"Go on showing what happens, until Ctrl-C. It survives a restart of the server."`
	Action string    `placeholder:"ACTION" help:"Only this action, such as user.deactivated."`
	From   time.Time `placeholder:"TIME" help:"From a time on, such as 2026-11-30T08:00:00Z. Without it, the newest ones."`
	Last   int       `default:"50" placeholder:"NUMBER" help:"How many of the newest ones, without --from."`
	JSON   bool      `name:"json" help:"Print what the API sent, an event a line."`
}

// Validate refuses what no log has.
func (e *eventsCommand) Validate() error {
	if e.Last < 0 {
		return errors.New("--last is a number from 0")
	}
	return nil
}

const (
	eventsOfPage = 200
	eventsEvery  = 2 * time.Second
)

// Run shows events, oldest first. A place of the log is a sequence: what follows it follows without
// a gap.
func (e *eventsCommand) Run(t *Terminal) error {
	c, err := e.open(t)
	if err != nil {
		return err
	}
	if !e.JSON {
		if err := eventLine(t, [4]string{"TIME", "ACTION", "WHO", "WHAT"}); err != nil {
			return err
		}
	}
	var last int64
	if e.From.IsZero() {
		last, err = e.newest(c)
	} else {
		if last, err = c.before(e.From.Add(-time.Minute)); err == nil {
			last, err = e.after(c, last)
		}
	}
	if err == nil && e.Follow {
		err = e.follow(c, last)
	}
	if e.Follow && t.interrupted() {
		err = nil // Ctrl-C is how it ends
	}
	return err
}

// events reads events after a place.
func (c *client) events(after int64, limit int) (page, []form.Event, error) {
	q := reads("/events")
	q.query.Set("after", strconv.FormatInt(after, 10))
	q.query.Set("limit", strconv.Itoa(limit))
	var raw page
	if _, err := c.into(q, &raw); err != nil {
		return page{}, nil, err
	}
	all := make([]form.Event, len(raw.Items))
	for i, item := range raw.Items {
		if err := json.Unmarshal(item, &all[i]); err != nil || all[i].Sequence == nil {
			return page{}, nil, fmt.Errorf("an event cannot be read: %w", errors.Join(err))
		}
	}
	return raw, all, nil
}

// size returns how many events the log has, and what the sequence of the last one is ahead of its
// place: after a restore, sequences go on far above.
func (c *client) size() (size, ahead int64, err error) {
	var newest form.Checkpoint
	_, err = c.into(reads("/events/checkpoint"), &newest)
	return newest.Size, newest.Sequence - (newest.Size - 1), err
}

// before returns the last sequence before a time, by halving. Events of the same second may stand in
// another order.
func (c *client) before(at time.Time) (int64, error) {
	size, ahead, err := c.size()
	low, high := int64(-1), size-1 // the place is neither before low nor after high
	for err == nil && low < high {
		middle := low + (high-low)/2
		var next []form.Event
		if _, next, err = c.events(sequenceOf(middle, ahead), 1); err == nil {
			if len(next) > 0 && next[0].At.Before(at) {
				low = middle + 1
			} else {
				high = middle
			}
		}
	}
	return sequenceOf(low, ahead), err
}

// sequenceOf returns a sequence that events follow as they follow a place.
func sequenceOf(place, ahead int64) int64 {
	if place < 0 {
		return -1
	}
	return place + ahead
}

// after shows the events after a place, and returns the last place.
func (e *eventsCommand) after(c *client, last int64) (int64, error) {
	for {
		raw, all, err := c.events(last, eventsOfPage)
		if err != nil {
			return last, err
		}
		for i, event := range all {
			if e.chosen(event) {
				if err := e.show(c.t, raw.Items[i], event); err != nil {
					return last, err
				}
			}
			last = *event.Sequence
		}
		if len(all) < eventsOfPage {
			return last, nil
		}
	}
}

func (e *eventsCommand) chosen(event form.Event) bool {
	return (e.Action == "" || event.Action == e.Action) && !event.At.Before(e.From)
}

// newest shows the newest events, for which it reads the log from its end, and returns the last
// place.
func (e *eventsCommand) newest(c *client) (int64, error) {
	size, ahead, err := c.size()
	if err != nil {
		return 0, err
	}
	oldest := sequenceOf(size, ahead) // of those that were read
	type line struct {
		raw   json.RawMessage
		event form.Event
	}
	var found []line
	for end := size; end > 0 && len(found) < e.Last; end -= eventsOfPage {
		begin := max(0, end-eventsOfPage)
		raw, all, err := c.events(sequenceOf(begin-1, ahead), int(end-begin))
		if err != nil {
			return 0, err
		}
		var some []line
		for i, event := range all {
			if e.chosen(event) && *event.Sequence < oldest { // what was removed is followed by what was read already
				some = append(some, line{raw.Items[i], event})
			}
		}
		found = append(some, found...)
		if len(all) > 0 {
			oldest = min(oldest, *all[0].Sequence)
		}
	}
	for _, l := range found[max(0, len(found)-e.Last):] {
		if err := e.show(c.t, l.raw, l.event); err != nil {
			return 0, err
		}
	}
	return sequenceOf(size-1, ahead), nil
}

// interrupted reports whether the person pressed Ctrl-C.
func (t *Terminal) interrupted() bool { return t.Context.Err() != nil }

// follow shows what happens. A server that is away is asked again until it is there.
func (e *eventsCommand) follow(c *client, last int64) error {
	told := false
	for {
		select {
		case <-c.t.Context.Done():
			return nil
		case <-time.After(eventsEvery):
		}
		next, err := e.after(c, last)
		last = next
		switch {
		case c.t.interrupted():
			return nil // Ctrl-C came while the server was asked
		case err == nil && told:
			told = false
			fmt.Fprintln(c.t.Err, "The server is back.")
		case err != nil && !isAway(err):
			return err
		case err != nil && !told:
			told = true
			fmt.Fprintf(c.t.Err, "%v. This goes on once the server is back; Ctrl-C stops.\n", err)
		}
	}
}

func (e *eventsCommand) show(t *Terminal, raw json.RawMessage, event form.Event) error {
	if e.JSON {
		var line bytes.Buffer
		if err := json.Compact(&line, raw); err != nil {
			return err
		}
		_, err := fmt.Fprintln(t.Out, line.String())
		return err
	}
	action := event.Action
	if event.Result == "refused" {
		action += " (refused)"
	}
	names := []string{event.Object.Name, event.Object.ID}
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	return eventLine(t, [4]string{event.At.UTC().Format(time.DateTime), action, event.Actor.Name, append(names, "-")[0]})
}

// eventLine prints a line of columns that are as wide at the beginning as hours later.
func eventLine(t *Terminal, columns [4]string) error {
	for i, text := range columns {
		columns[i] = strings.ReplaceAll(printable(text), "\n", " ")
	}
	_, err := fmt.Fprintf(t.Out, "%-19s  %-30s  %-24s  %s\n", columns[0], columns[1], columns[2], columns[3])
	return err
}
