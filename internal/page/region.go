package page

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"parvis/internal/i18n"
	"parvis/internal/naming"
)

// Region is one installation of a deployment, with a database, keys and an address of its own.
// Only the person's browser carries anything from one to another (decision 0025).
type Region struct {
	ID      string
	Address string              // scheme and host, no path
	Names   map[i18n.Tag]string // always with English
}

// name returns what people call the region in a language.
func (r Region) name(tag i18n.Tag) string {
	if name := r.Names[tag]; name != "" {
		return name
	}
	return r.Names["en"]
}

// Regions are the regions of a deployment. The zero value is a deployment that has only one,
// and does not name it.
type Regions struct {
	Here string // the ID of this one
	All  []Region
}

// Words returns the names of all regions in every language, which may not be passwords.
func (r Regions) Words() []string {
	var all []string
	for _, one := range r.All {
		for _, name := range one.Names {
			all = append(all, name)
		}
	}
	return all
}

// Fields that a form has in addition if it asks for the region. What the browser carries from one
// region to another has the same names.
const (
	regionField       = "region"
	organizationField = "organization"
	emailField        = "email"
)

// OrganizationPath is the page that asks which organization is meant. With a name in the query
// it leads to that organization.
const OrganizationPath = "/organization"

// OrganizationLink returns the address of that page, with a name where there is one.
func OrganizationLink(named string) string {
	if named == "" {
		return OrganizationPath
	}
	return OrganizationPath + "?" + url.Values{organizationField: {named}}.Encode()
}

// mostCarried is how many bytes of a typed text are taken along to another region.
const mostCarried = 500

// chooseRegion answers a form that chooses another region with the way to the same page there,
// and reports whether it did. It looks at nothing else in the form: nothing is counted, and no
// password is read (R-TEN-10).
func (v *Visitor) chooseRegion() (answered bool, err error) {
	id, regions := v.Form.Get(regionField), v.site.Regions
	if id == regions.Here {
		return false, nil
	}
	i := slices.IndexFunc(regions.All, func(r Region) bool { return r.ID == id })
	if i < 0 {
		return true, errMalformed.With("Field", regionField)
	}
	path := v.R.URL.Path
	if strings.Contains(v.R.Pattern, "{") { // the path of an attempt, which the other region does not know
		path = OrganizationPath
	}
	return true, v.Leave(regions.All[i], path, v.Form.Get(organizationField), v.Form.Get(emailField))
}

// leaving is the page that leads to another region.
type leaving struct {
	Region, Address string
	Found           bool // nobody chose the region: it knows the name
}

// Leave answers with a page that leads to a path of another region, because a redirect that
// follows a form may not leave our origin (decision 0003). Every Region comes from the
// configuration, so it leads nowhere else.
func (v *Visitor) Leave(to Region, path, organization, email string) error {
	v.NoForm()
	return v.Render("leave", leaving{Region: to.name(v.Language()), Address: to.link(path, organization, email)})
}

// link returns the address of a page in another region with what was typed. The name of an organization
// is public and stands in the query; an e-mail address stands behind the #, which reaches no server, in
// whichever field it was typed.
func (r Region) link(path, organization, email string) string {
	query, behind := url.Values{}, url.Values{}
	if organization = carried(organization); strings.Contains(organization+naming.OrganizationKey(organization), "@") {
		behind.Set(organizationField, organization)
	} else if organization != "" {
		query.Set(organizationField, organization)
	}
	if email = carried(email); email != "" {
		behind.Set(emailField, email)
	}
	address := r.Address + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	if len(behind) > 0 {
		address += "#" + behind.Encode()
	}
	return address
}

// Elsewhere says where a name, or the domain of an address, is known: at least one of the two lists
// of region IDs has one.
type Elsewhere struct {
	Path         string // the page that leads on there
	Organization string // as typed; empty where the domain is known
	Email        string // as typed
	Known        []string
	Silent       []string // regions that did not answer
}

// elsewherePage asks which region is meant.
type elsewherePage struct {
	Organization string
	Silent       bool // nobody knows the name, but these did not answer
	Regions      []leaving
	Back         string
}

// LeadElsewhere leads to the region that knows what was typed. Where two know it, or none does and
// one did not answer, the page asks.
func (v *Visitor) LeadElsewhere(e Elsewhere) error {
	ids := e.Known
	if len(ids) == 0 {
		ids = e.Silent
	}
	p := elsewherePage{Organization: e.Organization, Silent: len(e.Known) == 0, Back: OrganizationPath}
	if e.Organization != "" { // the same question here, with what was typed
		path := e.Path
		if v.R.Method == http.MethodPost { // the form, which may go on with a sign-in for an application
			path = v.R.URL.EscapedPath()
		}
		p.Back = Region{}.link(path, e.Organization, e.Email)
	}
	for _, r := range v.site.Regions.All {
		if slices.Contains(ids, r.ID) {
			p.Regions = append(p.Regions, leaving{r.name(v.Language()), r.link(e.Path, e.Organization, e.Email), true})
		}
	}
	v.NoForm()
	if len(e.Known) == 1 && len(p.Regions) == 1 {
		return v.Render("leave", p.Regions[0])
	}
	return v.Render("elsewhere", p)
}

// arrive fills in the organization that another region sent along.
func (v *Visitor) arrive(fields Fields) {
	if query := v.R.URL.Query(); slices.Contains(fields, regionField) && query.Has(organizationField) {
		v.Form.values.Set(organizationField, carried(query.Get(organizationField)))
	}
}

// carried returns a text as it is taken from one region to another: empty if no form would take
// it.
func carried(text string) string {
	if len(text) > mostCarried || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return ""
	}
	return text
}

// Choice is one line of the list of regions.
type Choice struct {
	ID, Name string
	Here     bool
	Selected bool
	Link     string // the same page there
}

// Regions lists the regions of the deployment if it has several.
func (f Frame) Regions() []Choice {
	regions := f.v.site.Regions
	if len(regions.All) < 2 {
		return nil
	}
	var all []Choice
	selected := f.Typed(regionField, regions.Here)
	for _, r := range regions.All {
		all = append(all, Choice{r.ID, r.name(f.v.Language()), r.ID == regions.Here, r.ID == selected, r.Address + f.v.R.URL.EscapedPath()})
	}
	return all
}

// Region returns the name of this region if the deployment has several.
func (f Frame) Region() string {
	all := f.Regions()
	i := slices.IndexFunc(all, func(c Choice) bool { return c.Here })
	if i < 0 {
		return ""
	}
	return all[i].Name
}
