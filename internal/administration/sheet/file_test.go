package sheet_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"parvis/internal/administration/sheet"
	"parvis/internal/expect"
	"parvis/internal/fault"
)

// words are those of a page in French.
var words = sheet.Words{"courriel": "email", "nom": "name", "rôle": "role", "langue": "language", "membre": "member", "français": "fr"}

func TestAFileIsReadAsSpreadsheetsWriteIt(t *testing.T) {
	t.Parallel()
	lin := sheet.Line{Number: 2, Email: "lin@alpha.example", Name: "Wei, Lin", Role: "member", Language: "fr"}
	at := func(number int) sheet.Line {
		l := lin
		l.Number = number
		return l
	}
	for name, c := range map[string]struct {
		text string
		want sheet.Line
	}{
		"commas":                        {"email,name,role,language\nlin@alpha.example,\"Wei, Lin\",member,fr\n", lin},
		"semicolons":                    {"email;name;role;language\nlin@alpha.example;Wei, Lin;member;fr", lin},
		"tabs":                          {"email\tname\trole\tlanguage\nlin@alpha.example\tWei, Lin\tmember\tfr", lin},
		"Windows' ends of lines":        {"email;name;role;language\r\nlin@alpha.example;Wei, Lin;member;fr\r\n", lin},
		"a Macintosh's":                 {"email;name;role;language\rlin@alpha.example;Wei, Lin;member;fr", lin},
		"a mark of UTF-8":               {"\uFEFFemail;name;role;language\nlin@alpha.example;Wei, Lin;member;fr", lin},
		"quoted names of columns":       {"\"email\";\"name\";\"role\";\"language\"\n\"lin@alpha.example\";\"Wei, Lin\";\"member\";\"fr\"", lin},
		"another order":                 {"language,role,name,email\nfr,member,\"Wei, Lin\",lin@alpha.example", lin},
		"capitals and spaces":           {" Email ; NAME ; Role ; Language \n lin@alpha.example ; Wei, Lin ; Member ; FR ", lin},
		"a page's words":                {"Courriel;Nom;Rôle;Langue\nlin@alpha.example;Wei, Lin;Membre;Français", lin},
		"without names of columns":      {"lin@alpha.example;Wei, Lin;member;fr", at(1)},
		"empty lines":                   {"email;name;role;language\n\n;;;\nlin@alpha.example;Wei, Lin;member;fr\n;;;\n", at(4)},
		"a value over two lines before": {"name;email;role;language\nlin@alpha.example", sheet.Line{Number: 2, Name: "lin@alpha.example"}},
		"an apostrophe of our export":   {"email;name\n'+lin@alpha.example;'=Lin", sheet.Line{Number: 2, Email: "+lin@alpha.example", Name: "=Lin"}},
		"an apostrophe of one's own":    {"email;name\n'tis@alpha.example;'Aa", sheet.Line{Number: 2, Email: "'tis@alpha.example", Name: "'Aa"}},
		"addresses alone":               {"lin@alpha.example\n", sheet.Line{Number: 1, Email: "lin@alpha.example"}},
		"an empty cell before a tab":    {"name\temail\n\tlin@alpha.example", sheet.Line{Number: 2, Email: "lin@alpha.example"}},
	} {
		of := expect.Case(t, "%s", name)
		f, err := sheet.Read([]byte(c.text), words)
		if err != nil || len(f.Lines) != 1 {
			t.Errorf("%s: %d lines, %v", name, len(f.Lines), err)
			continue
		}
		got := f.Lines[0]
		expect.Equal(of, "line", got.Number, c.want.Number)
		expect.Equal(of, "address", got.Email, c.want.Email)
		expect.Equal(of, "name", got.Name, c.want.Name)
		expect.Equal(of, "role", got.Role, c.want.Role)
		expect.Equal(of, "language", got.Language, c.want.Language)
	}
}

