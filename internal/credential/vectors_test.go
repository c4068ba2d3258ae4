package credential

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"parvis/internal/db"
	"parvis/internal/dbtest"
)

type hexBytes []byte

func (h *hexBytes) UnmarshalText(t []byte) (err error) {
	*h, err = hex.DecodeString(string(t))
	return err
}

func (h hexBytes) base64() string { return base64.RawURLEncoding.EncodeToString(h) }

// A vector is one of the test vectors of WebAuthn Level 3.
type vector struct {
	Name         string
	Registration struct {
		Challenge   hexBytes
		Client      hexBytes `json:"client_data_json"`
		Attestation hexBytes `json:"attestation_object"`
		ID          hexBytes `json:"credential_id"`
	}
	Authentication struct {
		Challenge hexBytes
		Client    hexBytes `json:"client_data_json"`
		Data      hexBytes `json:"authenticator_data"`
		Signature hexBytes
	}
}

func (v vector) registration(t *testing.T) []byte {
	return answerOf(t, v.Registration.ID, map[string]any{
		"clientDataJSON": v.Registration.Client.base64(), "attestationObject": v.Registration.Attestation.base64(),
	})
}

func (v vector) assertion(t *testing.T) []byte {
	a := v.Authentication
	return answerOf(t, v.Registration.ID, map[string]any{
		"clientDataJSON": a.Client.base64(), "authenticatorData": a.Data.base64(), "signature": a.Signature.base64(),
	})
}

