package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/x509"
	"debug/buildinfo"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// packages names the folder that ./package filled, whose files these tests read: packaging/try says it.
// Without it they read what is made of a file that is no program.
const packages = "PARVIS_PACKAGES"

var architectures = []string{"amd64", "arm64"}

// built returns the one file of a name that ./package made.
func built(t *testing.T, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(os.Getenv(packages), pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s is %q in %s, %v", pattern, found, os.Getenv(packages), err)
	}
	return found[0]
}

// imageFile returns the file of an image.
func imageFile(t *testing.T, arch string) string {
	t.Helper()
	if os.Getenv(packages) != "" {
		return built(t, "parvis-*-oci-"+arch+".tar")
	}
	r := release{out: t.TempDir(), version: version{text: "1.0.0"}}
	path := filepath.Join(t.TempDir(), "parvis")
	if err := os.WriteFile(path, []byte("a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.image(program{arch, path}); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(r.out, "parvis-1.0.0-oci-"+arch+".tar")
}

// An unpacked image is what its file says, without the library that wrote it.
type unpacked struct {
	digest  string // of the configuration
	config  v1.ConfigFile
	headers []*tar.Header
	texts   map[string][]byte
}

// entries reads all of an archive.
func entries(t *testing.T, from io.Reader) (headers []*tar.Header, texts map[string][]byte) {
	t.Helper()
	texts = map[string][]byte{}
	for files := tar.NewReader(from); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return headers, texts
		}
		text, read := io.ReadAll(files)
		if err := errors.Join(err, read); err != nil {
			t.Fatal(err)
		}
		if _, twice := texts[h.Name]; twice {
			t.Errorf("%s is there twice", h.Name)
		}
		headers, texts[h.Name] = append(headers, h), text
	}
}

func unpack(t *testing.T, path string) unpacked {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, all := entries(t, file)
	blob := func(digest string) []byte {
		t.Helper()
		name, _ := strings.CutPrefix(digest, "sha256:")
		text := all["blobs/sha256/"+name]
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != name {
			t.Fatalf("the blob %q has other bytes", digest)
		}
		return text
	}
	read := func(text []byte, into any) {
		t.Helper()
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
	var index v1.IndexManifest
	if read(all["index.json"], &index); len(index.Manifests) != 1 {
		t.Fatalf("the index has %d images", len(index.Manifests))
	}
	var manifest v1.Manifest
	read(blob(index.Manifests[0].Digest.String()), &manifest)
	i := unpacked{digest: manifest.Config.Digest.String(), texts: map[string][]byte{}}
	read(blob(i.digest), &i.config)
	if len(manifest.Layers) != 1 || len(i.config.RootFS.DiffIDs) != 1 {
		t.Fatalf("it has %d layers", len(manifest.Layers))
	}
	z, err := gzip.NewReader(bytes.NewReader(blob(manifest.Layers[0].Digest.String())))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := io.ReadAll(z)
	if sum := sha256.Sum256(layer); err != nil || i.config.RootFS.DiffIDs[0].Hex != hex.EncodeToString(sum[:]) {
		t.Fatalf("the layer is not the one that the configuration names, %v", err)
	}
	i.headers, i.texts = entries(t, bytes.NewReader(layer))
	return i
}

// It runs as nobody, keeps its data in a volume, and has the program, whom to trust, and nothing else: no
// shell, no source, nothing for tests (R-CFG-03).
func TestAnImageHasWhatItNeedsAndNothingElse(t *testing.T) {
	for _, arch := range architectures {
		t.Run(arch, func(t *testing.T) {
			i := unpack(t, imageFile(t, arch))
			want := v1.Config{
				User: "65532:65532", Entrypoint: []string{"/usr/bin/parvis"}, Cmd: []string{"serve"}, WorkingDir: "/var/lib/parvis", StopSignal: "SIGTERM",
				Env:          []string{"PATH=/usr/bin", "PARVIS_DATA=/var/lib/parvis", "PARVIS_LISTEN=:8080"},
				ExposedPorts: map[string]struct{}{"8080/tcp": {}}, Volumes: map[string]struct{}{"/var/lib/parvis": {}},
			}
			got := i.config.Config
			if got.Labels["org.opencontainers.image.title"] != "parvis" || got.Labels["org.opencontainers.image.version"] == "" || len(got.Labels) != 2 {
				t.Errorf("its labels are %v", got.Labels)
			}
			if got.Labels = nil; !reflect.DeepEqual(got, want) {
				t.Errorf("it runs as\n%+v, want\n%+v", got, want)
			}
			if i.config.Architecture != arch || i.config.OS != "linux" {
				t.Errorf("it is for %s/%s", i.config.OS, i.config.Architecture)
			}
			var files []string
			for _, h := range i.headers {
				files = append(files, fmt.Sprintf("%c %04o %d:%d %s", h.Typeflag, h.Mode, h.Uid, h.Gid, h.Name))
			}
			slices.Sort(files)
			if want := []string{
				"0 0644 0:0 etc/ssl/certs/ca-certificates.crt", "0 0755 0:0 usr/bin/parvis",
				"5 0700 65532:65532 var/lib/parvis/",
				"5 0755 0:0 etc/", "5 0755 0:0 etc/ssl/", "5 0755 0:0 etc/ssl/certs/", "5 0755 0:0 usr/", "5 0755 0:0 usr/bin/", "5 0755 0:0 var/", "5 0755 0:0 var/lib/",
				"5 1777 0:0 tmp/",
			}; !slices.Equal(files, want) {
				t.Errorf("it has\n%s\nwant\n%s", strings.Join(files, "\n"), strings.Join(want, "\n"))
			}
			judgeRoots(t, i.texts["etc/ssl/certs/ca-certificates.crt"])
			if os.Getenv(packages) != "" {
				judgeProgram(t, arch, i.texts["usr/bin/parvis"])
			}
		})
	}
}

// judgeRoots wants those whom Mozilla trusts without a condition: a container has no others.
func judgeRoots(t *testing.T, text []byte) {
	t.Helper()
	got, want := map[string]bool{}, map[string]bool{}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil || !c.IsCA {
			t.Fatalf("an authority cannot be read, or is none: %v", err)
		}
		got[c.Subject.String()] = true
	}
	for root := range bundle.Roots() {
		if c, err := x509.ParseCertificate(root.Certificate); err == nil && root.Constraint == nil {
			want[c.Subject.String()] = true
		}
	}
	if !reflect.DeepEqual(got, want) || len(got) < 100 || !got["CN=ISRG Root X1,O=Internet Security Research Group,C=US"] {
		t.Errorf("it trusts %d authorities, and Mozilla %d", len(got), len(want))
	}
}

