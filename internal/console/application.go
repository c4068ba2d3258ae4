package console

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/number"
	"parvis/internal/op"
	"parvis/internal/page"
	"parvis/internal/picture"
)

var (
	applicationFields       = page.Fields{"name", "tag[]", "title[]", "description[]", "address", "initiate_uri", page.Tick("confirmed")}
	placeFields             = page.Fields{"audience", "group[]", "standing"}
	applicationSignInFields = page.Fields{
		"redirect_uris", "post_logout_uris", "back_channel", "front_channel", "scope[]", "scopes", page.Tick("asks"), "auth", "code_protection", "keys", "keys_url",
	}
	tokensFields = page.Fields{
		"access_for", "id_token_for", "refresh_for", page.Tick("refreshes"), "algorithm", page.Tick("opaque"), page.Tick("in_id_token"), page.Tick("signs_info"), page.Tick("pairwise"),
		page.Tick("devices"), page.Tick("own_behalf"), page.Tick("bound_only"), page.Tick("pushed_only"), "audience_claim",
	}
	claimsFields  = page.Fields{"claim[]", "source[]", "value[]", "role_group[]", "role[]"}
	secretsFields = page.Fields{"secret", page.Tick("sure")}
)

var (
	errApplicationNotConfirmed = fault.Field("confirmed", "console.application.remove_not_confirmed")
	errSecretNotConfirmed      = fault.Field("sure", "console.application.secret_not_confirmed")
)

// applicationPage shows one application as the organization has it: its own in full, the
// installation's with what the organization decides about it.
type applicationPage struct {
	application.Placed
	Chips     []chip
	Groups    []directory.Group
	Secrets   []application.KeptSecret
	Asked     op.Asked
	Channel   op.Channel // how the application answers when it is told that a session ended here
	MayChange bool       // what was registered
	MayPlace  bool
	Done      string // catalogue key of what was done just now
	Issuer    string
	Discovery string

	frame *page.Form
}

func (s *Server) showApplication(v *page.Viewer) error {
	ctx, now := v.R.Context(), s.site.DB.Now()
	p := applicationPage{MayPlace: rules(v.User.Role), Issuer: s.base(), Discovery: s.provider.Configuration(), frame: v.Form}
	if err := s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		if p.Placed, err = application.ByID(ctx, tx, v.User.AsActor(), v.User.OrgID, applicationIn(v)); err != nil {
			return err
		}
		if p.Groups, err = directory.Groups(ctx, tx, v.User.AsActor(), v.User.OrgID); err != nil {
			return err
		}
		if p.Secrets, err = application.Secrets(ctx, tx, v.User.AsActor(), p.Application); err != nil {
			return err
		}
		if p.Asked, err = op.LastAsked(ctx, tx, v.User.OrgID, p.ID, now); err != nil {
			return err
		}
		p.Channel, err = op.ChannelOf(ctx, tx, v.User.OrgID, p.ID)
		return err
	}); err != nil {
		return err
	}
	p.Chips, p.MayChange = applicationChips(p.Placed), p.MayPlace && p.Own()
	for deed, key := range map[string]string{"added": "console.application.added", "saved": "console.sso.saved"} {
		if v.Just(deed) {
			p.Done = key
		}
	}
	v.FormIf(p.MayPlace)
	return v.Render("console-application", p)
}

// applicationIn returns the id of the application that the path names.
func applicationIn(v *page.Viewer) application.ID { return application.ID(v.R.PathValue("id")) }

// Own reports whether the organization registered the application.
func (p applicationPage) Own() bool { return p.OrgID != "" }

// People reports whether people use the application.
func (p applicationPage) People() bool { return p.Kind != application.Machine }

// Answers reports whether the application is told who somebody is, and is not only a link.
func (p applicationPage) Answers() bool { return p.Kind != application.Link }

// Unfold reports whether a folded part of the page must be open: a fault is in one of its
// fields, or what was typed was brought back after fresh proof.
func (p applicationPage) Unfold(f page.Frame, fields ...string) bool {
	return f.Returned() || slices.ContainsFunc(fields, func(name string) bool { return f.Faulty(name) != "" })
}

// text is an application's name and description in one language.
type text struct {
	i18n.Language
	Title, Description string
}

// Texts returns the texts in each language: as they were sent or as they are stored.
func (p applicationPage) Texts(f page.Frame) (all []text) {
	titles, descriptions := p.Settings.Titles, p.Settings.Descriptions
	if p.frame.Has("tag[]") {
		titles, descriptions = textsIn(p.frame, "title[]"), textsIn(p.frame, "description[]")
	}
	for _, l := range f.Languages() {
		all = append(all, text{l, titles[l.Tag], descriptions[l.Tag]})
	}
	return all
}

