package staff

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
)

const (
	userSchema  = "urn:ietf:params:scim:schemas:core:2.0:User"
	groupSchema = "urn:ietf:params:scim:schemas:core:2.0:Group"
	patchSchema = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

	longestAnswer = 256 << 10
)

// call is one call, as the page shows it, and its answer.
type call struct {
	Method, Path, Sent string // the path is not encoded, for people
	Status             int    // 0 if there was no answer
	Answer             string
}

// Good reports whether Parvis took the call.
func (c call) Good() bool { return c.Status/100 == 2 }

// Reads reports whether the call asks for no change.
func (c call) Reads() bool { return c.Method == http.MethodGet }

// StatusText is the name of the status.
func (c call) StatusText() string { return http.StatusText(c.Status) }

// The forms of SCIM, in the order in which directories write their fields.
type (
	user struct {
		Schemas     []string `json:"schemas"`
		ID          string   `json:"id,omitempty"`
		ExternalID  string   `json:"externalId"`
		UserName    string   `json:"userName"`
		Active      *bool    `json:"active,omitempty"`
		DisplayName string   `json:"displayName"`
		Name        name     `json:"name"`
		Emails      []email  `json:"emails"`
	}
	name struct {
		Given  string `json:"givenName"`
		Family string `json:"familyName"`
	}
	email struct {
		Primary bool   `json:"primary"`
		Type    string `json:"type"`
		Value   string `json:"value"`
	}
	group struct {
		Schemas     []string `json:"schemas"`
		ExternalID  string   `json:"externalId"`
		DisplayName string   `json:"displayName"`
	}
	patch struct {
		Schemas    []string    `json:"schemas"`
		Operations []operation `json:"Operations"`
	}
	operation struct {
		Op    string `json:"op"`
		Path  string `json:"path,omitempty"`
		Value any    `json:"value,omitempty"`
	}
	answer struct {
		ID        string `json:"id"`
		Resources []struct {
			ID string `json:"id"`
		} `json:"Resources"`
	}
)

// talk is the calls that one deed needs. Each of its methods reports whether Parvis took them.
type talk struct {
	*server
	ctx      context.Context // of the request that the deed is
	language string
	calls    []call
}

// send makes a call. Path and query are given as people read them.
func (t *talk) send(method, path string, query url.Values, body any) (answer, call) {
	c := call{Method: method, Path: path}
	for name, values := range query {
		c.Path += map[bool]string{true: "?", false: "&"}[!strings.Contains(c.Path, "?")] + name + "=" + values[0]
	}
	var sent bytes.Buffer
	if body != nil {
		e := json.NewEncoder(&sent)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(body); err != nil {
			panic(err) // the forms above can be written
		}
		c.Sent = strings.TrimSpace(sent.String())
	}
	var a answer
	if text, status, err := t.ask(method, path, query, &sent); err != nil {
		t.Log.WarnContext(t.ctx, "the directory got no answer", "error", err.Error())
	} else {
		var pretty bytes.Buffer
		if c.Status, c.Answer = status, string(text); json.Indent(&pretty, text, "", "  ") == nil {
			c.Answer = pretty.String()
		}
		_ = json.Unmarshal(text, &a) // an answer without ids is one that has none
	}
	t.calls = append(t.calls, c)
	return a, c
}

