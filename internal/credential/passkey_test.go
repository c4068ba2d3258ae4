package credential

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"parvis/internal/authenticator"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/secret"
)

const (
	testOrigin = "https://id.example.com"
	testParty  = "id.example.com"
)

// ceremonies is a relying party on a database, with one user.
type ceremonies struct {
	*Passkeys
	t     testing.TB
	d     *db.DB
	clock *dbtest.Clock
	user  directory.User
}

func newCeremonies(t testing.TB) *ceremonies {
	t.Helper()
	d, clock := dbtest.Open(t)
	p, err := NewPasskeys(testPepper("k_one"), testParty, "Parvis", testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	return &ceremonies{p, t, d, clock, newUser(t, d, newOrg(t, d))}
}

func newUser(t testing.TB, d *db.DB, org directory.OrgID) directory.User {
	t.Helper()
	o := newOwner(t, d, org)
	return directory.User{OrgID: o.OrgID, ID: o.UserID, Name: "Ada", Email: string(o.UserID) + "@example.com"}
}

// another returns another user, of an organization.
func (c ceremonies) another(org directory.OrgID) *ceremonies {
	c.user = newUser(c.t, c.d, org)
	return &c
}

func (c *ceremonies) owner() Owner { return Owner{c.user.OrgID, c.user.ID} }

func newAuthenticator() *authenticator.Authenticator {
	return authenticator.New(testOrigin, testParty)
}

// begun holds the options of a ceremony and what the browser keeps of it.
type begun struct {
	kind    Ceremony
	options []byte
	kept    string
}

// bound is what the ceremonies of these tests are bound to.
const bound = "att_1"

func boundOf(kind Ceremony) string {
	if kind == Alone {
		return "" // to the browser that keeps it
	}
	return bound
}

func (c *ceremonies) begin(kind Ceremony) begun {
	c.t.Helper()
	b := begun{kind: kind}
	var err error
	switch kind {
	case Registration:
		b.options, b.kept, err = c.BeginRegistration(c.t.Context(), c.d, c.user, bound, c.d.Now())
	case SecondStep:
		b.options, b.kept, err = c.BeginSecondStep(c.t.Context(), c.d, c.user, bound, c.d.Now())
	case Alone:
		b.options, b.kept, err = c.BeginAlone(c.d.Now())
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return b
}

// answer returns what an authenticator answers.
func (b begun) answer(t testing.TB, a *authenticator.Authenticator) []byte {
	t.Helper()
	if b.kind == Registration {
		return a.Register(t, b.options)
	}
	return a.Assert(t, b.options)
}

// finish judges an answer as a sign-in or an enrolment does.
func (c *ceremonies) finish(b begun, response []byte) (Assertion, error) {
	o, err := c.Open(b.kept, b.kind, boundOf(b.kind), c.d.Now())
	if err != nil {
		return Assertion{}, err
	}
	var made NewPasskey
	var a Assertion
	var refused error
	if b.kind == Registration {
		made, refused = c.FinishRegistration(o, response)
	} else {
		a, refused = c.FinishAssertion(c.t.Context(), c.d, o, response)
	}
	err = c.d.Update(c.t.Context(), func(tx *db.Tx) error {
		if err := o.End(c.t.Context(), tx); err != nil || refused != nil {
			return err
		}
		if b.kind == Registration {
			_, err := AddPasskey(c.t.Context(), tx, c.owner(), made, "Key")
			return err
		}
		used, err := UsePasskey(c.t.Context(), tx, a)
		if err == nil && !used {
			err = ErrPasskeyRefused
		}
		return err
	})
	if err == nil {
		err = refused
	}
	return a, err
}

// do runs a whole ceremony.
func (c *ceremonies) do(kind Ceremony, a *authenticator.Authenticator) (Assertion, error) {
	c.t.Helper()
	b := c.begin(kind)
	return c.finish(b, b.answer(c.t, a))
}

func (c *ceremonies) must(kind Ceremony, a *authenticator.Authenticator) Assertion {
	c.t.Helper()
	assertion, err := c.do(kind, a)
	if err != nil {
		c.t.Fatalf("%s: %v", kind, why(err))
	}
	return assertion
}

// why returns what the log says about a refusal.
func why(err error) error {
	if r, ok := errors.AsType[*PasskeyRefusal](err); ok {
		return r.Why
	}
	return err
}

var ceremonyKinds = []Ceremony{Registration, SecondStep, Alone}

func TestAPasskeyIsMadeAndOpensInBothCeremonies(t *testing.T) {
	t.Parallel()
	for name, algorithm := range map[string]int{"ES256": authenticator.ES256, "EdDSA": authenticator.EdDSA, "RS256": authenticator.RS256} {
		t.Run(name, func(t *testing.T) {
			c := newCeremonies(t)
			a := newAuthenticator()
			a.Algorithm = algorithm
			a.AAGUID = [16]byte{1, 2, 3}
			c.must(Registration, a)
			keys, err := PasskeysOf(t.Context(), c.d, c.owner())
			if err != nil || len(keys) != 1 {
				t.Fatalf("%d passkeys, %v", len(keys), err)
			}
			k := keys[0]
			expect.Equal(t, "Name", k.Name, "Key")
			expect.Equal(t, "AAGUID", string(k.AAGUID()), string(a.AAGUID[:]))
			if !k.CreatedAt.Equal(c.d.Now()) || !k.UsedAt.IsZero() || k.Synced() {
				t.Errorf("stored %+v", k)
			}
			if got, err := base64.RawURLEncoding.DecodeString(k.CredentialID()); err != nil || string(got) != string(a.Passkeys[0].ID) {
				t.Errorf("credential id %x, %v", got, err)
			}
			c.clock.Advance(time.Hour)
			for _, kind := range []Ceremony{SecondStep, Alone} {
				got := c.must(kind, a)
				if got.Owner != c.owner() || !got.Verified || got.Passkey.ID != k.ID {
					t.Errorf("%s: %+v", kind, got)
				}
			}
			if keys, err = PasskeysOf(t.Context(), c.d, c.owner()); err != nil || !keys[0].UsedAt.Equal(c.d.Now()) {
				t.Errorf("used at %v, %v", keys[0].UsedAt, err)
			}
		})
	}
}

// R-PSK-01, R-PSK-05, R-PSK-08: what the browser is given reveals nothing about anybody.
func TestPasskeyOptionsTellNothingOfAnybody(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	a := newAuthenticator()
	var first struct {
		RP   struct{ ID string }
		User struct{ ID, Name, DisplayName string }

		Challenge          string
		PubKeyCredParams   []struct{ Alg int }
		ExcludeCredentials []struct{ ID string }
	}
	b := c.begin(Registration)
	read := func(options []byte, into any) {
		t.Helper()
		if err := json.Unmarshal(options, into); err != nil {
			t.Fatal(err)
		}
	}
	read(b.options, &first)
	handle, err := base64.RawURLEncoding.DecodeString(first.User.ID)
	if err != nil || len(handle) != 64 || strings.Contains(string(handle), string(c.user.ID)) {
		t.Errorf("user handle %q, %v", first.User.ID, err)
	}
	if first.RP.ID != testParty || first.User.Name != c.user.Email || len(first.ExcludeCredentials) != 0 {
		t.Errorf("options %s", b.options)
	}
	if got := fmt.Sprint(first.PubKeyCredParams); got != "[{-8} {-7} {-257}]" {
		t.Errorf("algorithms %s", got)
	}
	if _, err := c.finish(b, b.answer(t, a)); err != nil {
		t.Fatal(err)
	}
	second := first
	read(c.begin(Registration).options, &second)
	if second.User.ID != first.User.ID || len(second.ExcludeCredentials) != 1 || second.Challenge == first.Challenge {
		t.Error("a second passkey of a user has another handle, the same challenge, or may be made on the same authenticator")
	}

	type request struct {
		Challenge        string
		RPID             string
		UserVerification string
		AllowCredentials []struct{ ID string }
	}
	challenges := map[string]bool{}
	for range 20 {
		var r request
		read(c.begin(Alone).options, &r)
		bytes, err := base64.RawURLEncoding.DecodeString(r.Challenge)
		if err != nil || len(bytes) != 32 || challenges[r.Challenge] {
			t.Errorf("challenge %s, %v", r.Challenge, err)
		}
		challenges[r.Challenge] = true
		if len(r.AllowCredentials) != 0 || r.UserVerification != "required" || r.RPID != testParty {
			t.Errorf("%+v", r)
		}
	}
	var r request
	read(c.begin(SecondStep).options, &r)
	if len(r.AllowCredentials) != 1 || r.UserVerification != "preferred" {
		t.Errorf("%+v", r)
	}
	if _, _, err := c.BeginSecondStep(t.Context(), c.d, c.another(c.user.OrgID).user, bound, c.d.Now()); !errors.Is(err, ErrPasskeyRefused) {
		t.Errorf("options for somebody without a passkey: %v", err)
	}
}

// refuse wants an answer to be refused, its challenge used up, and nothing stored.
func (c *ceremonies) refuse(t *testing.T, b begun, response []byte) {
	t.Helper()
	before := dbtest.Dump(t, c.d, "passkeys")
	if _, err := c.finish(b, response); !errors.Is(err, ErrPasskeyRefused) {
		t.Errorf("%s: %v", b.kind, err)
		return
	}
	if after := dbtest.Dump(t, c.d, "passkeys"); after != before {
		t.Errorf("%s: stored %s, was %s", b.kind, after, before)
	}
	if _, err := c.finish(b, response); !errors.Is(err, ErrCeremonyOver) {
		t.Errorf("%s: its challenge may be answered again: %v", b.kind, err)
	}
}

// each runs an attack in every ceremony, with an authenticator that has a passkey of the user
// and a counter.
func (c *ceremonies) each(t *testing.T, attack func(*testing.T, *authenticator.Authenticator, Ceremony)) {
	t.Helper()
	for _, kind := range ceremonyKinds {
		a := newAuthenticator()
		c := c.another(c.user.OrgID)
		c.must(Registration, a)
		c.must(SecondStep, a) // so that what is refused below is not refused for another reason
		t.Run(string(kind), func(t *testing.T) {
			b := c.begin(kind)
			attack(t, a, kind)
			c.refuse(t, b, b.answer(t, a))
		})
	}
}

func TestPSK1WrongOriginOrPartyIsRefused(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	origin := func(o string) func(*authenticator.Authenticator) {
		return func(a *authenticator.Authenticator) { a.Origin = o }
	}
	party := func(id string) func(*authenticator.Authenticator) {
		return func(a *authenticator.Authenticator) { a.RPID = id }
	}
	client := func(members map[string]any) func(*authenticator.Authenticator) {
		return func(a *authenticator.Authenticator) { a.Client = members }
	}
	for name, wrong := range map[string]func(*authenticator.Authenticator){
		"subdomain":              origin("https://evil.id.example.com"),
		"sibling":                origin("https://shop.example.com"),
		"parent domain":          origin("https://example.com"),
		"our name as a prefix":   origin("https://id.example.com.evil.example"),
		"our name as a user":     origin("https://id.example.com@evil.example"),
		"another port":           origin("https://id.example.com:8443"),
		"http":                   origin("http://id.example.com"),
		"trailing dot":           origin("https://id.example.com."),
		"another region":         origin("https://us.example.com"),
		"opaque":                 origin("null"),
		"none":                   origin(""),
		"an app":                 origin("android:apk-key-hash:AAAA"),
		"NUL":                    origin("https://id.example.com\x00"),
		"party is the parent":    party("example.com"),
		"party is a subdomain":   party("www.id.example.com"),
		"party in capitals":      party("ID.EXAMPLE.COM"),
		"party is the origin":    party(testOrigin),
		"framed by a stranger":   client(map[string]any{"crossOrigin": true}),
		"framed, and says where": client(map[string]any{"crossOrigin": true, "topOrigin": "https://evil.example"}),
		"framed by ourselves":    client(map[string]any{"crossOrigin": true, "topOrigin": testOrigin}),
		"a top without a frame":  client(map[string]any{"topOrigin": "https://evil.example"}),
		"the other ceremony":     client(map[string]any{"type": "webauthn.other"}),
		"payment":                client(map[string]any{"type": "payment.get"}),
	} {
		t.Run(name, func(t *testing.T) {
			c.each(t, func(_ *testing.T, a *authenticator.Authenticator, _ Ceremony) { wrong(a) })
		})
	}
}

func TestPSK1AnAnswerOfOneCeremonyIsNoneOfTheOther(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	c.each(t, func(_ *testing.T, a *authenticator.Authenticator, kind Ceremony) {
		other := "webauthn.create"
		if kind == Registration {
			other = "webauthn.get"
		}
		a.Client = map[string]any{"type": other}
	})
}

func TestPSK2OwnChallengeIsRefused(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	c.each(t, func(_ *testing.T, a *authenticator.Authenticator, _ Ceremony) {
		a.Client = map[string]any{"challenge": base64.RawURLEncoding.EncodeToString(secret.Bytes(32))}
	})
	c.each(t, func(_ *testing.T, a *authenticator.Authenticator, _ Ceremony) {
		a.Client = map[string]any{"challenge": ""}
	})
	c.each(t, func(_ *testing.T, a *authenticator.Authenticator, _ Ceremony) {
		a.Client = map[string]any{"challenge": nil}
	})
}

func TestPSK2AnswerIsTakenOnce(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	a := newAuthenticator()
	a.Counter = 0 // a counter would refuse a replay too
	c.must(Registration, a)
	for _, kind := range ceremonyKinds {
		b := c.begin(kind)
		answer := b.answer(t, a)
		if _, err := c.finish(b, answer); err != nil {
			t.Fatalf("%s: %v", kind, why(err))
		}
		if _, err := c.finish(b, answer); !errors.Is(err, ErrCeremonyOver) {
			t.Errorf("%s: the same answer again: %v", kind, err)
		}
		// Captured, and sent for another challenge.
		c.refuse(t, c.begin(kind), answer)
		// On another node, or after a restart.
		node := *c
		var err error
		if node.Passkeys, err = NewPasskeys(testPepper("k_one"), testParty, "Parvis", testOrigin); err != nil {
			t.Fatal(err)
		}
		if _, err := node.finish(b, answer); !errors.Is(err, ErrCeremonyOver) {
			t.Errorf("%s: the same answer on another node: %v", kind, err)
		}
	}
}

func TestPSK2ACeremonyIsOfItsKindItsOwnerAndItsTime(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	a := newAuthenticator()
	c.must(Registration, a)
	elsewhere, err := NewPasskeys(testPepper("k_other"), testParty, "Parvis", testOrigin)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range ceremonyKinds {
		b := c.begin(kind)
		over := func(what string, p *Passkeys, kept string, k Ceremony, boundTo string, after time.Duration) {
			t.Helper()
			if _, err := p.Open(kept, k, boundTo, c.d.Now().Add(after)); !errors.Is(err, ErrCeremonyOver) {
				t.Errorf("%s, %s: %v", kind, what, err)
			}
		}
		for _, other := range ceremonyKinds {
			if other != kind {
				over("as "+string(other), c.Passkeys, b.kept, other, boundOf(kind), 0)
			}
		}
		over("in another attempt", c.Passkeys, b.kept, kind, "att_2", 0)
		if kind != Alone {
			over("in no attempt", c.Passkeys, b.kept, kind, "", 0)
		}
		over("after 5 minutes", c.Passkeys, b.kept, kind, boundOf(kind), 5*time.Minute)
		over("after 6 minutes", c.Passkeys, b.kept, kind, boundOf(kind), 6*time.Minute)
		over("in another installation", elsewhere, b.kept, kind, boundOf(kind), 0)
		over("in an installation without a name", nil, b.kept, kind, boundOf(kind), 0)
		over("cut short", c.Passkeys, b.kept[:len(b.kept)-1], kind, boundOf(kind), 0)
		over("empty", c.Passkeys, "", kind, boundOf(kind), 0)
		over("garbage", c.Passkeys, "\x00{}", kind, boundOf(kind), 0)
		if _, err := c.Open(b.kept, kind, boundOf(kind), c.d.Now().Add(5*time.Minute-time.Microsecond)); err != nil {
			t.Errorf("%s, just in time: %v", kind, err)
		}
	}
}

func TestPSK2OneOfTwoAnswersAtOnceIsTaken(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	a := newAuthenticator()
	a.Counter = 0
	c.must(Registration, a)
	for _, kind := range ceremonyKinds {
		for range 5 {
			b := c.begin(kind)
			answers := make(chan []byte, 4)
			for range cap(answers) {
				if kind == Registration {
					answers <- b.answer(t, newAuthenticator())
				} else {
					answers <- b.answer(t, a)
				}
			}
			atOnce(t, cap(answers), func() (bool, error) {
				_, err := c.finish(b, <-answers)
				if errors.Is(err, ErrCeremonyOver) {
					return false, nil
				}
				return err == nil, err
			})
		}
	}
}

func TestPSK4NobodyPresentIsRefused(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	for _, flags := range []byte{0, authenticator.Verified} {
		c.each(t, func(_ *testing.T, a *authenticator.Authenticator, _ Ceremony) { a.Flags = flags })
	}
}

func TestPSK4WithoutVerificationAPasskeyIsOneFactor(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	a := newAuthenticator()
	a.Flags = authenticator.Present
	b := c.begin(Registration)
	o, err := c.Open(b.kept, Registration, bound, c.d.Now())
	if err != nil {
		t.Fatal(err)
	}
	made, err := c.FinishRegistration(o, a.Register(t, b.options))
	if err != nil || made.Verified() {
		t.Fatalf("made without verification: %v, %v", made.Verified(), why(err))
	}
	update(t, c.d, func(ctx context.Context, tx *db.Tx) error {
		_, err := AddPasskey(ctx, tx, c.owner(), made, "Key")
		return err
	})
	if got := c.must(SecondStep, a); got.Verified {
		t.Error("a second step without verification counts as two factors")
	}
	// What the browser says outside the signature proves nothing.
	b = c.begin(SecondStep)
	if got, err := c.finish(b, with(t, b.answer(t, a), "clientExtensionResults", map[string]any{"uvm": [][]int{{2, 4, 2}}})); err == nil && got.Verified {
		t.Error("verification is believed from an extension")
	}
	b = c.begin(Alone)
	c.refuse(t, b, b.answer(t, a))
	a.Flags |= authenticator.Verified
	if got := c.must(Alone, a); !got.Verified {
		t.Error("verified by a PIN that was set later: not seen")
	}
	if got := c.must(SecondStep, a); !got.Verified {
		t.Error("a second step with verification counts as one factor")
	}
}

// with returns an answer with one member changed; a name with a path is one in its response.
func with(t testing.TB, answer []byte, name string, value any) []byte {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(answer, &all); err != nil {
		t.Fatal(err)
	}
	in := all
	if inner, ok := strings.CutPrefix(name, "response."); ok {
		in, name = all["response"].(map[string]any), inner
	}
	in[name] = value
	if value == nil {
		delete(in, name)
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestPSK4CounterThatDoesNotGoOnIsRefused(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	for name, next := range map[string]uint32{"equal": 7, "lower": 6, "one": 1, "zero": 0} {
		for _, kind := range []Ceremony{SecondStep, Alone} {
			t.Run(name+", "+string(kind), func(t *testing.T) {
				c := c.another(c.user.OrgID)
				a := newAuthenticator()
				c.must(Registration, a)
				a.Counter = 7
				c.must(SecondStep, a)
				a.Counter = next
				b := c.begin(kind)
				answer := b.answer(t, a)
				if o, err := c.Open(b.kept, kind, boundOf(kind), c.d.Now()); err != nil {
					t.Error(err)
				} else if got, err := c.FinishAssertion(t.Context(), c.d, o, answer); got.Owner != c.owner() || !strings.Contains(fmt.Sprint(why(err)), "counter") {
					t.Errorf("the log does not learn whose counter went back: %+v, %v", got, why(err))
				}
				c.refuse(t, b, answer)
				a.Counter = 8
				c.must(kind, a) // nothing of the refused answer was stored
			})
		}
	}
	t.Run("a counter that never moves is not judged", func(t *testing.T) {
		a := newAuthenticator()
		a.Counter = 0
		c.must(Registration, a)
		c.must(SecondStep, a)
		c.must(Alone, a)
		a.Counter = 4_000_000_000
		c.must(Alone, a)
		b := c.begin(Alone)
		a.Counter = 0
		c.refuse(t, b, b.answer(t, a))
	})
}

func TestPSK4BackupFlagsAreConsistent(t *testing.T) {
	t.Parallel()
	const up = authenticator.Present | authenticator.Verified
	const be, bs = authenticator.BackupEligible, authenticator.BackedUp
	c := newCeremonies(t)
	for name, test := range map[string]struct{ made, now byte }{
		"becomes eligible":             {up, up | be},
		"becomes eligible and is":      {up, up | be | bs},
		"is eligible no more":          {up | be, up},
		"backed up, but not eligible":  {up, up | bs},
		"backed up and not eligible 2": {up | be, up | bs},
	} {
		t.Run(name, func(t *testing.T) {
			for _, kind := range []Ceremony{SecondStep, Alone} {
				c := c.another(c.user.OrgID)
				a := newAuthenticator()
				a.Flags = test.made
				c.must(Registration, a)
				a.Flags = test.now
				b := c.begin(kind)
				c.refuse(t, b, b.answer(t, a))
			}
		})
	}
	a := newAuthenticator()
	a.Flags = up | bs
	b := c.begin(Registration)
	c.refuse(t, b, b.answer(t, a))
	a.Flags = up | be
	c.must(Registration, a)
	a.Flags = up | be | bs // copied since, as it is allowed to be
	c.must(Alone, a)
	if keys, err := PasskeysOf(t.Context(), c.d, c.owner()); err != nil || !keys[0].Synced() {
		t.Errorf("synced: %v, %v", keys, err)
	}
}

func TestPSK5UserHandleAndCredentialAgree(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	victim, mallory := newAuthenticator(), newAuthenticator()
	c.must(Registration, victim)
	m := c.another(c.user.OrgID)
	m.must(Registration, mallory)
	far := c.another(newOrg(t, c.d))
	abroad := newAuthenticator()
	far.must(Registration, abroad)

	own := mallory.Passkeys[0].Handle
	for name, handle := range map[string][]byte{"the victim's": victim.Passkeys[0].Handle, "random": secret.Bytes(64), "cut short": own[:63], "none": nil} {
		t.Run(name, func(t *testing.T) {
			mallory.Passkeys[0].Handle = handle
			b := m.begin(Alone)
			m.refuse(t, b, b.answer(t, mallory))
			b = m.begin(SecondStep)
			if handle != nil {
				m.refuse(t, b, b.answer(t, mallory))
				return
			}
			// A security key that stores no user handles answers without one: the user is
			// known.
			if got, err := m.finish(b, b.answer(t, mallory)); err != nil || got.Owner != m.owner() {
				t.Errorf("%+v, %v", got, why(err))
			}
		})
	}
	mallory.Passkeys[0].Handle = own

	// Somebody else's passkey as the victim's second step, from the same organization or
	// another.
	for _, other := range []*authenticator.Authenticator{mallory, abroad} {
		b := c.begin(SecondStep)
		c.refuse(t, b, other.AssertWith(t, b.options, other.Passkeys[0]))
		// With the victim's credential id on it, it is a wrong signature.
		b = c.begin(SecondStep)
		id := base64.RawURLEncoding.EncodeToString(victim.Passkeys[0].ID)
		answer := with(t, with(t, other.AssertWith(t, b.options, other.Passkeys[0]), "id", id), "rawId", id)
		c.refuse(t, b, with(t, answer, "response.userHandle", base64.RawURLEncoding.EncodeToString(victim.Passkeys[0].Handle)))
	}
	if got := far.must(Alone, abroad); got.Owner != far.owner() {
		t.Errorf("a passkey of another organization is %+v", got.Owner)
	}
	// A passkey that nobody has any more.
	update(t, c.d, func(ctx context.Context, tx *db.Tx) error { return RemoveAuthenticators(ctx, tx, m.owner()) })
	b := m.begin(Alone)
	m.refuse(t, b, b.answer(t, mallory))
	c.must(Alone, victim)
}

// R-PSK-06.
func TestPSK6OnlyWhatWasOfferedIsRegistered(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	refuse := func(name string, change func(*authenticator.Authenticator)) {
		t.Run(name, func(t *testing.T) {
			a := newAuthenticator()
			change(a)
			b := c.begin(Registration)
			c.refuse(t, b, b.answer(t, a))
		})
	}
	refuse("ES384 was not offered", func(a *authenticator.Authenticator) { a.Algorithm = authenticator.ES384 })
	refuse("RSA of 1024 bits", func(a *authenticator.Authenticator) {
		a.Algorithm, a.Key = authenticator.RS256, map[int]any{-1: bytes.Repeat([]byte{0xff}, 128)}
	})
	refuse("RSA with the exponent 1", func(a *authenticator.Authenticator) {
		a.Algorithm, a.Key = authenticator.RS256, map[int]any{-2: []byte{1}}
	})
	refuse("an all-zero Ed25519 key", func(a *authenticator.Authenticator) {
		a.Algorithm, a.Key = authenticator.EdDSA, map[int]any{-2: make([]byte, 32)}
	})
	refuse("a credential id of 1024 bytes", func(a *authenticator.Authenticator) { a.IDBytes = 1024 })
	refuse("a credential id of 16 kB", func(a *authenticator.Authenticator) { a.IDBytes = 16 << 10 })
	refuse("no credential id", func(a *authenticator.Authenticator) { a.IDBytes = 0 })
	refuse("an unknown attestation", func(a *authenticator.Authenticator) { a.Format = "homemade" })
	refuse("a statement where there is none", func(a *authenticator.Authenticator) { a.Statement = map[string]any{"sig": []byte{1}} })
	refuse("an attestation without a signature", func(a *authenticator.Authenticator) { a.Format = "packed" })
	refuse("an attestation of 1 MB", func(a *authenticator.Authenticator) {
		a.Format, a.Statement = "packed", map[string]any{"alg": -7, "sig": []byte{1}, "x5c": [][]byte{make([]byte, 1<<20)}}
	})
	t.Run("another id outside than inside", func(t *testing.T) {
		b := c.begin(Registration)
		answer := newAuthenticator().Register(t, b.options)
		c.refuse(t, b, with(t, with(t, answer, "id", "AAAA"), "rawId", "AAAA"))
	})
	t.Run("1023 bytes are fine", func(t *testing.T) {
		a := newAuthenticator()
		a.IDBytes = 1023
		c.must(Registration, a)
		c.must(Alone, a)
	})
}

// A passkey from before keys were judged signs nobody in, whatever signs for it, and is listed.
// One signature in four fits this key, and anybody can make it without a private key.
func TestPSK6AStoredKeyThatOthersSignForOpensNothing(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	a := newAuthenticator()
	a.Algorithm, a.Counter = authenticator.EdDSA, 0
	b := c.begin(Registration)
	o, err := c.Open(b.kept, b.kind, boundOf(b.kind), c.d.Now())
	if err != nil {
		t.Fatal(err)
	}
	made, err := c.FinishRegistration(o, a.Register(t, b.options))
	if err != nil {
		t.Fatal(err)
	}
	key := made.record.PublicKey
	at := bytes.Index(key, []byte{0x21, 0x58, 0x20}) // label -2, a string of 32 bytes
	clear(key[at+3:])
	update(t, c.d, func(ctx context.Context, tx *db.Tx) error {
		_, err := AddPasskey(ctx, tx, c.owner(), made, "Key")
		return err
	})
	forged := make([]byte, ed25519.SignatureSize)
	forged[0] = 1
	for range 30 {
		b := c.begin(SecondStep)
		c.refuse(t, b, with(t, b.answer(t, a), "response.signature", base64.RawURLEncoding.EncodeToString(forged)))
	}
	weak, err := WeakPasskeys(t.Context(), c.d)
	if err != nil || len(weak) != 1 || weak[0].Email != string(c.user.ID) {
		t.Errorf("listed are %+v (%v), want the one of %s", weak, err, c.user.ID)
	}
}

func TestPSK6APasskeyThatAnybodyHasIsRefused(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	a := newAuthenticator()
	b := c.begin(Registration)
	o, err := c.Open(b.kept, Registration, bound, c.d.Now())
	if err != nil {
		t.Fatal(err)
	}
	made, err := c.FinishRegistration(o, a.Register(t, b.options))
	if err != nil {
		t.Fatal(err)
	}
	add := func(o Owner) error {
		return c.d.Update(t.Context(), func(tx *db.Tx) error {
			_, err := AddPasskey(t.Context(), tx, o, made, "Key")
			return err
		})
	}
	if err := add(c.owner()); err != nil {
		t.Fatal(err)
	}
	for who, o := range map[string]Owner{
		"the same user": c.owner(), "a colleague": newOwner(t, c.d, c.user.OrgID), "another organization": newOwner(t, c.d, newOrg(t, c.d)),
	} {
		if err := add(o); !errors.Is(err, ErrPasskeyKnown) {
			t.Errorf("%s: %v", who, err)
		}
	}
	if n := count(t, c.d, `select count(*) from passkeys`); n != 1 {
		t.Errorf("%d passkeys", n)
	}
	if got := c.must(Alone, a); got.Owner != c.owner() {
		t.Errorf("it belongs to %v now", got.Owner)
	}
}

// Two tabs of a person without a passkey begin before either ends: each makes one with a handle
// of its own.
func TestPasskeysMadeSideBySideBothOpen(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	one, other := newAuthenticator(), newAuthenticator()
	first, second := c.begin(Registration), c.begin(Registration)
	for _, at := range []struct {
		b begun
		a *authenticator.Authenticator
	}{{first, one}, {second, other}} {
		if _, err := c.finish(at.b, at.b.answer(t, at.a)); err != nil {
			t.Fatal(why(err))
		}
	}
	for _, a := range []*authenticator.Authenticator{one, other} {
		c.must(SecondStep, a)
		c.must(Alone, a)
	}
}

func TestWhatTheBrowserKeepsOfACeremonyFitsACookie(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	a := newAuthenticator()
	a.IDBytes = 1023
	for range 8 {
		c.must(Registration, a)
	}
	for _, kind := range ceremonyKinds {
		if b := c.begin(kind); len(b.kept) > 1500 {
			t.Errorf("%s: %d bytes", kind, len(b.kept))
		}
	}
}

func TestPasskeyRemovedOrUsedInBetweenIsNotUsed(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	a := newAuthenticator()
	c.must(Registration, a)
	use := func(x Assertion) (used bool) {
		update(t, c.d, func(ctx context.Context, tx *db.Tx) (err error) {
			used, err = UsePasskey(ctx, tx, x)
			return err
		})
		return used
	}
	answer := func() Assertion {
		b := c.begin(Alone)
		o, err := c.Open(b.kept, Alone, "", c.d.Now())
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.FinishAssertion(t.Context(), c.d, o, a.Assert(t, b.options))
		if err != nil {
			t.Fatal(why(err))
		}
		return got
	}
	early, late := answer(), answer()
	if !use(late) || use(early) {
		t.Error("of two answers on their way the one with the lower counter is taken after the other")
	}
	last := answer()
	update(t, c.d, func(ctx context.Context, tx *db.Tx) error {
		return RemoveAuthenticator(ctx, tx, c.owner(), last.Passkey.ID)
	})
	if use(last) {
		t.Error("a passkey is used after it was removed")
	}
}

// R-PSK-04: each byte that is signed or compared matters, and no answer causes an internal
// error.
func TestPSK4EachBrokenFieldIsRefused(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	a := newAuthenticator()
	a.Counter = 0
	c.must(Registration, a)
	for _, kind := range []Ceremony{SecondStep, Alone} {
		for _, field := range []string{"clientDataJSON", "authenticatorData", "signature"} {
			b := c.begin(kind)
			answer := b.answer(t, a)
			var all struct{ Response map[string]string }
			if err := json.Unmarshal(answer, &all); err != nil {
				t.Fatal(err)
			}
			o, err := c.Open(b.kept, kind, boundOf(kind), c.d.Now())
			if err != nil {
				t.Fatal(err)
			}
			bytes, err := base64.RawURLEncoding.DecodeString(all.Response[field])
			if err != nil {
				t.Fatal(err)
			}
			for i := range bytes {
				bytes[i] ^= 1
				broken := with(t, answer, "response."+field, base64.RawURLEncoding.EncodeToString(bytes))
				if _, err := c.FinishAssertion(t.Context(), c.d, o, broken); !errors.Is(err, ErrPasskeyRefused) {
					t.Errorf("%s, byte %d of %s: %v", kind, i, field, err)
				}
				bytes[i] ^= 1
			}
		}
	}
}

func TestPSK4GarbageIsRefusedWithoutHarm(t *testing.T) {
	t.Parallel()
	c := newCeremonies(t)
	a := newAuthenticator()
	c.must(Registration, a)
	for _, kind := range ceremonyKinds {
		b := c.begin(kind)
		answer := b.answer(t, a)
		garbage := []string{
			"", " ", "null", "true", "0", `""`, "[]", "{}", "{", "\x00", "\xff\xfe", `{"id":1}`, `{"response":null}`, `{"id":"","rawId":""}`,
			string(answer) + "{}", strings.Repeat("[", 100_000), strings.Repeat("{\"a\":", 100_000), strings.Repeat(" ", 1<<20),
			string(with(t, answer, "id", nil)), string(with(t, answer, "id", "\r\n")), string(with(t, answer, "type", "password")), string(with(t, answer, "response", nil)),
			string(with(t, answer, "response.clientDataJSON", "")), string(with(t, answer, "response.clientDataJSON", "bnVsbA")),
			string(with(t, answer, "response.clientDataJSON", "!")), string(with(t, answer, "clientExtensionResults", "x")),
		}
		signed := []string{"authenticatorData", "signature"}
		if kind == Registration {
			signed = []string{"attestationObject"}
		}
		for _, name := range signed {
			garbage = append(garbage, string(with(t, answer, "response."+name, "AA")), string(with(t, answer, "response."+name, nil)))
		}
		for n := 1; n < len(answer)-1; n += 37 {
			garbage = append(garbage, string(answer[:n]))
		}
		o, err := c.Open(b.kept, kind, boundOf(kind), c.d.Now())
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range garbage {
			if kind == Registration {
				_, err = c.FinishRegistration(o, []byte(text))
			} else {
				_, err = c.FinishAssertion(t.Context(), c.d, o, []byte(text))
			}
			if !errors.Is(err, ErrPasskeyRefused) {
				t.Errorf("%s: %.80q: %v", kind, text, err)
			}
			if reason := fmt.Sprint(why(err)); len(reason) > longestReason+10 {
				t.Errorf("%s: %.80q: the log gets %d bytes", kind, text, len(reason))
			}
		}
	}
	// What a hostile page puts into a field is shortened in the log.
	a.Origin = "https://" + strings.Repeat("é", 10_000)
	_, err := c.do(Alone, a)
	if !errors.Is(err, ErrPasskeyRefused) || len(why(err).Error()) > longestReason+10 {
		t.Errorf("%d bytes for the log", len(fmt.Sprint(why(err))))
	}
}

// BenchmarkAssertion measures the verification of an answer, with its passkey looked up in the
// database, and the mere call of the library.
func BenchmarkAssertion(b *testing.B) {
	for name, algorithm := range map[string]int{"ES256": authenticator.ES256, "EdDSA": authenticator.EdDSA, "RS256": authenticator.RS256} {
		c := newCeremonies(b)
		a := newAuthenticator()
		a.Algorithm = algorithm
		c.must(Registration, a)
		begun := c.begin(Alone)
		o, err := c.Open(begun.kept, Alone, "", c.d.Now())
		if err != nil {
			b.Fatal(err)
		}
		answer := begun.answer(b, a)
		keys, err := PasskeysOf(b.Context(), c.d, c.owner())
		if err != nil {
			b.Fatal(err)
		}
		who := subject{handle: keys[0].handle, credentials: []webauthn.Credential{keys[0].record}}
		b.Run(name+"/ours", func(b *testing.B) {
			perCPU(b, func() error {
				_, err := c.FinishAssertion(b.Context(), c.d, o, answer)
				return err
			})
		})
		b.Run(name+"/library", func(b *testing.B) {
			perCPU(b, func() error {
				parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
				if err == nil {
					_, _, err = c.party.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return who, nil }, o.session, parsed)
				}
				return err
			})
		})
	}
}

// perCPU also reports the processor time of a call: a busy machine does not change it.
func perCPU(b *testing.B, call func() error) {
	b.Helper()
	spent := func() (t time.Duration) {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	before := spent()
	for b.Loop() {
		if err := call(); err != nil {
			b.Fatal(why(err))
		}
	}
	b.ReportMetric(float64(spent()-before)/float64(b.N), "cpu-ns/op")
}

// One reader takes the first of two members, another the last, and encoding/json reads them in
// any case: what no browser writes is refused, also in what the browser had signed.
func TestPSK4AmbiguousJSONIsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(answer string) string{
		"a member twice":           func(a string) string { return strings.Replace(a, `{`, `{"type":"public-key",`, 1) },
		"a member in another case": func(a string) string { return strings.Replace(a, `"rawId"`, `"RAWID"`, 1) },
		"both":                     func(a string) string { return strings.Replace(a, `{`, `{"Type":"public-key",`, 1) },
		"an inner member twice": func(a string) string {
			return strings.Replace(a, `"response":{`, `"response":{"clientDataJSON":"",`, 1)
		},
		"an inner member in capital": func(a string) string { return strings.Replace(a, `"clientDataJSON"`, `"ClientDataJSON"`, 1) },
		"a second value":             func(a string) string { return a + `{}` },
	} {
		t.Run(name, func(t *testing.T) {
			c := newCeremonies(t)
			a := newAuthenticator()
			c.must(Registration, a)
			for _, kind := range ceremonyKinds {
				b := c.begin(kind)
				answer := string(b.answer(t, a))
				if change(answer) == answer {
					t.Fatalf("nothing is changed in %s", answer)
				}
				c.refuse(t, b, []byte(change(answer)))
			}
		})
	}
	for _, in := range []*base64.Encoding{base64.RawURLEncoding, base64.URLEncoding} { // the library takes both
		signed := in.EncodeToString([]byte(`{"type":"webauthn.get","Type":"webauthn.get" }`))
		if readable([]byte(`{"response":{"clientDataJSON":"`+signed+`"}}`)) == nil {
			t.Errorf("signed data with a member in two cases is read: %s", signed)
		}
	}
}