func answerOf(t *testing.T, id hexBytes, response map[string]any) []byte {
	t.Helper()
	text, err := json.Marshal(map[string]any{"id": id.base64(), "rawId": id.base64(), "type": "public-key", "response": response})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The vectors of the specification: those that use an algorithm which we offer, and an
// attestation without a manufacturer's root, pass. Everything else is refused, and so is each
// with one bit changed.
func TestPSK4VectorsOfTheSpecification(t *testing.T) {
	t.Parallel()
	refused := map[string]string{
		"none.ES256.crossOrigin": "framed", "none.ES256.topOrigin": "framed",
		"packed.ES384": "algorithm", "packed.ES512": "algorithm", "packed.Ed448": "algorithm",
		"tpm.ES256": "root", "android-key.ES256": "root", "apple.ES256": "root",
	}
	var data struct {
		RPID    string `json:"rp_id"`
		Origin  string
		Vectors []vector
	}
	if err := json.Unmarshal(sharedData(t, "webauthn/vectors.json"), &data); err != nil {
		t.Fatal(err)
	}
	if len(data.Vectors) != 15 {
		t.Errorf("%d vectors", len(data.Vectors))
	}
	d, _ := dbtest.Open(t)
	p, err := NewPasskeys(testPepper("k_one"), data.RPID, "Parvis", data.Origin)
	if err != nil {
		t.Fatal(err)
	}
	org := newOrg(t, d)
	for _, v := range data.Vectors {
		t.Run(v.Name, func(t *testing.T) {
			o := newOwner(t, d, org)
			registration := func(v vector) (NewPasskey, error) {
				return p.FinishRegistration(Opened{ceremony: Registration, session: webauthn.SessionData{
					Challenge: v.Registration.Challenge.base64(), UserID: []byte("handle"), UserVerification: protocol.VerificationPreferred,
					CredParams: webauthn.CredentialParametersRecommendedL3(),
				}}, v.registration(t))
			}
			made, err := registration(v)
			if why, expected := refused[v.Name]; expected {
				if !errors.Is(err, ErrPasskeyRefused) {
					t.Errorf("registered, for all its %s: %v", why, err)
				}
				return
			}
			if err != nil {
				t.Fatal(why(err))
			}
			update(t, d, func(ctx context.Context, tx *db.Tx) error {
				_, err := AddPasskey(ctx, tx, o, made, "Key")
				return err
			})
			assertion := func(v vector) error {
				_, err := p.FinishAssertion(t.Context(), d, Opened{ceremony: SecondStep, owner: o, session: webauthn.SessionData{
					Challenge: v.Authentication.Challenge.base64(), UserVerification: protocol.VerificationPreferred,
				}}, v.assertion(t))
				return err
			}
			if err := assertion(v); err != nil {
				t.Error(why(err))
			}
			for name, field := range map[string]func(*vector) *hexBytes{
				"challenge": func(v *vector) *hexBytes { return &v.Authentication.Challenge },
				"client":    func(v *vector) *hexBytes { return &v.Authentication.Client },
				"data":      func(v *vector) *hexBytes { return &v.Authentication.Data },
				"signature": func(v *vector) *hexBytes { return &v.Authentication.Signature },
			} {
				for _, broken := range eachBroken(v, field) {
					if err := assertion(broken); !errors.Is(err, ErrPasskeyRefused) {
						t.Errorf("a bit of its %s was changed: %v", name, err)
					}
				}
			}
			for name, field := range map[string]func(*vector) *hexBytes{
				"challenge": func(v *vector) *hexBytes { return &v.Registration.Challenge },
				"id":        func(v *vector) *hexBytes { return &v.Registration.ID },
			} {
				for _, broken := range eachBroken(v, field) {
					if _, err := registration(broken); !errors.Is(err, ErrPasskeyRefused) {
						t.Errorf("registered with a bit of its %s changed: %v", name, err)
					}
				}
			}
		})
	}
}

// eachBroken changes the first, a middle and the last byte of a field.
func eachBroken(v vector, field func(*vector) *hexBytes) []vector {
	var all []vector
	n := len(*field(&v))
	for _, i := range []int{0, n / 2, n - 1} {
		broken := v
		f := field(&broken)
		*f = slices.Clone(*f)
		(*f)[i] ^= 1
		all = append(all, broken)
	}
	return all
}

// Whatever is sent is refused without a panic or an internal error. A database would only slow
// the fuzzer down, so its one passkey is passed by hand.
func FuzzFinishRegistration(f *testing.F) {
	p, o, answer := beginForFuzz(f)
	f.Add(answer)
	f.Fuzz(func(t *testing.T, answer []byte) {
		made, err := p.FinishRegistration(o, answer)
		if err != nil && !errors.Is(err, ErrPasskeyRefused) {
			t.Error(err)
		}
		if err == nil && (len(made.record.ID) == 0 || len(made.record.PublicKey) == 0) {
			t.Errorf("made %+v", made)
		}
	})
}

func FuzzFinishAssertion(f *testing.F) {
	p, o, answer := beginForFuzz(f)
	made, err := p.FinishRegistration(o, answer)
	if err != nil {
		f.Fatal(err)
	}
	key := Passkey{owner: Owner{"org_1", "usr_1"}, handle: made.handle, record: made.record}
	options, session, err := p.party.BeginDiscoverableLogin()
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(options.Response)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(fuzzed.Assert(f, text))
	f.Fuzz(func(t *testing.T, answer []byte) {
		parsed, err := parseAssertion(answer)
		for _, o := range []Opened{{ceremony: Alone, session: *session}, {ceremony: SecondStep, session: *session, owner: key.owner}} {
			if err == nil {
				_, err = p.judge(o, key, parsed)
			}
			if err != nil && !errors.Is(err, ErrPasskeyRefused) {
				t.Error(err)
			}
		}
	})
}

// fuzzed is the authenticator of the fuzz targets.
var fuzzed = newAuthenticator()

// beginForFuzz returns a registration with its right answer.
func beginForFuzz(f *testing.F) (*Passkeys, Opened, []byte) {
	f.Helper()
	p, err := NewPasskeys(testPepper("k_one"), testParty, "Parvis", testOrigin)
	if err != nil {
		f.Fatal(err)
	}
	options, session, err := p.party.BeginRegistration(subject{handle: []byte("handle"), name: "ada", display: "Ada"},
		webauthn.WithCredentialParameters(webauthn.CredentialParametersRecommendedL3()))
	if err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal(options.Response)
	if err != nil {
		f.Fatal(err)
	}
	return p, Opened{ceremony: Registration, session: *session}, fuzzed.Register(f, text)
}
