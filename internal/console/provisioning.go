package console

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/federation"
	"parvis/internal/page"
	"parvis/internal/provisioning"
)

var (
	sourceFields         = page.Fields{"waiting", "token"}
	sourceSettingsFields = page.Fields{"name", "provider", "connection_id", page.Tick("invites")}
)

// sources has the pages about customers' directories.
type sources struct{ *Server }

func (s sources) mount() {
	site, ask := s.site, asks(s)
	site.Console(reads, "GET /o/{org}/admin/provisioning", s.showSources)
	site.ConsoleForm(rules, rules, "/o/{org}/admin/provisioning/add", sourceSettingsFields, s.showAddSource, s.addSource)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/provisioning/{id}", sourceFields, s.showSource, s.changeSource, ask.source)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/provisioning/{id}/settings", sourceSettingsFields, s.showSource, s.saveSource)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/provisioning/{id}/token", nil, s.showSource, s.issueSourceToken)
	site.Console(reads, "GET /o/{org}/admin/provisioning/{id}/calls", s.showCalls)
	site.ReadingForm(rules, "/o/{org}/admin/provisioning/{id}/check", sentFields, s.showCheck, s.check)
}

var sourceChips = map[provisioning.State]chip{
	provisioning.Watching: {"console.provisioning.watching", "warn"},
	provisioning.On:       {"console.provisioning.on", "ok"},
	provisioning.Stopped:  {"console.provisioning.stopped", "bad"},
}

// stateMeans says what each state means.
var stateMeans = map[provisioning.State]string{
	provisioning.Watching: "console.provisioning.watching_what",
	provisioning.On:       "console.provisioning.on_what",
	provisioning.Stopped:  "console.provisioning.stopped_what",
}

// shownSource is a source with its state, and how much waits.
type shownSource struct {
	provisioning.Source
	Chip    chip
	Waiting int
}

// sourcesPage lists the organization's directories.
type sourcesPage struct {
	Sources   []shownSource
	MayChange bool
	Deleted   bool
}

func (s sources) showSources(v *page.Viewer) error {
	ctx, actor, org := v.R.Context(), v.User.AsActor(), v.User.OrgID
	all, err := provisioning.Sources(ctx, s.site.DB, actor, org)
	if err != nil {
		return err
	}
	waiting, err := provisioning.CountWaiting(ctx, s.site.DB, actor, org)
	if err != nil {
		return err
	}
	p := sourcesPage{MayChange: rules(v.User.Role), Deleted: v.Just("deleted")}
	for _, source := range all {
		p.Sources = append(p.Sources, shownSource{source, sourceChips[source.State], waiting[source.ID]})
	}
	return v.Render("console-sources", p)
}

// addSourcePage asks what is chosen of a source. The page of one source shows the same fields.
type addSourcePage struct {
	Providers   []provisioning.Provider
	Connections []federation.Connection
	Settings    provisioning.Settings
}

// Connection returns the connection that was chosen; one without a name if it was removed.
func (p addSourcePage) Connection() (chosen federation.Connection) {
	for _, c := range p.Connections {
		if c.ID == p.Settings.ConnectionID {
			chosen = c
		}
	}
	return chosen
}

// Removed lists those of the connection that is chosen and the one that a form was sent with which are
// not there any more: a choice that its list does not have would become any.
func (p addSourcePage) Removed(sent string) (removed []string) {
	for _, id := range slices.Compact([]string{p.Settings.ConnectionID, sent}) {
		if id != "" && !slices.ContainsFunc(p.Connections, func(c federation.Connection) bool { return c.ID == id }) {
			removed = append(removed, id)
		}
	}
	return removed
}

func (s sources) showAddSource(v *page.Viewer) error {
	p, err := s.chosenOf(v, provisioning.Settings{Provider: provisioning.Providers[0]})
	if err != nil {
		return err
	}
	return v.Render("console-add-source", p)
}

// chosenOf returns what a form offers, with the box as it was sent.
func (s sources) chosenOf(v *page.Viewer, now provisioning.Settings) (addSourcePage, error) {
	if v.Form.Has("name") {
		now.Invites = v.Form.Ticked("invites")
	}
	all, err := federation.ConnectionsOf(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID)
	return addSourcePage{provisioning.Providers, all, now}, err
}

func sourceSettingsIn(f *page.Form) provisioning.Settings {
	return provisioning.Settings{
		Name: f.Get("name"), Provider: provisioning.Provider(f.Get("provider")), ConnectionID: f.Get("connection_id"), Invites: f.Ticked("invites"),
	}
}

func (s sources) addSource(v *page.Viewer) error {
	ctx := v.R.Context()
	var source provisioning.Source
	if err := s.site.DB.Update(ctx, func(tx *db.Tx) (err error) {
		source, err = s.Sources.Create(ctx, tx, v.User.AsActor(), v.User.OrgID, sourceSettingsIn(v.Form), true)
		return err
	}); err != nil {
		return err
	}
	return v.Redirect(v.Path("admin/provisioning", source.ID) + "?added")
}

