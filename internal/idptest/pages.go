package idptest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"
)

func (p *Page) parsed() *html.Node {
	doc, err := html.Parse(strings.NewReader(strings.ReplaceAll(p.Body, "<wbr>", "")))
	if err != nil {
		p.b.t.Fatal(err)
	}
	return doc
}

// met holds the pages and states that this process has already brought to the folder.
var met sync.Map

// saying is a hash of what a page says: of its body without references and ids of rows, by which two
// answers that say the same differ.
func saying(body string) [sha256.Size]byte {
	const idLetters = 26
	text := make([]byte, 0, len(body))
	for {
		before, after, found := strings.Cut(body, "_")
		text = append(text, before...)
		if !found {
			return sha256.Sum256(text)
		}
		n := 0
		for n < len(after) && (after[n] >= 'a' && after[n] <= 'z' || after[n] >= '2' && after[n] <= '7') {
			n++
		}
		if n == idLetters || strings.HasSuffix(before, "req") {
			after = after[n:]
		}
		body = after
	}
}

func first(what any) bool {
	_, known := met.LoadOrStore(what, true)
	return !known
}

// keepPage writes a page to the folder that PARVIS_PAGES names, where e2e/pages.mjs lets other
// programs judge it. Of the pages that consist of the same elements, one is kept.
func keepPage(t testing.TB, p *Page) {
	t.Helper()
	folder := os.Getenv("PARVIS_PAGES")
	if folder == "" || !strings.HasPrefix(p.Header.Get("Content-Type"), "text/html") || !first(saying(p.Body)) || p.Lang() == "" {
		return
	}
	parts := map[string]bool{}
	for n := range p.doc().Descendants() {
		if n.Type == html.ElementNode {
			parts[strings.Join([]string{n.Data, attribute(n, "class"), attribute(n, "name"), attribute(n, "type"), attribute(n, "aria-invalid")}, " ")] = true
		}
	}
	state := sha256.Sum256([]byte(strings.Join(slices.Sorted(maps.Keys(parts)), "\n")))
	place := []string{}
	for _, part := range strings.Split(strings.Trim(p.URL.Path, "/"), "/") {
		if len(part) < 16 && !strings.ContainsFunc(part, func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') }) {
			place = append(place, part)
		}
	}
	key := hex.EncodeToString(state[:5])
	name := fmt.Sprintf("%s-%s-%d.html", key, strings.Join(place, "-"), p.Status)
	folder = filepath.Join(folder, "journeys", p.Lang())
	if !first(folder + key) {
		return
	}
	if known, err := filepath.Glob(filepath.Join(folder, key+"-*")); err != nil || len(known) > 0 {
		return // another test kept the same state
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, name), []byte(p.Body), 0o644); err != nil { //nolint:gosec // Read by another user's programs.
		t.Fatal(err)
	}
}

// Keep writes a page under a name to the folder that PARVIS_PAGES names, where ./pictures takes
// it into the picture book.
func (p *Page) Keep(t testing.TB, name string) {
	t.Helper()
	folder := os.Getenv("PARVIS_PAGES")
	if folder == "" {
		return
	}
	file := filepath.Join(folder, p.Lang(), filepath.FromSlash(name)+".html")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(p.Body), 0o644); err != nil { //nolint:gosec // Read by another user's programs.
		t.Fatal(err)
	}
}

// Title returns the title of the page.
func (p *Page) Title() string {
	if title := p.find(func(n *html.Node) bool { return n.Data == "title" }); title != nil && title.FirstChild != nil {
		return title.FirstChild.Data
	}
	return ""
}