// judgeProgram wants a program for the architecture that needs no other file, and that has neither tests
// nor anything of the machine that built it.
func judgeProgram(t *testing.T, arch string, binary []byte) {
	t.Helper()
	file, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[arch]; file.Machine != want {
		t.Errorf("the program is for %s", file.Machine)
	}
	if slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC }) {
		t.Error("the program wants libraries, which the image does not have")
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	if info.Path != "parvis/cmd/parvis" {
		t.Errorf("the program is %s", info.Path)
	}
	here, err := filepath.Abs("..")
	cache, failed := exec.CommandContext(t.Context(), "go", "env", "GOMODCACHE").Output()
	if err := errors.Join(err, failed); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(binary, []byte("parvis/internal/backup.Write")) {
		t.Error("the program has no names of functions: this test looks past them")
	}
	for what, text := range map[string]string{
		"the runner of tests":               "testing.tRunner",
		"what tests of ours begin with":     "parvis/internal/dbtest.",
		"the servers of tests":              "parvis/internal/idptest.",
		"the folder that it was built from": filepath.Join(here, "cmd", "parvis") + "/",
		"the folder of the modules":         strings.TrimSpace(string(cache)) + "/",
	} {
		if bytes.Contains(binary, []byte(text)) {
			t.Errorf("the program has %s (%s)", what, text)
		}
	}
}

// What Docker read before it knew OCI's layout names the same image.
func TestAnImageIsTheSameForDocker(t *testing.T) {
	for _, arch := range architectures {
		path := imageFile(t, arch)
		image, err := tarball.ImageFromPath(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if name, err := image.ConfigName(); err != nil || name.String() != unpack(t, path).digest {
			t.Errorf("for Docker it is %s, %v", name, err)
		}
		layers, err := image.Layers()
		if err != nil || len(layers) != 1 {
			t.Fatalf("for Docker it has %d layers, %v", len(layers), err)
		}
	}
}
