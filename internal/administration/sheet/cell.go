package sheet

import (
	"fmt"
	"io"
	"regexp"
	"strings"
)

// formula finds where a spreadsheet would begin to read a formula: at the beginning of a cell, and
// behind a separator, since a spreadsheet set to another country parts the cell there (R-INP-04).
var formula = regexp.MustCompile(`(^|[,;|\t])([ "']*)([=+\-@\t\r＝＋－＠])`)

// cell returns a value as a cell in a file for spreadsheets. Every cell is quoted, and an apostrophe
// keeps it from being a formula.
func cell(value string) string {
	return `"` + strings.ReplaceAll(formula.ReplaceAllString(value, "$1'$2$3"), `"`, `""`) + `"`
}

// withoutApostrophe returns the value of a cell that cell returned.
func withoutApostrophe(read string) string {
	if bare, ok := strings.CutPrefix(read, "'"); ok && formula.MatchString(bare) {
		return bare
	}
	return read
}

// Table writes a file for spreadsheets: UTF-8 with its mark, without which they take it for an
// older encoding, and lines that end as RFC 4180 says.
type Table struct {
	w         io.Writer
	separator string
	begun     bool
}

// NewTable returns a table whose cells are separated by a comma or a semicolon.
func NewTable(w io.Writer, separator string) *Table { return &Table{w: w, separator: separator} }

// Rows adds rows to the table.
func (t *Table) Rows(rows ...[]string) error {
	var b strings.Builder
	if !t.begun {
		b.WriteString("\uFEFF")
		t.begun = true
	}
	for _, row := range rows {
		for i, value := range row {
			if i > 0 {
				b.WriteString(t.separator)
			}
			b.WriteString(cell(value))
		}
		b.WriteString("\r\n")
	}
	if _, err := io.WriteString(t.w, b.String()); err != nil {
		return fmt.Errorf("writing a file: %w", err)
	}
	return nil
}
