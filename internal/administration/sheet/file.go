// Package sheet reads and writes files of spreadsheets: it reads lists of people to be invited, and
// writes tables whose cells are no formulas.
package sheet

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"parvis/internal/fault"
	"parvis/internal/naming"
)

// What a file of invitations may have.
const (
	Most     = 500
	mostFile = 1 << 20
)

// What can be wrong with a file as a whole. The field is that of the text, in which a file is
// shown and corrected.
var (
	ErrEmpty     = fault.Field("people", "administration.file_empty")
	ErrLarge     = fault.Field("people", "administration.file_large")
	ErrWorkbook  = fault.Field("people", "administration.file_workbook")
	ErrUTF16     = fault.Field("people", "administration.file_utf16")
	ErrNotUTF8   = fault.Field("people", "administration.file_not_utf8")
	ErrQuotes    = fault.Field("people", "administration.file_quotes")
	ErrColumns   = fault.Field("people", "administration.file_columns")
	ErrNoAddress = fault.Field("people", "administration.file_no_address")
	ErrTwice     = fault.Field("people", "administration.file_column_twice")
	ErrMany      = fault.Field("people", "administration.file_many")
)

// The columns of a file of invitations, in the order that a file without a first line of names has.
var columns = []string{"email", "name", "role", "language"}

// Words are what people may write in place of our names of columns, roles and languages: what the
// pages call them. The words are folded by naming.Fold.
type Words map[string]string

// name returns our name for what somebody wrote.
func (w Words) name(written string) string {
	folded := naming.Fold(strings.TrimSpace(written))
	if ours, ok := w[folded]; ok {
		return ours
	}
	return folded
}

// File is a list of invitations as somebody wrote it.
type File struct {
	Lines   []Line
	Ignored []string // columns that are not read

	separator rune
	names     []string // the first line, if it names the columns
}

// Line is one line of a file, which becomes one invitation. Role and language are our names
// for them where we know what was written.
type Line struct {
	Number                      int // of the line in the file
	Email, Name, Role, Language string

	Wide bool // has more cells than there are columns

	cells []string
}

// Read reads a file of invitations: text in UTF-8, separated by commas, semicolons or tabs, its
// first line the names of the columns or already somebody's address.
func Read(content []byte, words Words) (File, error) {
	text, err := readable(content)
	if err != nil {
		return File{}, err
	}
	f := File{separator: separatorOf(text)}
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.FieldsPerRecord, r.TrimLeadingSpace = f.separator, -1, f.separator != '\t'
	order, many := []string(nil), 0
	for {
		cells, err := r.Read()
		switch broken, ok := errors.AsType[*csv.ParseError](err); {
		case errors.Is(err, io.EOF):
			return f.complete(many)
		case ok:
			return File{}, ErrQuotes.With("Line", broken.StartLine)
		case err != nil:
			return File{}, err
		}
		if strings.TrimSpace(strings.Join(cells, "")) == "" {
			continue // spreadsheets write such lines at the end
		}
		if order == nil {
			if order, err = f.order(cells, words); err != nil {
				return File{}, err
			}
			if f.names != nil {
				continue
			}
		}
		if many++; many <= Most {
			number, _ := r.FieldPos(0)
			f.Lines = append(f.Lines, lineOf(number, cells, order, words))
		}
	}
}

// readable returns the text of a file, or says what to do so that it becomes readable.
func readable(content []byte) (string, error) {
	content = bytes.TrimPrefix(content, []byte("\uFEFF"))
	switch {
	case len(content) > mostFile:
		return "", ErrLarge
	case bytes.HasPrefix(content, []byte("PK\x03\x04")), bytes.HasPrefix(content, []byte("\xD0\xCF\x11\xE0")):
		return "", ErrWorkbook
	case bytes.HasPrefix(content, []byte("\xFF\xFE")), bytes.HasPrefix(content, []byte("\xFE\xFF")), bytes.IndexByte(content, 0) >= 0:
		return "", ErrUTF16
	case !utf8.Valid(content):
		good := 0
		for r, size := utf8.DecodeRune(content); r != utf8.RuneError || size > 1; r, size = utf8.DecodeRune(content[good:]) {
			good += size
		}
		return "", ErrNotUTF8.With("Line", 1+bytes.Count(content[:good], []byte("\n")))
	}
	text := string(content)
	if !strings.Contains(text, "\n") {
		text = strings.ReplaceAll(text, "\r", "\n") // as spreadsheets on a Macintosh may end lines
	}
	return ends.ReplaceAllString(text, "\n"), nil
}

// ends of lines, of which the CSV reader would take one \r off at each reading.
var ends = regexp.MustCompile(`\r+\n`)

// separatorOf returns what separates the cells of the first line: a tab, which pasting from a
// spreadsheet brings, else a semicolon, which spreadsheets write where a comma is a decimal sign.
func separatorOf(text string) rune {
	first, _, _ := strings.Cut(strings.TrimLeft(text, "\r\n"), "\n")
	quoted := false
	first = strings.Map(func(r rune) rune {
		if r == '"' {
			quoted = !quoted
		}
		if quoted {
			return -1
		}
		return r
	}, first)
	for _, separator := range "\t;" {
		if strings.ContainsRune(first, separator) {
			return separator
		}
	}
	return ','
}

// order returns the column of each cell by the first line, and remembers the line if it is one of
// names.
func (f *File) order(cells []string, words Words) ([]string, error) {
	var order []string
	known := 0
	for _, cell := range cells {
		name := words.name(cell)
		switch {
		case !slices.Contains(columns, name):
			name = ""
			if cell = strings.TrimSpace(cell); cell != "" {
				f.Ignored = append(f.Ignored, cell)
			}
		case slices.Contains(order, name):
			return nil, ErrTwice.With("Column", strings.TrimSpace(cell))
		default:
			known++
		}
		order = append(order, name)
	}
	switch {
	case known == 0 && slices.ContainsFunc(cells, func(cell string) bool { return strings.Contains(cell, "@") }):
		f.Ignored = nil
		return columns, nil
	case known == 0:
		return nil, ErrColumns
	case !slices.Contains(order, "email"):
		return nil, ErrNoAddress
	}
	f.names = cells
	return order, nil
}

func lineOf(number int, cells, order []string, words Words) Line {
	l := Line{Number: number, cells: cells}
	for i, cell := range cells {
		cell = withoutApostrophe(strings.TrimSpace(cell))
		if i >= len(order) {
			l.Wide = l.Wide || cell != ""
			continue
		}
		switch order[i] {
		case "email":
			l.Email = cell
		case "name":
			l.Name = cell
		case "role":
			l.Role = words.name(cell)
		case "language":
			l.Language = words.name(cell)
		}
	}
	return l
}

// complete judges a file that was read to its end and has so many lines.
func (f File) complete(many int) (File, error) {
	switch {
	case many == 0:
		return File{}, ErrEmpty
	case many > Most:
		return File{}, ErrMany.With("People", many, "Most", Most)
	}
	return f, nil
}

// Text writes some of the lines of the file, below the names of its columns.
func (f File) Text(lines []Line) (string, error) {
	var b strings.Builder
	w := csv.NewWriter(&b)
	w.Comma = f.separator
	names := f.names
	if names == nil {
		names = columns // they say what separates, whatever is in the lines
	}
	rows := [][]string{names}
	for _, l := range lines {
		rows = append(rows, l.cells)
	}
	err := w.WriteAll(rows)
	return b.String(), err
}
