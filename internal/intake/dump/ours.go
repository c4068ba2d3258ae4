package dump

import (
	"bytes"
	"encoding/base32"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"parvis/internal/credential/foreign"
)

// person is a line of our own format.
type person struct {
	Email          string   `json:"email"`
	EmailVerified  bool     `json:"email_verified"`
	Name           string   `json:"name"`
	GivenName      string   `json:"given_name"`
	FamilyName     string   `json:"family_name"`
	Language       string   `json:"language"`
	Organization   string   `json:"organization"`
	Role           string   `json:"role"`
	Groups         []string `json:"groups"`
	Disabled       bool     `json:"disabled"`
	PasswordHash   string   `json:"password_hash"`
	ChangePassword bool     `json:"change_password"`
	TOTPSecret     string   `json:"totp_secret"`
}

// ours reads a line of our own format. A name that is not known is refused: it may be a misspelt
// one, and what it says would be lost.
func ours(line []byte) (Person, error) {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var read person
	if err := d.Decode(&read); err != nil {
		return Person{}, jsonFault(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Person{}, ErrBroken
	}
	return read.person(), nil
}

func (o person) person() Person {
	p := Person{
		Email: o.Email, Verified: o.EmailVerified, Name: o.Name, GivenName: o.GivenName, FamilyName: o.FamilyName,
		Language: o.Language, Groups: o.Groups, Disabled: o.Disabled, Change: o.ChangePassword,
	}
	if o.Organization != "" {
		p.Organizations = []string{o.Organization}
	}
	if o.Role != "" {
		p.Roles = []string{o.Role}
	}
	if o.PasswordHash != "" {
		p.hash(foreign.Parse(o.PasswordHash))
	}
	if o.TOTPSecret != "" {
		p.seed(base32Seed(o.TOTPSecret))
	}
	return p
}

// jsonFault says what is wrong with a JSON document, without quoting it: there are hashes in it.
func jsonFault(err error) error {
	if name, ok := strings.CutPrefix(err.Error(), `json: unknown field "`); ok {
		return ErrField.With("Field", strings.TrimSuffix(name, `"`))
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return ErrField.With("Field", wrong.Field)
	}
	return ErrBroken
}

// leastSeed is how many bytes a seed has at least (RFC 4226 §4 R6).
const leastSeed, mostSeed = 16, 128

// base32Seed reads a seed as apps show it, in any case, with spaces or without.
func base32Seed(text string) ([]byte, error) {
	text = strings.ToUpper(strings.NewReplacer(" ", "", "-", "", "=", "").Replace(text))
	seed, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err != nil {
		return nil, ErrSeed
	}
	return boundedSeed(seed)
}

func boundedSeed(seed []byte) ([]byte, error) {
	if len(seed) < leastSeed || len(seed) > mostSeed {
		return nil, ErrSeed
	}
	return seed, nil
}
