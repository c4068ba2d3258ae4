// Package verify checks what an export of a log says, with nothing but the export and the log's key.
// cmd/auditverify does that for people who keep an export, and a restore for what it is to do again.
//
// An event is a leaf of a Merkle tree (RFC 6962): its hash is over canonical JSON (RFC 8785) of the
// members that Event.leaf lists. Two of these, "by" and "of", are SHA-256 over the canonical JSON of
// a list of a salt and texts, three or six, which are absent where they were erased. The tree's hash is in a
// checkpoint (C2SP tlog-checkpoint) that the key signed.
package verify

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is a tree at a size.
type Checkpoint struct {
	Size int64
	Root tlog.Hash
}

// Empty is the tree without a leaf.
var Empty = Checkpoint{Root: sha256.Sum256(nil)}

// Open reads a checkpoint that a key must have signed.
func Open(key note.Verifier, text []byte) (*Checkpoint, error) {
	opened, err := note.Open(text, note.VerifierList(key))
	if err != nil {
		return nil, fmt.Errorf("the key did not sign the checkpoint: %w", err)
	}
	var origin, root string
	c := &Checkpoint{}
	if _, err := fmt.Sscanf(opened.Text, "%s\n%d\n%s\n", &origin, &c.Size, &root); err != nil || origin != key.Name() || c.Size < 0 {
		return nil, fmt.Errorf("it is not one of %s", key.Name())
	}
	c.Root, err = tlog.ParseHash(root)
	return c, err
}

// A Verifier makes the tree again, line by line.
type Verifier struct {
	Key         note.Verifier
	Since       *Checkpoint // the log must have grown out of it; nil to compare with none
	SinceBefore bool        // that is of a log before a restore
	// Each takes the events in their order, each once its line fits. Nothing is to be believed of them
	// before Verify has returned no error. It may be nil.
	Each func(*Event) error

	signed     *Checkpoint
	sinceFound bool

	size   int64       // leaves so far
	roots  []tlog.Hash // of the complete subtrees that they fill, the largest first
	levels []int       // of these
	tile   tlog.Hash   // the newest one of 256 leaves

	lines int64
	ended bool // its last line was read
	found Found
}

// Found is what a file has, of which nothing was changed.
type Found struct {
	Size               int64 // of the log
	Events, Erased     int64 // in the file, and of how many personal data was erased
	Last               int64 // the place of the last event
	Restores, Restored int64 // how many, and the place of the last one's event
	Filtered           bool  // events between two of the file's are not in it: some may be missing unseen
}

// What errors are of a log that is compared with an old checkpoint.
var (
	ErrSince = errors.New("the log has not grown out of the old checkpoint")
	ErrPart  = errors.New("the file does not reach back to the old checkpoint")
)

// A sinceError says what its kind says, in the words of its place.
type sinceError struct {
	error
	kind error
}

func (e sinceError) Is(target error) bool { return target == e.kind }

func notSince(format string, values ...any) error {
	return sinceError{fmt.Errorf(format, values...), ErrSince}
}

// ErrNone is returned for a file that does not begin as an export does.
var ErrNone = errors.New("line 1: it is no export of an audit log as JSON Lines")

// Begins reads the first line of an export, and returns the name of its log and how many events that
// has. Anybody may have written it: it says which key to verify with.
func Begins(file io.Reader) (log string, size int64, err error) {
	text, err := readLine(bufio.NewReaderSize(file, 64<<10))
	if err != nil && !errors.Is(err, io.EOF) {
		return "", 0, err
	}
	var e Event
	if json.Unmarshal(text, &e) != nil || e.Begin == nil {
		return "", 0, ErrNone
	}
	if _, err := fmt.Sscanf(e.Begin.Checkpoint, "%s\n%d\n", &log, &size); err != nil {
		return "", 0, ErrNone
	}
	return log, size, nil
}

// longestLine is how many bytes a line may have. What an administrator may send with one change is a
// sixteenth of it.
const longestLine = 32 << 20

// readLine reads a line with its end. One that has none takes no more memory than the longest.
func readLine(from *bufio.Reader) (line []byte, err error) {
	for {
		part, err := from.ReadSlice('\n')
		if line = append(line, part...); !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > longestLine {
			return nil, errors.New("it is longer than any line of an export")
		}
	}
}

