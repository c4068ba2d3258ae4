package federation

// Provider names a product that our pages have a guide for. Generic is any other.
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

// mapping returns a product's names for the attributes we read, as our guide says to set
// it up. Empty names stand for the usual ones.
func (p Provider) mapping(protocol Protocol) Mapping {
	const (
		soap      = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
		microsoft = "http://schemas.microsoft.com/"
	)
	switch {
	case p == Generic:
		return Mapping{} // nobody knows its names, so the usual ones are tried
	case protocol == SAML && p == Entra:
		return Mapping{Email: soap + "emailaddress", Name: microsoft + "identity/claims/displayname", Groups: microsoft + "ws/2008/06/identity/claims/groups"}
	case protocol == SAML && p == ADFS:
		return Mapping{Email: soap + "emailaddress", Name: soap + "name", Groups: "http://schemas.xmlsoap.org/claims/Group"}
	}
	return Mapping{Email: "email", Name: "name", Groups: "groups"}
}
