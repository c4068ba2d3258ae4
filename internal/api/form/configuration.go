package form

// Configuration is how an organization is set up, as one document. Of what is sent, a section or
// a field that is left out stays as it is; what is listed is found by its id, or else by its name.
type Configuration struct {
	Organization ConfiguredOrganization  `json:"organization"`
	Rules        ConfiguredRules         `json:"rules"`
	Domains      []ConfiguredDomain      `json:"domains" items:"partly"`
	Groups       []ConfiguredGroup       `json:"groups" items:"partly"`
	Connections  []ConfiguredConnection  `json:"connections" items:"partly"`
	Applications []ConfiguredApplication `json:"applications" items:"partly"`
	Placements   []ConfiguredPlacement   `json:"placements" items:"partly"`
	Sources      []ConfiguredSource      `json:"sources" items:"partly"`
	Webhooks     []ConfiguredWebhook     `json:"webhooks" items:"partly"`
}

// ConfiguredOrganization names the organization by its id, or else by its short name, and says
// what it is to be.
type ConfiguredOrganization struct {
	ID string `json:"id"`
	OrganizationSettings
}

// ConfiguredRules are the rules of an organization.
type ConfiguredRules struct {
	Password   PasswordRules   `json:"password"`
	SecondStep SecondStepRules `json:"second_step"`
	Sessions   SessionRules    `json:"sessions"`
}

// ConfiguredDomain is a domain that is listed, proven or not.
type ConfiguredDomain struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// ConfiguredGroup is a group without its members.
type ConfiguredGroup struct {
	ID string `json:"id"`
	GroupSettings
}

// ConfiguredConnection is an identity provider, without its state, its place in the order and what
// was read from it.
type ConfiguredConnection struct {
	ID         string        `json:"id"`
	Provider   string        `json:"provider" enum:"okta entra google onelogin pingone adfs salesforce generic"`
	Protocol   string        `json:"protocol" enum:"saml oidc"`
	Name       string        `json:"name"`
	Shown      bool          `json:"shown"`
	Vouches    bool          `json:"vouches"`
	Creates    bool          `json:"creates"`
	Roles      []GroupRole   `json:"roles"`
	Attributes Attributes    `json:"attributes"`
	OpenID     *OpenIDChange `json:"oidc"`
	SAML       *SAMLChange   `json:"saml"`
}

// ConfiguredApplication is an application of the organization, with what is decided about it.
// Groups stand in it by their names.
type ConfiguredApplication struct {
	ID   string `json:"id"`
	Kind string `json:"kind" enum:"web single_page native machine link"`
	ApplicationSettings
	Placement Placement `json:"placement"`
}

// ConfiguredPlacement is what is decided about an application of the installation.
type ConfiguredPlacement struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Placement
}

// ConfiguredSource is a directory that keeps people here, without its state and its tokens. The
// connection that its people come in by stands in it by its name, or by its id if it was removed.
type ConfiguredSource struct {
	ID         string  `json:"id"`
	Name       string  `json:"name"`
	Provider   string  `json:"provider" enum:"entra okta onelogin jumpcloud google ping other"`
	Connection *string `json:"connection"` // null for any
	Invites    bool    `json:"invites"`    // who cannot come in by single sign-on gets an invitation
}

// ConfiguredWebhook is an address to which events are sent, without its state and its place in the
// log.
type ConfiguredWebhook struct {
	ID   string `json:"id"`
	Kind string `json:"kind" enum:"events log"`
	WebhookSettings
	Scheme  string             `json:"scheme" enum:"v1 v1a" says:"api.says.scheme"` // of the newest secret
	Headers []ConfiguredHeader `json:"headers"`                                     // of a log
}

// ConfiguredHeader is WebhookHeader with a value that is never read. One that has no value keeps the
// one that it has.
type ConfiguredHeader struct {
	Name  string  `json:"name"`
	Value *string `json:"value" optional:"true" says:"api.says.header_value"`
}

// Plan is what a configuration changes, or changed.
type Plan struct {
	Changes []Change `json:"changes"`
}

// Change is one thing that is made, changed or deleted.
type Change struct {
	Do           string         `json:"do" enum:"create change delete"`
	Kind         string         `json:"kind"`
	ID           *string        `json:"id"` // null of what a plan would create, and of rules
	Name         string         `json:"name"`
	Fields       []ChangedField `json:"fields"`
	ClientSecret *string        `json:"client_secret"`                      // of an application that was made, shown this once
	Secret       *string        `json:"secret" says:"api.says.made_secret"` // of a webhook that was made, shown this once; a public key with v1a
}

// ChangedField is a value before and after.
type ChangedField struct {
	Name string `json:"name"`
	From any    `json:"from"`
	To   any    `json:"to"`
}
