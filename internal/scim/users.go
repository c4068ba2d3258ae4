package scim

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/provisioning"
	"parvis/internal/scim/document"
)

var (
	errNoAddress = document.Refusal{Type: document.InvalidValue, Why: fault.New(fault.Malformed, "scim.no_address")}
	errPassword  = document.Refusal{Type: document.InvalidValue, Why: fault.New(fault.Malformed, "scim.password")}
)

func (s *Server) userDeeds() deeds {
	return deeds{get: s.getUser, create: s.createUser, put: s.putUser, patch: s.patchUser, delete: s.deleteUser, find: findPeople}
}

func (s *Server) getUser(ctx context.Context, x *call, in input) (answer, error) {
	p, err := x.source.Person(ctx, s.DB, in.id)
	if err != nil {
		return answer{}, err
	}
	return x.userAnswer(http.StatusOK, p, in.show)
}

func (s *Server) createUser(ctx context.Context, x *call, in input) (answer, error) {
	o, err := document.User().Judge(in.sent, &x.notes)
	if err != nil {
		return answer{}, err
	}
	p, err := x.person(o, true)
	if err == nil && p.Email == "" { // nobody is made without, not even as somebody who is out
		err = errNoAddress
	}
	if err == nil {
		err = x.noPassword(ctx, nil)
	}
	if err != nil {
		return answer{}, err
	}
	var made provisioning.Provisioned
	if err := x.write(ctx, x.loggedAs(in.method, in.path), func(tx *db.Tx, source provisioning.Source) (err error) {
		made, err = s.Sources.CreatePerson(ctx, tx, source, p)
		return err
	}); err != nil {
		return answer{}, err
	}
	return x.userAnswer(http.StatusCreated, made, in.show)
}

func (s *Server) putUser(ctx context.Context, x *call, in input) (answer, error) {
	sent, err := document.User().Judge(in.sent, &x.notes)
	if err == nil {
		err = x.noPassword(ctx, sent)
	}
	if err != nil {
		return answer{}, err
	}
	return x.changeUser(ctx, in, sent, func(o document.Object) (document.Object, error) {
		// What a provider may leave out stays (Okta leaves out active).
		now := maps.Clone(sent)
		for _, name := range []string{"active", "externalId"} {
			if _, said := sent[name]; !said && o[name] != nil {
				now[name] = o[name]
			}
		}
		return now, nil
	})
}

func (s *Server) patchUser(ctx context.Context, x *call, in input) (answer, error) {
	operations, err := document.Operations(in.sent)
	if err != nil {
		return answer{}, err
	}
	// What is noted depends on what was sent alone, and is kept with the call. Whether the operations
	// fit is found in the transaction.
	sent := document.Object{"userName": "-"}
	_ = document.User().Patch(sent, operations, &x.notes)
	if err := x.noPassword(ctx, sent); err != nil {
		return answer{}, err
	}
	return x.changeUser(ctx, in, sent, func(o document.Object) (document.Object, error) {
		return o, document.User().Patch(o, operations, &document.Notes{})
	})
}

// noPassword refuses a password where single sign-on is the only way in. Elsewhere it is ignored
// with a note (R-SCM-03), and so it is in a call that shuts somebody out.
func (x *call) noPassword(ctx context.Context, sent document.Object) error {
	if !x.notes.Password() || sent["active"] == false {
		return nil
	}
	org, err := directory.OrganizationByID(ctx, x.server.DB, x.source.OrgID)
	if err == nil && org.FederatedOnly() {
		err = errPassword
	}
	return err
}

// changeUser gives a person what change makes of them, in one transaction. What changes nothing is
// not written, but if what was sent says that somebody is out who is, or has the address that they have,
// that may overtake an older wish.
func (x *call) changeUser(ctx context.Context, in input, sent document.Object, change func(document.Object) (document.Object, error)) (answer, error) {
	var now provisioning.Provisioned
	if err := x.write(ctx, x.loggedAs(in.method, in.path), func(tx *db.Tx, source provisioning.Source) error {
		was, err := source.Person(ctx, tx, in.id)
		if err != nil {
			return err
		}
		before, err := stored(was)
		if err != nil {
			return err
		}
		if in.match != "" && !fits(in.match, x.userVersion(before)) {
			return errChange
		}
		text := string(document.Canonical(before))
		after, err := change(before)
		if err == nil && sent["active"] == false {
			err = source.StaysOut(ctx, tx, was.User)
		}
		if err == nil {
			err = source.KeepsAddress(ctx, tx, was.User, addressIn(sent, after))
		}
		if err != nil {
			return err
		}
		if now = was; string(document.Canonical(after)) == text {
			return nil
		}
		p, err := x.person(after, was.User.DeactivatedAt.IsZero())
		if err == nil {
			now, err = x.server.Sources.PutPerson(ctx, tx, source, was, p)
		}
		return err
	}); err != nil {
		return answer{}, err
	}
	return x.userAnswer(http.StatusOK, now, in.show)
}

