package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

//go:embed assets
var embeddedAssets embed.FS

// asset is one of our files, compressed when it is first asked for.
type asset struct {
	media  string
	plain  []byte
	packed func() ([]byte, error)
}

var assetTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

type assets struct {
	byPath map[string]asset
	names  map[string]string // asset as named in templates → path with its hash
}

// loadAssets reads the embedded files, once. Each is served under a name that contains a hash of
// its content, so that browsers may keep it for ever.
var loadAssets = sync.OnceValues(func() (assets, error) {
	all := assets{map[string]asset{}, map[string]string{}}
	err := fs.WalkDir(embeddedAssets, "assets", func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		media, ok := assetTypes[path.Ext(p)]
		if !ok {
			return fmt.Errorf("asset %s has no known type", p)
		}
		content, err := embeddedAssets.ReadFile(p)
		switch e.Name() {
		case "passkey.js":
			return err // is part of the page's script
		case "parvis.js":
			content, err = pageScript()
		}
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		name, ext := path.Base(p), path.Ext(p)
		hashed := strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
		all.byPath[hashed] = asset{media, content, sync.OnceValues(func() ([]byte, error) { return packed(content) })}
		all.names[name] = "/assets/" + hashed
		return nil
	})
	return all, err
})

// packed compresses a file as far as it goes.
func packed(content []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(content); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

var commentLines = regexp.MustCompile(`(?m)^\s*//.*\n`)

// pageScript returns the one script of every page, so that the sign-in page loads only one. Its
// parts are files, each in a block of its own that keeps their names apart. Lines that only
// explain are left out, which saves a quarter of the bytes sent.
func pageScript() (script []byte, err error) {
	for _, name := range []string{"parvis.js", "passkey.js"} {
		part, err := embeddedAssets.ReadFile("assets/" + name)
		if err != nil {
			return nil, err
		}
		script = slices.Concat(script, []byte("{\n"), commentLines.ReplaceAll(part, nil), []byte("}\n"))
	}
	return script, nil
}

// takesGzip reports whether a client accepts compressed answers.
func takesGzip(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept-Encoding"), "gzip")
}

func (s *Site) serveAsset(w http.ResponseWriter, r *http.Request) {
	a, ok := s.assets.byPath[r.PathValue("name")]
	if !ok {
		s.visitor(w, r).fail(errNoPage)
		return
	}
	h, body := w.Header(), a.plain
	if takesGzip(r) {
		small, err := a.packed()
		if err != nil {
			s.visitor(w, r).fail(err)
			return
		}
		h.Set("Content-Encoding", "gzip")
		body = small
	}
	h.Set("Content-Type", a.media)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Length", fmt.Sprint(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the browser may be gone
	}
}
