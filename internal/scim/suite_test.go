package scim_test

import (
	"net/http"
	"strings"
	"testing"

	"parvis/internal/expect"
	"parvis/internal/provisioning"
	"parvis/internal/scim/document"
)

// These are the rules of RFC 7643 and 7644 that scim2/test-suite and scim2-tester check, against a
// source as the operator makes one for suites: people are named without an address.

func suite(t *testing.T) *source {
	t.Helper()
	w := start(t)
	return w.source(t, w.alpha.org, provisioning.On, false)
}

func TestSuiteDiscovery(t *testing.T) {
	t.Parallel()
	s := suite(t)
	s.token = "" // nobody has to say who they are
	config := s.must(t, 200, "GET", "/ServiceProviderConfig?filter=invalid&sortBy=id&startIndex=999", "")
	expect.Equal(t, "media type", config.header.Get("Content-Type"), "application/scim+json")
	for _, part := range []string{"patch", "bulk", "filter", "sort", "etag"} {
		expect.Equal(t, part, config.get(part, "supported"), any(true))
	}
	expect.Equal(t, "passwords", config.get("changePassword", "supported"), any(false))
	if config.get("authenticationSchemes") == nil || config.get("bulk", "maxOperations") != 200.0 || config.get("bulk", "maxPayloadSize") == nil {
		t.Errorf("the configuration is %s", config.text)
	}
	schemas := map[string]bool{}
	for _, o := range s.must(t, 200, "GET", "/Schemas", "").resources() {
		id, _ := o["id"].(string)
		schemas[id] = true
		if o["name"] == "" || !strings.HasPrefix(id, "urn:ietf:params:scim:schemas:") {
			t.Errorf("schema %v is named %v", id, o["name"])
		}
		expect.Equal(t, id, s.must(t, 200, "GET", "/Schemas/"+id, "").id(), id)
	}
	for _, o := range s.must(t, 200, "GET", "/ResourceTypes", "").resources() {
		id, _ := o["id"].(string)
		uri, _ := o["schema"].(string)
		expect.Equal(t, id, s.must(t, 200, "GET", "/ResourceTypes/"+id, "").get("endpoint"), o["endpoint"])
		if !schemas[uri] {
			t.Errorf("%s is of %s, which is no schema here", id, uri)
		}
	}
	s.refused(t, 404, "", "GET", "/Schemas/nope", "")
	s.refused(t, 404, "", "GET", "/ResourceTypes/nope", "")
	for _, path := range []string{"/Schemas", "/ResourceTypes", "/ServiceProviderConfig"} {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE"} {
			s.refused(t, 405, "", method, path, "")
		}
	}
	r := s.call(t, "GET", "/Users", "")
	expect.Equal(t, "without a token", r.status, 401)
	expect.Equal(t, "the challenge", strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer"), true)
}

