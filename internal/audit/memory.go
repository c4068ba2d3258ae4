package audit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// memory is what this node knows of every log: its newest root, in a file that no database
// reaches. Somebody who can write the database could make a whole new tree, but not this.
//
// The file has a line for each root that was sealed, and is written again when most of its lines
// are of the past.
type memory struct {
	path  string // empty to keep nothing
	epoch string // that the database says it is in; what is known of an earlier one is of the past
	roots map[string]point
	lines int
}

// point is a tree at a size, in an epoch.
type point struct {
	size  int64
	root  tlog.Hash
	epoch string
}

// line returns the line of a log in the file.
func (p point) line(org string) string {
	return strings.TrimSuffix(fmt.Sprintf("%q %d %s %s", org, p.size, p.root, p.epoch), " ") + "\n"
}

// load reads the file once.
func (m *memory) load() error {
	if m.roots != nil {
		return nil
	}
	roots := map[string]point{}
	if m.path != "" {
		file, err := os.Open(m.path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("reading the roots that this node knows: %w", err)
		}
		if err == nil {
			defer file.Close() //nolint:errcheck // Closing what was only read loses nothing.
			roots, m.lines = readRoots(file)
		}
	}
	m.roots = roots
	return nil
}

// readRoots reads the lines of the file.
func readRoots(from io.Reader) (roots map[string]point, n int) {
	roots = map[string]point{}
	lines := bufio.NewScanner(from)
	for ; lines.Scan(); n++ {
		var org, root string
		var p point
		if _, err := fmt.Sscanf(lines.Text(), "%q %d %s", &org, &p.size, &root); err != nil {
			continue // the last line, of a node that died while it wrote: an older root serves as well
		}
		if fields := strings.Fields(lines.Text()); len(fields) == 4 {
			p.epoch = fields[3]
		}
		var err error
		if p.root, err = tlog.ParseHash(root); err == nil {
			roots[org] = p
		}
	}
	return roots, n
}

// take keeps the roots that another node knows, where this one knows none.
func (m *memory) take(roots map[string]point) error {
	maps.Copy(roots, m.roots)
	m.roots = roots
	if m.path == "" {
		return nil
	}
	return m.rewrite()
}

// forget drops the root of a log that is gone.
func (m *memory) forget(org string) error {
	if _, known := m.roots[org]; !known {
		return nil
	}
	delete(m.roots, org)
	if m.path == "" {
		return nil
	}
	return m.rewrite()
}

// compare returns ErrAltered unless a tree is the one that this node knows, or has grown out of it:
// another node may have sealed since.
func (m *memory) compare(t tree, read *tiles) error {
	known, some := m.roots[t.org]
	switch {
	case !some || known.size == 0 || known.epoch < m.epoch:
		return nil
	case known.epoch > m.epoch:
		return fmt.Errorf("%w: this node knows that the database was restored (%s), and the database does not: %w", ErrAltered, known.epoch, ErrOlder)
	}
	if t.size < known.size {
		whose := t.org
		if whose == "" {
			whose = "the installation itself"
		}
		return fmt.Errorf("%w: this node knows %d sealed events of %s, and the database has %d: %w", ErrAltered, known.size, whose, t.size, ErrOlder)
	}
	root := t.root()
	if t.size > known.size {
		var err error
		if root, err = read.rootAt(known.size); err != nil {
			return err
		}
	}
	if root != known.root {
		return fmt.Errorf("%w: the first %d events of %q are not the ones that this node knows", ErrAltered, known.size, t.org)
	}
	return nil
}

// keep remembers trees. Those that are on disk already cost one append.
func (m *memory) keep(trees []tree) error {
	var news strings.Builder
	for _, t := range trees {
		p := point{t.size, t.root(), m.epoch}
		if p != m.roots[t.org] {
			m.roots[t.org] = p
			news.WriteString(p.line(t.org))
			m.lines++
		}
	}
	if m.path == "" || news.Len() == 0 {
		return nil
	}
	if m.lines > 2*len(m.roots)+1000 {
		return m.rewrite()
	}
	file, err := os.OpenFile(m.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = file.WriteString(news.String())
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return fmt.Errorf("keeping the roots that this node knows: %w", err)
	}
	return nil
}

// rewrite writes the file again, with a line for each log.
func (m *memory) rewrite() error {
	var all strings.Builder
	for org, p := range m.roots {
		all.WriteString(p.line(org))
	}
	err := os.WriteFile(m.path+".new", []byte(all.String()), 0o600)
	if err == nil {
		err = os.Rename(m.path+".new", m.path)
	}
	if err != nil {
		return fmt.Errorf("keeping the roots that this node knows: %w", err)
	}
	m.lines = len(m.roots)
	return nil
}