// textsIn returns the texts of a form by language, where there are any.
func textsIn(f *page.Form, name string) map[i18n.Tag]string {
	all, values := map[i18n.Tag]string{}, f.All(name)
	for i, tag := range f.All("tag[]") {
		if i < len(values) && strings.TrimSpace(values[i]) != "" {
			all[i18n.Tag(tag)] = strings.TrimSpace(values[i])
		}
	}
	return all
}

// Ticked reports whether a box is ticked: as it was sent with its form, of which the field
// always is sent every time, or as things are.
func (p applicationPage) Ticked(name, always string, otherwise bool) bool {
	if p.frame.Has(always) {
		return p.frame.Has(name)
	}
	return otherwise
}

// InGroup reports whether a group is among those that the application is for.
func (p applicationPage) InGroup(id string) bool {
	if p.frame.Has("audience") {
		return slices.Contains(p.frame.All("group[]"), id)
	}
	return slices.Contains(p.Place.Groups, id)
}

// PlaceGroups returns the names of the groups that the application is for.
func (p applicationPage) PlaceGroups() (names []string) {
	for _, g := range p.Groups {
		if slices.Contains(p.Place.Groups, g.ID) {
			names = append(names, g.Name)
		}
	}
	return names
}

// Audiences lists the audiences to choose from.
func (applicationPage) Audiences() []application.Audience { return application.Audiences }
func (p applicationPage) Standings() []application.Standing {
	if !p.Code() {
		return []application.Standing{application.AsRegistered, application.Forbidden} // nobody signs in, so nobody is asked
	}
	return []application.Standing{application.AsRegistered, application.Approved, application.Forbidden}
}

// StandingKey returns the catalogue key of a standing.
func (p applicationPage) StandingKey(s application.Standing) string {
	switch {
	case s != application.AsRegistered:
		return "console.application.standing." + string(s)
	case !p.Code():
		return "console.application.standing.yes"
	case p.Settings.Asks:
		return "console.application.standing.asks"
	}
	return "console.application.standing.registered"
}

// PersonScopes lists what an application can be told about a person, apart from who it is.
func (applicationPage) PersonScopes() []string { return application.Scopes[1:] }

// Scoped reports whether the application may ask for a scope.
func (p applicationPage) Scoped(scope string) bool {
	if p.frame.Has("scopes") {
		return slices.Contains(p.frame.All("scope[]"), scope)
	}
	return slices.Contains(p.Settings.Scopes, scope)
}

// OtherScopes returns the application's own permissions.
func (p applicationPage) OtherScopes() string {
	own := slices.DeleteFunc(slices.Clone(p.Settings.Scopes), func(s string) bool { return slices.Contains(application.Scopes, s) })
	return strings.Join(own, " ")
}

// Joined writes a list as somebody types it, one entry a line.
func (applicationPage) Joined(lines []string) string { return strings.Join(lines, "\n") }

// KeysText returns the key set as it was registered.
func (p applicationPage) KeysText() string { return string(p.Settings.Keys) }

// option is one entry of a list. It shows the sentence of Key, or Text.
type option struct{ Value, Key, Text string }

// selectField is a list to choose from.
type selectField struct {
	page.Field
	Options []option
}

// Ways lists how the application can prove who it is.
func (p applicationPage) Ways(f page.Frame) selectField {
	field := selectField{Field: f.Field("auth", "console.application.auth", "", "", string(p.Settings.Auth))}
	for _, m := range application.AuthMethods {
		if m != application.NoAuth || p.Settings.Auth == application.NoAuth {
			field.Options = append(field.Options, option{Value: string(m), Key: "console.application.auth." + string(m)})
		}
	}
	return field
}

// Protections lists what the application's requests can be made to include.
func (p applicationPage) Protections(f page.Frame) selectField {
	field := selectField{Field: f.Field("code_protection", "console.application.code_protection", "", "", string(p.Protection())).WithHint(f.T("console.application.code_protection_hint"))}
	for _, m := range application.Protections {
		field.Options = append(field.Options, option{Value: string(m), Key: "console.application.code_protection." + string(m)})
	}
	return field
}

// Protection returns the one in force.
func (p applicationPage) Protection() application.Protection {
	return cmp.Or(p.Settings.Protection, application.PKCE)
}

// Algorithms lists the algorithms to sign with.
func (p applicationPage) Algorithms(f page.Frame) selectField {
	field := selectField{Field: f.Field("algorithm", "console.application.algorithm", "", "", string(p.Settings.Algorithm)).WithHint(f.T("console.application.algorithm_hint"))}
	for _, a := range application.Algorithms {
		field.Options = append(field.Options, option{Value: string(a), Text: string(a)})
	}
	return field
}

