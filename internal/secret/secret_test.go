package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestTokenOfOnePurposeIsNoOther(t *testing.T) {
	token := NewToken()
	seen := map[string]bool{}
	for _, p := range []Purpose{Browser, Invitation, Bootstrap} {
		seen[token.Hash(p)] = true
	}
	if len(seen) != 3 {
		t.Error("two purposes share a hash")
	}
	if ParseToken(token.Reveal()).Hash(Browser) != token.Hash(Browser) {
		t.Error("a token that travelled hashes otherwise")
	}
}

func TestTokenCannotBePrintedByAccident(t *testing.T) {
	token := NewToken()
	encoded, err := json.Marshal(map[string]any{"t": token})
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v %s", token, token, token, token), string(encoded), token.LogValue().String()} {
		if strings.Contains(printed, token.Reveal()) {
			t.Errorf("printed as %s", printed)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add(NewToken().Reveal())
	f.Add("")
	f.Add(strings.Repeat("é", 22))
	f.Fuzz(func(t *testing.T, s string) {
		if token := ParseToken(s); !token.IsZero() && (token.Reveal() != s || len(s) != 43) {
			t.Errorf("%q was taken as a token", s)
		}
	})
}

func TestSealedValueOpensOnlyInItsRowAndUnharmed(t *testing.T) {
	ring := NewKeys().Sealing
	box := NewBox(ring, "letters")
	sealed := box.Seal([]byte("plain"), "row 1")
	if plain, err := box.Open(sealed, "row 1"); err != nil || !bytes.Equal(plain, []byte("plain")) {
		t.Fatalf("%q, %v", plain, err)
	}
	if strings.Contains(sealed, "plain") || sealed == box.Seal([]byte("plain"), "row 1") {
		t.Error("sealing hides nothing, or twice the same")
	}
	flipped := []byte(sealed)
	flipped[len(flipped)/2] ^= 1
	spare := box.Seal([]byte("plain2"), "row 1") // 34 bytes, so that four bits of its last character say nothing
	last := spare[:len(spare)-1] + string(spare[len(spare)-1]+1)
	for name, try := range map[string]func() ([]byte, error){
		"moved to another row": func() ([]byte, error) { return box.Open(sealed, "row 2") },
		"altered":              func() ([]byte, error) { return box.Open(string(flipped), "row 1") },
		"cut":                  func() ([]byte, error) { return box.Open(sealed[:len(sealed)-4], "row 1") },
		"other last bits":      func() ([]byte, error) { return box.Open(last, "row 1") },
		"a line inside":        func() ([]byte, error) { return box.Open(sealed+"\n", "row 1") },
		"empty":                func() ([]byte, error) { return box.Open("", "row 1") },
		"for another purpose":  func() ([]byte, error) { return NewBox(ring, "forms").Open(sealed, "row 1") },
		"under another key":    func() ([]byte, error) { return NewBox(NewKeys().Sealing, "letters").Open(sealed, "row 1") },
	} {
		if _, err := try(); !errors.Is(err, ErrSealBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A key put in front seals new values; values sealed before still open.
	rotated := NewBox(NewRing(append([]Key{NewKey()}, ring.All()...)...), "letters")
	if _, err := rotated.Open(sealed, "row 1"); err != nil {
		t.Errorf("after rotation: %v", err)
	}
	if _, err := box.Open(rotated.Seal([]byte("new"), "row 1"), "row 1"); !errors.Is(err, ErrSealBroken) {
		t.Errorf("the old key opens what the new one sealed: %v", err)
	}
}

func TestKeysComeBackFromTheirFileAndNothingElseDoes(t *testing.T) {
	k := NewKeys()
	again, err := ParseKeys(k.Text())
	if err != nil || !bytes.Equal(again.Text(), k.Text()) {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"", "{}", `{"sealing":[]}`, strings.Replace(string(k.Text()), `"key": "`, `"key": "AAAA`, 1), strings.ReplaceAll(string(k.Text()), k.Pepper.Current().ID, "a.b")} {
		if _, err := ParseKeys([]byte(bad)); err == nil {
			t.Errorf("taken as keys: %.60s", bad)
		}
	}
}

func TestMACTellsListsApartAndIdsAreRandom(t *testing.T) {
	if bytes.Equal(MAC([]byte("k"), "ab", "c"), MAC([]byte("k"), "a", "bc")) {
		t.Error("two lists give one MAC")
	}
	ids := map[string]bool{}
	for range 1000 {
		ids[NewID("x")] = true
	}
	if len(ids) != 1000 {
		t.Errorf("%d of 1000 ids are different", len(ids))
	}
}

func TestRSAKeysAreStrongAndDiffer(t *testing.T) {
	a, b := NewRSAKey(), NewRSAKey()
	if a.N.BitLen() != 3072 || a.Equal(b) || a.Validate() != nil {
		t.Errorf("%d bits", a.N.BitLen())
	}
}

func TestIDsOfRowsThatComeTogetherStandTogether(t *testing.T) {
	seen, begins := map[string]bool{}, map[string]int{}
	for range 20 {
		for _, id := range NewIDs("usr", 50) {
			if !validID.MatchString(id) {
				t.Fatalf("%q is no id", id)
			}
			seen[id[12:]] = true // what each has of its own
			begins[id[:12]]++
		}
	}
	if len(seen) != 1000 || len(begins) != 20 {
		t.Errorf("%d of 1000 differ; 20 times 50 begin in %d ways", len(seen), len(begins))
	}
}
