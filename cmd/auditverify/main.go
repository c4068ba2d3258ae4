// Command auditverify checks an export of a log of Parvis, and needs nothing of Parvis for it:
// only the export, the key that the console shows, and perhaps a checkpoint that was kept.
//
//	go run ./cmd/auditverify -key VKEY [-since OLD-CHECKPOINT [-since-key OLD-VKEY]] export.jsonl
//
// An event is a leaf of a Merkle tree (RFC 6962): its hash is over canonical JSON (RFC 8785) of the
// members that line.leaf lists. Two of these, "by" and "of", are SHA-256 over the canonical JSON of
// a list of a salt and three texts, which are absent where they were erased. The tree's hash is in a
// checkpoint (C2SP tlog-checkpoint) that the key signed.
//
// A log that was restored from a backup goes on under another name, HOST/audit/ORG_ID/EPOCH, and has
// another key. Its tree goes on from what was restored, and the first event afterwards says so.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	key := flag.String("key", "", "the `key` to verify with, as the console shows it")
	since := flag.String("since", "", "a `file` with a checkpoint that was kept: the log must have grown out of it")
	old := flag.String("since-key", "", "the `key` of that checkpoint, if the log was restored since and has another one now")
	flag.Parse()
	said, err := run(keys{*key, *old}, *since, flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(said)
}

// keys are what the checkpoints are verified with; the old one is empty unless it is another.
type keys struct{ now, old string }