// addressIn returns the address that a call says of somebody who is to be as after says: the user name
// where that is one, or else what is sent of addresses.
func addressIn(sent, after document.Object) string {
	said := document.PersonOf(sent)
	if strings.Contains(document.PersonOf(after).UserName, "@") {
		return said.UserName
	}
	return said.Address
}

// person is what a document says of somebody. active is what holds if it does not say.
func (x *call) person(o document.Object, active bool) (provisioning.Person, error) {
	said := document.PersonOf(o)
	p := provisioning.Person{
		Email: said.Address, Name: said.Name, GivenName: said.GivenName, FamilyName: said.FamilyName, ExternalID: said.ExternalID,
		Active: active, Language: languageOf(said.Language), TimeZone: said.TimeZone, Document: document.Canonical(o),
	}
	if said.Active != nil {
		p.Active = *said.Active
	}
	if !x.source.Brake && !strings.Contains(said.UserName, "@") {
		p.Email = invented(said.UserName)
	}
	if goes := active && !p.Active; p.Email == "" && !goes {
		return p, errNoAddress
	}
	return p, nil
}

// invented is the address of somebody whom a test suite names without one. Nothing is ever sent
// there (RFC 2606).
func invented(name string) string { return name + "@suite.invalid" }

// languageOf returns the language of a tag such as en-US, or an empty one if there are no texts in it.
func languageOf(tag string) i18n.Tag {
	language, _, _ := strings.Cut(strings.ReplaceAll(tag, "_", "-"), "-")
	if t := i18n.Tag(strings.ToLower(language)); i18n.Known(t) {
		return t
	}
	return ""
}

func (s *Server) deleteUser(ctx context.Context, x *call, in input) (answer, error) {
	var waits bool
	err := x.write(ctx, x.loggedAs(in.method, in.path), func(tx *db.Tx, source provisioning.Source) error {
		p, err := source.Person(ctx, tx, in.id)
		if err == nil && in.match != "" {
			var o document.Object
			if o, err = stored(p); err == nil && !fits(in.match, x.userVersion(o)) {
				err = errChange
			}
		}
		if err == nil {
			waits, err = s.Sources.DeletePerson(ctx, tx, source, in.id)
		}
		return err
	})
	return held(waits), err
}

// stored is the document of somebody as it was sent, with what is true of them now: their address,
// where their name is one, and whether they are let in.
func stored(p provisioning.Provisioned) (document.Object, error) {
	o := document.Object{}
	if len(p.Document) > 0 {
		v, err := document.Read(p.Document)
		if err != nil {
			return nil, errors.New("what is kept of " + string(p.User.ID) + " cannot be read: " + err.Error())
		}
		o, _ = v.(document.Object)
	} else {
		o["displayName"] = p.User.Name
		if name := named(p.User.GivenName, p.User.FamilyName); len(name) > 0 {
			o["name"] = name
		}
	}
	if name, _ := o["userName"].(string); name == "" || strings.Contains(name, "@") && !strings.EqualFold(name, p.User.Email) {
		o["userName"] = p.User.Email
	}
	if delete(o, "externalId"); p.User.ExternalID != "" {
		o["externalId"] = p.User.ExternalID
	}
	o["active"] = p.User.DeactivatedAt.IsZero()
	return o, nil
}

func named(given, family string) document.Object {
	o := document.Object{}
	if given != "" {
		o["givenName"] = given
	}
	if family != "" {
		o["familyName"] = family
	}
	return o
}

// userVersion is the ETag of a stored document.
func (x *call) userVersion(o document.Object) string {
	return x.server.version("user", string(document.Canonical(o)))
}

func (x *call) userAnswer(status int, p provisioning.Provisioned, show document.Show) (answer, error) {
	o, version, err := x.user(p)
	if err != nil {
		return answer{}, err
	}
	return answer{status: status, body: show.Of(o), version: version, location: x.at("/Users/" + string(p.User.ID))}, nil
}

// user is somebody as they are shown, with the version of what is stored of them.
func (x *call) user(p provisioning.Provisioned) (document.Object, string, error) {
	o, err := stored(p)
	if err != nil {
		return nil, "", err
	}
	version := x.userVersion(o)
	schemas := []any{document.UserURI}
	if _, ok := o[document.Enterprise]; ok {
		schemas = append(schemas, document.Enterprise)
	}
	o["schemas"], o["id"] = schemas, string(p.User.ID)
	var groups []any
	for _, g := range p.Groups {
		groups = append(groups, document.Object{"value": g.ID, "$ref": x.at("/Groups/" + g.ID), "display": g.Name, "type": "direct"})
	}
	if groups != nil {
		o["groups"] = groups
	}
	o["meta"] = x.meta(meta{"User", "/Users/" + string(p.User.ID), version, p.User.CreatedAt, p.User.ChangedAt})
	return o, version, nil
}

// meta is what is known about a resource.
type meta struct {
	kind, path, version string
	created, changed    time.Time
}

func (x *call) meta(m meta) document.Object {
	return document.Object{
		"resourceType": m.kind, "location": x.at(m.path), "version": m.version,
		"created": m.created.UTC().Format(time.RFC3339Nano), "lastModified": m.changed.UTC().Format(time.RFC3339Nano),
	}
}