// Verify reads a file to its end.
func (v *Verifier) Verify(file io.Reader) (Found, error) {
	for lines := bufio.NewReaderSize(file, 64<<10); ; {
		text, err := readLine(lines)
		if v.ended && len(text) == 0 && errors.Is(err, io.EOF) {
			v.found.Size = v.signed.Size
			return v.found, nil
		}
		if v.lines++; err == nil {
			err = v.take(text)
		} else if errors.Is(err, io.EOF) {
			err = errors.New("the file is cut off: the last line of an export says that it ends")
		}
		if err != nil {
			return Found{}, fmt.Errorf("line %d: %w", v.lines, err)
		}
	}
}

// An Event is a line of a file. Three kinds of lines are none, and have one of the first members.
type Event struct {
	Begin *struct{ Version, Log, Checkpoint string }
	Gap   *struct {
		From, To int64
		Hashes   []tlog.Hash
	}
	End  *struct{ Events int64 }
	Leaf *int64

	Hash, Tile, Action, Actor, At, By, ID, Kind, Of, Organization, Request, Result, Target, Version, Network, Agent, Session, Method, Region string

	BySalt     *string `json:"by_salt"`
	OfSalt     *string `json:"of_salt"`
	ActorName  string  `json:"actor_name"`
	TargetName string  `json:"target_name"`

	Before, After json.RawMessage
}

// by returns the texts of the half about the actor. The last three are of events that have one of
// them: earlier versions recorded none.
func (e *Event) by() []string {
	all := []string{e.ActorName, e.Network, e.Agent, e.Session, e.Method, e.Region}
	if e.Session+e.Method+e.Region == "" {
		all = all[:3]
	}
	return all
}

// Erased reports whether what the event has of its target, and of what changed, was erased.
func (e *Event) Erased() bool { return e.OfSalt == nil }

func (v *Verifier) take(text []byte) error {
	var l Event
	if err := json.Unmarshal(text, &l); err != nil {
		return fmt.Errorf("it cannot be read: %w", err)
	}
	switch {
	case v.ended || (v.lines == 1) != (l.Begin != nil):
		return errors.New("it is before the beginning or behind the end")
	case l.Begin != nil:
		signed, err := Open(v.Key, []byte(l.Begin.Checkpoint))
		if v.signed = signed; err != nil {
			return err
		}
		return v.compare()
	case l.Gap != nil:
		v.found.Filtered = v.found.Filtered || v.found.Events > 0 && l.Gap.To < v.signed.Size
		return v.gap(l.Gap.From, l.Gap.To, l.Gap.Hashes)
	case l.Leaf != nil:
		return v.event(&l)
	case l.End != nil:
		return v.end(l.End.Events)
	}
	return errors.New("it is neither an event nor a gap nor the end")
}

// follows reports what is wrong with the place of a line.
func (v *Verifier) follows(leaf int64) error {
	if leaf != v.size {
		return fmt.Errorf("event %d is missing here: this is for %d", v.size, leaf)
	}
	return nil
}

// gap takes hashes for events that are not in the file: of the largest complete subtrees.
func (v *Verifier) gap(from, to int64, hashes []tlog.Hash) error {
	if err := v.follows(from); err != nil {
		return err
	}
	for _, h := range hashes {
		level := 0
		for v.size&(2<<level-1) == 0 && v.size+2<<level <= to && level < 60 {
			level++
		}
		v.add(level, h)
		if err := v.compare(); err != nil {
			return err
		}
	}
	if v.size != to {
		return errors.New("its hashes do not fill it")
	}
	return nil
}

func (v *Verifier) event(l *Event) error {
	if err := v.follows(*l.Leaf); err != nil {
		return err
	}
	hash, before, after := l.leaf(), strings.TrimPrefix(string(l.Before), "null"), strings.TrimPrefix(string(l.After), "null")
	if hash.String() != l.Hash || !fits(l.By, l.BySalt, l.by()...) || !fits(l.Of, l.OfSalt, l.TargetName, before, after) {
		return fmt.Errorf("event %d (%s) is not what was sealed", *l.Leaf, l.ID)
	}
	if v.found.Last, v.found.Events = v.size, v.found.Events+1; l.BySalt == nil || l.OfSalt == nil {
		v.found.Erased++
	}
	if l.Action == "audit.restored" {
		v.found.Restores, v.found.Restored = v.found.Restores+1, *l.Leaf
	}
	v.add(0, hash)
	if l.Tile != "" && v.tile.String() != l.Tile {
		return fmt.Errorf("events %d to %d are not the ones that were sealed together", v.size-256, *l.Leaf)
	}
	if err := v.compare(); err != nil || v.Each == nil {
		return err
	}
	return v.Each(l)
}

