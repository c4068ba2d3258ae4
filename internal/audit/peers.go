package audit

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// A node without a file of roots asks the nodes that serve, by two rows of the database (decision
// 0085): the question is a random text, and the answer has a MAC over it and over the roots, under a
// key that no database has. So somebody who can only write the database can keep an answer away,
// which leaves the node where it was; but neither make one up nor put an earlier one there.
const (
	rootsAsked = "roots asked "
	rootsTold  = "roots told "
)

// rootsRing is what the key is derived for by which nodes believe each other.
const rootsRing = "audit roots"

// asksFor is how long a question waits for its answer at most; nobody answers a later one.
const asksFor = time.Minute

// asksAgain is how often an asker looks for its answer.
const asksAgain = 200 * time.Millisecond

// Knows reports whether this node knows any root of a database. Of one without logs there is none.
func (l *Logs) Knows(ctx context.Context, r db.Reader) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.known.load(); err != nil || len(l.known.roots) > 0 {
		return true, err
	}
	some, err := r.One(ctx, db.Into(new(string)), `select org_id from audit_logs limit 1`)
	return !some, err
}

// Ask asks other nodes for the roots that they know, keeps them, and reports whether one answered
// before ctx ended. It does not say whether the database fits them: Watch does.
func (l *Logs) Ask(ctx context.Context, d *db.DB) (answered bool, err error) {
	nonce := base64.RawURLEncoding.EncodeToString(secret.Bytes(16))
	if err := d.Update(ctx, func(tx *db.Tx) error {
		now, err := tx.ServerNow(ctx)
		if err != nil {
			return err
		}
		return tx.SetNote(ctx, rootsAsked+nonce, strconv.FormatInt(now.UnixMicro(), 10))
	}); err != nil {
		return false, err
	}
	for !answered && err == nil && ctx.Err() == nil {
		var told string
		if told, err = db.ReadNote(ctx, d, rootsTold+nonce); err == nil && told != "" {
			answered, err = l.believe(nonce, told)
			break
		}
		select {
		case <-ctx.Done():
		case <-time.After(asksAgain):
		}
	}
	if ctx.Err() != nil {
		err = nil // nobody answered in time
	}
	ctx = context.WithoutCancel(ctx)
	if gone := d.Update(ctx, func(tx *db.Tx) error { return takeBack(ctx, tx, nonce) }); err == nil {
		err = gone
	}
	return answered, err
}

// takeBack removes a question with its answer, both in one transaction: Tell answers no question that is
// gone, and so no answer stays.
func takeBack(ctx context.Context, tx *db.Tx, nonce string) error {
	return errors.Join(tx.SetNote(ctx, rootsAsked+nonce, ""), tx.SetNote(ctx, rootsTold+nonce, ""))
}

// believe keeps roots that another node told, unless somebody without the keys wrote them.
func (l *Logs) believe(nonce, told string) (bool, error) {
	proof, text, _ := strings.Cut(told, "\n")
	if !l.proves(proof, nonce, text) {
		return false, fmt.Errorf("%w: an answer with the roots of other nodes is not by the keys of this installation", ErrAltered)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.known.load(); err != nil {
		return false, err
	}
	roots, _ := readRoots(strings.NewReader(text))
	return len(roots) > 0, l.known.take(roots)
}

// proveRoots returns a MAC over an answer.
func (l *Logs) proveRoots(id, nonce, text string) (proof string, known bool) {
	key, known := l.telling.ByID(id)
	return id + "." + base64.RawURLEncoding.EncodeToString(secret.MAC(key.Bytes, nonce, text)), known
}

// proves reports whether a proof is the MAC over an answer.
func (l *Logs) proves(proof, nonce, text string) bool {
	id, _, _ := strings.Cut(proof, ".")
	right, known := l.proveRoots(id, nonce, text)
	return known && secret.Equal([]byte(right), []byte(proof))
}

// Tell answers the nodes that ask, with every root that this node knows.
func (l *Logs) Tell(ctx context.Context, d *db.DB) error {
	asked, err := db.Notes(ctx, d, rootsAsked)
	if err != nil || len(asked) == 0 {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.known.load(); err != nil || len(l.known.roots) == 0 {
		return err
	}
	var text strings.Builder
	for org, p := range l.known.roots {
		text.WriteString(p.line(org))
	}
	return d.Update(ctx, func(tx *db.Tx) error {
		now, err := tx.ServerNow(ctx)
		if err != nil {
			return err
		}
		asked, err := db.Notes(ctx, tx, rootsAsked) // the one who asked may have gone since
		for name, value := range asked {
			if err != nil {
				break
			}
			nonce := strings.TrimPrefix(name, rootsAsked)
			at, wrong := strconv.ParseInt(value, 10, 64)
			if wrong != nil || now.Sub(time.UnixMicro(at)).Abs() > asksFor { // its node died
				err = takeBack(ctx, tx, nonce)
				continue
			}
			proof, _ := l.proveRoots(l.telling.Current().ID, nonce, text.String())
			err = tx.SetNote(ctx, rootsTold+nonce, proof+"\n"+text.String())
		}
		return err
	})
}
