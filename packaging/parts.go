package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cyclonedx "github.com/CycloneDX/cyclonedx-go"
)

// parts writes what a program is made of, as CycloneDX: the modules that Go wrote into it, which are those
// that were linked, and Go itself.
func (r release) parts(p program) error {
	info, err := buildinfo.ReadFile(p.path)
	if err != nil {
		return err
	}
	component := func(path, version, sum string) cyclonedx.Component {
		c := cyclonedx.Component{
			BOMRef: path + "@" + version, Type: cyclonedx.ComponentTypeLibrary, Name: path, Version: version, Scope: cyclonedx.ScopeRequired,
			PackageURL: "pkg:golang/" + path + "@" + version,
		}
		if sum != "" {
			c.Properties = &[]cyclonedx.Property{{Name: "go:sum", Value: sum}}
		}
		return c
	}
	all := []cyclonedx.Component{component("std", strings.TrimPrefix(info.GoVersion, "go"), "")}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		all = append(all, component(m.Path, m.Version, m.Sum))
	}
	sum, err := sumOf(p.path)
	if err != nil {
		return err
	}
	main := component("parvis", r.version.text, "")
	main.Type, main.Scope = cyclonedx.ComponentTypeApplication, ""
	main.Hashes = &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: sum}}
	bom := cyclonedx.NewBOM()
	bom.Metadata = &cyclonedx.Metadata{Timestamp: r.time.Format(time.RFC3339), Component: &main}
	bom.Components = &all
	f, err := os.Create(filepath.Join(r.out, fmt.Sprintf("parvis-%s-linux-%s.cdx.json", r.version.text, p.arch)))
	if err != nil {
		return err
	}
	return errors.Join(cyclonedx.NewBOMEncoder(f, cyclonedx.BOMFileFormatJSON).SetPretty(true).Encode(bom), f.Close())
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// sums writes the checksums of every file, for 'sha256sum --check'.
func (r release) sums() error {
	list, err := os.ReadDir(r.out)
	if err != nil {
		return err
	}
	var lines []string
	for _, e := range list {
		if e.Name() == "SHA256SUMS" {
			continue
		}
		sum, err := sumOf(filepath.Join(r.out, e.Name()))
		if err != nil {
			return err
		}
		lines = append(lines, sum+"  "+e.Name()+"\n")
	}
	slices.Sort(lines)
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), []byte(strings.Join(lines, "")), 0o644)
}