func TestSuiteUsers(t *testing.T) {
	t.Parallel()
	s := suite(t)
	r := s.must(t, 201, "POST", "/Users", `{"displayName":"CaSeExAcT Display","userName":"ScIm-Test-1","schemas":["`+document.UserURI+`"],"id":"client-specified-id","password":"s3cret!","meta":{"resourceType":"Invalid"}}`)
	id := r.id()
	expect.Equal(t, "location", r.header.Get("Location"), s.w.URL+"/scim/v2/"+s.ID+"/Users/"+id)
	expect.Equal(t, "meta.location", r.get("meta", "location"), any(r.header.Get("Location")))
	expect.Equal(t, "meta.resourceType", r.get("meta", "resourceType"), any("User"))
	expect.Equal(t, "created and changed", r.get("meta", "created"), r.get("meta", "lastModified"))
	expect.Equal(t, "userName", r.get("userName"), any("ScIm-Test-1"))
	expect.Equal(t, "displayName", r.get("displayName"), any("CaSeExAcT Display"))
	expect.Equal(t, "version", r.get("meta", "version"), any(r.header.Get("ETag")))
	expect.Equal(t, "weak", strings.HasPrefix(r.header.Get("ETag"), "W/"), true)
	for _, never := range []string{"password", "externalId"} {
		if _, there := r.body[never]; there || id == "client-specified-id" {
			t.Errorf("%s is in %s", never, r.text)
		}
	}
	s.refused(t, 409, "uniqueness", "POST", "/Users", user("scim-test-1"))
	got := s.must(t, 200, "GET", "/Users/"+id, "")
	expect.Equal(t, "content location", got.header.Get("Content-Location"), got.get("meta", "location").(string))
	only := s.must(t, 200, "GET", "/Users/"+id+"?attributes=userName", "")
	if only.id() != id || only.get("schemas") == nil || only.get("displayName") != nil {
		t.Errorf("only userName: %s", only.text)
	}
	if r = s.must(t, 200, "GET", "/Users/"+id+"?excludedAttributes=displayName,id,schemas", ""); r.id() != id || r.get("displayName") != nil {
		t.Errorf("without displayName: %s", r.text)
	}
	expect.Equal(t, "by name in any case", s.must(t, 200, "GET", `/Users?filter=userName%20eq%20%22SCIM-TEST-1%22`, "").get("totalResults"), any(1.0))
	put := s.must(t, 200, "PUT", "/Users/"+id, user("ScIm-Test-1", `"displayName":"Updated"`, `"id":"different-id-value"`, `"meta":{"resourceType":"Invalid"}`))
	expect.Equal(t, "the id stays", put.id(), id)
	expect.Equal(t, "the name changes", put.get("displayName"), any("Updated"))
	s.refused(t, 400, "invalidValue", "PUT", "/Users/"+id, `{"schemas":["`+document.UserURI+`"],"displayName":"No UserName"}`)
	s.refused(t, 404, "", "PUT", "/Users/nonexistent", user("scim-test-put"))
	s.refused(t, 412, "", "PUT", "/Users/"+id, user("ScIm-Test-1"), "If-Match", `W/"wrong-version"`)
	renamed := s.must(t, 200, "PUT", "/Users/"+id, user("another-name"))
	expect.Equal(t, "another userName", renamed.get("userName"), any("another-name"))
	expect.Equal(t, "found by it", s.must(t, 200, "GET", `/Users?filter=userName%20eq%20%22Another-Name%22`, "").get("totalResults"), any(1.0))
	s.must(t, 204, "DELETE", "/Users/"+id, "")
	s.refused(t, 404, "", "GET", "/Users/"+id, "")
	empty := s.must(t, 200, "GET", `/Users?filter=userName%20eq%20%22another-name%22`, "")
	expect.Equal(t, "nobody", empty.get("totalResults"), any(0.0))
	s.refused(t, 400, "invalidFilter", "GET", "/Users?filter=active%20gt%20true", "")
	s.refused(t, 400, "invalidFilter", "GET", "/Users?filter=userName%20regex%20%22test%22", "")
	s.refused(t, 400, "invalidFilter", "GET", "/Users?filter=(((", "")
	s.must(t, 200, "GET", "/Users?filter=name.givenName%20pr", "")
	s.must(t, 200, "GET", "/Users?startIndex=0", "")
	s.refused(t, 501, "", "GET", "/Me", "")
	s.refused(t, 404, "", "GET", "/7f3c5b9e", "")
}

