package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// Who the service is in a container: a number that no distribution gives to a person, because a name
// could only be looked up in files that the image does not have.
const user = 65532

// image makes an image for containers, as a file that 'podman load' and 'docker load' take. It has the
// program, its folder for data, a place for temporary files, the authorities for certificates of others, and
// nothing else: no shell, no package.
func (r release) image(p program) error {
	binary, err := os.ReadFile(p.path)
	if err != nil {
		return err
	}
	var content bytes.Buffer
	t := tar.NewWriter(&content)
	err = write(t, r, []entry{{"usr/", nil, 0o755}, {"usr/bin/", nil, 0o755}, {"usr/bin/parvis", binary, 0o755},
		{"etc/", nil, 0o755}, {"etc/ssl/", nil, 0o755}, {"etc/ssl/certs/", nil, 0o755}, {"etc/ssl/certs/ca-certificates.crt", authorities(), 0o644}, {"var/", nil, 0o755}, {"var/lib/", nil, 0o755}, {"tmp/", nil, 0o1777}})
	own := tar.Header{Name: "var/lib/parvis/", Mode: 0o700, Uid: user, Gid: user, ModTime: r.time, Format: tar.FormatPAX, Typeflag: tar.TypeDir}
	if err := errors.Join(err, t.WriteHeader(&own), t.Close()); err != nil {
		return err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(6))
	if err != nil {
		return err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if image, err = mutate.Append(image, mutate.Addendum{
		Layer: layer, MediaType: types.OCILayer, History: v1.History{Created: v1.Time{Time: r.time}, CreatedBy: "parvis/packaging"},
	}); err != nil {
		return err
	}
	image, err = mutate.ConfigFile(image, r.configured(image, p))
	if err != nil {
		return err
	}
	return r.store(image, filepath.Join(r.out, fmt.Sprintf("parvis-%s-oci-%s.tar", r.version.text, p.arch)))
}

// authorities are those that Mozilla trusts without a condition, where Go looks for them on Debian. Without
// any, no mail server, identity provider or webhook could be reached from a container.
func authorities() []byte {
	var all []byte
	for root := range bundle.Roots() {
		if root.Constraint == nil { // of the others, a file of certificates cannot say when they are not trusted
			all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})...)
		}
	}
	return all
}

// configured returns how a container runs: as a user without rights, listening to others because that
// is what a container is for, its data in a volume.
func (r release) configured(image v1.Image, p program) *v1.ConfigFile {
	c, err := image.ConfigFile()
	if err != nil {
		panic(err) // it was made above, in memory
	}
	c = c.DeepCopy()
	c.Architecture, c.OS, c.Created = p.arch, "linux", v1.Time{Time: r.time}
	c.Config = v1.Config{
		User: fmt.Sprintf("%d:%d", user, user), Entrypoint: []string{"/usr/bin/parvis"}, Cmd: []string{"serve"}, WorkingDir: "/var/lib/parvis",
		Env:          []string{"PATH=/usr/bin", "PARVIS_DATA=/var/lib/parvis", "PARVIS_LISTEN=:8080"},
		ExposedPorts: map[string]struct{}{"8080/tcp": {}}, Volumes: map[string]struct{}{"/var/lib/parvis": {}}, StopSignal: "SIGTERM",
		Labels: map[string]string{"org.opencontainers.image.title": "parvis", "org.opencontainers.image.version": r.version.text},
	}
	return c
}

// store writes an image as an OCI layout (image-spec v1.1, image-layout.md) in one file. The manifest.json
// beside it is what Docker read before it knew that layout.
func (r release) store(image v1.Image, path string) error {
	var blobs []entry
	add := func(text []byte, d v1.Hash) string {
		name := "blobs/sha256/" + d.Hex
		blobs = append(blobs, entry{name, text, 0o644})
		return name
	}
	manifest, err := image.RawManifest()
	config, none := image.RawConfigFile()
	layers, failed := image.Layers()
	digest, bad := image.Digest()
	configured, worse := image.ConfigName()
	if err := errors.Join(err, none, failed, bad, worse); err != nil {
		return err
	}
	add(manifest, digest)
	docker := map[string]any{"Config": add(config, configured), "RepoTags": []string{"parvis:" + r.version.text}}
	var names []string
	for _, l := range layers {
		content, err := l.Compressed()
		if err != nil {
			return err
		}
		text, err := io.ReadAll(content)
		d, failed := l.Digest()
		if err := errors.Join(err, failed, content.Close()); err != nil {
			return err
		}
		names = append(names, add(text, d))
	}
	docker["Layers"] = names
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{{
		MediaType: types.OCIManifestSchema1, Digest: digest, Size: int64(len(manifest)),
		Annotations: map[string]string{"org.opencontainers.image.ref.name": r.version.text, "io.containerd.image.name": "docker.io/library/parvis:" + r.version.text},
	}}}
	indexed, err := json.Marshal(index)
	listed, failed := json.Marshal([]any{docker})
	f, bad := os.Create(path)
	if err := errors.Join(err, failed, bad); err != nil {
		return err
	}
	t := tar.NewWriter(f)
	err = write(t, r, append([]entry{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`), 0o644}, {"index.json", indexed, 0o644}, {"manifest.json", listed, 0o644},
		{"blobs/", nil, 0o755}, {"blobs/sha256/", nil, 0o755},
	}, blobs...))
	return errors.Join(err, t.Close(), f.Close())
}