// lasting is a lifetime that an application can have a value of its own for.
type lasting struct {
	name, label, hint string
	of                func(*application.Settings) *time.Duration
	usual             time.Duration
	offered           []time.Duration
}

const day = 24 * time.Hour

var lastings = []lasting{
	{"access_for", "console.application.access_for", "console.application.access_for_hint", func(s *application.Settings) *time.Duration { return &s.AccessFor }, application.AccessLasts,
		[]time.Duration{application.ShortestAccess, 2 * time.Minute, application.AccessLasts, application.LongestAccess}},
	{"id_token_for", "console.application.id_token_for", "console.application.id_token_for_hint", func(s *application.Settings) *time.Duration { return &s.IDTokenFor }, application.IDTokenLasts,
		[]time.Duration{application.ShortestIDToken, 5 * time.Minute, application.IDTokenLasts, 30 * time.Minute, application.LongestIDToken}},
	{"refresh_for", "console.application.refresh_for", "console.application.refresh_for_hint", func(s *application.Settings) *time.Duration { return &s.RefreshFor }, application.RefreshLasts,
		[]time.Duration{application.ShortestRefresh, 8 * time.Hour, day, 7 * day, application.RefreshLasts, application.LongestRefresh}},
}

// fits reports whether an application of a kind has such a lifetime.
func (l lasting) fits(k application.Kind) bool {
	return l.name == "access_for" || k != application.Machine
}

// now returns the lifetime in force: the application's own, or the usual one.
func (l lasting) now(s application.Settings) time.Duration {
	if d := *l.of(&s); d != 0 {
		return d
	}
	return l.usual
}

// Lifetimes returns the lists to choose each lifetime from.
func (p applicationPage) Lifetimes(f page.Frame) (all []selectField) {
	for _, l := range lastings {
		if !l.fits(p.Kind) {
			continue
		}
		now := l.now(p.Settings)
		field := selectField{Field: f.Field(l.name, l.label, "", "", now.String()).WithHint(f.T(l.hint))}
		for _, d := range withOwn(l.offered, now) {
			field.Options = append(field.Options, option{Value: d.String(), Text: f.Duration(d)})
		}
		all = append(all, field)
	}
	return all
}

// flag is a setting that is on or off.
type flag struct {
	name string
	of   func(*application.Settings) *bool
	fits func(application.Application) bool
}

var flags = []flag{
	{"refreshes", func(s *application.Settings) *bool { return &s.Refreshes }, application.Application.Code},
	{"in_id_token", func(s *application.Settings) *bool { return &s.InIDToken }, application.Application.Code},
	{"pairwise", func(s *application.Settings) *bool { return &s.Pairwise }, application.Application.Code},
	{"signs_info", func(s *application.Settings) *bool { return &s.SignsInfo }, application.Application.Code},
	{"devices", func(s *application.Settings) *bool { return &s.Devices }, application.Application.Code},
	{"own_behalf", func(s *application.Settings) *bool { return &s.OwnBehalf }, func(c application.Application) bool { return c.Kind == application.Web }},
	{"opaque", func(s *application.Settings) *bool { return &s.Opaque }, always},
	{"bound_only", func(s *application.Settings) *bool { return &s.BoundOnly }, always},
	{"pushed_only", func(s *application.Settings) *bool { return &s.PushedOnly }, application.Application.Code},
}

func always(application.Application) bool { return true }

// shownFlag is a flag as a box to tick.
type shownFlag struct {
	Name   string
	Ticked bool
	Error  string
}

// Flags returns the flags of this kind of application.
func (p applicationPage) Flags(f page.Frame) (all []shownFlag) {
	for _, b := range flags {
		if b.fits(p.Application) {
			all = append(all, shownFlag{b.name, p.Ticked(b.name, "access_for", *b.of(&p.Settings)), f.Faulty(b.name)})
		}
	}
	return all
}

// spare is how many empty lines a list ends with, to fill in.
const spare = 2

// Claims returns the lines of what the application is told besides its scopes: as they were
// sent or as they are stored.
func (p applicationPage) Claims() []application.Claim {
	all := p.Settings.Claims
	if p.frame.Has("claim[]") {
		all = claimsIn(p.frame)
	}
	return append(slices.Clone(all), make([]application.Claim, spare)...)
}

// Sources lists where a claim can come from.
func (applicationPage) Sources() []string { return application.Sources }

