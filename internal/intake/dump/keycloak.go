package dump

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"

	"parvis/internal/credential/foreign"
)

// Organization is one that a file brings.
type Organization struct {
	ShortName string
	Name      string
}

// File is a file whose organizations are known.
type File struct {
	Format        Format
	Organizations []Organization

	r       io.ReadSeeker
	members map[string][]string // the short names of the organizations of a person of Keycloak
}

// Open reads which organizations a file has. Keycloak may write them behind the people.
func Open(f Format, r io.ReadSeeker) (*File, error) {
	file := &File{Format: f, r: r}
	if f != Keycloak {
		return file, nil
	}
	file.members = map[string][]string{}
	d, people := newDocument(r), false
	err := d.members(func(name string) error {
		switch name {
		case "organizations":
			return d.list(file.organization)
		case "users":
			people = true
		}
		return d.skip()
	})
	if err == nil && !people {
		err = ErrNoPeople
	}
	if err = brokenAt(0, err); errors.Is(err, ErrFile) { // which of the people it is, nobody has counted
		err = ErrDocument.With("Byte", d.InputOffset())
	}
	return file, err
}

// organization reads one of Keycloak's organizations. A short name is its alias, which older
// versions do not have.
func (f *File) organization(n int, value json.RawMessage) error {
	var o struct {
		Name    string `json:"name"`
		Alias   string `json:"alias"`
		Members []struct {
			ID       string `json:"id"`
			Username string `json:"username"`
		} `json:"members"`
	}
	if json.Unmarshal(value, &o) != nil || o.Name == "" {
		return ErrFile.With("Person", n)
	}
	if o.Alias == "" {
		o.Alias = strings.ToLower(strings.ReplaceAll(o.Name, " ", "-"))
	}
	f.Organizations = append(f.Organizations, Organization{ShortName: o.Alias, Name: o.Name})
	for _, m := range o.Members {
		key := m.Username
		if key == "" {
			key = m.ID
		}
		f.members[key] = append(f.members[key], o.Alias)
	}
	return nil
}

// Read reads the people of the file.
func (f *File) Read(each func(Person) error) error {
	if _, err := f.r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	switch f.Format {
	case CSV:
		return readCSV(f.r, each)
	case Auth0:
		return readAuth0(f.r, each)
	case Keycloak:
		d := newDocument(f.r)
		return d.members(func(name string) error {
			if name == "users" {
				return d.people(each, f.keycloak)
			}
			return d.skip()
		})
	case Lines:
	}
	return readLines(f.r, each, ours)
}

// keycloakUser is a person in an export of a realm (UserRepresentation).
type keycloakUser struct {
	ID              string               `json:"id"`
	Username        string               `json:"username"`
	Email           string               `json:"email"`
	EmailVerified   bool                 `json:"emailVerified"`
	FirstName       string               `json:"firstName"`
	LastName        string               `json:"lastName"`
	Enabled         bool                 `json:"enabled"`
	ServiceAccount  string               `json:"serviceAccountClientId"`
	Attributes      map[string]any       `json:"attributes"`
	Credentials     []keycloakCredential `json:"credentials"`
	RequiredActions []string             `json:"requiredActions"`
	RealmRoles      []string             `json:"realmRoles"`
	ClientRoles     map[string][]string  `json:"clientRoles"`
	Groups          []string             `json:"groups"`
}

// keycloakCredential is one of their credentials: two texts with JSON in them.
type keycloakCredential struct {
	Type           string `json:"type"`
	SecretData     string `json:"secretData"`
	CredentialData string `json:"credentialData"`
}

