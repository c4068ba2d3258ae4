package form

import "time"

// NewConnection makes a draft, which shows what to enter at the provider.
type NewConnection struct {
	Provider string `json:"provider" enum:"okta entra google onelogin pingone adfs salesforce generic"`
	Protocol string `json:"protocol" enum:"saml oidc"`
	Name     string `json:"name"`
}

// ConnectionSettings is what can be changed of every connection.
type ConnectionSettings struct {
	Name       string      `json:"name"`
	Shown      bool        `json:"shown"`    // on the sign-in page
	Position   int         `json:"position"` // among the organization's, from 1
	Vouches    bool        `json:"vouches"`  // each address that the provider sends is that person's
	Creates    bool        `json:"creates"`  // people come in whom nobody invited
	Roles      []GroupRole `json:"roles"`    // the first whose group a person is in counts
	Attributes Attributes  `json:"attributes"`
}

// GroupRole gives the people of a provider's group a role.
type GroupRole struct {
	Group string `json:"group"`
	Role  string `json:"role" enum:"administrator helpdesk auditor"`
}

// Attributes are those that are read of what a provider sends; empty for the usual ones.
type Attributes struct {
	Email  string `json:"email"`
	Name   string `json:"name"`
	Groups string `json:"groups"`
}

// OpenIDSettings is what can be changed of a connection by OpenID Connect.
type OpenIDSettings struct {
	Issuer   string   `json:"issuer"`
	Tenant   string   `json:"tenant"` // of Entra, where the issuer is that of all its directories
	ClientID string   `json:"client_id"`
	Method   string   `json:"method" enum:"client_secret_basic client_secret_post private_key_jwt none"`
	Scopes   []string `json:"scopes"`  // beside openid
	Context  []string `json:"context"` // ways to sign in, one of which is demanded
}

// SAMLSettings is what can be changed of a connection by SAML.
type SAMLSettings struct {
	MetadataAddress       string   `json:"metadata_address"` // where metadata is read from, now and from then on
	Certificates          []string `json:"certificates"`     // the provider's, as PEM
	SignRequests          bool     `json:"sign_requests"`
	WantSigned            string   `json:"want_signed" enum:"either response assertion"`
	AllowCBC              bool     `json:"allow_cbc"`
	Unsolicited           bool     `json:"unsolicited"` // the provider may begin a sign-in
	NameIDFormat          string   `json:"name_id_format"`
	ClockToleranceSeconds int64    `json:"clock_tolerance_seconds"`
	Context               []string `json:"context"` // ways to sign in, one of which is demanded
}

// ConnectionChange is what is sent to change a connection.
type ConnectionChange struct {
	ConnectionSettings
	OpenID *OpenIDChange `json:"oidc"` // null for SAML
	SAML   *SAMLChange   `json:"saml"` // null for OpenID Connect
}

// OpenIDChange is OpenIDSettings with a secret, which is never read.
type OpenIDChange struct {
	OpenIDSettings
	ClientSecret *string `json:"client_secret" optional:"true"`
}

// SAMLChange is SAMLSettings with the provider's metadata as a text.
type SAMLChange struct {
	SAMLSettings
	Metadata *string `json:"metadata" optional:"true"`
}

// Connection is an identity provider of an organization.
type Connection struct {
	ID       string `json:"id"`
	Provider string `json:"provider" enum:"okta entra google onelogin pingone adfs salesforce generic"`
	Protocol string `json:"protocol" enum:"saml oidc"`
	State    string `json:"state" enum:"draft on off"`
	ConnectionSettings
	OpenID      *OpenID    `json:"oidc"`
	SAML        *SAML      `json:"saml"`
	Complete    bool       `json:"complete"`  // enough is known of the provider to test it
	Tested      bool       `json:"tested"`    // a test passed since the last change that it covers
	Confirmed   bool       `json:"confirmed"` // an owner agreed with what it trusts, so that owners may come in by it
	HasLogo     bool       `json:"has_logo"`
	Waits       bool       `json:"waits"` // a change waits beside it, in the console
	CreatedAt   time.Time  `json:"created_at"`
	ChangedAt   time.Time  `json:"changed_at"` // of what a test covers
	TestedAt    *time.Time `json:"tested_at"`
	ConfirmedAt *time.Time `json:"confirmed_at"`
}

// OpenID is what is known of a connection by OpenID Connect.
type OpenID struct {
	OpenIDSettings
	HasSecret     bool       `json:"has_secret"`
	Authorization string     `json:"authorization_endpoint"` // the provider's, as it publishes them
	Token         string     `json:"token_endpoint"`
	UserInfo      string     `json:"userinfo_endpoint"`
	EndSession    string     `json:"end_session_endpoint"`
	TheirKeys     string     `json:"their_keys"` // address of the keys that the provider signs with
	TheirKeysAt   *time.Time `json:"their_keys_at"`
	RedirectURI   string     `json:"redirect_uri"` // ours, to enter at the provider, like those below
	SignedOutURI  string     `json:"signed_out_uri"`
	LogoutURI     string     `json:"logout_uri"`
	StartURI      string     `json:"start_uri"`
	OurKeys       string     `json:"our_keys"` // address of the keys that prove that we are the client
}

// SAML is what is known of a connection by SAML.
type SAML struct {
	SAMLSettings
	TheirEntityID     string        `json:"their_entity_id"`
	TheirSSO          string        `json:"their_sso"`
	TheirSLO          string        `json:"their_slo"`
	TheirCertificates []Certificate `json:"their_certificates"` // the one that lasts longest first
	RenewedAt         *time.Time    `json:"renewed_at"`         // when the metadata address was last read
	Renewal           *string       `json:"renewal"`            // why that failed, if it did
	EntityID          string        `json:"entity_id"`          // ours, to enter at the provider, like those below
	ACS               string        `json:"acs"`
	SLO               string        `json:"slo"`
	Start             string        `json:"start"`
	Metadata          string        `json:"metadata"` // address of all that, with our certificates
}

// Certificate is one that a provider may sign with.
type Certificate struct {
	Subject     string    `json:"subject"`
	Fingerprint string    `json:"fingerprint"`
	From        time.Time `json:"from"`
	Until       time.Time `json:"until"`
}

// NewSetupLink says whom to send a setup link.
type NewSetupLink struct {
	Email    string `json:"email"`
	Language string `json:"language" optional:"true"` // of the letter; the organization's unless sent
}

// SetupLink lets a company's IT set up one connection. The link itself is in its letter only.
type SetupLink struct {
	ID        string     `json:"id"`
	Email     string     `json:"email"`
	Letter    string     `json:"letter" enum:"waiting sent bounced given_up"`
	Works     bool       `json:"works"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	OpenedAt  *time.Time `json:"opened_at"`
}

// SignInAttempt is what became of a sign-in by a provider, or of a test.
type SignInAttempt struct {
	ID       string    `json:"id"` // the reference that the person was shown
	At       time.Time `json:"at"`
	Test     bool      `json:"test"`
	Passed   bool      `json:"passed"`
	UserID   *string   `json:"user_id"`
	Who      string    `json:"who"` // address or subject, as the provider gave it
	Network  string    `json:"network"`
	Check    *string   `json:"check"`    // what was wrong
	Detail   *string   `json:"detail"`   // the same as a sentence
	Advice   *string   `json:"advice"`   // what to change, and on which side
	Expected *string   `json:"expected"` // values, if the check compares some
	Found    *string   `json:"found"`
}
