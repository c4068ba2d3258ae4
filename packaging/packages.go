package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers the kind
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // registers the kind
)

func (r release) deb(p program) error {
	return r.pack(p, "deb", fmt.Sprintf("parvis_%s_%s.deb", r.version.packaged(), p.arch))
}

// rpmArch is what Fedora and its kin call an architecture.
var rpmArch = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

func (r release) rpm(p program) error {
	return r.pack(p, "rpm", fmt.Sprintf("parvis-%s-1.%s.rpm", r.version.packaged(), rpmArch[p.arch]))
}

// pack makes a package of one kind.
func (r release) pack(p program, kind, name string) error {
	work, err := os.MkdirTemp("", "parvis-package")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	contents, err := r.contents(p, work)
	if err != nil {
		return err
	}
	here := filepath.Join(r.source, "packaging", "files")
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "parvis", Arch: p.arch, Version: r.version.packaged(), VersionSchema: "none", MTime: r.time,
		Section: "net", Priority: "optional", License: "Apache-2.0", Maintainer: r.by,
		Description: "Front door for business applications: sign-in, single sign-on, OpenID Connect\n" +
			"Invitations, passwords, second steps, company sign-in and a home page from\nwhich every application opens, for many organizations, in one program.",
		Overridables: nfpm.Overridables{
			Contents: contents,
			Scripts: nfpm.Scripts{
				PostInstall: filepath.Join(here, "postinstall"), PreRemove: filepath.Join(here, "preremove"), PostRemove: filepath.Join(here, "postremove"),
			},
			RPM: nfpm.RPM{BuildHost: "parvis", Group: "System Environment/Daemons"},
		},
	})
	info.Recommends = []string{"ca-certificates"} // by which others are known: mail servers, identity providers
	info.Depends = []string{"passwd"}             // which has useradd
	if kind == "rpm" {
		info.Release, info.Depends = "1", []string{"shadow-utils"}
	}
	if err := nfpm.PrepareForPackager(info, kind); err != nil {
		return err
	}
	packager, err := nfpm.Get(kind)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(r.out, name))
	if err != nil {
		return err
	}
	return errors.Join(packager.Package(info, f), f.Close())
}

// contents lists what a package puts where. Only the folder of the configuration and the file in it
// belong to the service's group, since it may name passwords of other servers.
func (r release) contents(p program, work string) (files.Contents, error) {
	all := files.Contents{{Source: p.path, Destination: "/usr/bin/parvis", FileInfo: &files.ContentFileInfo{Mode: 0o755}}}
	for _, f := range []struct {
		text []byte
		at   string
		mode os.FileMode
		kind string
	}{
		{r.texts.example, "/etc/parvis/parvis.toml", 0o640, files.TypeConfigNoReplace},
		{compressed(r.texts.manual, r), "/usr/share/man/man1/parvis.1.gz", 0o644, ""},
		{r.texts.bash, "/usr/share/bash-completion/completions/parvis", 0o644, ""},
		{r.texts.zsh, "/usr/share/zsh/vendor-completions/_parvis", 0o644, ""},
		{r.texts.fishy, "/usr/share/fish/vendor_completions.d/parvis.fish", 0o644, ""},
	} {
		path := filepath.Join(work, filepath.Base(f.at))
		if err := os.WriteFile(path, f.text, 0o644); err != nil {
			return nil, err
		}
		all = append(all, &files.Content{Source: path, Destination: f.at, Type: cmp.Or(f.kind, files.TypeFile), FileInfo: &files.ContentFileInfo{Mode: f.mode}})
	}
	for from, to := range map[string]string{
		"packaging/files/parvis.service": "/usr/lib/systemd/system/parvis.service", "LICENSE": "/usr/share/doc/parvis/copyright",
	} {
		all = append(all, &files.Content{Source: filepath.Join(r.source, from), Destination: to, FileInfo: &files.ContentFileInfo{Mode: 0o644}})
	}
	return all, nil
}

// compressed is a text as man pages are stored.
func compressed(text []byte, r release) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level exists
	z.ModTime = r.time
	_, _ = z.Write(text) // memory takes what it is given
	_ = z.Close()
	return b.Bytes()
}

// archive makes an archive for systems that have none of these packages.
func (r release) archive(p program) (err error) {
	folder := fmt.Sprintf("parvis-%s-linux-%s", r.version.text, p.arch)
	f, err := os.Create(filepath.Join(r.out, folder+".tar.gz"))
	if err != nil {
		return err
	}
	z := gzip.NewWriter(f)
	t := tar.NewWriter(z)
	binary, err := os.ReadFile(p.path)
	unit, failed := os.ReadFile(filepath.Join(r.source, "packaging/files/parvis.service"))
	license, none := os.ReadFile(filepath.Join(r.source, "LICENSE"))
	if err = errors.Join(err, failed, none); err == nil {
		err = write(t, r, []entry{
			{folder + "/parvis", binary, 0o755}, {folder + "/parvis.toml", r.texts.example, 0o644}, {folder + "/parvis.service", unit, 0o644},
			{folder + "/parvis.1", r.texts.manual, 0o644}, {folder + "/completions/parvis.bash", r.texts.bash, 0o644},
			{folder + "/completions/_parvis", r.texts.zsh, 0o644}, {folder + "/completions/parvis.fish", r.texts.fishy, 0o644}, {folder + "/LICENSE", license, 0o644},
		})
	}
	return errors.Join(err, t.Close(), z.Close(), f.Close())
}

// An entry is one file of an archive; a name that ends with a slash is a folder.
type entry struct {
	name string
	text []byte
	mode int64
}

// write writes entries whose bytes do not depend on who builds, where and when.
func write(t *tar.Writer, r release, entries []entry) error {
	for _, e := range entries {
		h := tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.text)), ModTime: r.time, Format: tar.FormatPAX, Typeflag: tar.TypeReg}
		if e.name[len(e.name)-1] == '/' {
			h.Typeflag = tar.TypeDir
		}
		if err := t.WriteHeader(&h); err != nil {
			return err
		}
		if _, err := t.Write(e.text); err != nil {
			return err
		}
	}
	return nil
}
