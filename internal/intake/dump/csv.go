package dump

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// The columns of a CSV file: the names of our own format.
var columns = strings.Fields("email email_verified name given_name family_name language organization role groups disabled " +
	"password_hash change_password totp_secret")

// mostRecord is how long one record of a CSV file may be, with the line breaks in its quotes.
const mostRecord = 64 << 10

// records reads the records of a CSV file. Each is looked for in a bounded stretch, so that a quote
// that is never closed costs its own line and not the file.
type records struct {
	r         *bufio.Reader
	separator rune
	line      int // where the record begins that was read last
	next      int

	csv    *csv.Reader // of record
	record bytes.Reader
}

// read returns the cells of the next record, a fault for one that cannot be read, or io.EOF.
func (r *records) read() ([]string, error) {
	window, err := r.r.Peek(mostRecord)
	if len(window) == 0 {
		return nil, err
	}
	ended := err != nil // the window is all that is left
	if ended && !errors.Is(err, io.EOF) {
		return nil, err
	}
	r.line = r.next
	end, whole := recordEnd(window)
	if !whole && !ended || !whole && bytes.Count(window, []byte(`"`))%2 == 1 {
		return nil, r.pass(window)
	}
	cells, err := r.cells(window[:end])
	if err != nil && bytes.Count(window[:end], []byte("\n")) > 1 {
		// A quote that is never closed ends at the next one, however many lines behind: the people
		// between the two are read all the same.
		end, err = bytes.IndexByte(window, '\n')+1, ErrQuotes
	}
	r.next += bytes.Count(window[:end], []byte("\n"))
	if _, err := r.r.Discard(end); err != nil {
		return nil, err
	}
	return cells, err
}

// cells parts a record; an empty line has none.
func (r *records) cells(record []byte) ([]string, error) {
	if !utf8.Valid(record) {
		return nil, ErrNotUTF8
	}
	if r.csv == nil {
		r.csv = csv.NewReader(&r.record)
		r.csv.Comma, r.csv.FieldsPerRecord, r.csv.TrimLeadingSpace = r.separator, -1, r.separator != '\t'
	}
	r.record.Reset(record)
	cells, err := r.csv.Read()
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err != nil {
		r.csv = nil // it may have kept a part
		return nil, ErrQuotes
	}
	return cells, nil
}

// pass passes over the first line of a record that has no end.
func (r *records) pass(window []byte) error {
	r.next++
	end := bytes.IndexByte(window, '\n') + 1
	if end > 0 {
		_, err := r.r.Discard(end)
		if err != nil {
			return err
		}
		return ErrQuotes
	}
	for {
		_, err := r.r.ReadSlice('\n')
		if err == nil || errors.Is(err, io.EOF) {
			return ErrLong.With("Most", mostRecord>>10)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// recordEnd returns where a record ends, and whether that is in the window.
func recordEnd(window []byte) (end int, whole bool) {
	quoted := false
	for i, b := range window {
		switch b {
		case '"':
			quoted = !quoted
		case '\n':
			if !quoted {
				return i + 1, true
			}
		}
	}
	return len(window), false
}

// readCSV reads a file whose first line names its columns.
func readCSV(r io.Reader, each func(Person) error) error {
	in := newLines(r).r
	first, err := in.Peek(mostRecord)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	all := &records{r: in, separator: separatorOf(first), next: 1}
	names, err := all.read()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for i, name := range names {
		names[i] = strings.ToLower(strings.TrimSpace(name))
		switch {
		case !slices.Contains(columns, names[i]):
			return ErrColumn.With("Column", name, "Columns", strings.Join(columns, ", "))
		case slices.Contains(names[:i], names[i]):
			return ErrTwice.With("Column", name)
		}
	}
	if !slices.Contains(names, "email") {
		return ErrColumns.With("Columns", strings.Join(columns, ", "))
	}
	for {
		cells, err := all.read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var p Person
		text := strings.Join(cells, "")
		if err == nil {
			if strings.TrimSpace(text) == "" {
				continue
			}
			p, err = ofCells(names, cells)
		}
		if err != nil && !errors.As(err, &p.Broken) {
			return err
		}
		p.Line, p.record = all.line, len(text)
		if err := each(p); err != nil {
			return err
		}
	}
}

// separatorOf returns what separates the names of columns.
func separatorOf(window []byte) rune {
	first, _, _ := strings.Cut(string(window), "\n")
	for _, separator := range "\t;" {
		if strings.ContainsRune(first, separator) {
			return separator
		}
	}
	return ','
}

// ofCells reads one record. Groups are separated by a bar.
func ofCells(names, cells []string) (Person, error) {
	if len(cells) > len(names) {
		return Person{}, ErrQuotes
	}
	var o person
	for i, cell := range cells {
		cell = strings.TrimSpace(cell)
		var wrong bool
		switch names[i] {
		case "email":
			o.Email = cell
		case "email_verified":
			o.EmailVerified, wrong = yes(cell)
		case "name":
			o.Name = cell
		case "given_name":
			o.GivenName = cell
		case "family_name":
			o.FamilyName = cell
		case "language":
			o.Language = cell
		case "organization":
			o.Organization = cell
		case "role":
			o.Role = cell
		case "groups":
			o.Groups = slices.DeleteFunc(strings.Split(cell, "|"), func(g string) bool { return strings.TrimSpace(g) == "" })
		case "disabled":
			o.Disabled, wrong = yes(cell)
		case "password_hash":
			o.PasswordHash = cell
		case "change_password":
			o.ChangePassword, wrong = yes(cell)
		case "totp_secret":
			o.TOTPSecret = cell
		}
		if wrong {
			return Person{Email: o.Email}, ErrYesOrNo.With("Column", names[i])
		}
	}
	return o.person(), nil
}

// yes reads a cell that is true or false.
func yes(cell string) (is, wrong bool) {
	switch strings.ToLower(cell) {
	case "true", "yes", "1":
		return true, false
	case "false", "no", "0", "":
		return false, false
	}
	return false, true
}
