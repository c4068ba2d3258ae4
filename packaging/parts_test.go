package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/xeipuuv/gojsonschema"
)

// listOf returns a program, the list of what it is made of, and what version it is said to have: of what
// ./package built, or of this test.
func listOf(t *testing.T, arch string) (binary string, list []byte, version string) {
	t.Helper()
	if os.Getenv(packages) != "" {
		path := built(t, "parvis-*-linux-"+arch+".cdx.json")
		list, err := os.ReadFile(path)
		binary = filepath.Join(t.TempDir(), "parvis")
		if err := errors.Join(err, os.WriteFile(binary, unpack(t, imageFile(t, arch)).texts["usr/bin/parvis"], 0o600)); err != nil {
			t.Fatal(err)
		}
		version = strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "parvis-"), "-linux-"+arch+".cdx.json")
		return binary, list, version
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := release{out: t.TempDir(), time: time.Unix(1_800_000_000, 0).UTC()}
	r.version.text = "1.0.0"
	if err := r.parts(program{arch, binary}); err != nil {
		t.Fatal(err)
	}
	list, err = os.ReadFile(filepath.Join(r.out, "parvis-1.0.0-linux-"+arch+".cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	return binary, list, "1.0.0"
}

// linked lists the modules in a program, with version and checksum, as 'go version -m' prints them.
func linked(t *testing.T, binary string) (all []string) {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), "go", "version", "-m", binary).Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		switch part := strings.Fields(line); {
		case strings.HasPrefix(line, binary+": go"):
			all = append(all, "std "+strings.TrimPrefix(part[len(part)-1], "go")+" ")
		case part[0] == "dep" && len(part) == 4:
			all = append(all, part[1]+" "+part[2]+" "+part[3])
		case part[0] == "dep", part[0] == "=>":
			t.Fatalf("%q stands for another module, which this test does not read", line)
		}
	}
	if len(all) < 10 {
		t.Errorf("only %d modules: this test looks past the others", len(all))
	}
	slices.Sort(all)
	return all
}

// The list of parts has every module that was linked, with its version and checksum, and nothing else.
func TestTheListOfPartsIsTheProgram(t *testing.T) {
	for _, arch := range architectures {
		t.Run(arch, func(t *testing.T) {
			binary, text, version := listOf(t, arch)
			type component struct {
				Ref        string `json:"bom-ref"`
				Type       string
				Name       string
				Version    string
				URL        string                          `json:"purl"`
				Hashes     []struct{ Alg, Content string } `json:"hashes"`
				Properties []struct{ Name, Value string }
			}
			var list struct {
				Metadata struct {
					Timestamp time.Time
					Component component
				}
				Components []component
			}
			if err := json.Unmarshal(text, &list); err != nil {
				t.Fatal(err)
			}
			var parts []string
			refs := map[string]bool{list.Metadata.Component.Ref: true}
			for _, c := range list.Components {
				sum := ""
				for _, p := range c.Properties {
					sum += p.Value
				}
				parts = append(parts, c.Name+" "+c.Version+" "+sum)
				if refs[c.Ref] || c.Type != "library" || c.URL != "pkg:golang/"+c.Name+"@"+c.Version {
					t.Errorf("%s is a %s, %s, known as %s", c.Name, c.Type, c.URL, c.Ref)
				}
				refs[c.Ref] = true
			}
			slices.Sort(parts)
			if want := linked(t, binary); !slices.Equal(parts, want) {
				t.Errorf("it lists\n%s\nand the program has\n%s", strings.Join(parts, "\n"), strings.Join(want, "\n"))
			}
			sum, err := sumOf(binary)
			main := list.Metadata.Component
			if err != nil {
				t.Fatal(err)
			}
			if got, want := fmt.Sprint(main.Name, main.Type, main.Version, main.Hashes), fmt.Sprint("parvis", "application", version, "[{SHA-256 ", sum, "}]"); got != want {
				t.Errorf("it is the list of %s, and not of %s", got, want)
			}
			if list.Metadata.Timestamp.IsZero() {
				t.Error("it does not say when it was made")
			}
		})
	}
}

