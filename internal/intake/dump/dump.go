// Package dump reads the files in which other systems hand over their people: CSV, Keycloak's
// export of a realm, Auth0's of users, and JSON lines of our own. It reads them as a stream, one
// person at a time, and sees neither a table nor a request.
package dump

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"unicode/utf8"

	"parvis/internal/credential/foreign"
	"parvis/internal/fault"
)

// Format is the form of a file.
type Format string

// The formats.
const (
	CSV      Format = "csv"
	Keycloak Format = "keycloak"
	Auth0    Format = "auth0"
	Lines    Format = "jsonl"
)

// MostPerson is how many bytes a file may have for one person.
const MostPerson = 1 << 20

// What can be wrong with a file, or with what it says of one person.
var (
	ErrLong       = fault.New(fault.TooLarge, "intake.line_long")
	ErrBroken     = fault.New(fault.Malformed, "intake.line_broken")
	ErrField      = fault.New(fault.Malformed, "intake.line_field")
	ErrNotUTF8    = fault.New(fault.Malformed, "intake.line_not_utf8")
	ErrQuotes     = fault.New(fault.Malformed, "intake.line_quotes")
	ErrColumns    = fault.New(fault.Malformed, "intake.columns")
	ErrColumn     = fault.New(fault.Malformed, "intake.column_unknown")
	ErrTwice      = fault.New(fault.Malformed, "intake.column_twice")
	ErrFile       = fault.New(fault.Malformed, "intake.file_broken")
	ErrDocument   = fault.New(fault.Malformed, "intake.document_broken")
	ErrNoPeople   = fault.New(fault.Malformed, "intake.file_without_people")
	ErrYesOrNo    = fault.New(fault.Malformed, "intake.yes_or_no")
	ErrNobody     = fault.New(fault.Invalid, "intake.service_account")
	ErrSeed       = fault.Field("totp_secret", "intake.seed")
	ErrSecondStep = fault.New(fault.Invalid, "intake.second_step")
)

// Person is what a file says of one person.
type Person struct {
	Line          int // in the file, or the place in its list of people, from 1
	Email         string
	Verified      bool // that system had proved that the address is theirs
	Name          string
	GivenName     string
	FamilyName    string
	Language      string
	Organizations []string // short names; none where the file does not say
	Roles         []string // as that system calls them
	Groups        []string
	Disabled      bool
	Change        bool // was to choose a new password there
	Hash          foreign.Hash
	Seeds         [][]byte // of authenticator apps

	Broken *fault.Error   // why the line says nothing of anybody
	Lost   []*fault.Error // what it says that cannot be taken over
	Step   bool           // something was lost that guarded the password: a second step

	record int // bytes of the CSV record that its texts are parts of, which stays in memory with them
}

// Size returns about how many bytes the texts of a person take.
func (p *Person) Size() int {
	n := p.record + len(p.Email) + len(p.Name) + len(p.GivenName) + len(p.FamilyName) + len(p.Language)
	for _, list := range [][]string{p.Organizations, p.Roles, p.Groups} {
		for _, text := range list {
			n += len(text)
		}
	}
	return n
}

// lose notes a credential that cannot be taken over.
func (p *Person) lose(err error) {
	if why, ok := errors.AsType[*fault.Error](err); ok {
		p.Lost = append(p.Lost, why)
	}
}

// hash takes over a password's hash.
func (p *Person) hash(h foreign.Hash, err error) {
	p.Hash = h
	p.lose(err)
}

// seed takes over an authenticator's seed, or notes that a second step is lost.
func (p *Person) seed(seed []byte, err error) {
	if err != nil {
		p.Step = true
		p.lose(err)
		return
	}
	p.Seeds = append(p.Seeds, seed)
}

// lines reads the lines of a file. One that is longer than MostPerson is passed over and named.
type lines struct {
	r      *bufio.Reader
	number int
}

func newLines(r io.Reader) *lines {
	l := &lines{r: bufio.NewReaderSize(r, MostPerson)}
	if mark, err := l.r.Peek(3); err == nil && string(mark) == "\uFEFF" {
		_, _ = l.r.Discard(len(mark))
	}
	return l
}

// next returns the next line, which is valid until the call after, or io.EOF.
func (l *lines) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	l.number++
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = l.r.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, ErrLong.With("Most", MostPerson>>10)
	case err != nil && (len(line) == 0 || !errors.Is(err, io.EOF)):
		return nil, err
	}
	line = bytes.TrimRight(line, "\r\n")
	if !utf8.Valid(line) {
		return nil, ErrNotUTF8
	}
	return line, nil
}

// readLines reads a file of which each line is a JSON document about one person.
func readLines(r io.Reader, each func(Person) error, read func([]byte) (Person, error)) error {
	all := newLines(r)
	for {
		line, err := all.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var p Person
		if err == nil {
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			p, err = read(line)
		}
		if err != nil && !errors.As(err, &p.Broken) {
			return err
		}
		p.Line = all.number
		if err := each(p); err != nil {
			return err
		}
	}
}
