package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const logName = "id.example/audit/org_1"

// pair returns a key that is always the same, so that findings are those of the next run too.
func pair(f testing.TB) (note.Signer, note.Verifier) {
	f.Helper()
	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	public, err := note.NewEd25519VerifierKey(logName, ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
	if err != nil {
		f.Fatal(err)
	}
	signer, err := note.NewSigner("PRIVATE+KEY+" + logName + "+" + strings.Split(public, "+")[1] + "+" + base64.StdEncoding.EncodeToString(append([]byte{1}, seed...)))
	if err != nil {
		f.Fatal(err)
	}
	verifier, err := note.NewVerifier(public)
	if err != nil {
		f.Fatal(err)
	}
	return signer, verifier
}

// event is a sealed one.
func event(n int64) Event {
	salt := fmt.Sprint("salt ", n)
	e := Event{Leaf: &n, ID: fmt.Sprint("evt_", n), Action: "user.deactivated", Actor: "usr_1", At: "2026-11-30T09:00:00Z", Kind: "user", Organization: "org_1",
		Result: "done", Target: "usr_2", Version: "1", ActorName: "Ana", Network: "192.0.2.1", Agent: "Firefox", TargetName: "Bo", BySalt: &salt, OfSalt: &salt,
		After: json.RawMessage(`{"state":"deactivated"}`)}
	half := func(texts ...string) string {
		sum := sha256.Sum256(canonical("[", "]", append([]string{salt}, texts...)...))
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	e.By, e.Of = half(e.ActorName, e.Network, e.Agent), half(e.TargetName, "", string(e.After))
	e.Hash = e.leaf().String()
	return e
}

// export writes one of so many events.
func export(f testing.TB, signer note.Signer, events int64) string {
	f.Helper()
	lines, root := "", Empty.Root
	for n := range events {
		e := event(n)
		text, err := json.Marshal(struct {
			Event
			Begin, Gap, End *struct{} `json:",omitempty"`
		}{Event: e})
		if err != nil {
			f.Fatal(err)
		}
		lines += string(text) + "\n"
		if hash := e.leaf(); n == 0 {
			root = hash
		} else {
			root = tlog.NodeHash(root, hash) // of two events at most
		}
	}
	signed, err := note.Sign(&note.Note{Text: fmt.Sprintf("%s\n%d\n%s\n", logName, events, root)}, signer)
	if err != nil {
		f.Fatal(err)
	}
	begin, err := json.Marshal(map[string]any{"begin": map[string]string{"version": "1", "log": logName, "checkpoint": string(signed)}})
	if err != nil {
		f.Fatal(err)
	}
	return fmt.Sprintf("%s\n%s{\"end\":{\"events\":%d}}\n", begin, lines, events)
}

// Whatever a file says, of an event nothing is believed except what was sealed, or its erasure.
func FuzzVerify(f *testing.F) {
	signer, verifier := pair(f)
	for events := range int64(3) {
		good := export(f, signer, events)
		if found, err := (&Verifier{Key: verifier}).Verify(strings.NewReader(good)); err != nil || found.Events != events {
			f.Fatalf("%+v, %v in\n%s", found, err, good)
		}
		f.Add(good)
		f.Add(strings.Replace(good, "Bo", "Eve", 1))
		f.Add(good[:len(good)/2])
	}
	f.Add(`{"begin":{"checkpoint":""}}` + "\n" + `{"gap":{"from":0,"to":9223372036854775807,"hashes":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}}` + "\n")
	f.Fuzz(func(t *testing.T, text string) {
		log, size, err := Begins(strings.NewReader(text))
		if err != nil && (log != "" || size != 0) {
			t.Errorf("what is no export is one of %d of %q", size, log)
		}
		var read []Event
		v := Verifier{Key: verifier, Each: func(e *Event) error { read = append(read, *e); return nil }}
		found, err := v.Verify(strings.NewReader(text))
		if err != nil {
			if found != (Found{}) {
				t.Errorf("refused, and says %+v", found)
			}
			return
		}
		if found.Size > 2 || found.Events != int64(len(read)) {
			t.Errorf("it has %+v", found)
		}
		for _, e := range read {
			want := event(*e.Leaf)
			if e.leaf() != want.leaf() {
				t.Errorf("believed %+v", e)
			}
			if by, sealed := e.ActorName+e.Network+e.Agent, want.ActorName+want.Network+want.Agent; by != sealed && (e.BySalt != nil || by != "") {
				t.Errorf("believed that %s did it", by)
			}
			if of := e.TargetName + strings.TrimPrefix(string(e.After), "null"); of != want.TargetName+string(want.After) && (e.OfSalt != nil || of != "") {
				t.Errorf("believed that it was done to %s", of)
			}
		}
	})
}

// without is a reader of a line that has no end.
type without struct{ left int }

func (w *without) Read(p []byte) (int, error) {
	n := min(len(p), w.left)
	if n == 0 {
		return 0, io.EOF
	}
	for i := range p[:n] {
		p[i] = 'x'
	}
	w.left -= n
	return n, nil
}

func TestALineWithoutEndTakesBoundedMemory(t *testing.T) {
	_, verifier := pair(t)
	for name, read := range map[string]func(io.Reader) error{
		"its first line": func(r io.Reader) error { _, _, err := Begins(r); return err },
		"all of it":      func(r io.Reader) error { _, err := (&Verifier{Key: verifier}).Verify(r); return err },
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := read(&without{1 << 30})
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; err == nil || !strings.Contains(err.Error(), "longer than any line") || used > 8*longestLine {
			t.Errorf("%s ended with %v after %d MB", name, err, used>>20)
		}
	}
}
