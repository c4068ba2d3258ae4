package dump

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"parvis/internal/fault"
)

// all reads a file.
func all(t *testing.T, f Format, text string) ([]Person, error) {
	t.Helper()
	file, err := Open(f, strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	var people []Person
	err = file.Read(func(p Person) error {
		people = append(people, p)
		return nil
	})
	return people, err
}

// tellings writes what was read of people in a few words.
func tellings(people []Person) []string {
	var said []string
	for _, p := range people {
		what := p.Email
		if p.Broken != nil {
			what = p.Broken.Key
		}
		said = append(said, fmt.Sprintf("%d %s", p.Line, what))
	}
	return said
}

func TestABadLineCostsOnlyItself(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MostPerson+10)
	wide := strings.Repeat("y", 70_000)
	for name, c := range map[string]struct {
		format Format
		text   string
		want   string
	}{
		"JSON lines": {
			Lines, "\uFEFF{\"email\":\"a@x.example\"}\nnonsense\n{\"email\":\"" + long + "\"}\n\n{\"email\":\"b@x.example\",\"pasword\":1}\n{\"email\":5}\n" +
				"{\"email\":\"c\xff@x.example\"}\n{\"email\":\"d@x.example\"} {}\n{\"email\":\"e@x.example\"}",
			"[1 a@x.example 2 intake.line_broken 3 intake.line_long 5 intake.line_field 6 intake.line_field 7 intake.line_not_utf8 8 intake.line_broken 9 e@x.example]",
		},
		"CSV": {
			CSV, "email;disabled\na@x.example;\n\"open;no\nb@x.example;maybe\nc@x.example;no;more\n;;\nd\xff@x.example;\n\"e\n@x.example\";1\n" + wide + "\nf@x.example;\n",
			"[2 a@x.example 3 intake.line_quotes 4 intake.yes_or_no 5 intake.line_quotes 7 intake.line_not_utf8 8 e\n@x.example 10 intake.line_long 11 f@x.example]",
		},
		"CSV whose last quote stays open": {CSV, "email\na@x.example\n\"b@x.example\nc@x.example", "[2 a@x.example 3 intake.line_quotes 4 c@x.example]"},
		"Auth0's lines":                   {Auth0, "\n{\"email\":\"a@x.example\"}\n{\"email\":7}\n{\"email\":\"b@x.example\"}\n", "[2 a@x.example 3 intake.line_field 4 b@x.example]"},
		"Auth0's array":                   {Auth0, ` [{"email":"a@x.example"},{"email":7},{"email":"b@x.example"}]`, "[1 a@x.example 2 intake.line_field 3 b@x.example]"},
		"Keycloak": {
			Keycloak, `{"realm":"m","users":[{"username":"a","email":"a@x.example","enabled":true},{"email":[]},{"username":"s","serviceAccountClientId":"app"}],"clients":[{"a":[1,{}]}]}`,
			"[1 a@x.example 2 intake.line_field 3 intake.service_account]",
		},
	} {
		people, err := all(t, c.format, c.text)
		if got := fmt.Sprint(tellings(people)); err != nil || got != c.want {
			t.Errorf("%s: %v\n got %s\nwant %s", name, err, got, c.want)
		}
	}
}

func TestAFileThatCannotBeReadSaysSo(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*MostPerson)
	for name, c := range map[string]struct {
		format Format
		text   string
		want   error
		people int
	}{
		"a CSV without addresses":      {CSV, "name\nAna\n", ErrColumns, 0},
		"a CSV with a misspelt column": {CSV, "email,pasword_hash\na@x.example,x\n", ErrColumn, 0},
		"a CSV with a column twice":    {CSV, "email,Email\na@x.example,x\n", ErrTwice, 0},
		"nothing":                      {CSV, "", ErrColumns, 0},
		"a realm without people":       {Keycloak, `{"realm":"m"}`, ErrNoPeople, 0},
		"a realm that is none":         {Keycloak, `[1]`, ErrDocument, 0},
		"a realm that is cut off":      {Keycloak, `{"users":[{"username":"a","email":"a@x.example"},{"username":`, ErrDocument, 0},
		"an array that is cut off":     {Auth0, `[{"email":"a@x.example"},{"email":`, ErrFile, 1},
		"an array with a huge person":  {Auth0, `[{"email":"a@x.example"},{"email":"` + long + `"},{"email":"b@x.example"}]`, ErrFile, 1},
		"an array with a huge gap":     {Auth0, `[{"email":"a@x.example"}` + strings.Repeat(" ", 2*MostPerson) + `,{"email":"b@x.example"}]`, ErrFile, 1},
		"a realm with a huge gap":      {Keycloak, `{"users":[{"username":"a","email":"a@x.example"}]` + strings.Repeat(" ", 2*MostPerson) + `,"organizations":[]}`, ErrDocument, 0},
		"an empty file":                {Auth0, " \n", ErrNoPeople, 0},
	} {
		people, err := all(t, c.format, c.text)
		if !errors.Is(err, c.want) || len(people) != c.people {
			t.Errorf("%s: %d people, %v; want %d, %v", name, len(people), err, c.people, c.want)
		}
		if _, ok := errors.AsType[*fault.Error](err); !ok {
			t.Errorf("%s: %v is no fault", name, err)
		}
	}
}

// endless is a file that is never closed.
type endless struct {
	head string
	body string
	left int
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.at < len(e.head) {
		n := copy(p, e.head[e.at:])
		e.at += n
		return n, nil
	}
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p, bytes.Repeat([]byte(e.body), 1+min(len(p), e.left)/len(e.body)))
	n = min(n, e.left)
	e.left -= n
	return n, nil
}

func (e *endless) Seek(int64, int) (int64, error) {
	return 0, nil
}

// A file of which one value never ends takes no more memory than any other.
func TestMemoryIsBoundedWhateverTheFile(t *testing.T) {
	const size = 64 << 20
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // or what nobody holds any longer would be measured
	for name, e := range map[string]*endless{
		"a quote that is never closed": {head: "email,name\na@x.example,\"", body: strings.Repeat("x", 199) + "\n"},
		"a line that never ends":       {head: "email,name\na@x.example,", body: "x"},
	} {
		e.left = size
		file, err := Open(CSV, e)
		if err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := file.Read(func(Person) error {
			return nil
		}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		most := after.Sys - before.Sys
		if most > 32<<20 {
			t.Errorf("%s: %d MB more than before", name, most>>20)
		}
	}
}