// shownCall is a call in words.
type shownCall struct {
	provisioning.Call
	Chip  chip
	Did   []string
	Notes []string
}

var callChips = map[provisioning.Outcome]chip{
	provisioning.WasRead: {"console.provisioning.call.read", ""},
	provisioning.Done:    {"console.provisioning.call.done", "ok"},
	provisioning.Watched: {"console.provisioning.call.watched", "warn"},
	provisioning.Held:    {"console.provisioning.call.held", "warn"},
	provisioning.Refused: {"console.provisioning.call.refused", "bad"},
	provisioning.Failed:  {"console.provisioning.call.failed", "bad"},
}

// waits is what waits, with its sentences.
type waits struct {
	provisioning.Waiting
	What, Agree string // catalogue keys
}

// sourcePage shows one source: what it may do, how it is connected, what waits and what it did.
type sourcePage struct {
	shownSource
	addSourcePage
	At        string // its own path, whichever of its forms was sent
	Means     string // catalogue key of what its state means
	Address   string
	Steps     []string // catalogue keys of the provider's guide
	Tokens    []provisioning.Token
	Waits     []waits
	Adoptable bool // members wait to be adopted
	Calls     []shownCall
	MayChange bool
	MayMake   bool // another token
	Did       string
}

const (
	// mostWaits is how much of what waits is shown; it moves up as it is decided.
	mostWaits = 50
	// fewCalls are shown on the page of a source, and mostCalls on a page of calls.
	fewCalls, mostCalls = 10, 50
)

// guideSteps is how many steps the guide of each provider has.
var guideSteps = map[provisioning.Provider]int{"entra": 5, "okta": 4, "onelogin": 4, "jumpcloud": 4, "google": 3, "ping": 4, "other": 3}

func (s sources) showSource(v *page.Viewer) error {
	ctx, actor := v.R.Context(), v.User.AsActor()
	source, err := provisioning.SourceByID(ctx, s.site.DB, actor, v.User.OrgID, v.ID())
	if err != nil {
		return err
	}
	chosen, err := s.chosenOf(v, source.Settings())
	if err != nil {
		return err
	}
	p := sourcePage{
		shownSource:   shownSource{source, sourceChips[source.State], 0},
		addSourcePage: chosen,
		At:            v.Path("admin/provisioning", source.ID),
		Means:         stateMeans[source.State],
		Address:       s.base() + "/scim/v2/" + source.ID,
		MayChange:     rules(v.User.Role),
	}
	for i := range guideSteps[source.Provider] {
		p.Steps = append(p.Steps, fmt.Sprint("console.provisioning.guide.", source.Provider, ".", i+1))
	}
	if p.Tokens, err = provisioning.Tokens(ctx, s.site.DB, actor, v.User.OrgID, source.ID); err != nil {
		return err
	}
	p.MayMake = p.MayChange && len(p.Tokens) < 2
	all, err := provisioning.WaitingFor(ctx, s.site.DB, actor, source, mostWaits)
	if err != nil {
		return err
	}
	for _, w := range all {
		p.Waits = append(p.Waits, waits{w, "console.provisioning.waits." + string(w.Kind), "console.provisioning.agree." + string(w.Kind)})
		p.Adoptable = p.Adoptable || w.Kind == provisioning.AdoptPerson
	}
	if p.Calls, err = s.calls(v, source, provisioning.Call{}, fewCalls); err != nil {
		return err
	}
	for done, key := range map[string]string{
		"added": "console.provisioning.added", "saved": "console.provisioning.saved", "on": "console.provisioning.turned_on", "stop": "console.provisioning.turned_off",
		"watch": "console.provisioning.watches", "agree": "console.provisioning.agreed", "dismiss": "console.provisioning.dismissed",
		"adopt": "console.provisioning.adopted", "revoke": "console.provisioning.revoked",
	} {
		if v.Just(done) {
			p.Did = key
		}
	}
	v.FormIf(p.MayChange)
	return v.Render("console-source", p)
}

// calls reads calls and puts them into words.
func (s sources) calls(v *page.Viewer, source provisioning.Source, before provisioning.Call, most int) ([]shownCall, error) {
	all, err := provisioning.Calls(v.R.Context(), s.site.DB, v.User.AsActor(), source, before, most)
	if err != nil {
		return nil, err
	}
	shown := make([]shownCall, len(all))
	for i, c := range all {
		shown[i] = shownCall{c, callChips[c.Outcome], sentences(v, c.Did), sentences(v, c.Notes)}
	}
	return shown, nil
}

func sentences(v *page.Viewer, reasons []fault.Reason) []string {
	all := make([]string, len(reasons))
	for i, r := range reasons {
		all[i] = v.Text(r.Key, r.Pairs()...)
	}
	return all
}

