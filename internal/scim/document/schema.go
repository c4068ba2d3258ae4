// Package document is what SCIM says, without a table or a request: the schemas of people and
// groups (RFC 7643), bodies as providers send them, filters, paths, changes by PATCH, and what of a
// resource is shown (RFC 7644).
//
// A resource is an Object whose keys are the names of the schema in their own case, so that
// whatever was judged once can be compared, stored and shown without a second look.
package document

import (
	_ "embed"
	"encoding/json"
	"strings"
	"sync"
)

// Object is a resource, or a complex value in one. Values are texts, booleans, Objects and lists of
// texts or Objects.
type Object = map[string]any

// The URIs of schemas and messages.
const (
	core       = "urn:ietf:params:scim:schemas:core:2.0:"
	UserURI    = core + "User"
	GroupURI   = core + "Group"
	Enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

	message         = "urn:ietf:params:scim:api:messages:2.0:"
	ListURI         = message + "ListResponse"
	SearchURI       = message + "SearchRequest"
	PatchURI        = message + "PatchOp"
	BulkURI         = message + "BulkRequest"
	BulkResponseURI = message + "BulkResponse"
	ErrorURI        = message + "Error"
)

// Attribute is one attribute of a schema, with the characteristics of RFC 7643 §7.
type Attribute struct {
	Name            string      `json:"name"`
	Type            string      `json:"type"`
	MultiValued     bool        `json:"multiValued"`
	Required        bool        `json:"required"`
	CaseExact       bool        `json:"caseExact"`
	CanonicalValues []string    `json:"canonicalValues"`
	Mutability      string      `json:"mutability"`
	Returned        string      `json:"returned"`
	SubAttributes   []Attribute `json:"subAttributes"`
}

// The types of attributes that are told apart.
const (
	typeBoolean  = "boolean"
	typeBinary   = "binary"
	typeComplex  = "complex"
	typeDateTime = "dateTime"
)

func (a *Attribute) sub(name string) *Attribute { return named(a.SubAttributes, name) }

func (a *Attribute) readOnly() bool { return a.Mutability == "readOnly" }

// secret reports whether the attribute is never shown, and therefore never compared either.
func (a *Attribute) secret() bool { return a.Returned == "never" }

// named finds an attribute by its name, in any case (RFC 7643 §2.1).
func named(all []Attribute, name string) *Attribute {
	for i := range all {
		if strings.EqualFold(all[i].Name, name) {
			return &all[i]
		}
	}
	return nil
}

// Kind is a kind of resource.
type Kind struct {
	Name, Endpoint, Schema string
	attributes             []Attribute // its own and the common ones
	extensions             map[string][]Attribute
}

// extension returns the URI and the attributes of an extension, or nothing for another schema.
func (k *Kind) extension(uri string) (string, []Attribute) {
	for name, attributes := range k.extensions {
		if strings.EqualFold(name, uri) {
			return name, attributes
		}
	}
	return "", nil
}

// User and Group are the kinds of resources that there are.
func User() *Kind  { return known().user }
func Group() *Kind { return known().group }

// KindAt returns the kind of resource at an endpoint, such as /Users.
func KindAt(endpoint string) *Kind {
	for _, k := range []*Kind{User(), Group()} {
		if k.Endpoint == endpoint {
			return k
		}
	}
	return nil
}

//go:embed discovery.json
var discovery []byte

// Discovery is what providers may ask about this service (RFC 7644 §4).
type Discovery struct {
	Schemas       []Object `json:"schemas"`
	ResourceTypes []Object `json:"resourceTypes"`
	Config        Object   `json:"config"`
}

// Discover returns what providers may ask about this service, for the caller to complete and keep.
func Discover() Discovery {
	var d Discovery
	if err := json.Unmarshal(discovery, &d); err != nil {
		panic(err) // the file is ours
	}
	return d
}

type kinds struct{ user, group *Kind }

// known reads the schemas once, when the first request needs them.
var known = sync.OnceValue(func() kinds {
	var d struct {
		Schemas []struct {
			ID         string
			Attributes []Attribute
		}
		Common []Attribute
	}
	if err := json.Unmarshal(discovery, &d); err != nil {
		panic(err) // the file is ours
	}
	of := map[string][]Attribute{}
	for _, s := range d.Schemas {
		of[s.ID] = s.Attributes
	}
	return kinds{
		user: &Kind{
			Name: "User", Endpoint: "/Users", Schema: UserURI, attributes: append(of[UserURI], d.Common...),
			extensions: map[string][]Attribute{Enterprise: of[Enterprise]},
		},
		group: &Kind{Name: "Group", Endpoint: "/Groups", Schema: GroupURI, attributes: append(of[GroupURI], d.Common...)},
	}
})
