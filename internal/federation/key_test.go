package federation_test

import (
	"encoding/json"
	"encoding/xml"
	"slices"
	"testing"
	"time"

	crewjam "github.com/crewjam/saml"

	"parvis/internal/directory"
	"parvis/internal/federation"
)

// certificates returns the certificates of our metadata in order, without duplicates.
func (w *world) certificates(c federation.Connection) (all []string) {
	w.t.Helper()
	var m crewjam.EntityDescriptor
	if err := xml.Unmarshal(w.metadata(c), &m); err != nil || len(m.SPSSODescriptors) != 1 {
		w.t.Fatalf("our metadata: %v", err)
	}
	seen := map[string]bool{}
	for _, k := range m.SPSSODescriptors[0].KeyDescriptors {
		for _, x := range k.KeyInfo.X509Data.X509Certificates {
			if !seen[x.Data] {
				seen[x.Data] = true
				all = append(all, x.Data)
			}
		}
	}
	return all
}

func (w *world) keySet() (ids []string) {
	w.t.Helper()
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	p := w.Browser(w.t).Get("/federation/keys")
	if err := json.Unmarshal([]byte(p.Body), &set); err != nil {
		w.t.Fatal(err)
	}
	for _, k := range set.Keys {
		if k["d"] != nil {
			w.t.Fatal("the key set has a private key")
		}
		id, _ := k["kid"].(string)
		ids = append(ids, id)
	}
	return ids
}

// A new key is published before it signs, and the one before it stays as long again, so that a
// provider that reads our keys at any time can always verify and encrypt.
func TestOurKeysRotateWithOverlap(t *testing.T) {
	w := start(t)
	w.Join(t, w.org, ada, "Ada", directory.Member)
	idp := w.idp()
	c := w.samlConnection(w.org, idp)
	first, firstID := w.certificates(c), w.keySet()
	if len(first) != 1 || len(firstID) != 1 {
		t.Fatalf("%d certificates and %d keys at first", len(first), len(firstID))
	}
	rotate := func() {
		t.Helper()
		w.Clock.Advance(time.Second)
		if err := w.Hub.RotateKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	rotate()
	both := w.certificates(c)
	if len(both) != 2 || both[0] != first[0] || len(w.keySet()) != 2 {
		t.Fatalf("after rotating: %d certificates, the old one first: %t", len(both), both[0] == first[0])
	}
	enter := func(when string) {
		t.Helper()
		if p := w.enter(w.Browser(t), idp, c, person(ada)); p.URL.Path != "/o/alpha/home" {
			t.Errorf("%s: %d %s: %s\n%s", when, p.Status, p.URL, p.Text(), w.traces())
		}
	}
	enter("while the new key is published")
	w.Clock.Advance(federation.Ahead)
	if now := w.certificates(c); len(now) != 2 || now[0] != both[1] || w.keySet()[0] == firstID[0] {
		t.Errorf("two weeks later the new one does not sign: %d", len(now))
	}
	enter("once the new key signs")
	w.Clock.Advance(federation.Ahead)
	rotate()
	if now := w.certificates(c); len(now) != 2 || now[0] != both[1] || now[1] == first[0] {
		t.Errorf("the first key is still there: %d", len(now))
	}
}

// A key is deleted at the first rotation that finds it replaced for long enough, even though the key
// after its successor signs by then and has only just begun (decision 0050).
func TestAKeyGoesAsSoonAsItsSuccessorHasSignedForTheOverlap(t *testing.T) {
	w := start(t)
	rotate := func(after time.Duration) {
		t.Helper()
		w.Clock.Advance(after)
		if err := w.Hub.RotateKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	first := w.keySet()[0]
	rotate(time.Second)
	rotate(federation.Ahead) // the second begins to sign
	if now := w.keySet(); len(now) != 3 || !slices.Contains(now, first) {
		t.Errorf("the first went when the second began to sign: %v", now)
	}
	w.Clock.Advance(federation.Ahead) // the third begins to sign
	if now := w.keySet(); len(now) != 3 || !slices.Contains(now, first) {
		t.Errorf("the first went without an act of the operator: %v", now)
	}
	rotate(0)
	if now := w.keySet(); len(now) != 3 || slices.Contains(now, first) {
		t.Errorf("the first is still there: %v", now)
	}
}
