// Package backup writes a running installation into a file, and puts such a file back into an empty
// place without reviving anything (decision 0081).
//
// A backup is, inside the encryption by age where there is one:
//
//	parvis-backup 1            a line that says what this is
//	{"made_at":…}              a line of JSON: the Header
//	…                          gzip over lines of JSON
//	…                          32 bytes: HMAC-SHA-256 of everything before
//
// The lines are {"table":NAME,"columns":[…]}, then a list of values for each of its rows, for one
// table after the other, each behind those that its foreign keys name; the last line is {"rows":N}.
// The MAC is under a key of the installation: age says who may read a file, and not who wrote it.
package backup

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"parvis/internal/db"
	"parvis/internal/secret"
)

const (
	magic      = "parvis-backup 1\n"
	anyVersion = "parvis-backup "
	macBytes   = 32
	// longestLine is the most bytes that a line is read with: a picture is the longest value.
	longestLine = 64 << 20
)

// Header says what a backup holds.
type Header struct {
	MadeAt        time.Time `json:"made_at"`
	Program       string    `json:"program"` // the version that wrote it
	Schema        db.Schema `json:"schema"`
	Database      string    `json:"database"` // sqlite or postgresql
	Key           string    `json:"key"`      // id of the key that the MAC is under
	Organizations int64     `json:"organizations"`
	People        int64     `json:"people"` // whose users were not deleted
	Rows          int64     `json:"rows"`
}

// What is wrong with a file. Nothing was written when one of these is returned.
var (
	ErrNone    = errors.New("this is no backup that 'parvis backup' made")
	ErrDamaged = errors.New("the backup was damaged or altered since it was made")
	ErrForeign = errors.New("the backup is of another installation, whose keys are others than these")
	ErrNewer   = errors.New("the backup was made by a newer version of parvis: restore it with that version")
)

// macKey returns the key of an installation for its backups; false if the ring has no such key.
func macKey(keys secret.Keys, id string) ([]byte, bool) {
	k, known := keys.Sealing.For("backups").ByID(id)
	return k.Bytes, known
}

// A writer writes the layers inside the encryption.
type writer struct {
	to   io.Writer
	mac  hash.Hash
	gzip *gzip.Writer
	rows int64
}

func newWriter(to io.Writer, keys secret.Keys, h Header) (*writer, error) {
	key, _ := macKey(keys, h.Key)
	mac := secret.NewMAC(key)
	head, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	w := &writer{to: to, mac: mac}
	both := io.MultiWriter(to, mac)
	if _, err := io.WriteString(both, magic+string(head)+"\n"); err != nil {
		return nil, err
	}
	// Best speed: a backup must not take the processor from people who sign in.
	w.gzip, err = gzip.NewWriterLevel(both, gzip.BestSpeed)
	return w, err
}

func (w *writer) line(b []byte) error {
	if _, err := w.gzip.Write(b); err != nil {
		return err
	}
	_, err := w.gzip.Write([]byte{'\n'})
	return err
}

func (w *writer) object(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return w.line(b)
}

// end writes the last line and the MAC.
func (w *writer) end() error {
	if err := w.object(map[string]int64{"rows": w.rows}); err != nil {
		return err
	}
	if err := w.gzip.Close(); err != nil {
		return err
	}
	_, err := w.to.Write(w.mac.Sum(nil))
	return err
}

// A tail reads everything but the last bytes, which are the MAC, and computes the MAC of the rest.
type tail struct {
	from *bufio.Reader
	mac  hash.Hash
}

func (t *tail) Read(p []byte) (int, error) {
	ahead, err := t.from.Peek(macBytes + 1)
	if err != nil {
		return 0, err // io.EOF: only the MAC is left
	}
	if more, err := t.from.Peek(t.from.Buffered()); err == nil {
		ahead = more
	}
	n := copy(p, ahead[:len(ahead)-macBytes])
	_, err = t.from.Discard(n)
	t.mac.Write(p[:n])
	return n, err
}

// A reader reads the layers inside the encryption.
type reader struct {
	Header
	head string // the first two lines
	body *tail
}

// open reads what a backup says of itself, which is not to be believed before check.
func open(from io.Reader, keys secret.Keys) (*reader, error) {
	in := bufio.NewReaderSize(from, 64<<10)
	first, err := in.ReadSlice('\n')
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return nil, broken(err)
	}
	switch {
	case !bytes.HasPrefix(first, []byte(anyVersion)):
		return nil, ErrNone
	case string(first) != magic:
		return nil, ErrNewer
	}
	r := &reader{}
	text, err := in.ReadSlice('\n')
	if err != nil {
		return nil, broken(err)
	}
	if err := json.Unmarshal(text, &r.Header); err != nil {
		return nil, ErrDamaged
	}
	key, known := macKey(keys, r.Key)
	if !known {
		return nil, ErrForeign
	}
	r.head = magic + string(text)
	r.body = &tail{in, secret.NewMAC(key)}
	r.body.mac.Write([]byte(r.head))
	return r, nil
}

// broken says that what is read of a file is not what was written; a disk that fails is another
// matter.
func broken(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it is cut off", ErrDamaged)
	}
	return err
}

// check reads the rest and compares the MAC.
func (r *reader) check() error {
	if _, err := io.Copy(io.Discard, r.body); err != nil {
		return broken(err)
	}
	return r.fits()
}

// fits compares the MAC of what was read to the end.
func (r *reader) fits() error {
	said := make([]byte, macBytes)
	if _, err := io.ReadFull(r.body.from, said); err != nil {
		return broken(err)
	}
	if !secret.Equal(said, r.body.mac.Sum(nil)) {
		return ErrDamaged
	}
	return nil
}

// lines hands each line to each, and then compares the MAC.
func (r *reader) lines(each func(line []byte) error) error {
	z, err := gzip.NewReader(r.body)
	if err != nil {
		return ErrDamaged
	}
	z.Multistream(false)
	all := bufio.NewScanner(z)
	all.Buffer(make([]byte, 64<<10), longestLine)
	for all.Scan() {
		if err := each(all.Bytes()); err != nil {
			return err
		}
	}
	if all.Err() != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, all.Err())
	}
	return r.check()
}