// The list is CycloneDX by its own schema, which lies beside the library that writes it.
func TestTheListOfPartsIsCycloneDX(t *testing.T) {
	folder, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	schema := func(name string) gojsonschema.JSONLoader {
		text, err := os.ReadFile(filepath.Join(string(bytes.TrimSpace(folder)), "schema", name))
		if err != nil {
			t.Fatal(err)
		}
		return gojsonschema.NewBytesLoader(text)
	}
	for _, arch := range architectures {
		_, text, _ := listOf(t, arch)
		var said struct{ BOMFormat, SpecVersion string }
		if err := json.Unmarshal(text, &said); err != nil || said.BOMFormat != "CycloneDX" {
			t.Fatalf("it is %+v, %v", said, err)
		}
		all := gojsonschema.NewSchemaLoader()
		if err := all.AddSchemas(schema("spdx.schema.json"), schema("jsf-0.82.schemax.json"),
			// Names of algorithms, of which the list has none and that folder no schema.
			gojsonschema.NewStringLoader(`{"$schema": "http://json-schema.org/draft-07/schema#", "$id": "http://cyclonedx.org/schema/cryptography-defs.schema.json",
				"definitions": {"algorithmFamiliesEnum": {"enum": ["none"]}, "ellipticCurvesEnum": {"enum": ["none"]}}}`)); err != nil {
			t.Fatal(err)
		}
		rules, err := all.Compile(schema("bom-" + said.SpecVersion + ".schema.json"))
		if err != nil {
			t.Fatal(err)
		}
		judge := func(text []byte) []gojsonschema.ResultError {
			t.Helper()
			result, err := rules.Validate(gojsonschema.NewBytesLoader(text))
			if err != nil {
				t.Fatal(err)
			}
			return result.Errors()
		}
		for _, wrong := range judge(text) {
			t.Errorf("%s: %s", arch, wrong)
		}
		for _, needed := range []string{"bomFormat", "specVersion", "name", "type", "alg"} {
			if len(judge(bytes.ReplaceAll(text, []byte(`"`+needed+`":`), []byte(`"x`+needed+`":`)))) == 0 {
				t.Errorf("without %s it is CycloneDX too: this test looks past it", needed)
			}
		}
	}
}

// What is packaged of the same programs has the same bytes each time, though both are packaged at once.
func TestFilesAreTheSameEachTime(t *testing.T) {
	work := t.TempDir()
	binary := filepath.Join(work, "parvis")
	err := errors.Join(os.WriteFile(filepath.Join(work, "main.go"), []byte("package main\n\nfunc main() {}\n"), 0o600),
		os.WriteFile(filepath.Join(work, "go.mod"), []byte("module parvis\n"), 0o600))
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", binary, ".")
	build.Dir = work
	if text, failed := build.CombinedOutput(); err != nil || failed != nil {
		t.Fatalf("%v, %v: %s", err, failed, text)
	}
	programs := []program{{"amd64", binary}, {"arm64", binary}}
	first, second := t.TempDir(), t.TempDir()
	for _, out := range []string{first, second} {
		r := release{source: "..", out: out, version: version{text: "1.0.0", base: "1.0.0"}, time: time.Unix(1_800_000_000, 0).UTC(), by: "Ana <ana@parvis.example>",
			texts: texts{manual: []byte("manual"), example: []byte("example"), bash: []byte("bash"), zsh: []byte("zsh"), fishy: []byte("fish")}}
		if err := errors.Join(r.files(programs), r.sums()); err != nil {
			t.Fatal(err)
		}
	}
	sums, err := os.ReadFile(filepath.Join(first, "SHA256SUMS"))
	again, failed := os.ReadFile(filepath.Join(second, "SHA256SUMS"))
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(sums, again) || bytes.Count(sums, []byte("\n")) != 10 {
		t.Errorf("first\n%sthen\n%s", sums, again)
	}
}