func TestSuitePatch(t *testing.T) {
	t.Parallel()
	s := suite(t)
	r := s.hire(t, "scim-test-p", `"displayName":"Existing"`, `"emails":[{"value":"first@example.com","type":"work","primary":true}]`)
	at := "/Users/" + r.id()
	was := s.must(t, 200, "GET", at, "")
	s.w.Clock.Advance(1e9)
	same := s.must(t, 200, "PATCH", at, patch(`{"op":"add","path":"displayName","value":"Existing"}`))
	expect.Equal(t, "nothing changed", same.get("meta", "lastModified"), was.get("meta", "lastModified"))
	for _, operations := range []string{`{"op":"replace","path":"displayName","value":"No"},{"op":"remove","path":"userName"}`, `{"op":"replace","path":"displayName","value":"No"},{"op":"replace","path":"id","value":"x"}`} {
		s.refused(t, 400, "mutability", "PATCH", at, patch(operations))
		expect.Equal(t, "all or nothing", s.must(t, 200, "GET", at, "").get("displayName"), any("Existing"))
	}
	two := s.must(t, 200, "PATCH", at, patch(`{"op":"add","path":"emails","value":[{"value":"second@example.com","type":"home","primary":true}]}`))
	emails, _ := two.get("emails").([]any)
	expect.Equal(t, "two addresses", len(emails), 2)
	expect.Equal(t, "the first is no longer primary", emails[0].(object)["primary"], any(false))
	s.refused(t, 400, "noTarget", "PATCH", at, patch(`{"op":"replace","path":"emails[type eq \"nonexistent\"].value","value":"nope@example.com"}`))
	if r = s.must(t, 200, "PATCH", at, patch(`{"op":"remove","path":"emails"}`)); r.get("emails") != nil {
		t.Errorf("emails are still there: %s", r.text)
	}
	if r = s.must(t, 200, "PATCH", at, patch(`{"op":"remove","path":"displayName"}`)); r.get("displayName") != nil {
		t.Errorf("displayName is still there: %s", r.text)
	}
	expect.Equal(t, "replaces what is not there", s.must(t, 200, "PATCH", at, patch(`{"op":"replace","path":"nickName","value":"N"}`)).get("nickName"), any("N"))
	expect.Equal(t, "parts", s.must(t, 200, "PATCH", at, patch(`{"op":"add","path":"name","value":{"givenName":"Test","familyName":"User"}}`)).get("name", "givenName"), any("Test"))
	renamed := s.must(t, 200, "PATCH", at, patch(`{"op":"replace","path":"userName","value":"0f7c2f5e"}`))
	expect.Equal(t, "userName", renamed.get("userName"), any("0f7c2f5e"))
}

func TestSuiteGroupsAndLists(t *testing.T) {
	t.Parallel()
	s := suite(t)
	one, two := s.hire(t, "scim-test-a").id(), s.hire(t, "Scim-test-B").id()
	made := s.must(t, 201, "POST", "/Groups", `{"schemas":["`+document.GroupURI+`"],"displayName":"G1","members":[{"value":"`+one+`","type":"User"},{"value":"someone-made-up"}]}`)
	members, _ := made.get("members").([]any)
	if len(members) != 1 {
		t.Fatalf("members: %s", made.text)
	}
	member, _ := members[0].(object)
	ref, _ := member["$ref"].(string)
	expect.Equal(t, "the member", member["value"], any(one))
	expect.Equal(t, "its address", s.w.send(t, "GET", ref, s.token, "").id(), one)
	// scim2/test-suite puts the address after that of the source.
	expect.Equal(t, "its address after another", s.w.send(t, "GET", s.w.URL+"/scim/v2/"+s.ID+"/"+strings.Replace(ref, "://", ":/", 1), s.token, "").id(), one)
	at := "/Groups/" + made.id()
	s.must(t, 204, "PATCH", at, patch(`{"op":"add","path":"members","value":[{"value":"`+two+`","type":"User"}]}`))
	if members, _ = s.must(t, 200, "GET", at, "").get("members").([]any); len(members) != 2 {
		t.Errorf("%d members", len(members))
	}
	groups, _ := s.must(t, 200, "GET", "/Users/"+two, "").get("groups").([]any)
	expect.Equal(t, "groups of a person", len(groups), 1)
	s.refused(t, 409, "uniqueness", "POST", "/Groups", group("g1"))
	all := s.must(t, 200, "POST", "/.search", `{"schemas":["`+document.SearchURI+`"],"attributes":["displayName"]}`)
	if all.get("totalResults") != 3.0 {
		t.Errorf("people and groups: %s", all.text)
	}
	s.must(t, 200, "GET", "/?filter=id%20pr", "")
	s.must(t, 200, "POST", "/Users/.search", `{"schemas":["`+document.SearchURI+`"]}`)
	if r := s.must(t, 200, "GET", "/Users?count=1", ""); len(r.resources()) != 1 || r.get("totalResults") != 2.0 {
		t.Errorf("count=1: %s", r.text)
	}
	for order, first := range map[string]string{"": "scim-test-a", "&sortOrder=descending": "Scim-test-B"} {
		expect.Equal(t, "sorted"+order, s.must(t, 200, "GET", "/Users?sortBy=userName"+order, "").resources()[0]["userName"], any(first))
	}
	if r := s.must(t, 200, "GET", "/Users?attributes=userName", ""); r.resources()[0]["meta"] != nil || r.resources()[0]["id"] == nil {
		t.Errorf("only userName: %s", r.text)
	}
	s.must(t, 204, "DELETE", at, "")
	s.refused(t, 404, "", "GET", at, "")
}