// Roles returns the lines that say who has which role in the application.
func (p applicationPage) Roles() []application.RoleOf {
	all := p.Settings.Roles
	if p.frame.Has("role[]") {
		all = rolesIn(p.frame)
	}
	return append(slices.Clone(all), make([]application.RoleOf, spare)...)
}

// GroupName returns the name of a group, or its id if the group no longer exists.
func (p applicationPage) GroupName(id string) string {
	for _, g := range p.Groups {
		if g.ID == id {
			return g.Name
		}
	}
	return id
}

// claimsIn returns the lines that were filled in. A line without a name was not: its source is
// only what the list shows first.
func claimsIn(f *page.Form) (all []application.Claim) {
	sources, values := f.All("source[]"), f.All("value[]")
	for i, name := range f.All("claim[]") {
		c := application.Claim{Name: strings.TrimSpace(name)}
		if i < len(sources) {
			c.Source = sources[i]
		}
		if i < len(values) {
			c.Value = strings.TrimSpace(values[i])
		}
		if c.Name != "" || c.Value != "" {
			all = append(all, c)
		}
	}
	return all
}

func rolesIn(f *page.Form) (all []application.RoleOf) {
	groups := f.All("role_group[]")
	for i, role := range f.All("role[]") {
		r := application.RoleOf{Role: strings.TrimSpace(role)}
		if i < len(groups) {
			r.Group = groups[i]
		}
		if r != (application.RoleOf{}) {
			all = append(all, r)
		}
	}
	return all
}

// back leads to the application's page.
func back(v *page.Viewer, done string) error {
	return v.Redirect(v.Path("admin/applications", string(applicationIn(v))) + "?" + done)
}

// withApplication does something to the application in the path, as it is in that transaction.
func (s *Server) withApplication(v *page.Viewer, do func(*db.Tx, application.Application) error) error {
	ctx := v.R.Context()
	return s.site.DB.Update(ctx, func(tx *db.Tx) error {
		a, err := application.ByID(ctx, tx, v.User.AsActor(), v.User.OrgID, applicationIn(v))
		if err != nil {
			return err
		}
		return do(tx, a.Application)
	})
}

// resettle changes what was registered of the application, and keeps what somebody else changed
// meanwhile on another part of the page.
func (s *Server) resettle(v *page.Viewer, change func(application.Application, *application.Settings)) error {
	ctx := v.R.Context()
	if err := s.withApplication(v, func(tx *db.Tx, c application.Application) error {
		settings := c.Settings
		change(c, &settings)
		_, err := application.Change(ctx, tx, v.User.AsActor(), s.base(), c, settings)
		return err
	}); err != nil {
		return err
	}
	return back(v, "saved")
}

func (s *Server) changeApplication(v *page.Viewer) error {
	ctx, f := v.R.Context(), v.Form
	if f.Do() == "remove" {
		if !f.Ticked("confirmed") {
			return errApplicationNotConfirmed
		}
		return v.Done(s.withApplication(v, func(tx *db.Tx, c application.Application) error {
			return application.Remove(ctx, tx, v.User.AsActor(), c)
		}), v.Path("admin/applications")+"?removed")
	}
	return s.resettle(v, func(c application.Application, settings *application.Settings) {
		settings.Name, settings.Address = f.Get("name"), strings.TrimSpace(f.Get("address"))
		if c.Kind == application.Machine {
			return
		}
		settings.Titles, settings.Descriptions = s.known(textsIn(f, "title[]")), s.known(textsIn(f, "description[]"))
		settings.InitiateURI = strings.TrimSpace(f.Get("initiate_uri"))
	})
}

// known returns the texts whose language is one of ours.
func (s *Server) known(all map[i18n.Tag]string) map[i18n.Tag]string {
	maps.DeleteFunc(all, func(tag i18n.Tag, _ string) bool {
		_, known := s.site.Catalogue.Known(string(tag))
		return !known
	})
	return all
}

func (s *Server) saveApplicationLogo(v *page.Viewer) error {
	var logo picture.PNG
	if v.Form.Do() != "remove" {
		var err error
		if logo, err = v.Picture(picture.Logo); err != nil {
			return err
		}
	}
	ctx := v.R.Context()
	if err := s.withApplication(v, func(tx *db.Tx, c application.Application) error {
		return application.SetLogo(ctx, tx, v.User.AsActor(), c, logo)
	}); err != nil {
		return err
	}
	return back(v, "saved")
}

