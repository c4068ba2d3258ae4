package main

import (
	"archive/tar"
	"crypto/x509"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// A container has no other authorities than those in its image.
func TestTheImageHasAuthorities(t *testing.T) {
	r := release{out: t.TempDir(), version: version{text: "1.0.0"}}
	path := filepath.Join(t.TempDir(), "parvis")
	if err := os.WriteFile(path, []byte("a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.image(program{"amd64", path}); err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(filepath.Join(r.out, "parvis-1.0.0-oci-amd64.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	content := mutate.Extract(image)
	defer content.Close()
	for files := tar.NewReader(content); ; {
		h, err := files.Next()
		if err != nil {
			t.Fatalf("no file of authorities: %v", err)
		}
		if h.Name != "etc/ssl/certs/ca-certificates.crt" {
			continue
		}
		text, err := io.ReadAll(files)
		if err != nil || !x509.NewCertPool().AppendCertsFromPEM(text) {
			t.Errorf("no authority can be read: %v", err)
		}
		return
	}
}
