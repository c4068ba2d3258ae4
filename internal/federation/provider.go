package federation

// Provider names a product whose administrators our pages guide. Generic stands for
// any other.
type Provider string

// The providers.
const (
	OneLogin   Provider = "onelogin"
	Okta       Provider = "okta"
	Entra      Provider = "entra"
	Google     Provider = "google"
	PingOne    Provider = "pingone"
	ADFS       Provider = "adfs"
	Salesforce Provider = "salesforce"
	Generic    Provider = "generic"
)

// Providers lists them in the order of the page that asks which one it is.
var Providers = []Provider{Okta, Entra, Google, OneLogin, PingOne, ADFS, Salesforce, Generic}
