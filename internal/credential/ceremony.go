package credential

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/secret"
)

// The faults of passkeys. ErrPasskeyRefused is the one sentence for every check that fails; the
// log says which one it was.
var (
	ErrPasskeyRefused = fault.New(fault.Invalid, "credential.passkey_refused")
	ErrPasskeyKnown   = fault.New(fault.Invalid, "credential.passkey_known")
	ErrCeremonyOver   = fault.New(fault.Invalid, "credential.ceremony_over")
)

const (
	// CeremonyLifetime is how long a challenge may be answered (R-PSK-01).
	CeremonyLifetime = 5 * time.Minute

	handleBytes       = 64   // WebAuthn L3 §14.6.1: random, no personal data
	longestCredential = 1023 // bytes of a credential id (WebAuthn L3 §7.1 step 25)
	// LongestResponse is how many bytes of an authenticator's answer are read.
	LongestResponse = 32 << 10
	longestReason   = 500 // bytes of a refusal that are logged
)

// Ceremony is what a challenge was made for: an answer to one kind does not answer another.
type Ceremony string

// The ceremonies.
const (
	Registration Ceremony = "registration"
	SecondStep   Ceremony = "second step"   // of a known user: one factor beside another
	Alone        Ceremony = "passkey alone" // of nobody known yet: the authenticator verifies its user
)

// Passkeys runs ceremonies. Build it once.
//
// A ceremony's state is sealed and given to the browser, so that a page which offers a passkey
// writes nothing; the first answer, right or wrong, inserts the hash of its challenge into
// replays, and a second answer cannot insert it again (decision 0028).
//
// An answer is checked first, outside any transaction, and used afterwards: call Open, then
// FinishRegistration or FinishAssertion, then End in the transaction that stores the result.
type Passkeys struct {
	party *webauthn.WebAuthn
	box   secret.Box
}

