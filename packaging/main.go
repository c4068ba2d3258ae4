// Command packaging builds what people install: packages for Debian and for Fedora and its kin, archives,
// and images for containers, for both architectures, each with its parts list and its checksum.
package main

import (
	"cmp"
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

func main() {
	log.SetFlags(0)
	source := flag.String("source", "..", "the checkout to build")
	out := flag.String("out", "", "a folder for the files; it is made")
	archs := flag.String("arch", "amd64,arm64", "the architectures to build for")
	flag.Parse()
	if *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*source, *out, strings.Split(*archs, ",")); err != nil {
		log.Fatal("package: ", err)
	}
}

// A release is what is built: one version for several architectures.
type release struct {
	source  string // the checkout
	out     string // where the files go
	version version
	time    time.Time // of the commit, so that a second build makes the same bytes
	by      string    // who committed what is packaged, with an address, as Debian wants a maintainer
	texts   texts
}

// texts are the parts of a package that the program writes itself.
type texts struct {
	manual, example  []byte
	bash, zsh, fishy []byte
}

// A program is the binary of one architecture.
type program struct {
	arch string
	path string
}

func run(source, out string, archs []string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "parvis-package")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	r := release{source: source, out: out}
	if r.time, r.by, err = committed(source); err != nil {
		return err
	}
	var programs []program
	for _, arch := range archs {
		p := program{arch, filepath.Join(work, "parvis-"+arch)}
		if err := build(source, arch, p.path); err != nil {
			return err
		}
		programs = append(programs, p)
	}
	if r.version, err = versionOf(programs[0].path); err != nil {
		return err
	}
	if r.texts, err = speak(source, work, programs); err != nil {
		return err
	}
	if err := r.files(programs); err != nil {
		return err
	}
	return r.sums()
}

// files makes the files of each program, of one beside the other: most of the time goes into compressing.
func (r release) files(programs []program) error {
	failed := make([]error, len(programs))
	var all sync.WaitGroup
	for i, p := range programs {
		all.Go(func() {
			for _, make := range []func(program) error{r.archive, r.deb, r.rpm, r.image, r.parts} {
				if err := make(p); err != nil {
					failed[i] = fmt.Errorf("%s: %w", p.arch, err)
					return
				}
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// committed returns when the commit of the checkout was made, and by whom.
func committed(source string) (at time.Time, by string, err error) {
	text, err := output(exec.Command("git", "-C", source, "log", "-1", "--format=%ct %cn <%ce>"))
	if err != nil {
		return time.Time{}, "", fmt.Errorf("asking git for the commit: %w", err)
	}
	when, by, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	seconds, err := strconv.ParseInt(when, 10, 64)
	return time.Unix(seconds, 0).UTC(), by, err
}

// build builds the program without cgo, so that it runs on any Linux. Nothing of this machine is in it.
func build(source, arch, path string) error {
	c := exec.Command("go", "build", "-trimpath", "-buildvcs=true", "-ldflags=-s -w", "-o", path, "./cmd/parvis")
	c.Dir = source
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=", "GOWORK=off")
	_, err := output(c)
	return err
}

// output runs a command; its error says what the command said.
func output(c *exec.Cmd) ([]byte, error) {
	text, err := c.Output()
	if failed, ok := err.(*exec.ExitError); ok {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, failed.Stderr)
	}
	return text, err
}

// A version is written in one way by Go and in others by each kind of package.
type version struct {
	text string // as 'parvis version' says, without its v
	base string // the three numbers
	rest string // what follows them; empty for a release
}

var pseudo = regexp.MustCompile(`^v(\d+\.\d+\.\d+)(?:-(.*))?$`)

// versionOf reads the version that Go wrote into a program: a tag, or the time and the commit. A checkout
// with changes that are not committed gets no package, because nobody could say what is in it.
func versionOf(path string) (version, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return version{}, err
	}
	if strings.HasSuffix(info.Main.Version, "+dirty") {
		return version{}, fmt.Errorf("the checkout has changes that are not committed (%s): commit them first", info.Main.Version)
	}
	m := pseudo.FindStringSubmatch(info.Main.Version)
	if m == nil {
		return version{}, fmt.Errorf("the program does not say its version but %q: build in a checkout of git", info.Main.Version)
	}
	return version{text: strings.TrimPrefix(info.Main.Version, "v"), base: m[1], rest: m[2]}, nil
}

// package returns the version as dpkg and rpm compare it: what follows ~ is before the release.
func (v version) packaged() string {
	if v.rest == "" {
		return v.base
	}
	return v.base + "~" + strings.ReplaceAll(v.rest, "-", ".")
}

// speak lets a program that runs here write what packages have besides it.
func speak(source, work string, programs []program) (t texts, err error) {
	i := slices.IndexFunc(programs, func(p program) bool { return p.arch == runtime.GOARCH })
	path := filepath.Join(work, "parvis-here")
	if i >= 0 {
		path = programs[i].path
	} else if err := build(source, runtime.GOARCH, path); err != nil {
		return t, err
	}
	for into, args := range map[*[]byte]string{
		&t.manual: "manual", &t.example: "config --example",
		&t.bash: "completion bash", &t.zsh: "completion zsh", &t.fishy: "completion fish",
	} {
		text, failed := output(exec.Command(path, strings.Fields(args)...))
		*into, err = text, cmp.Or(err, failed)
	}
	return t, err
}