func TestAFileThatCannotBeReadSaysWhatToDo(t *testing.T) {
	t.Parallel()
	wide := utf16.Encode([]rune("email;name\nlin@alpha.example;Lin"))
	var little strings.Builder
	for _, c := range wide {
		little.WriteByte(byte(c))
		little.WriteByte(byte(c >> 8))
	}
	many := "email\n"
	for i := range 501 {
		many += fmt.Sprintf("p%d@alpha.example\n", i)
	}
	for name, c := range map[string]struct {
		content string
		want    *fault.Error
	}{
		"nothing":                 {"", sheet.ErrEmpty},
		"only a mark of UTF-8":    {"\uFEFF", sheet.ErrEmpty},
		"only names of columns":   {"email;name\r\n", sheet.ErrEmpty},
		"only separators":         {";;;\n;;;\n", sheet.ErrEmpty},
		"1 MiB and a byte":        {strings.Repeat("x", 1<<20+1), sheet.ErrLarge},
		"a workbook":              {"PK\x03\x04\x14\x00", sheet.ErrWorkbook},
		"an old workbook":         {"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", sheet.ErrWorkbook},
		"UTF-16 with a mark":      {"\xFF\xFE" + little.String(), sheet.ErrUTF16},
		"UTF-16 without":          {little.String(), sheet.ErrUTF16},
		"Latin-1":                 {"email;name\nlin@alpha.example;Ren\xE9e\n", sheet.ErrNotUTF8.With("Line", 2)},
		"a quote left open":       {"email;name\nlin@alpha.example;\"Lin\nana@alpha.example;Ana\n", sheet.ErrQuotes.With("Line", 2)},
		"a quote in a value":      {"email;name\nlin@alpha.example;Lin \"L\" Wei\n", sheet.ErrQuotes.With("Line", 2)},
		"columns nobody knows":    {"first;last\nLin;Wei\n", sheet.ErrColumns},
		"a picture":               {"\x89PNG\r\n\x1a\n", sheet.ErrNotUTF8.With("Line", 1)},
		"no address":              {"name;role\nLin;member\n", sheet.ErrNoAddress},
		"a column twice":          {"email;name;Email\na@alpha.example;A;b@alpha.example\n", sheet.ErrTwice.With("Column", "Email")},
		"501 people":              {many, sheet.ErrMany.With("People", 501, "Most", 500)},
		"a web page of addresses": {"<html><p>\"</p></html>", sheet.ErrQuotes.With("Line", 1)},
	} {
		_, err := sheet.Read([]byte(c.content), words)
		got, _ := errors.AsType[*fault.Error](err)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want.Key)
			continue
		}
		expect.Equal(expect.Case(t, "%s", name), "details", fmt.Sprint(got.Args), fmt.Sprint(c.want.Args))
	}
}

func TestColumnsThatAreNotReadAreNamed(t *testing.T) {
	t.Parallel()
	f, err := sheet.Read([]byte("Department;email;Phone;;name\nX;lin@alpha.example;1;;Lin\n"), words)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "not read", fmt.Sprint(f.Ignored), "[Department Phone]")
	expect.Equal(t, "name", f.Lines[0].Name, "Lin")
	text, err := f.Text(f.Lines)
	expect.Equal(t, "error", err, nil)
	expect.Equal(t, "written again", text, "Department;email;Phone;;name\nX;lin@alpha.example;1;;Lin\n")
}

// FuzzRead: whatever a file has in it, it is read as at most so many lines of valid text or
// refused with a fault, and what is written of it again reads as the same lines.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"email,name\nlin@alpha.example,Lin", "\uFEFFemail;name;role\r\n\"a@b.example\";\"x\"\"y\";member", "a@b.example\tA\tmember\tfr", "\xFF\xFEe\x00", "PK\x03\x04",
		"email\n\"a\n@b\"", ";;;\n", "email,email", "'=a@b.example", "a@b.example\r\rb@b.example", "email\n\"a\r\r\n@b\"",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		read, err := sheet.Read(content, words)
		if err != nil {
			if len(fault.All(err)) != 1 {
				t.Fatalf("no fault: %v", err)
			}
			return
		}
		if len(read.Lines) == 0 || len(read.Lines) > sheet.Most {
			t.Fatalf("%d lines", len(read.Lines))
		}
		for i, l := range read.Lines {
			if !utf8.ValidString(l.Email + l.Name + l.Role + l.Language) {
				t.Fatalf("line %d is not UTF-8", l.Number)
			}
			if i > 0 && l.Number <= read.Lines[i-1].Number {
				t.Fatalf("line %d comes after line %d", l.Number, read.Lines[i-1].Number)
			}
		}
		text, err := read.Text(read.Lines)
		if err != nil {
			t.Fatal(err)
		}
		again, err := sheet.Read([]byte(text), words)
		if err != nil && !errors.Is(err, sheet.ErrLarge) {
			t.Fatalf("written again it is %q: %v", text, err)
		}
		for i := range again.Lines {
			a, b := again.Lines[i], read.Lines[i]
			if a.Email != b.Email || a.Name != b.Name {
				t.Fatalf("line %d: %q, %q became %q, %q", b.Number, b.Email, b.Name, a.Email, a.Name)
			}
		}
	})
}
