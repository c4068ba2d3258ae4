package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

type exportCommand struct {
	where
	Format string    `enum:"jsonl,csv" default:"jsonl" placeholder:"FORMAT" help:"jsonl, which anybody can check with cmd/auditverify, or csv."`
	Output string    `short:"o" required:"" placeholder:"FILE" help:"Where to write it, or standard output if it is -."`
	From   time.Time `placeholder:"TIME" help:"From a time on, such as 2026-11-30T08:00:00Z."`
	To     time.Time `placeholder:"TIME" help:"Up to a time."`
	Action string    `placeholder:"ACTION" help:"Only this action, such as user.deactivated."`
	Actor  string    `placeholder:"ID" help:"Only what somebody did, by ID."`
	Target string    `placeholder:"ID" help:"Only what was done to something, by ID."`
}

// partial is what a file is called until its last line is there.
const partial = ".incomplete"

// Run exports the log.
func (e *exportCommand) Run(t *Terminal) error {
	c, err := e.open(t)
	if err != nil {
		return err
	}
	return e.into(c)
}

// into writes the log into a file. Until all is there the file has another name, so that half an
// export is taken for none.
func (e *exportCommand) into(c *client) error {
	if e.Output == "-" {
		_, err := e.export(c, c.t.Out)
		return err
	}
	f, err := os.OpenFile(e.Output+partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // people stand in it
	if err != nil {
		return err
	}
	lines, err := e.export(c, f)
	err = errors.Join(err, f.Close())
	if about, there := os.Stat(f.Name()); err != nil && there == nil && about.Size() == 0 {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err != nil {
		return fmt.Errorf("%w\n%s is incomplete; the same command writes all of it anew", err, f.Name())
	}
	if err := os.Rename(f.Name(), e.Output); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.t.Err, "%s has %d lines.\n", e.Output, lines)
	return err
}

func (e *exportCommand) request() request {
	q := reads("/events/export")
	for name, value := range map[string]string{"format": e.Format, "action": e.Action, "actor": e.Actor, "target": e.Target} {
		if value != "" {
			q.query.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"from": e.From, "to": e.To} {
		if !at.IsZero() {
			q.query.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	return q
}

// export writes what the API sends, and returns how many lines these are.
func (e *exportCommand) export(c *client, into io.Writer) (int, error) {
	h := *c.http
	h.Timeout = 0 // it takes as long as it takes, while something comes
	n := counted{w: into, progress: c.t.progress()}
	defer n.progress.clear()
	_, err := c.answered(func() (reply, error) {
		r, err := c.request(e.request())
		if err != nil {
			return reply{}, err
		}
		ctx, stop := context.WithCancel(c.t.Context)
		defer stop()
		silence := time.AfterFunc(answerIn, stop)
		defer silence.Stop()
		w, err := do(c.t.Context, &h, r.WithContext(ctx))
		if err == nil && w.StatusCode != http.StatusOK {
			return read(c.t.Context, w)
		}
		if err == nil {
			defer w.Body.Close()
			_, err = io.Copy(&n, awaited{w.Body, silence})
		}
		switch {
		case c.t.Context.Err() != nil:
			err = errStopped
		case ctx.Err() != nil:
			err = fmt.Errorf("%s sent nothing for %s", r.URL.Host, answerIn)
		}
		return reply{status: http.StatusOK}, err
	})
	switch {
	case err != nil:
		return n.lines, fmt.Errorf("the export broke off after %d lines: %w", n.lines, err)
	case e.Format == "jsonl" && !n.whole():
		return n.lines, errors.New("the export has no last line")
	}
	return n.lines, nil
}

// awaited reads what does not stop coming for longer than answerIn.
type awaited struct {
	io.Reader
	silence *time.Timer
}

// Read implements io.Reader.
func (a awaited) Read(b []byte) (int, error) {
	a.silence.Reset(answerIn)
	return a.Reader.Read(b)
}

// counted counts lines on their way, and remembers the last one.
type counted struct {
	w        io.Writer
	progress *progress
	lines    int
	last     []byte
}

// Write implements io.Writer.
func (n *counted) Write(b []byte) (int, error) {
	before := n.lines
	n.lines += bytes.Count(b, []byte{'\n'})
	n.last = append(n.last, b...)
	if i := bytes.LastIndexByte(bytes.TrimSuffix(n.last, []byte{'\n'}), '\n'); i >= 0 {
		n.last = append(n.last[:0], n.last[i+1:]...)
	}
	if n.lines/1000 > before/1000 {
		n.progress.say(n.lines, nil)
	}
	return n.w.Write(b)
}

// whole reports whether the last line is the one that ends an export.
func (n *counted) whole() bool {
	var end struct {
		End *struct{} `json:"end"`
	}
	return bytes.HasSuffix(n.last, []byte{'\n'}) && json.Unmarshal(n.last, &end) == nil && end.End != nil
}