// end takes the last line.
func (v *Verifier) end(events int64) error {
	if err := v.follows(v.signed.Size); err != nil {
		return err
	}
	switch {
	case events != v.found.Events:
		return fmt.Errorf("the export had %d events, and %d are here", events, v.found.Events)
	case v.lost() && !v.sinceFound:
		return v.errLost()
	case v.Since != nil && v.Since.Size > v.signed.Size:
		return notSince("the log was cut off: it has %d events, and had %d at the old checkpoint", v.signed.Size, v.Since.Size)
	case v.Since != nil && !v.sinceFound:
		return sinceError{fmt.Errorf("the old checkpoint of %d is not comparable with this part of the log: export all of it", v.Since.Size), ErrPart}
	}
	v.ended = true
	return nil
}

// lost reports whether the old checkpoint is of a log that a restore cut off.
func (v *Verifier) lost() bool {
	return v.Since != nil && v.SinceBefore && v.found.Restores > 0 && v.Since.Size > v.found.Restored
}

func (v *Verifier) errLost() error {
	return notSince("the log was restored from a backup that had %d events, and had %d at the old checkpoint: what came between was lost", v.found.Restored, v.Since.Size)
}

// add adds the root of a complete subtree to the tree.
func (v *Verifier) add(level int, h tlog.Hash) {
	v.size += 1 << level
	for last := len(v.roots) - 1; last >= 0 && v.levels[last] == level; last-- {
		h, level = tlog.NodeHash(v.roots[last], h), level+1
		if v.roots, v.levels = v.roots[:last], v.levels[:last]; level == 8 {
			v.tile = h
		}
	}
	v.roots, v.levels = append(v.roots, h), append(v.levels, level)
}

// compare compares the tree so far with the checkpoints of its size.
func (v *Verifier) compare() error {
	if v.size != v.signed.Size && (v.Since == nil || v.size != v.Since.Size) {
		return nil
	}
	root := Empty.Root
	for i, h := range slices.Backward(v.roots) {
		if root = tlog.NodeHash(h, root); i == len(v.roots)-1 {
			root = h
		}
	}
	old := v.Since != nil && v.size == v.Since.Size
	if old && root != v.Since.Root && v.lost() && v.size != v.signed.Size {
		return v.errLost()
	}
	const others = "the %d events up to here are not the ones of the checkpoint"
	if v.size == v.signed.Size && root != v.signed.Root {
		return fmt.Errorf(others, v.size)
	}
	if v.sinceFound = v.sinceFound || old; old && root != v.Since.Root {
		return notSince(others, v.size)
	}
	return nil
}

// leaf returns the hash of an event, over its members in the order of their names.
func (l *Event) leaf() tlog.Hash {
	return tlog.RecordHash(canonical("{", "}", "action", l.Action, "actor", l.Actor, "at", l.At, "by", l.By, "id", l.ID, "kind", l.Kind, "of", l.Of,
		"organization", l.Organization, "request", l.Request, "result", l.Result, "target", l.Target, "version", l.Version))
}

// fits reports whether a half of an event is what was hashed, or was erased.
func fits(hash string, salt *string, texts ...string) bool {
	if salt == nil {
		return strings.Join(texts, "") == ""
	}
	sum := sha256.Sum256(canonical("[", "]", append([]string{*salt}, texts...)...))
	return base64.StdEncoding.EncodeToString(sum[:]) == hash
}

// canonical writes texts as RFC 8785 does: a list, or in braces an object of names and values.
func canonical(open, shut string, texts ...string) []byte {
	b := append(make([]byte, 0, 512), open...)
	for i, text := range texts {
		if i > 0 && open == "{" && i%2 == 1 {
			b = append(b, ':')
		} else if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), escape.Replace(text)...), '"')
	}
	return append(b, shut...)
}

var escape = strings.NewReplacer(func() []string {
	all := []string{`"`, `\"`, `\`, `\\`, "\b", `\b`, "\t", `\t`, "\n", `\n`, "\f", `\f`, "\r", `\r`}
	for c := range ' ' {
		all = append(all, string(c), fmt.Sprintf(`\u%04x`, c))
	}
	return all
}()...)
