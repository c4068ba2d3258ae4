// Command auditverify checks an export of a log of Parvis, and needs nothing of Parvis for it:
// only the export, the key that the console shows, and perhaps a checkpoint that was kept.
//
//	go run ./cmd/auditverify -key VKEY [-since OLD-CHECKPOINT [-since-key OLD-VKEY]] export.jsonl
//
// What an export says, and how it is checked, stands in internal/audit/verify, which knows nothing else
// of Parvis.
//
// A log that was restored from a backup goes on under another name, HOST/audit/ORG_ID/EPOCH, and has
// another key. Its tree goes on from what was restored, and the first event afterwards says so.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"

	"parvis/internal/audit/verify"
)

func main() {
	key := flag.String("key", "", "the `key` to verify with, as the console shows it")
	since := flag.String("since", "", "a `file` with a checkpoint that was kept: the log must have grown out of it")
	old := flag.String("since-key", "", "the `key` of that checkpoint, if the log was restored since and has another one now")
	flag.Parse()
	said, err := run(keys{*key, *old}, *since, flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(said)
}

// keys are what the checkpoints are verified with; the old one is empty unless it is another.
type keys struct{ now, old string }

func run(k keys, since, path string) (string, error) {
	known, err := note.NewVerifier(k.now)
	if err != nil {
		return "", fmt.Errorf("-key: %w", err)
	}
	v, before := verify.Verifier{Key: known}, known
	if k.old != "" {
		if before, err = note.NewVerifier(k.old); err != nil {
			return "", fmt.Errorf("-since-key: %w", err)
		}
	}
	if since != "" {
		text, err := os.ReadFile(since)
		if v.SinceBefore = before.Name() != known.Name(); err == nil {
			v.Since, err = verify.Open(before, append(bytes.TrimSpace(text), '\n'))
		}
		if err != nil {
			return "", fmt.Errorf("-since: %w", err)
		}
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close() //nolint:errcheck // It was only read.
	found, err := v.Verify(file)
	if err != nil {
		return "", err
	}
	return sentence(found, v), nil
}

// sentence says what was found right.
func sentence(f verify.Found, v verify.Verifier) string {
	said := "all there, nothing changed"
	if f.Filtered {
		said = "nothing changed (the export was filtered: it cannot show that nothing is missing)"
	}
	said += fmt.Sprintf(": %d events up to %d, of %d in %s; personal data of %d was erased", f.Events, f.Last, f.Size, v.Key.Name(), f.Erased)
	if f.Restores > 0 {
		said += fmt.Sprintf("; it was restored from a backup, at event %d", f.Restored)
	}
	if v.Since != nil {
		said += fmt.Sprintf("; it has grown out of the old checkpoint of %d", v.Since.Size)
	}
	return said
}