// Values of every attribute are taken and shown again, as scim2-tester makes them up.
func TestSuiteEveryAttribute(t *testing.T) {
	t.Parallel()
	s := suite(t)
	full := `{"schemas":["` + document.UserURI + `","` + document.Enterprise + `"],"userName":"u-1","externalId":"e","name":{"formatted":"f","familyName":"g","givenName":"h","middleName":"i","honorificPrefix":"j","honorificSuffix":"k"},
		"displayName":"l","nickName":"m","profileUrl":"https://n.test","title":"o","userType":"p","preferredLanguage":"4b9d","locale":"4b9e","timezone":"4b9f","active":false,"password":"q",
		"emails":[{"value":"r@s.com","display":"t","type":"home","primary":false}],"phoneNumbers":[{"value":"0123456789","display":"u","type":"fax","primary":true}],"ims":[{"value":"v","display":"w","type":"aim","primary":true}],
		"photos":[{"value":"https://x.test","display":"y","type":"photo","primary":true}],"addresses":[{"formatted":"z","streetAddress":"a","locality":"b","region":"c","postalCode":"d","country":"e","type":"work","primary":true}],
		"entitlements":[{"value":"f","display":"g","type":"h","primary":true}],"roles":[{"value":"i","display":"j","type":"k","primary":true}],"x509Certificates":[{"value":"S4c5yw==","display":"l","type":"m","primary":true}],
		"` + document.Enterprise + `":{"employeeNumber":"n","costCenter":"o","organization":"p","division":"q","department":"r","manager":{"value":"s","$ref":"https://t.test/Users/s"}}}`
	made := s.must(t, 201, "POST", "/Users", full)
	want := object{}
	if sent, err := document.Read([]byte(full)); err == nil {
		want, _ = sent.(object)
	}
	for name, v := range want {
		if name != "password" && string(document.Canonical(object{"": v})) != string(document.Canonical(object{"": made.body[name]})) {
			t.Errorf("%s: sent %v, shown %v", name, v, made.body[name])
		}
	}
	for name, v := range want {
		if name == "userName" || name == "schemas" {
			continue
		}
		op := string(document.Canonical(object{"op": "replace", "path": name, "value": v}))
		s.must(t, 200, "PATCH", "/Users/"+made.id(), patch(op))
		r := s.must(t, 200, "PATCH", "/Users/"+made.id(), patch(`{"op":"remove","path":"`+name+`"}`))
		if _, there := r.body[name]; there && name != "active" {
			t.Errorf("%s is still there", name)
		}
	}
	s.must(t, 201, "POST", "/Groups", `{"schemas":["`+document.GroupURI+`"],"displayName":"fuzzed","members":[{"value":"xYz","$ref":"https://example.com/1","type":"User"}]}`)
	s.must(t, 204, "DELETE", "/Users/"+made.id(), "")
}