func run(k keys, since, path string) (string, error) {
	known, err := note.NewVerifier(k.now)
	if err != nil {
		return "", fmt.Errorf("-key: %w", err)
	}
	v, before := verifier{key: known}, known
	if k.old != "" {
		if before, err = note.NewVerifier(k.old); err != nil {
			return "", fmt.Errorf("-since-key: %w", err)
		}
	}
	if since != "" {
		text, err := os.ReadFile(since)
		if v.sinceBefore = before.Name() != known.Name(); err == nil {
			v.since, err = open(before, append(bytes.TrimSpace(text), '\n'))
		}
		if err != nil {
			return "", fmt.Errorf("-since: %w", err)
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	return v.verify(file)
}

// checkpoint is a tree that was signed.
type checkpoint struct {
	size int64
	root tlog.Hash
}

func open(key note.Verifier, text []byte) (*checkpoint, error) {
	opened, err := note.Open(text, note.VerifierList(key))
	if err != nil {
		return nil, fmt.Errorf("the key did not sign the checkpoint: %w", err)
	}
	var origin, root string
	c := &checkpoint{}
	if _, err := fmt.Sscanf(opened.Text, "%s\n%d\n%s\n", &origin, &c.size, &root); err != nil || origin != key.Name() || c.size < 0 {
		return nil, fmt.Errorf("it is not one of %s", key.Name())
	}
	c.root, err = tlog.ParseHash(root)
	return c, err
}

// A verifier makes the tree again, line by line.
type verifier struct {
	key           note.Verifier
	signed, since *checkpoint
	sinceFound    bool
	sinceBefore   bool // the old checkpoint is of a log before a restore

	size   int64       // leaves so far
	roots  []tlog.Hash // of the complete subtrees that they fill, the largest first
	levels []int       // of these
	tile   tlog.Hash   // the newest one of 256 leaves

	lines, events, erased, last int64
	restores, restored          int64 // how many, and the place of the last one's event
	holes, ended                bool  // events between two of the file's are not in it; its last line was read
}

func (v *verifier) verify(file io.Reader) (string, error) {
	for lines := bufio.NewReaderSize(file, 64<<10); ; {
		text, err := lines.ReadBytes('\n')
		if v.ended && len(text) == 0 && errors.Is(err, io.EOF) {
			break
		}
		if v.lines++; err == nil {
			err = v.take(text)
		} else if errors.Is(err, io.EOF) {
			err = errors.New("the file is cut off: the last line of an export says that it ends")
		}
		if err != nil {
			return "", fmt.Errorf("line %d: %w", v.lines, err)
		}
	}
	said := "all there, nothing changed"
	if v.holes {
		said = "nothing changed (the export was filtered: it cannot show that nothing is missing)"
	}
	said += fmt.Sprintf(": %d events up to %d, of %d in %s; personal data of %d was erased", v.events, v.last, v.signed.size, v.key.Name(), v.erased)
	if v.restores > 0 {
		said += fmt.Sprintf("; it was restored from a backup, at event %d", v.restored)
	}
	if v.since != nil {
		said += fmt.Sprintf("; it has grown out of the old checkpoint of %d", v.since.size)
	}
	return said, nil
}

// A line is an event, or one of the three others.
type line struct {
	Begin *struct{ Version, Log, Checkpoint string }
	Gap   *struct {
		From, To int64
		Hashes   []tlog.Hash
	}
	End  *struct{ Events int64 }
	Leaf *int64

	Hash, Tile, Action, Actor, At, By, ID, Kind, Of, Organization, Request, Result, Target, Version, Network, Agent string

	BySalt     *string `json:"by_salt"`
	OfSalt     *string `json:"of_salt"`
	ActorName  string  `json:"actor_name"`
	TargetName string  `json:"target_name"`

	Before, After json.RawMessage
}

func (v *verifier) take(text []byte) error {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return fmt.Errorf("it cannot be read: %w", err)
	}
	switch {
	case v.ended || (v.lines == 1) != (l.Begin != nil):
		return errors.New("it is before the beginning or behind the end")
	case l.Begin != nil:
		signed, err := open(v.key, []byte(l.Begin.Checkpoint))
		if v.signed = signed; err != nil {
			return err
		}
		return v.compare()
	case l.Gap != nil:
		v.holes = v.holes || v.events > 0 && l.Gap.To < v.signed.size
		return v.gap(l.Gap.From, l.Gap.To, l.Gap.Hashes)
	case l.Leaf != nil:
		return v.event(&l)
	case l.End != nil:
		return v.end(l.End.Events)
	}
	return errors.New("it is neither an event nor a gap nor the end")
}

// follows reports what is wrong with the place of a line.
func (v *verifier) follows(leaf int64) error {
	if leaf != v.size {
		return fmt.Errorf("event %d is missing here: this is for %d", v.size, leaf)
	}
	return nil
}

// gap takes hashes for events that are not in the file: of the largest complete subtrees.
func (v *verifier) gap(from, to int64, hashes []tlog.Hash) error {
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

func (v *verifier) event(l *line) error {
	if err := v.follows(*l.Leaf); err != nil {
		return err
	}
	hash, before, after := l.leaf(), strings.TrimPrefix(string(l.Before), "null"), strings.TrimPrefix(string(l.After), "null")
	if hash.String() != l.Hash || !fits(l.By, l.BySalt, l.ActorName, l.Network, l.Agent) || !fits(l.Of, l.OfSalt, l.TargetName, before, after) {
		return fmt.Errorf("event %d (%s) is not what was sealed", *l.Leaf, l.ID)
	}
	if v.last, v.events = v.size, v.events+1; l.BySalt == nil || l.OfSalt == nil {
		v.erased++
	}
	if l.Action == "audit.restored" {
		v.restores, v.restored = v.restores+1, *l.Leaf
	}
	v.add(0, hash)
	if l.Tile != "" && v.tile.String() != l.Tile {
		return fmt.Errorf("events %d to %d are not the ones that were sealed together", v.size-256, *l.Leaf)
	}
	return v.compare()
}

// end takes the last line.
func (v *verifier) end(events int64) error {
	if err := v.follows(v.signed.size); err != nil {
		return err
	}
	switch {
	case events != v.events:
		return fmt.Errorf("the export had %d events, and %d are here", events, v.events)
	case v.lost() && !v.sinceFound:
		return v.errLost()
	case v.since != nil && v.since.size > v.signed.size:
		return fmt.Errorf("the log was cut off: it has %d events, and had %d at the old checkpoint", v.signed.size, v.since.size)
	case v.since != nil && !v.sinceFound:
		return fmt.Errorf("the old checkpoint of %d is not comparable with this part of the log: export all of it", v.since.size)
	}
	v.ended = true
	return nil
}

// lost reports whether the old checkpoint is of a log that a restore cut off.
func (v *verifier) lost() bool {
	return v.since != nil && v.sinceBefore && v.restores > 0 && v.since.size > v.restored
}

func (v *verifier) errLost() error {
	return fmt.Errorf("the log was restored from a backup that had %d events, and had %d at the old checkpoint: what came between was lost", v.restored, v.since.size)
}

// add adds the root of a complete subtree to the tree.
func (v *verifier) add(level int, h tlog.Hash) {
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
func (v *verifier) compare() error {
	if v.size != v.signed.size && (v.since == nil || v.size != v.since.size) {
		return nil
	}
	root := tlog.Hash(sha256.Sum256(nil)) // of an empty tree
	for i, h := range slices.Backward(v.roots) {
		if root = tlog.NodeHash(h, root); i == len(v.roots)-1 {
			root = h
		}
	}
	old := v.since != nil && v.size == v.since.size
	if old && root != v.since.root && v.lost() && v.size != v.signed.size {
		return v.errLost()
	}
	if v.sinceFound = v.sinceFound || old; old && root != v.since.root || v.size == v.signed.size && root != v.signed.root {
		return fmt.Errorf("the %d events up to here are not the ones of the checkpoint", v.size)
	}
	return nil
}

// leaf returns the hash of an event, over its members in the order of their names.
func (l *line) leaf() tlog.Hash {
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