// placeApplication says who sees an application of the installation and whether anybody may
// open it: this is all that an organization decides about it.
func (s *Server) placeApplication(v *page.Viewer) error {
	place := application.Placement{Standing: application.Standing(v.Form.Get("standing")), Audience: application.Audience(v.Form.Get("audience"))}
	if place.Audience == application.SomeGroups {
		place.Groups = v.Form.All("group[]")
	}
	ctx := v.R.Context()
	if err := s.withApplication(v, func(tx *db.Tx, c application.Application) error {
		return application.Place(ctx, tx, v.User.AsActor(), v.User.OrgID, c, place)
	}); err != nil {
		return err
	}
	return back(v, "saved")
}

func (s *Server) saveApplicationSignIn(v *page.Viewer) error {
	ctx, f := v.R.Context(), v.Form
	a, err := application.ByID(ctx, s.site.DB, v.User.AsActor(), v.User.OrgID, applicationIn(v))
	if err != nil {
		return err
	}
	if err := s.provider.Reach.Check(ctx, a.Application, application.Settings{
		BackChannel: strings.TrimSpace(f.Get("back_channel")), KeysURL: strings.TrimSpace(f.Get("keys_url")),
	}); err != nil {
		return err
	}
	return s.resettle(v, func(c application.Application, settings *application.Settings) {
		if f.Has("auth") {
			settings.Auth = application.AuthMethod(f.Get("auth"))
			settings.Keys, settings.KeysURL = json.RawMessage(strings.TrimSpace(f.Get("keys"))), strings.TrimSpace(f.Get("keys_url"))
		}
		settings.Scopes = slices.Concat(f.All("scope[]"), strings.Fields(f.Get("scopes")))
		if !c.Code() {
			return
		}
		settings.Scopes = append([]string{application.OpenID}, settings.Scopes...)
		settings.RedirectURIs, settings.PostLogoutURIs = linesOf(f.Get("redirect_uris")), linesOf(f.Get("post_logout_uris"))
		settings.BackChannel, settings.FrontChannel = strings.TrimSpace(f.Get("back_channel")), strings.TrimSpace(f.Get("front_channel"))
		settings.Asks = f.Ticked("asks")
		if f.Has("code_protection") {
			settings.Protection = application.Protection(f.Get("code_protection"))
		}
	})
}

func (s *Server) saveTokens(v *page.Viewer) error {
	f := v.Form
	return s.resettle(v, func(c application.Application, settings *application.Settings) {
		for _, l := range lastings {
			if !l.fits(c.Kind) {
				continue
			}
			d, ok := number.Duration(f.Get(l.name))
			if !ok || d == 0 {
				d = -1 // not a lifetime that can be chosen
			}
			*l.of(settings) = d
		}
		for _, b := range flags {
			if b.fits(c) {
				*b.of(settings) = f.Ticked(b.name)
			}
		}
		settings.Algorithm, settings.Audience = application.Algorithm(f.Get("algorithm")), strings.TrimSpace(f.Get("audience_claim"))
	})
}

func (s *Server) saveClaims(v *page.Viewer) error {
	return s.resettle(v, func(_ application.Application, settings *application.Settings) {
		settings.Claims, settings.Roles = claimsIn(v.Form), rolesIn(v.Form)
	})
}

// changeSecrets makes a secret, and answers with it, or removes one.
func (s *Server) changeSecrets(v *page.Viewer) error {
	ctx, actor := v.R.Context(), v.User.AsActor()
	switch v.Form.Do() {
	case "remove":
		if !v.Form.Ticked("sure") {
			return errSecretNotConfirmed
		}
		if err := s.withApplication(v, func(tx *db.Tx, c application.Application) error {
			return application.RemoveSecret(ctx, tx, actor, c, v.Form.Get("secret"))
		}); err != nil {
			return err
		}
		return back(v, "saved")
	case "add":
		var client application.Application
		var secret string
		if err := s.withApplication(v, func(tx *db.Tx, c application.Application) (err error) {
			client = c
			secret, err = application.AddSecret(ctx, tx, actor, c)
			return err
		}); err != nil {
			return err
		}
		return s.handOver(v, client, secret, false)
	}
	return s.showApplication(v)
}

// testPage shows what an application would be told about the viewer.
type testPage struct {
	application.Placed
	op.Preview
	Start bool // the application has a tile to start from
}

func (s *Server) testApplication(v *page.Viewer) error {
	ctx := v.R.Context()
	a, err := application.ByID(ctx, s.site.DB, v.User.AsActor(), v.User.OrgID, applicationIn(v))
	if err != nil {
		return err
	}
	preview, err := s.provider.Preview(ctx, s.site.DB, v.Visit, a)
	if err != nil {
		return err
	}
	return v.Render("console-application-test", testPage{a, preview, a.Connected() && !preview.Forbidden && !preview.NotYours})
}
