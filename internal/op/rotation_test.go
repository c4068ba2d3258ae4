package op_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"parvis/internal/application"
	"parvis/internal/idptest"
	"parvis/internal/op"
)

const api = "https://api.books.example"

// signer is a client that gets signed access tokens for itself, and the API that accepts them,
// which knows the keys since it was made.
type signer struct {
	*relying
	c client
}

func (w *world) signer(a application.Algorithm) signer {
	w.t.Helper()
	if a == application.RS256 {
		w.sweepKeys()
	}
	c := w.register("", application.Machine, application.Settings{
		Name: "Nightly " + string(a), Auth: application.Secret, OwnBehalf: true, Scopes: []string{"reports:read"}, Audience: api, Algorithm: a,
	})
	s := signer{w.relying(c), c}
	s.takes(s.signs())
	return s
}

// signs gets a token, and returns it with the id of the key that signed it.
func (s signer) signs() (token, kid string) {
	s.w.t.Helper()
	token = s.w.call(s.c, "/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"reports:read"}}).text("access_token")
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(s.c.Settings.SigningAlgorithm())})
	if err != nil {
		s.w.t.Fatal(err)
	}
	return token, signed.Signatures[0].Header.KeyID
}

// takes verifies a token with the known keys, and fetches them again if they do not fit.
func (s signer) takes(token, kid string) {
	s.w.t.Helper()
	if _, err := s.judge(api).Verify(s.ctx, token); err != nil {
		s.w.t.Errorf("by %s: %v", kid, err)
	}
}

// newcomer returns an API that fetches the key set only now.
func (s signer) newcomer() signer { return signer{s.w.relying(s.c), s.c} }

func (w *world) sweepKeys() {
	w.t.Helper()
	if err := w.Provider.Keys.Sweep(w.t.Context(), w.DB); err != nil {
		w.t.Fatal(err)
	}
}

// published returns the ids of the published keys of an algorithm.
func (w *world) published(a application.Algorithm) []string {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.URL+"/jwks", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(w.do(r).Body), &set); err != nil {
		w.t.Fatal(err)
	}
	var all []string
	for _, k := range set.Keys {
		if k.Algorithm == string(a) {
			all = append(all, k.KeyID)
		}
	}
	return all
}

// A token is good at every node as soon as it was given, though another node made its key a moment
// ago: the first one, or one that replaced keys which leaked. Ids that nobody knows have the keys read
// no more than once a second.
func TestATokenOfANewKeyIsGoodAtEveryNodeAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, idptest.Named)
	c, other := w.books(), w.node()
	other.published(application.ES256) // it has read that there is none
	good := func(when string) {
		t.Helper()
		token := w.enter(w.ana, c).text("access_token")
		if a := other.userInfo(token); a.Status != http.StatusOK {
			t.Errorf("%s: another node answers %d %s", when, a.Status, a.Body)
		}
	}
	good("the first key")
	w.Clock.Advance(time.Second)
	if err := w.Provider.Keys.Rotate(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	good("a key in place of one that leaked")
}

// A key is replaced without an outage: the next key is published a day before it signs, and the
// previous one stays until its last token has expired.
func TestKeysRotateWithoutAnOutage(t *testing.T) {
	t.Parallel()
	for _, a := range application.Algorithms {
		t.Run(string(a), func(t *testing.T) {
			w := newWorld(t)
			s := w.signer(a)
			_, before := s.signs()
			w.Clock.Advance(time.Minute)
			if err := w.Provider.Keys.Rotate(t.Context(), false); err != nil {
				t.Fatal(err)
			}
			known := w.published(a)
			w.Clock.Advance(op.KeyAhead - time.Second)
			last, kid := s.signs()
			if kid != before {
				t.Errorf("%s signs already, which not everybody can know", kid)
			}
			w.Clock.Advance(20 * time.Second) // because a node uses the keys that it read for a while
			first, after := s.signs()
			if after == before || !slices.Contains(known, after) {
				t.Errorf("%s signs; a day ago %v were published", after, known)
			}
			w.sweepKeys()
			s.takes(first, after)
			s.newcomer().takes(last, before)
			s.newcomer().takes(first, after)

			w.Clock.Advance(op.KeyOverlap)
			w.sweepKeys()
			if got := w.published(a); !slices.Equal(got, []string{after}) {
				t.Errorf("after the overlap %v are published", got)
			}
		})
	}
}

// A leaked key is refused from that moment: nobody can use it to sign, and applications go on with
// the next key.
func TestALeakedKeyIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for _, a := range application.Algorithms {
		t.Run(string(a), func(t *testing.T) {
			w := newWorld(t)
			s := w.signer(a)
			settings := web()
			settings.Algorithm = a
			r := w.relying(w.register("", application.Web, settings))
			tokens, id := r.enters(w.bo)
			token, before := s.signs()
			w.Clock.Advance(time.Minute)
			if err := w.Provider.Keys.Rotate(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			if _, err := s.newcomer().judge(api).Verify(s.ctx, token); err == nil || slices.Contains(w.published(a), before) {
				t.Error("whoever reads the key set still finds the leaked key")
			}
			if _, err := r.UserInfo(r.ctx, oauth2.StaticTokenSource(tokens)); err == nil {
				t.Error("an access token that anybody may have signed is taken")
			}
			s.takes(s.signs())
			next, err := r.refreshes(tokens)
			if err != nil {
				t.Fatal(err)
			}
			if again := r.reads(next); again.Subject != id.Subject {
				t.Errorf("first %+v, then %+v", id, again)
			}
		})
	}
}

// Over more than two lifetimes of a key, with a sweep every half day, every token can be verified,
// by an API that fetched the keys long ago and by one that fetches them now.
func TestKeysAreReplacedOnSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := map[application.Algorithm]signer{}
	for _, a := range application.Algorithms {
		all[a] = w.signer(a)
	}
	signed, published := map[application.Algorithm][]string{}, map[application.Algorithm][]string{}
	for range 2 * 200 {
		for a, s := range all {
			token, kid := s.signs()
			if !slices.Contains(signed[a], kid) {
				if len(signed[a]) > 0 && !slices.Contains(published[a], kid) {
					t.Errorf("%s signs, and half a day ago %v were published", kid, published[a])
				}
				signed[a] = append(signed[a], kid)
				s.newcomer().takes(token, kid)
			}
			s.takes(token, kid)
			if published[a] = w.published(a); len(published[a]) > 2 {
				t.Errorf("%v are published", published[a])
			}
		}
		w.Clock.Advance(12 * time.Hour)
		w.sweepKeys()
	}
	for a, kids := range signed {
		if len(kids) != 3 {
			t.Errorf("in 200 days %v signed by %s", kids, a)
		}
	}
}
