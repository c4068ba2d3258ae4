package console

import (
	"context"
	"slices"
	"strings"
	"time"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/number"
	"parvis/internal/page"
)

var (
	accessFields   = page.Fields{page.Tick("devices")}
	newTokenFields = page.Fields{"name", "scope[]", "lasts"}
	machineFields  = page.Fields{"scope[]", "role", "lasts"}
)

// What the pages offer, within the bounds that access checks.
const day = 24 * time.Hour

var accessLastsOffered = []time.Duration{7 * day, 30 * day, access.TokenLasts, 180 * day, access.LongestToken}

// callers has the pages about who calls the API.
type callers struct{ *Server }

func (s callers) mount() {
	site, ask := s.site, asks(s)
	site.ConsoleForm(reads, owns, "/o/{org}/admin/access", accessFields, s.showAccess, s.saveAccess, ask.accessRules)
	site.ConsoleForm(reads, reads, "/o/{org}/admin/access/add", newTokenFields, s.showAddToken, s.addToken)
	site.ConsoleForm(reads, reads, "/o/{org}/admin/access/tokens/{id}", nil, s.showToken, s.changeToken, ask.token)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/access/machines/{id}", machineFields, s.showMachine, s.changeMachine, ask.machineRight)
}

// accessPage lists who calls the API of the organization.
type accessPage struct {
	Machines  []shownMachine
	Tokens    []shownToken
	All       bool // tokens of everybody are listed
	Rules     access.Rules
	MayGive   bool // rights to machines
	MayAllow  bool // the rules
	Saved     bool
	Done      string // the sentence that says what was done
	Server    string // what the command line is told
	ShortName string
}

// shownMachine is an application that acts on its own behalf, with its right if it has one.
type shownMachine struct {
	access.Machine
	Has  bool
	Chip chip
	May  string
}

// shownToken is a token with what it may do now, in words.
type shownToken struct {
	access.Token
	May string
}

// may says in a line what scopes reach: which parts, and whether to read or to change them.
func may(v *page.Viewer, scopes []access.Scope) string {
	var parts []string
	for _, s := range access.Scopes {
		area, reads := nameOfArea(s)
		if !reads {
			continue
		}
		name := v.Text("access.area." + area)
		reads = slices.Contains(scopes, s)
		switch changes := slices.Contains(scopes, writes(area)); {
		case reads && changes:
			parts = append(parts, v.Text("access.may.both", "Area", name))
		case reads:
			parts = append(parts, v.Text("access.may.read", "Area", name))
		case changes:
			parts = append(parts, v.Text("access.may.write", "Area", name))
		}
	}
	return strings.Join(parts, " · ")
}

func (s callers) showAccess(v *page.Viewer) error {
	ctx, actor, org := v.R.Context(), v.User.AsActor(), v.User.OrgID
	machines, err := s.machines(v)
	if err != nil {
		return err
	}
	tokens, err := access.Tokens(ctx, s.site.DB, actor, org)
	if err != nil {
		return err
	}
	p := accessPage{
		Machines: machines, All: v.User.Role.ReadsAudit(), MayGive: rules(v.User.Role), MayAllow: owns(v.User.Role),
		Saved: v.Just("saved"), Server: s.base(), ShortName: v.Organization.ShortName,
	}
	for _, t := range tokens {
		p.Tokens = append(p.Tokens, shownToken{t, may(v, t.Scopes)})
	}
	if p.Rules, err = access.RulesOf(ctx, s.site.DB, org); err != nil {
		return err
	}
	for done, key := range map[string]string{"revoked": "console.access.revoked", "ended": "console.access.ended"} {
		if v.Just(done) {
			p.Done = key
		}
	}
	v.FormIf(p.MayAllow)
	return v.Render("console-access", p)
}

// machines lists the organization's applications that act on their own behalf.
func (s callers) machines(v *page.Viewer) ([]shownMachine, error) {
	ctx, actor, org := v.R.Context(), v.User.AsActor(), v.User.OrgID
	rights, err := access.Machines(ctx, s.site.DB, actor, org)
	if err != nil {
		return nil, err
	}
	applications, err := application.Within(ctx, s.site.DB, actor, org)
	if err != nil {
		return nil, err
	}
	var all []shownMachine
	for _, a := range applications {
		if a.OrgID != org || !a.Settings.OwnBehalf {
			continue
		}
		m := shownMachine{Machine: access.Machine{Client: a.ID, Name: a.Settings.Name}}
		if i := slices.IndexFunc(rights, func(r access.Machine) bool { return r.Client == a.ID }); i >= 0 {
			m = withRight(v, rights[i])
		}
		all = append(all, m)
	}
	return all, nil
}

// withRight returns a machine as pages show it.
func withRight(v *page.Viewer, m access.Machine) shownMachine {
	shown := shownMachine{m, true, chip{"console.access.on", "ok"}, may(v, m.Scopes)}
	switch {
	case m.Over:
		shown.Chip = chip{"console.access.over", ""}
	case m.Rests:
		shown.Chip = chip{"console.access.rests", "warn"}
	}
	return shown
}