func (f *File) keycloak(value []byte) (Person, error) {
	var u keycloakUser
	if err := json.Unmarshal(value, &u); err != nil {
		return Person{}, jsonFault(err)
	}
	p := Person{
		Email: u.Email, Verified: u.EmailVerified, GivenName: u.FirstName, FamilyName: u.LastName, Disabled: !u.Enabled,
		Name: strings.TrimSpace(u.FirstName + " " + u.LastName), Roles: u.RealmRoles, Language: firstText(u.Attributes["locale"]),
		Organizations: slices.Concat(f.members[u.Username], f.members[u.ID]), Change: slices.Contains(u.RequiredActions, "UPDATE_PASSWORD"),
	}
	if u.ServiceAccount != "" {
		return p, ErrNobody
	}
	for client, roles := range u.ClientRoles {
		for _, role := range roles {
			p.Roles = append(p.Roles, client+"/"+role)
		}
	}
	for _, path := range u.Groups {
		p.Groups = append(p.Groups, strings.TrimPrefix(path, "/"))
	}
	for _, c := range u.Credentials {
		switch c.Type {
		case "password":
			p.hash(c.password())
		case "otp":
			p.seed(c.seed())
		case "webauthn":
			p.seed(nil, ErrSecondStep)
		case "webauthn-passwordless", "recovery-authn-codes": // its address is another here; ours are new
			p.Lost = append(p.Lost, ErrSecondStep)
		}
	}
	return p, nil
}

// password reads the hash of a password (PasswordCredentialData and PasswordSecretData).
func (c keycloakCredential) password() (foreign.Hash, error) {
	var data struct {
		Iterations uint32              `json:"hashIterations"`
		Algorithm  string              `json:"algorithm"`
		More       map[string][]string `json:"additionalParameters"`
	}
	var stored struct {
		Value string `json:"value"`
		Salt  string `json:"salt"`
	}
	if json.Unmarshal([]byte(c.CredentialData), &data) != nil || json.Unmarshal([]byte(c.SecretData), &stored) != nil {
		return foreign.Hash{}, foreign.ErrUnknown
	}
	sum, err := foreign.Bytes(stored.Value)
	salt, saltErr := foreign.Bytes(stored.Salt)
	if err != nil || saltErr != nil {
		return foreign.Hash{}, foreign.ErrUnknown
	}
	cost := foreign.Cost{Scheme: foreign.Scheme(data.Algorithm), Work: data.Iterations}
	switch data.Algorithm {
	case "pbkdf2":
		cost.Scheme = foreign.PBKDF2SHA1
	case "argon2":
		number := func(name string) uint32 {
			n, _ := strconv.ParseUint(firstOf(data.More[name]), 10, 32)
			return uint32(n)
		}
		if version := firstOf(data.More["version"]); version != "" && version != "1.3" {
			return foreign.Hash{}, foreign.ErrUnknown
		}
		cost.Scheme = foreign.Scheme("argon2" + firstOf(data.More["type"]))
		cost.Memory, cost.Lanes = number("memory"), number("parallelism")
	}
	return foreign.New(cost, salt, sum)
}

// seed reads the seed of an authenticator app (OTPCredentialData and OTPSecretData): the letters of
// the value themselves, unless it names Base32.
func (c keycloakCredential) seed() ([]byte, error) {
	var data struct {
		SubType   string `json:"subType"`
		Digits    int    `json:"digits"`
		Period    int    `json:"period"`
		Algorithm string `json:"algorithm"`
		Encoding  string `json:"secretEncoding"`
	}
	var stored struct {
		Value string `json:"value"`
	}
	if json.Unmarshal([]byte(c.CredentialData), &data) != nil || json.Unmarshal([]byte(c.SecretData), &stored) != nil {
		return nil, ErrSeed
	}
	if data.SubType != "totp" || data.Digits != 6 || data.Period != 30 || data.Algorithm != "HmacSHA1" {
		return nil, ErrSecondStep
	}
	if data.Encoding == "BASE32" {
		return base32Seed(stored.Value)
	}
	return boundedSeed([]byte(stored.Value))
}

func firstOf(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return all[0]
}

// firstText returns the first of the values of an attribute, which may be one text.
func firstText(value any) string {
	if all, ok := value.([]any); ok && len(all) > 0 {
		value = all[0]
	}
	text, _ := value.(string)
	return text
}