// source asks before something is done to a source, or by what it asked for.
func (s asks) source(v *page.Viewer) (bool, error) {
	source, err := provisioning.SourceByID(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID, v.ID())
	if err != nil {
		return false, err
	}
	c := confirmation{Back: v.Path("admin/provisioning", source.ID), Title: v.Text("console.provisioning.confirm."+v.Form.Asked(), "Name", source.Name)}
	switch v.Form.Asked() {
	case "on":
		c.Button, c.Follows = v.Text("console.provisioning.turn_on"), []string{v.Text("console.provisioning.turn_on_what")}
	case "stop":
		c.Button, c.Follows = v.Text("console.provisioning.stop"), []string{v.Text("console.provisioning.stop_what")}
	case "watch":
		c.Button, c.Light = v.Text("console.provisioning.watch"), true
	case "delete":
		c.Button, c.Grave, c.Follows = v.Text("console.provisioning.delete"), true, []string{v.Text("console.provisioning.delete_what")}
	case "revoke":
		c.Button, c.Grave, c.Follows = v.Text("console.provisioning.revoke"), true, []string{v.Text("console.provisioning.revoke_what")}
	case "adopt":
		c.Button, c.Follows = v.Text("console.provisioning.adopt"), []string{v.Text("console.provisioning.adopt_what")}
	case "agree", "dismiss":
		return s.decision(v, source, c)
	default:
		return false, nil
	}
	return s.confirm(v, c, sources(s).deed(v))
}

// decision asks before what waits is decided.
func (s asks) decision(v *page.Viewer, source provisioning.Source, c confirmation) (bool, error) {
	all, err := provisioning.WaitingFor(v.R.Context(), s.site.DB, v.User.AsActor(), source, mostWaits)
	if err != nil {
		return false, err
	}
	for _, w := range all {
		if w.ID != v.Form.Get("waiting") {
			continue
		}
		c.Title = v.Text("console.provisioning.waits."+string(w.Kind), "Name", w.Name, "Email", w.Details.Email)
		c.Button, c.Light = v.Text("console.provisioning.dismiss"), true
		if v.Form.Asked() == "agree" {
			c.Button, c.Light = v.Text("console.provisioning.agree."+string(w.Kind)), false
			c.Grave = w.Kind == provisioning.DeletePerson || w.Kind == provisioning.DeleteGroup
			c.Follows = []string{v.Text("console.provisioning.follows." + string(w.Kind))}
		}
		return s.confirm(v, c, sources(s).deed(v))
	}
	return false, provisioning.ErrSettled
}

// deed is what the form of a source does.
func (s sources) deed(v *page.Viewer) func(context.Context, *db.Tx) error {
	actor, org, id := v.User.AsActor(), v.User.OrgID, v.ID()
	return func(ctx context.Context, tx *db.Tx) error {
		switch v.Form.Asked() {
		case "on":
			return s.Sources.Turn(ctx, tx, actor, org, id, provisioning.On)
		case "stop":
			return s.Sources.Turn(ctx, tx, actor, org, id, provisioning.Stopped)
		case "watch":
			return s.Sources.Turn(ctx, tx, actor, org, id, provisioning.Watching)
		case "delete":
			return s.Sources.Delete(ctx, tx, actor, org, id)
		case "revoke":
			return s.Sources.Revoke(ctx, tx, actor, org, id, v.Form.Get("token"))
		case "adopt":
			_, err := s.Sources.AdoptMembers(ctx, tx, actor, org, id)
			return err
		case "agree", "dismiss":
			return s.Sources.Settle(ctx, tx, actor, provisioning.Source{OrgID: org, ID: id}, v.Form.Get("waiting"), v.Form.Asked() == "agree")
		}
		return nil
	}
}

func (s sources) changeSource(v *page.Viewer) error {
	done := v.Form.Asked()
	switch done {
	case "on", "stop", "watch", "revoke", "adopt", "agree", "dismiss":
		return v.Do(s.deed(v), v.Path("admin/provisioning", v.ID())+"?"+done)
	case "delete":
		return v.Do(s.deed(v), v.Path("admin/provisioning")+"?deleted")
	}
	return s.showSource(v)
}

func (s sources) saveSource(v *page.Viewer) error {
	return v.Do(func(ctx context.Context, tx *db.Tx) error {
		_, err := s.Sources.Change(ctx, tx, v.User.AsActor(), v.User.OrgID, v.ID(), sourceSettingsIn(v.Form))
		return err
	}, v.Path("admin/provisioning", v.ID())+"?saved")
}

// madeSourceTokenPage shows a token that no other page ever shows.
type madeSourceTokenPage struct {
	provisioning.Source
	Address string
	Text    string
	EndsAt  time.Time
}

func (s sources) issueSourceToken(v *page.Viewer) error {
	ctx, actor, org := v.R.Context(), v.User.AsActor(), v.User.OrgID
	source, err := provisioning.SourceByID(ctx, s.site.DB, actor, org, v.ID())
	if err != nil {
		return err
	}
	p := madeSourceTokenPage{Source: source, Address: s.base() + "/scim/v2/" + source.ID}
	if err := s.site.DB.Update(ctx, func(tx *db.Tx) error {
		t, text, err := s.Sources.Issue(ctx, tx, actor, org, source.ID)
		p.Text, p.EndsAt = text, t.EndsAt
		return err
	}); err != nil {
		return err
	}
	v.NoForm()
	return v.Render("console-made-source-token", p)
}