// accessRules turns signing in by a code on or off: another click takes it back.
func (s asks) accessRules(v *page.Viewer) (bool, error) {
	c := confirmation{Light: true, Title: v.Text("console.confirm.access_rules"), Button: v.Text("console.access.save"), Back: v.Path("admin/access")}
	return s.confirm(v, c)
}

func (s callers) saveAccess(v *page.Viewer) error {
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		return access.SetRules(ctx, tx, v.User.AsActor(), v.User.OrgID, access.Rules{Devices: v.Form.Ticked("devices")})
	}, v.Path("admin/access")+"?saved")
}

// scopeChoices are what a form offers of scopes and of times, with what was chosen or typed.
type scopeChoices struct {
	Areas []scopePart
	Lasts []time.Duration
	Usual time.Duration
}

// scopePart is a part of the administration, with the scopes that read and that change it; both are
// zero where the role reaches neither.
type scopePart struct {
	Key         string
	Read, Write scopeChoice
}

type scopeChoice struct {
	Scope  access.Scope
	Key    string // of the sentence that says what it gives
	Chosen bool
}

// offer returns what a form offers to somebody with a role.
func offer(v *page.Viewer, role directory.Role, chosen []access.Scope) scopeChoices {
	if v.Form.Filled() {
		chosen = scopesIn(v.Form)
	}
	o, reach := scopeChoices{Lasts: accessLastsOffered, Usual: access.TokenLasts}, access.Reach(role)
	choice := func(s access.Scope) scopeChoice {
		if !slices.Contains(reach, s) {
			return scopeChoice{}
		}
		return scopeChoice{s, application.ScopeKey(string(s)), slices.Contains(chosen, s)}
	}
	for _, s := range access.Scopes {
		if name, reads := nameOfArea(s); reads {
			if a := (scopePart{"access.area." + name, choice(s), choice(writes(name))}); a.Read.Key+a.Write.Key != "" {
				o.Areas = append(o.Areas, a)
			}
		}
	}
	return o
}

// nameOfArea returns the part of the administration that a scope reads, and whether it reads one.
func nameOfArea(s access.Scope) (string, bool) {
	name, reads := strings.CutSuffix(strings.TrimPrefix(string(s), application.ReservedScopes), ".read")
	return name, reads
}

// writes returns the scope that changes a part of the administration.
func writes(area string) access.Scope {
	return access.Scope(application.ReservedScopes + area + ".write")
}

func scopesIn(f *page.Form) []access.Scope {
	var all []access.Scope
	for _, s := range f.All("scope[]") {
		all = append(all, access.Scope(s))
	}
	return all
}

// lastsIn returns how long something is to last; a text that is no duration is out of bounds.
func lastsIn(f *page.Form) time.Duration {
	if d, ok := number.Duration(f.Get("lasts")); ok && d != 0 {
		return d
	}
	return -1
}

// addTokenPage asks what a new token is for.
type addTokenPage struct{ scopeChoices }

func (s callers) showAddToken(v *page.Viewer) error {
	return v.Render("console-add-token", addTokenPage{offer(v, v.User.Role, nil)})
}

// madeTokenPage shows a token that no other page ever shows.
type madeTokenPage struct {
	shownToken
	Text   string
	Server string
}

func (s callers) addToken(v *page.Viewer) error {
	ctx := v.R.Context()
	var t access.Token
	var text string
	if err := s.site.DB.Update(ctx, func(tx *db.Tx) (err error) {
		t, text, err = access.Issue(ctx, tx, v.User.AsActor(), v.User.OrgID, access.New{
			Name: v.Form.Get("name"), Scopes: scopesIn(v.Form), Lasts: lastsIn(v.Form),
		})
		return err
	}); err != nil {
		return err
	}
	v.NoForm()
	return v.Render("console-made-token", madeTokenPage{shownToken{t, may(v, t.Scopes)}, text, s.base()})
}

// tokenPage shows one token.
type tokenPage struct {
	shownToken
	Own       bool
	MayRevoke bool
}

func (s callers) showToken(v *page.Viewer) error {
	t, err := access.TokenByID(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID, v.ID())
	if err != nil {
		return err
	}
	own := t.UserID == v.User.ID
	p := tokenPage{shownToken{t, may(v, t.Scopes)}, own, own || rules(v.User.Role) && v.User.Role.Governs(t.OwnerRole())}
	v.FormIf(p.MayRevoke)
	return v.Render("console-token", p)
}

// token asks before a token is revoked.
func (s asks) token(v *page.Viewer) (bool, error) {
	t, err := access.TokenByID(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID, v.ID())
	if err != nil || v.Form.Asked() != "revoke" {
		return false, err
	}
	c := confirmation{
		Title: v.Text("console.confirm.token", "Name", t.Name), Button: v.Text("console.access.revoke"), Grave: true, Back: v.Path("admin/access/tokens", t.ID),
		Follows: []string{v.Text("console.access.revoke_what")},
	}
	return s.confirm(v, c, revokesToken(v))
}

func revokesToken(v *page.Viewer) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		return access.Revoke(ctx, tx, v.User.AsActor(), v.User.OrgID, v.ID())
	}
}

func (s callers) changeToken(v *page.Viewer) error {
	if v.Form.Asked() == "revoke" {
		return v.Do(revokesToken(v), v.Path("admin/access")+"?revoked")
	}
	return s.showToken(v)
}
