package audit

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"parvis/internal/db"
)

// ErrAltered is returned when a sealed event, or what the database has of a tree, was removed or
// altered.
var ErrAltered = errors.New("the audit log was altered")

// tileHeight is how many levels of a tree a tile stands for: it has 2^8 hashes.
const tileHeight = 8

// edge is the right edge of a tree: the roots of the complete subtrees that its leaves fill, the
// largest first. No more is needed to add a leaf (RFC 6962).
type edge struct {
	size  int64
	roots []tlog.Hash
}

// add adds a leaf. Of the subtrees that it completes, those that tiles hold go to stored.
func (e *edge) add(h tlog.Hash, stored func(level int, n int64, h tlog.Hash)) {
	stored(0, e.size, h)
	level := 0
	for n := e.size; n&1 == 1; n >>= 1 {
		last := len(e.roots) - 1
		h, e.roots = tlog.NodeHash(e.roots[last], h), e.roots[:last]
		if level++; level%tileHeight == 0 {
			stored(level/tileHeight, n>>1, h)
		}
	}
	e.roots = append(e.roots, h)
	e.size++
}

// root returns the hash of the whole tree.
func (e *edge) root() tlog.Hash {
	if e.size == 0 {
		h, err := tlog.TreeHash(0, nil)
		if err != nil {
			panic(err) // cannot happen: an empty tree reads nothing
		}
		return h
	}
	last := len(e.roots) - 1
	h := e.roots[last]
	for i := last - 1; i >= 0; i-- {
		h = tlog.NodeHash(e.roots[i], h)
	}
	return h
}

// hashText is the length of a hash as the database has it: Base64, one behind the other.
const hashText = 44

func textOf(hashes ...tlog.Hash) string {
	b := make([]byte, 0, hashText*len(hashes))
	for _, h := range hashes {
		b = base64.StdEncoding.AppendEncode(b, h[:])
	}
	return string(b)
}

func hashesOf(text string) ([]tlog.Hash, error) {
	if len(text)%hashText != 0 {
		return nil, fmt.Errorf("%w: a list of hashes is cut", ErrAltered)
	}
	hashes := make([]tlog.Hash, len(text)/hashText)
	for i := range hashes {
		var err error
		if hashes[i], err = tlog.ParseHash(text[i*hashText : (i+1)*hashText]); err != nil {
			return nil, fmt.Errorf("%w: a hash is none", ErrAltered)
		}
	}
	return hashes, nil
}

// tree is what the database says of a log.
type tree struct {
	org string
	edge
	first  int64 // the leaves before it have lost their events to retention
	before int64 // its size before a sweep that is under way
}

// read reads the hashes of a tree, and returns ErrAltered if they do not fit.
func (t *tree) read(root, roots string) (err error) {
	if t.roots, err = hashesOf(roots); err != nil {
		return err
	}
	if t.size < 0 || len(t.roots) != bits.OnesCount64(uint64(t.size)) || textOf(t.root()) != root {
		return fmt.Errorf("%w: its tree of %d does not fit its root", ErrAltered, t.size)
	}
	return nil
}

// treeOf reads an organization's tree, which is empty before its first event is sealed.
func treeOf(ctx context.Context, r db.Reader, org string) (tree, error) {
	t := tree{org: org}
	var root, roots string
	found, err := r.One(ctx, db.Into(&t.size, &root, &roots, &t.first), `select size, root, edge, first from audit_logs where org_id = $1`, org)
	if err != nil || !found {
		return t, err
	}
	return t, t.read(root, roots)
}

// tiles reads the hashes of a log's tree. It keeps the last tile of each level.
type tiles struct {
	ctx  context.Context //nolint:containedctx // tlog.HashReader has none.
	r    db.Reader
	org  string
	kept [8]struct {
		n      int64
		hashes []tlog.Hash
	}
}

func newTiles(ctx context.Context, r db.Reader, org string) *tiles {
	return &tiles{ctx: ctx, r: r, org: org}
}

// tile returns the hashes of a tile, none if there is no such tile.
func (t *tiles) tile(level int, n int64) ([]tlog.Hash, error) {
	if level >= len(t.kept) {
		return nil, nil
	}
	kept := &t.kept[level]
	if kept.n == n && len(kept.hashes) > 0 {
		return kept.hashes, nil
	}
	var text string
	_, err := t.r.One(t.ctx, db.Into(&text), `select hashes from audit_tiles where org_id = $1 and level = $2 and n = $3`, t.org, level, n)
	if err == nil {
		kept.n = n
		kept.hashes, err = hashesOf(text)
	}
	return kept.hashes, err
}

// subtree returns the hash of the complete subtree n of a level.
func (t *tiles) subtree(level int, n int64) (tlog.Hash, error) {
	inside := level % tileHeight
	first := n << inside
	hashes, err := t.tile(level/tileHeight, first>>tileHeight)
	if err != nil {
		return tlog.Hash{}, err
	}
	from := int(first & (1<<tileHeight - 1))
	if from+1<<inside > len(hashes) {
		return tlog.Hash{}, fmt.Errorf("%w: tile %d of level %d is cut", ErrAltered, first>>tileHeight, level/tileHeight)
	}
	var e edge
	for _, h := range hashes[from : from+1<<inside] {
		e.add(h, func(int, int64, tlog.Hash) {})
	}
	return e.root(), nil
}

// ReadHashes implements tlog.HashReader.
func (t *tiles) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		var err error
		if hashes[i], err = t.subtree(tlog.SplitStoredHashIndex(index)); err != nil {
			return nil, err
		}
	}
	return hashes, nil
}

// rootAt returns the root that the tree had at a size.
func (t *tiles) rootAt(size int64) (tlog.Hash, error) {
	h, err := tlog.TreeHash(size, t)
	if err != nil && !errors.Is(err, ErrAltered) {
		err = fmt.Errorf("reading a tree: %w", err)
	}
	return h, err
}

// span is a complete subtree.
type span struct {
	level int
	n     int64
}

// spans returns the largest complete subtrees that fill the leaves from one up to another.
func spans(from, to int64) (all []span) {
	for from < to {
		level := 0
		for from&(1<<(level+1)-1) == 0 && from+1<<(level+1) <= to {
			level++
		}
		all = append(all, span{level, from >> level})
		from += 1 << level
	}
	return all
}