func TestSuiteBulk(t *testing.T) {
	t.Parallel()
	s := suite(t)
	bulk := func(more string, operations ...string) string {
		return `{"schemas":["` + document.BulkURI + `"]` + more + `,"Operations":[` + strings.Join(operations, ",") + `]}`
	}
	post := func(id, name string) string {
		return `{"method":"POST","path":"/Users","bulkId":"` + id + `","data":` + user(name) + `}`
	}
	statuses := func(r reply) (all []string) {
		list, _ := r.get("Operations").([]any)
		for _, one := range list {
			o, _ := one.(object)
			s, _ := o["status"].(string)
			all = append(all, s)
		}
		return all
	}
	r := s.must(t, 200, "POST", "/Bulk", bulk(`,"failOnErrors":10`, post("ok-1", "b1"), post("dup-1", "b1"), post("ok-2", "b2")))
	expect.Equal(t, "each by itself", strings.Join(statuses(r), " "), "201 409 201")
	first, _ := r.get("Operations").([]any)
	expect.Equal(t, "bulkId", first[0].(object)["bulkId"], any("ok-1"))
	location, _ := first[0].(object)["location"].(string)
	expect.Equal(t, "location", s.w.send(t, "GET", location, s.token, "").get("userName"), any("b1"))
	// A group names people who are made later; two groups name each other, which no group may.
	r = s.must(t, 200, "POST", "/Bulk", bulk("",
		`{"method":"POST","path":"/Groups","bulkId":"g","data":`+group("bulk", "bulkId:u")+`}`, post("u", "b3"),
		`{"method":"PATCH","path":"/Users/bulkId:u","data":`+patch(`{"op":"add","path":"title","value":"T"}`)+`}`,
		`{"method":"POST","path":"/Groups","bulkId":"a","data":`+group("A", "bulkId:b")+`}`, `{"method":"POST","path":"/Groups","bulkId":"b","data":`+group("B", "bulkId:a")+`}`))
	expect.Equal(t, "forward and in a circle", strings.Join(statuses(r), " "), "201 201 200 409 409")
	found := s.must(t, 200, "GET", `/Groups?filter=displayName%20eq%20%22bulk%22`, "").resources()
	if members, _ := found[0]["members"].([]any); len(members) != 1 {
		t.Errorf("the group is %v", found)
	}
	r = s.must(t, 200, "POST", "/Bulk", bulk(`,"failOnErrors":1`, post("x", "b1"), post("y", "b9")))
	expect.Equal(t, "ends after a failure", strings.Join(statuses(r), " "), "409")
	r = s.must(t, 200, "POST", "/Bulk", bulk("", `{"method":"GET","path":"/Users/x"}`, `{"method":"PUT","path":"/Users","data":{}}`, `{"method":"DELETE","path":"/Nope/x"}`, `{"method":"DELETE","path":"/Users/usr_nope"}`))
	expect.Equal(t, "what is none", strings.Join(statuses(r), " "), "400 404 404 404")
	many := make([]string, 201)
	for i := range many {
		many[i] = post(strings.Repeat("x", i+1), "never")
	}
	s.refused(t, 413, "", "POST", "/Bulk", bulk("", many...))
	for _, body := range []string{bulk(""), bulk(`,"failOnErrors":"x"`, post("a", "b")), bulk("", `7`), bulk("", post("a", "b"), post("a", "c")), bulk("", post("", "b")), `{"Operations":[]}`} {
		s.refused(t, 400, "invalidSyntax", "POST", "/Bulk", body)
	}
	if r := s.call(t, "GET", "/Bulk", ""); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "POST" {
		t.Errorf("GET /Bulk: %d", r.status)
	}
}