// NewPasskeys makes the relying party: id is a domain, origins are the origins of its pages,
// name is shown by authenticators.
func NewPasskeys(sealing *secret.Ring, id, name string, origins ...string) (*Passkeys, error) {
	party, err := webauthn.New(&webauthn.Config{
		RPID: id, RPDisplayName: name, RPOrigins: origins,
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementPreferred, UserVerification: protocol.VerificationPreferred,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("passkeys of %s: %w", id, err)
	}
	return &Passkeys{party, secret.NewBox(sealing, "passkey ceremonies")}, nil
}

// Opened is a ceremony whose answer has arrived.
type Opened struct {
	ceremony Ceremony
	session  webauthn.SessionData
	owner    Owner // the user of a second step; zero in the other ceremonies
	ends     time.Time
}

// sealed is what the browser keeps of a ceremony.
type sealed struct {
	Ceremony Ceremony             `json:"ceremony"`
	BoundTo  string               `json:"bound_to"`
	Owner    Owner                `json:"owner,omitzero"`
	Ends     time.Time            `json:"ends"`
	Session  webauthn.SessionData `json:"session"`
}

// sealFor is what a ceremony is sealed for.
const sealFor = "ceremony"

func (p *Passkeys) seal(c Ceremony, boundTo string, o Owner, s *webauthn.SessionData, now time.Time) (string, error) {
	plain, err := json.Marshal(sealed{c, boundTo, o, now.Add(CeremonyLifetime), *s})
	if err != nil {
		return "", err
	}
	return p.box.Seal(plain, sealFor), nil
}

// Open reads the ceremony that a browser kept; ErrCeremonyOver if it is not of this kind, not
// of this attempt or session, or too old.
func (p *Passkeys) Open(kept string, c Ceremony, boundTo string, now time.Time) (Opened, error) {
	if p == nil {
		return Opened{}, ErrCeremonyOver // an installation without a host name
	}
	plain, err := p.box.Open(kept, sealFor)
	if err != nil {
		return Opened{}, ErrCeremonyOver
	}
	var o sealed
	if err := json.Unmarshal(plain, &o); err != nil {
		return Opened{}, err
	}
	if o.Ceremony != c || o.BoundTo != boundTo || !now.Before(o.Ends) {
		return Opened{}, ErrCeremonyOver
	}
	return Opened{o.Ceremony, o.Session, o.Owner, o.Ends}, nil
}

// End uses a ceremony up, whether its answer is right or wrong: of many answers one goes on,
// the others get ErrCeremonyOver. A refusal must commit what it ends.
//
// A challenge of before a restore is refused: whether it was answered since is not remembered.
func (o Opened) End(ctx context.Context, tx *db.Tx) error {
	if o.ends.Add(-CeremonyLifetime).Before(tx.Restored()) {
		return ErrCeremonyOver
	}
	n, err := tx.Exec(ctx, `
		insert into replays (id, expires_at) values ($1, $2)
		on conflict (id) do nothing`, o.id(), db.Time(o.ends))
	if err == nil && n == 0 {
		err = ErrCeremonyOver
	}
	return err
}

func (o Opened) id() string {
	return base64.RawURLEncoding.EncodeToString(secret.MAC([]byte("challenge"), o.session.Challenge))
}

func (o Opened) ended(ctx context.Context, r db.Reader) (bool, error) {
	var id string
	return r.One(ctx, db.Into(&id), `select id from replays where id = $1`, o.id())
}

// subject is a user in the form that the library needs.
type subject struct {
	handle        []byte
	name, display string
	credentials   []webauthn.Credential
}

func (s subject) WebAuthnID() []byte                         { return s.handle }
func (s subject) WebAuthnName() string                       { return s.name }
func (s subject) WebAuthnDisplayName() string                { return s.display }
func (s subject) WebAuthnCredentials() []webauthn.Credential { return s.credentials }

func subjectOf(u directory.User, keys []Passkey) subject {
	s := subject{name: u.Email, display: u.Name}
	for _, k := range keys {
		s.handle = k.handle
		s.credentials = append(s.credentials, k.record)
	}
	if s.handle == nil {
		s.handle = secret.Bytes(handleBytes)
	}
	return s
}

// BeginRegistration makes the options for a user's new passkey, as JSON for the browser, and
// the sealed ceremony.
func (p *Passkeys) BeginRegistration(ctx context.Context, r db.Reader, u directory.User, boundTo string, now time.Time) (options []byte, kept string, err error) {
	keys, err := PasskeysOf(ctx, r, Owner{u.OrgID, u.ID})
	if err != nil {
		return nil, "", err
	}
	who := subjectOf(u, keys)
	exclude := make([]protocol.CredentialDescriptor, 0, len(who.credentials))
	for _, c := range who.credentials {
		exclude = append(exclude, c.Descriptor())
	}
	creation, session, err := p.party.BeginRegistration(who, webauthn.WithExclusions(exclude),
		webauthn.WithCredentialParameters(webauthn.CredentialParametersRecommendedL3()), webauthn.WithExtensions(webauthn.WithExtensionCredProps()))
	if err != nil {
		return nil, "", fmt.Errorf("beginning a registration: %w", err)
	}
	if options, err = json.Marshal(creation.Response); err != nil {
		return nil, "", err
	}
	kept, err = p.seal(Registration, boundTo, Owner{}, session, now)
	return options, kept, err
}

// FinishRegistration checks an authenticator's answer (WebAuthn L3 §7.1).
func (p *Passkeys) FinishRegistration(o Opened, response []byte) (NewPasskey, error) {
	if err := readable(response); err != nil {
		return NewPasskey{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return NewPasskey{}, refusedPasskey(err)
	}
	made, err := p.party.CreateCredential(subject{handle: o.session.UserID}, o.session, parsed)
	if err != nil {
		return NewPasskey{}, refusedPasskey(err)
	}
	if len(made.ID) == 0 || len(made.ID) > longestCredential {
		return NewPasskey{}, refusedPasskey(fmt.Errorf("a credential id of %d bytes", len(made.ID)))
	}
	if err := judgeKey(made.PublicKey); err != nil {
		return NewPasskey{}, refusedPasskey(err)
	}
	made.Attestation = webauthn.CredentialAttestation{} // nobody needs it later
	return NewPasskey{o.session.UserID, *made}, nil
}

// refusedPasskey keeps what was wrong for the log; the person sees only the general sentence.
func refusedPasskey(why error) error {
	if detail, ok := errors.AsType[*protocol.Error](why); ok {
		why = fmt.Errorf("%s: %s (%s)", detail.Type, detail.Details, detail.DevInfo)
	}
	if text := why.Error(); len(text) > longestReason { // it quotes the answer
		why = errors.New(strings.ToValidUTF8(text[:longestReason], "") + "…")
	}
	return &PasskeyRefusal{Why: why}
}

// PasskeyRefusal is an answer that failed a check.
type PasskeyRefusal struct {
	Why     error
	Unknown string // the credential id of a passkey that nobody has
}

func (r *PasskeyRefusal) Error() string { return "passkey refused: " + r.Why.Error() }

// Unwrap makes it ErrPasskeyRefused for the person.
func (r *PasskeyRefusal) Unwrap() error {
	if r.Unknown != "" {
		return ErrPasskeyRefused.With(UnknownPasskey, r.Unknown)
	}
	return ErrPasskeyRefused
}

// UnknownPasskey is the detail of a refusal that names a passkey which nobody has.
const UnknownPasskey = "Unknown"

// BeginSecondStep makes the options for a user who is known, with the passkeys that they have.
func (p *Passkeys) BeginSecondStep(ctx context.Context, r db.Reader, u directory.User, boundTo string, now time.Time) (options []byte, kept string, err error) {
	keys, err := PasskeysOf(ctx, r, Owner{u.OrgID, u.ID})
	if err != nil {
		return nil, "", err
	}
	if len(keys) == 0 {
		return nil, "", ErrPasskeyRefused
	}
	assertion, session, err := p.party.BeginLogin(subjectOf(u, keys))
	if err == nil {
		// The sealed owner says the same in fewer bytes, and the browser keeps them in a
		// cookie.
		session.UserID, session.AllowedCredentialIDs = nil, nil
	}
	return p.begun(SecondStep, Owner{u.OrgID, u.ID}, assertion, session, boundTo, now, err)
}

// BeginAlone makes the options for anybody: they are the same for everybody, so that they
// reveal nothing (R-PSK-08), and are bound only to the browser that keeps the ceremony; the
// page decides where the answer leads.
func (p *Passkeys) BeginAlone(now time.Time) (options []byte, kept string, err error) {
	assertion, session, err := p.party.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	return p.begun(Alone, Owner{}, assertion, session, "", now, err)
}

func (p *Passkeys) begun(c Ceremony, o Owner, a *protocol.CredentialAssertion, s *webauthn.SessionData, boundTo string, now time.Time, err error) ([]byte, string, error) {
	if err != nil {
		return nil, "", fmt.Errorf("beginning an assertion: %w", err)
	}
	options, err := json.Marshal(a.Response)
	if err != nil {
		return nil, "", err
	}
	kept, err := p.seal(c, boundTo, o, s, now)
	return options, kept, err
}

// Assertion is an answer that passed every check, for UsePasskey.
type Assertion struct {
	Passkey  Passkey
	Owner    Owner
	Verified bool // the authenticator verified its user: two factors in one
	counter  uint32
}

// FinishAssertion checks an authenticator's answer (WebAuthn L3 §7.2): credential, user handle,
// user, organization and relying party must all agree. A refusal says whose passkey it was, if
// it was anybody's.
func (p *Passkeys) FinishAssertion(ctx context.Context, r db.Reader, o Opened, response []byte) (Assertion, error) {
	parsed, err := parseAssertion(response)
	if err != nil {
		return Assertion{}, err
	}
	key, err := passkeyByCredential(ctx, r, base64.RawURLEncoding.EncodeToString(parsed.RawID))
	if err != nil {
		return Assertion{}, err
	}
	return p.judge(o, key, parsed)
}

// Repeats reports whether an answer is the one that ended a ceremony: for the same challenge,
// bound to the same attempt or session, by a passkey that the user has and whose counter is
// where that answer left it.
func (p *Passkeys) Repeats(ctx context.Context, r db.Reader, owner Owner, kept, boundTo string, response []byte, now time.Time) (bool, error) {
	for _, kind := range []Ceremony{SecondStep, Registration, Alone} {
		bound := boundTo
		if kind == Alone {
			bound = ""
		}
		o, err := p.Open(kept, kind, bound, now)
		if errors.Is(err, ErrCeremonyOver) {
			continue
		}
		var ended bool
		if err == nil {
			ended, err = o.ended(ctx, r)
		}
		if err != nil || !ended {
			return false, err
		}
		if kind == Registration {
			return p.repeatsRegistration(ctx, r, owner, o, response)
		}
		return p.repeatsAssertion(ctx, r, owner, o, response)
	}
	return false, nil
}

func (p *Passkeys) repeatsRegistration(ctx context.Context, r db.Reader, owner Owner, o Opened, response []byte) (bool, error) {
	made, err := p.FinishRegistration(o, response)
	if err != nil {
		return false, unlessRefused(err)
	}
	key, err := passkeyByCredential(ctx, r, base64.RawURLEncoding.EncodeToString(made.record.ID))
	return err == nil && key.owner == owner && bytes.Equal(key.record.PublicKey, made.record.PublicKey), unlessRefused(err)
}

func (p *Passkeys) repeatsAssertion(ctx context.Context, r db.Reader, owner Owner, o Opened, response []byte) (bool, error) {
	parsed, err := parseAssertion(response)
	if err != nil {
		return false, unlessRefused(err)
	}
	key, err := passkeyByCredential(ctx, r, base64.RawURLEncoding.EncodeToString(parsed.RawID))
	if err != nil || key.owner != owner || key.record.Authenticator.SignCount != parsed.Response.AuthenticatorData.Counter {
		return false, unlessRefused(err)
	}
	key.record.Authenticator.SignCount = 0 // compared just now
	_, err = p.judge(o, key, parsed)
	return err == nil, unlessRefused(err)
}

// unlessRefused leaves out errors which only say that an answer was refused.
func unlessRefused(err error) error {
	if errors.Is(err, ErrPasskeyRefused) {
		return nil
	}
	return err
}

// OwnerOf returns the owner of the passkey that an answer claims to come from. Nothing proves
// the claim.
func (p *Passkeys) OwnerOf(ctx context.Context, r db.Reader, response []byte) (Owner, error) {
	parsed, err := parseAssertion(response)
	if err != nil {
		return Owner{}, err
	}
	key, err := passkeyByCredential(ctx, r, base64.RawURLEncoding.EncodeToString(parsed.RawID))
	return key.owner, err
}

func parseAssertion(response []byte) (*protocol.ParsedCredentialAssertionData, error) {
	if err := readable(response); err != nil {
		return nil, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return nil, refusedPasskey(err)
	}
	return parsed, nil
}

// judge checks an answer of a passkey.
func (p *Passkeys) judge(o Opened, key Passkey, parsed *protocol.ParsedCredentialAssertionData) (Assertion, error) {
	who := subject{handle: key.handle, credentials: []webauthn.Credential{key.record}}
	var after *webauthn.Credential
	var err error
	switch {
	case o.ceremony == Alone:
		_, after, err = p.party.ValidatePasskeyLogin(func(_, _ []byte) (webauthn.User, error) { return who, nil }, o.session, parsed)
	case key.owner != o.owner:
		err = errors.New("a passkey of somebody else")
	default:
		session := o.session
		session.UserID, session.AllowedCredentialIDs = key.handle, [][]byte{key.record.ID}
		after, err = p.party.ValidateLogin(who, session, parsed)
	}
	if err == nil {
		err = judgeKey(key.record.PublicKey) // it may be from before keys were judged
	}
	if err == nil && after.Authenticator.CloneWarning {
		// The counter moved once, and has gone back (WebAuthn L3 §7.2 step 22).
		err = errors.New("the signature counter went back: there may be a copy")
	}
	if err != nil {
		return Assertion{Owner: key.owner}, refusedPasskey(err)
	}
	before := key.record.Authenticator.SignCount
	key.record = *after
	return Assertion{key, key.owner, parsed.Response.AuthenticatorData.Flags.HasUserVerified(), before}, nil
}
