package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"parvis/internal/expect"
)

var update = flag.Bool("update", false, "write example.toml, and its copy in docs/settings.md, from the settings")

// The file that 'parvis config --example' prints is the struct of the settings, with its comments,
// its examples, and what is in force where nothing is set. Its copy is what docs/settings.md shows.
func TestTheExampleIsMadeFromTheSettings(t *testing.T) {
	const file, page = "example.toml", "../../docs/settings.md"
	block := regexp.MustCompile("(?s)```toml\n.*?```")
	made := exampleOf(t)
	written := read(t, page)
	if *update {
		written = block.ReplaceAllLiteralString(written, "```toml\n"+made+"```")
		if err := os.WriteFile(file, []byte(made), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(page, []byte(written), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const how = "%s is not made from the settings: read the difference that this command makes: go test ./cmd/parvis -run TheExample -update"
	if read(t, file) != made {
		t.Errorf(how, file)
	}
	expect.Equal(t, "files in docs/settings.md", len(block.FindAllString(written, -1)), 1)
	if block.FindString(written) != "```toml\n"+made+"```" {
		t.Errorf(how, page)
	}
}

// exampleOf makes the file.
func exampleOf(t *testing.T) string {
	t.Helper()
	c := loadConfig(servingFlags{}, nil)
	c.check() // it fills in what is in force; that some settings are missing does not matter here
	said := commentsOf(t, "settings.go", "Config", "")
	maps.Copy(said, commentsOf(t, "../../internal/lifetime/lifetime.go", "Each", "lifetimes"))
	var b strings.Builder
	section, tables := "", ""
	for _, s := range c.settings {
		if s.section != section {
			section = s.section
			fmt.Fprintf(&b, "\n%s#[%s]\n", said[section].text, section)
		}
		of := said[strings.TrimPrefix(s.section+"."+s.name, ".")]
		if regions, ok := s.value.Addr().Interface().(*[]regionTable); ok {
			s.setRegions([]byte(s.example))
			tables = "\n" + of.text + tablesOf(*regions)
			continue
		}
		if of.apart && b.Len() > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s#%s = %s\n", of.text, s.name, s.exampled(t))
	}
	return b.String() + tables
}

// exampled is the value that the example shows, with what is in force where nothing is set.
func (s *setting) exampled(t *testing.T) string {
	t.Helper()
	if s.value.Kind() == reflect.Slice {
		var quoted []string
		for one := range strings.SplitSeq(s.example, ",") {
			quoted = append(quoted, strconv.Quote(one))
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	unset := s.value.String()
	switch {
	case s.example == "" && unset == "":
		t.Errorf("%s has neither an example nor something that is in force unless set", s.title())
		return ""
	case unset == "":
		return strconv.Quote(s.example)
	case s.example == "" || s.example == unset:
		return strconv.Quote(unset) + "  # unless set"
	}
	return fmt.Sprintf("%q  # %q unless set", s.example, unset)
}

// tablesOf writes regions as the file has them.
func tablesOf(regions []regionTable) string {
	var b strings.Builder
	for _, r := range regions {
		var names []string
		for _, language := range slices.Sorted(maps.Keys(r.Name)) {
			names = append(names, fmt.Sprintf("%s = %q", language, r.Name[language]))
		}
		fmt.Fprintf(&b, "#[[regions]]\n#id = %q\n#address = %q\n#name = { %s }\n", r.ID, r.Address, strings.Join(names, ", "))
	}
	return b.String()
}

// remark is the comment of a setting or a section, as the file has it, and whether an empty line stands
// before it.
type remark struct {
	text  string
	apart bool
}

// commentsOf reads the comments of a struct in a file, by the names of settings.
func commentsOf(t *testing.T, file, name, section string) map[string]remark {
	t.Helper()
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]remark{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.Name == name {
			commentsIn(set, spec.Type.(*ast.StructType), section, all)
		}
		return true
	})
	if len(all) < 10 {
		t.Fatalf("%s has %d comments: this test looks past them", file, len(all))
	}
	return all
}

func commentsIn(set *token.FileSet, s *ast.StructType, section string, all map[string]remark) {
	before := set.Position(s.Fields.Opening).Line
	for _, f := range s.Fields.List {
		name := reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("toml")
		if section != "" {
			name = section + "." + name
		}
		begins := f.Pos()
		if f.Doc != nil {
			begins = f.Doc.Pos()
		}
		all[name] = remark{wrapped(f.Doc.Text()), set.Position(begins).Line > before+1}
		before = set.Position(f.End()).Line
		if inner, ok := f.Type.(*ast.StructType); ok {
			commentsIn(set, inner, name, all)
		}
	}
}

// wrapped makes a comment of a file from one of Go.
func wrapped(text string) string {
	const width = 118
	var b strings.Builder
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len([]rune(line))+len([]rune(word))+3 > width {
			b.WriteString("#" + line + "\n")
			line = ""
		}
		line += " " + word
	}
	if line != "" {
		b.WriteString("#" + line + "\n")
	}
	return b.String()
}
