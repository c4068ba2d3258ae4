package dump

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"

	"parvis/internal/credential/foreign"
)

// readAuth0 reads an export, of which each line is a person, or an array as bulk imports take it.
func readAuth0(r io.Reader, each func(Person) error) error {
	in := bufio.NewReaderSize(r, MostPerson)
	head, err := in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	head = bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\uFEFF")))
	switch {
	case len(head) == 0:
		return ErrNoPeople
	case head[0] == '[':
		return newDocument(in).people(each, auth0)
	}
	return readLines(in, each, auth0)
}

// auth0User is a person in an export of users, with the hashes that Auth0's support adds to one, or
// in the schema of bulk imports.
type auth0User struct {
	Email         string `json:"email"`
	EmailVerified bool   `json:"email_verified"`
	Name          string `json:"name"`
	Nickname      string `json:"nickname"`
	GivenName     string `json:"given_name"`
	FamilyName    string `json:"family_name"`
	Locale        string `json:"locale"`
	Blocked       bool   `json:"blocked"`

	PasswordHash string       `json:"password_hash"`
	Exported     string       `json:"passwordHash"`
	Custom       *auth0Custom `json:"custom_password_hash"`

	AppMetadata struct {
		Roles any `json:"roles"`
	} `json:"app_metadata"`
	Factors []struct {
		TOTP *struct {
			Secret string `json:"secret"`
		} `json:"totp"`
	} `json:"mfa_factors"`
}

// auth0Custom is custom_password_hash.
type auth0Custom struct {
	Algorithm string `json:"algorithm"`
	Hash      struct {
		Value    string `json:"value"`
		Encoding string `json:"encoding"`
	} `json:"hash"`
	Salt struct {
		Value    string `json:"value"`
		Encoding string `json:"encoding"`
		Position string `json:"position"`
	} `json:"salt"`
	Password struct {
		Encoding string `json:"encoding"`
	} `json:"password"`
	Keylen          int    `json:"keylen"`
	Cost            uint64 `json:"cost"`
	BlockSize       uint32 `json:"blockSize"`
	Parallelization uint32 `json:"parallelization"`
}

func auth0(value []byte) (Person, error) {
	var u auth0User
	if err := json.Unmarshal(value, &u); err != nil {
		return Person{}, jsonFault(err)
	}
	p := Person{
		Email: u.Email, Verified: u.EmailVerified, Name: u.Name, GivenName: u.GivenName, FamilyName: u.FamilyName, Language: u.Locale, Disabled: u.Blocked,
	}
	if p.Name == p.Email { // what Auth0 fills in
		p.Name = u.Nickname
	}
	if roles, ok := u.AppMetadata.Roles.([]any); ok {
		for _, role := range roles {
			if text, ok := role.(string); ok {
				p.Roles = append(p.Roles, text)
			}
		}
	}
	switch {
	case u.Custom != nil:
		p.hash(u.Custom.read())
	case u.PasswordHash != "":
		p.hash(foreign.Parse(u.PasswordHash))
	case u.Exported != "":
		p.hash(foreign.Parse(u.Exported))
	}
	for _, f := range u.Factors {
		if f.TOTP != nil {
			p.seed(base32Seed(f.TOTP.Secret))
		} else {
			p.seed(nil, ErrSecondStep) // a telephone or a letter
		}
	}
	return p, nil
}

// read reads a hash that another system than Auth0 made.
func (c *auth0Custom) read() (foreign.Hash, error) {
	if c.Password.Encoding != "" && c.Password.Encoding != "utf8" && c.Password.Encoding != "ascii" {
		return foreign.Hash{}, foreign.ErrUnknown
	}
	switch c.Algorithm {
	case "bcrypt", "argon2", "pbkdf2":
		return foreign.Parse(c.Hash.Value)
	case "scrypt":
		sum, err := encoded(c.Hash.Value, c.Hash.Encoding)
		salt, saltErr := encoded(c.Salt.Value, c.Salt.Encoding)
		work, ok := foreign.LogN(cmp.Or(c.Cost, 16384))
		if err != nil || saltErr != nil || !ok || c.Keylen != 0 && c.Keylen != len(sum) {
			return foreign.Hash{}, foreign.ErrUnknown
		}
		return foreign.New(foreign.Cost{
			Scheme: foreign.Scrypt, Work: work, Memory: cmp.Or(c.BlockSize, 8), Lanes: cmp.Or(c.Parallelization, 1),
		}, salt, sum)
	}
	return foreign.Hash{}, foreign.ErrUnknown
}

// encoded reads a text in the encoding that it names.
func encoded(text, encoding string) ([]byte, error) {
	switch encoding {
	case "hex":
		return hex.DecodeString(text)
	case "base64":
		return foreign.Bytes(text)
	case "", "utf8":
		return []byte(text), nil
	}
	return nil, foreign.ErrUnknown
}
