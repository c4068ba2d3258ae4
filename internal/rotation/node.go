package rotation

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// nodeNote begins the name of the row of installation in which a node says which keys it has.
const nodeNote = "keys of node "

// A node says so again after tells, and counts as gone after goneAfter, by the clock of the database.
const (
	tells     = time.Minute
	goneAfter = 3 * time.Minute
)

// Node is what a node that serves says of its keys.
type Node struct {
	Host   string    `json:"host"`
	At     time.Time `json:"at"`
	Knows  []string  `json:"knows"`
	Writes []string  `json:"writes"`
}

// A reader has the clock of the database too.
type reader interface {
	db.Reader
	ServerNow(ctx context.Context) (time.Time, error)
}

// Nodes returns the nodes that serve.
func Nodes(ctx context.Context, r reader) ([]Node, error) {
	now, err := r.ServerNow(ctx)
	if err != nil {
		return nil, err
	}
	notes, err := db.Notes(ctx, r, nodeNote)
	var all []Node
	for _, text := range notes {
		var n Node
		if json.Unmarshal([]byte(text), &n) == nil && now.Sub(n.At).Abs() < goneAfter {
			all = append(all, n)
		}
	}
	slices.SortFunc(all, func(a, b Node) int { return strings.Compare(a.Host, b.Host) })
	return all, err
}

// lacking lists the hosts of nodes for which has does not hold.
func lacking(all []Node, has func(Node) bool) (hosts []string) {
	for _, n := range all {
		if !has(n) {
			hosts = append(hosts, n.Host)
		}
	}
	return hosts
}

// Server keeps the keys of a node that serves in the order of the database, and says which it has.
type Server struct {
	DB   *db.DB
	Keys secret.Keys                 // that everything in this process was made from
	File func() (secret.Keys, error) // reads DATA/keys
	Host string

	mu     sync.Mutex
	node   string
	file   secret.Keys // as it was read last
	seen   string      // the note that is in force
	toldAt time.Time
}

// Reload reads the file again, so that a key that was added is known. A file that lacks a key which the
// database needs changes nothing.
func (s *Server) Reload(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := db.ReadNote(ctx, s.DB, Note)
	if err != nil {
		return err
	}
	if err := s.take(text); err != nil {
		return err
	}
	return s.tell(ctx)
}

// FirstByHand returns the keys that stand first in the file and were never put in use.
func (s *Server) FirstByHand() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Parse(s.seen).FirstByHand(s.file)
}

// take reads the file, and brings its keys into the order of a note.
func (s *Server) take(text string) error {
	file, err := s.File()
	if err != nil {
		return err
	}
	known := Parse(text)
	if !known.Fits(file) {
		return fmt.Errorf("%w, or lack one that is in use: copy the file from a node that has it", ErrForeign)
	}
	known.Order(file, s.Keys)
	s.file, s.seen = file, text
	return nil
}

// Follow changes over to the key that the database says, and says from time to time which keys this node
// has.
func (s *Server) Follow(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := db.ReadNote(ctx, s.DB, Note)
	if err != nil {
		return err
	}
	if text == s.seen {
		if s.DB.Now().Sub(s.toldAt) < tells {
			return nil
		}
		return s.tell(ctx)
	}
	if known := Parse(text); s.file.Sealing != nil && known.Fits(s.file) {
		known.Order(s.file, s.Keys)
		s.seen = text
	} else if err := s.take(text); err != nil { // it may have been copied here without a signal
		return err
	}
	return s.tell(ctx)
}

// tell says which keys this node has.
func (s *Server) tell(ctx context.Context) error {
	if s.node == "" {
		s.node = secret.NewID("node")
	}
	at, err := s.DB.ServerNow(ctx)
	if err != nil {
		return err
	}
	n := Node{Host: s.Host, At: at}
	for _, ring := range RingNames {
		all := s.Keys.Rings()[ring].All()
		n.Writes = append(n.Writes, all[0].ID)
		for _, k := range all {
			n.Knows = append(n.Knows, k.ID)
		}
	}
	text, err := json.Marshal(n)
	if err == nil {
		err = s.DB.Update(ctx, func(tx *db.Tx) error { return tx.SetNote(ctx, nodeNote+s.node, string(text)) })
	}
	if err == nil {
		s.toldAt = s.DB.Now()
	}
	return err
}

// End says that this node serves no longer.
func (s *Server) End(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node == "" {
		return nil
	}
	return s.DB.Update(ctx, func(tx *db.Tx) error { return tx.SetNote(ctx, nodeNote+s.node, "") })
}

// forgetNodes removes what nodes said that are gone.
func forgetNodes(ctx context.Context, tx *db.Tx) error {
	now, err := tx.ServerNow(ctx)
	if err != nil {
		return err
	}
	notes, err := db.Notes(ctx, tx, nodeNote)
	for name, text := range notes {
		var n Node
		if err == nil && (json.Unmarshal([]byte(text), &n) != nil || now.Sub(n.At).Abs() >= goneAfter) {
			err = tx.SetNote(ctx, name, "")
		}
	}
	return err
}