func (t *talk) ask(method, path string, query url.Values, body io.Reader) ([]byte, int, error) {
	at := t.SCIM + path
	if len(query) > 0 {
		at += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(t.ctx, method, at, body)
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("Authorization", "Bearer "+t.Token)
	r.Header.Set("Accept", "application/scim+json")
	r.Header.Set("Accept-Language", t.language)
	if method != http.MethodGet {
		r.Header.Set("Content-Type", "application/scim+json")
	}
	w, err := t.Client.Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer w.Body.Close()
	text, err := io.ReadAll(io.LimitReader(w.Body, longestAnswer))
	return text, w.StatusCode, err
}

// follow makes Parvis have somebody as they are here.
func (t *talk) follow(p *employee) bool {
	// Somebody who comes, or comes back, is looked for first: they may be there already.
	if p.Hired && !p.told.active && !t.find(p) {
		return false
	}
	switch {
	case p.remote != "":
		return t.update(p) && t.move(p)
	case p.Hired:
		return t.create(p) && t.move(p)
	}
	return true // Parvis never heard of them
}

// find looks for somebody by their name, as both providers do.
func (t *talk) find(p *employee) bool {
	a, c := t.send(http.MethodGet, "/Users", url.Values{"filter": {`userName eq "` + p.Email + `"`}}, nil)
	if !c.Good() {
		return false
	}
	found := ""
	if len(a.Resources) > 0 {
		found = a.Resources[0].ID
	}
	if found != p.remote { // nothing is known of who is there now
		p.remote, p.told = found, told{}
	}
	return true
}

func (t *talk) create(p *employee) bool {
	active := true
	u := p.user()
	u.Active = &active
	a, c := t.send(http.MethodPost, "/Users", nil, u)
	if !c.Good() || a.ID == "" {
		return false
	}
	p.remote, p.told = a.ID, told{given: p.Given, family: p.Family, active: true}
	return true
}

func (p *employee) user() user {
	return user{
		Schemas: []string{userSchema}, ExternalID: p.ID, UserName: p.Email, DisplayName: p.Name(),
		Name: name{p.Given, p.Family}, Emails: []email{{true, "work", p.Email}},
	}
}

// update sends what changed of somebody who is there.
func (t *talk) update(p *employee) bool {
	renamed := p.told.given != p.Given || p.told.family != p.Family
	turned := p.told.active != p.Hired
	at, good := "/Users/"+p.remote, true
	switch {
	case t.okta:
		if renamed { // the whole person, without saying whether they are let in
			u := p.user()
			u.ID = p.remote
			good = t.put(p, http.MethodPut, at, u)
		}
		if good && turned {
			good = t.put(p, http.MethodPatch, at, patchOf(operation{"replace", "", map[string]bool{"active": p.Hired}}))
		}
	case renamed || turned:
		good = t.put(p, http.MethodPatch, at, patchOf(entraOperations(p, renamed, turned)...))
	}
	if good {
		p.told.given, p.told.family, p.told.active = p.Given, p.Family, p.Hired
	}
	return good
}

// entraOperations are the operations as Entra writes them: with a capital, and truth as text.
func entraOperations(p *employee, renamed, turned bool) (all []operation) {
	if renamed {
		all = append(all,
			operation{"Replace", "displayName", p.Name()},
			operation{"Add", "name.givenName", p.Given},
			operation{"Replace", "name.familyName", p.Family})
	}
	if turned {
		all = append(all, operation{"Replace", "active", map[bool]string{true: "True", false: "False"}[p.Hired]})
	}
	return all
}

func patchOf(all ...operation) patch { return patch{[]string{patchSchema}, all} }

// put changes somebody. Who is no longer there is forgotten, and made again the next time.
func (t *talk) put(p *employee, method, at string, body any) bool {
	_, c := t.send(method, at, nil, body)
	if c.Status == http.StatusNotFound {
		p.remote, p.told = "", told{}
	}
	return c.Good()
}

// move takes somebody out of one group and puts them into another.
func (t *talk) move(p *employee) bool {
	if !p.Hired || p.told.department == p.Department {
		return true
	}
	if from := p.told.department; from != "" {
		out := operation{"Remove", "members", member(p)}
		if t.okta {
			out = operation{Op: "remove", Path: `members[value eq "` + p.remote + `"]`}
		}
		if !t.members(from, out) {
			return false
		}
		p.told.department = ""
	}
	in := operation{"Add", "members", member(p)}
	if t.okta {
		in.Op = "add"
	}
	if !t.members(p.Department, in) {
		return false
	}
	p.told.department = p.Department
	return true
}

func member(p *employee) []map[string]string { return []map[string]string{{"value": p.remote}} }

// members changes who is in the group of a department, which is looked for and made first if it
// is not known.
func (t *talk) members(department string, o operation) bool {
	if t.groups[department] == "" && !t.findGroup(department) {
		return false
	}
	_, c := t.send(http.MethodPatch, "/Groups/"+t.groups[department], nil, patchOf(o))
	if c.Status == http.StatusNotFound {
		delete(t.groups, department)
	}
	return c.Good()
}

func (t *talk) findGroup(department string) bool {
	query := url.Values{"filter": {`displayName eq "` + department + `"`}, "excludedAttributes": {"members"}}
	a, c := t.send(http.MethodGet, "/Groups", query, nil)
	if c.Good() && len(a.Resources) > 0 {
		t.groups[department] = a.Resources[0].ID
		return true
	}
	if c.Good() {
		a, c = t.send(http.MethodPost, "/Groups", nil, group{[]string{groupSchema}, strings.ToLower(department), department})
	}
	if !c.Good() || a.ID == "" {
		return false
	}
	t.groups[department] = a.ID
	return true
}
