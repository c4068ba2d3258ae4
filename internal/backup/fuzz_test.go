package backup

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/secret"
)

// fuzzKeys are always the same, so that findings are those of the next run too.
func fuzzKeys() secret.Keys {
	ring := secret.NewRing(secret.Key{ID: "k_fuzz", Bytes: bytes.Repeat([]byte{7}, 32)})
	return secret.Keys{Sealing: ring, Pepper: ring, Lookup: ring}
}

// written is a backup with some lines.
func written(t testing.TB, lines string) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := newWriter(&b, fuzzKeys(), Header{MadeAt: dbtest.Start, Program: "test", Schema: db.Schema{Version: 1}, Database: "sqlite", Key: "k_fuzz", Organizations: 1, People: 2, Rows: 2})
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(lines) {
		if err := w.line([]byte(strings.TrimSuffix(line, "\n"))); err != nil {
			t.Fatal(err)
		}
	}
	w.rows = 2
	if err := w.end(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func sourceOf(b []byte) Source {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

// Of any file only the very bytes that were written are good, and none takes much memory. Lines are read
// without harm, too, where their MAC fits.
func FuzzBackup(f *testing.F) {
	const lines = `{"table":"audit_keys","columns":["name","org_id","seed"]}` + "\n" + `["id.example/audit","","s"]` + "\n" +
		`{"table":"audit_logs","columns":["org_id","size","root"]}` + "\n" + `["",1,"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="]` + "\n"
	good, keys := written(f, lines), fuzzKeys()
	f.Add(good, false)
	f.Add(good[:len(good)/2], false)
	f.Add(append(bytes.Clone(good), 'x'), false)
	f.Add([]byte("parvis-backup 1\n{}\n"), false)
	f.Add([]byte("parvis-backup 2\n"), false)
	f.Add([]byte(lines), true)
	f.Add([]byte(`["row of nothing"]`+"\n"+`{"table":"installation","columns":["name","value"]}`+"\n"+`["epoch","{}"]`+"\n[]\n"), true)
	f.Fuzz(func(t *testing.T, b []byte, signed bool) {
		if signed {
			if l, err := LogsOf(sourceOf(written(t, string(b))), keys); err != nil && !errors.Is(err, ErrDamaged) {
				t.Errorf("%v, %v", l, err)
			}
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		made, err := Check(sourceOf(b), keys)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 2<<20+4*uint64(len(b)) {
			t.Errorf("%d bytes took %d KB", len(b), used>>10)
		}
		refused := errors.Is(err, ErrDamaged) || errors.Is(err, ErrNone) || errors.Is(err, ErrForeign) || errors.Is(err, ErrNewer)
		if refused == bytes.Equal(b, good) || refused && made.Key != "" {
			t.Errorf("it is answered by %+v, %v", made, err)
		}
		if _, err := LogsOf(sourceOf(b), keys); (err == nil) != bytes.Equal(b, good) {
			t.Errorf("its logs are read with %v", err)
		}
	})
}

// A line that has no end takes no more than the longest that there is, however small it is packed.
func TestALineWithoutEndIsRefused(t *testing.T) {
	var b bytes.Buffer
	w, err := newWriter(&b, fuzzKeys(), Header{Key: "k_fuzz"})
	if err != nil {
		t.Fatal(err)
	}
	part := bytes.Repeat([]byte("x"), 1<<20)
	for range 2 * longestLine / len(part) {
		if _, err := w.gzip.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.end(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = LogsOf(sourceOf(b.Bytes()), fuzzKeys())
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrDamaged) || used > 3*longestLine {
		t.Errorf("a file of %d KB is answered by %v, and took %d MB", b.Len()>>10, err, used>>20)
	}
}
