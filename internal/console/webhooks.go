package console

import (
	"cmp"
	"context"
	"net/url"
	"slices"
	"strings"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/page"
	"parvis/internal/webhook"
)

var (
	newHookFields    = page.Fields{"kind", "name", "address", "form", "scheme", page.Tick("all"), "area[]", "events", page.Tick("values"), "header[]", "header_value[]"}
	hookFields       = page.Fields{"name", "address", "form", page.Tick("all"), "area[]", "events", page.Tick("values"), "event", "since"}
	hookSecretFields = page.Fields{"scheme"}
	hookHeaderFields = page.Fields{"header[]", "header_value[]"}
)

// hooks has the pages about events that leave the house.
type hooks struct{ *Server }

func (s hooks) mount() {
	site := s.site
	site.Console(reads, "GET /o/{org}/admin/webhooks", s.list)
	site.ConsoleForm(rules, rules, "/o/{org}/admin/webhooks/add", newHookFields, s.showAdd, s.add)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/webhooks/{id}", hookFields, s.show, s.change, s.ask)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/webhooks/{id}/secret", hookSecretFields, s.show, s.rotate, s.askRotate)
	site.ConsoleForm(reads, rules, "/o/{org}/admin/webhooks/{id}/headers", hookHeaderFields, s.show, s.saveHeaders)
}

// shownHook is a webhook as pages show it.
type shownHook struct {
	webhook.Webhook
	Chip chip
	Host string
}

var hookChips = map[webhook.State]chip{
	webhook.IsOn: {"console.webhook.on", "ok"}, webhook.IsParked: {"console.webhook.parked", "warn"}, webhook.IsOff: {"console.webhook.off", ""},
}

func shownAs(w webhook.Webhook) shownHook {
	h := shownHook{w, hookChips[w.State()], ""}
	if u, err := url.Parse(w.Address); err == nil {
		h.Host = u.Host
	}
	if w.On && !w.Parked() && w.Failures > 0 {
		h.Chip = chip{"console.webhook.failing", "warn"}
	}
	return h
}

// hooksPage lists the webhooks of an organization.
type hooksPage struct {
	Rows   []shownHook
	MayAdd bool
	Done   string
}

func (s hooks) list(v *page.Viewer) error {
	all, err := webhook.Of(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID)
	if err != nil {
		return err
	}
	p := hooksPage{MayAdd: rules(v.User.Role)}
	for _, w := range all {
		p.Rows = append(p.Rows, shownAs(w))
	}
	if v.Just("removed") {
		p.Done = "console.webhook.removed"
	}
	return v.Render("console-webhooks", p)
}

// eventChoices are what a form offers of events: areas to tick, and lines for single ones.
type eventChoices struct {
	All   bool
	Areas []eventArea
	Lines string // what is no whole area
	Open  bool   // the list of areas
}

// eventArea is an area of actions, with what the log calls its kind of things.
type eventArea struct {
	Name, Key string
	Chosen    bool
}

// offerEvents returns what a form offers, with what was chosen or typed.
func offerEvents(v *page.Viewer, chosen []string) eventChoices {
	if v.Form.Has("address") {
		chosen = eventsIn(v.Form)
	}
	c := eventChoices{All: slices.Contains(chosen, webhook.All)}
	areas := webhook.Areas()
	for _, area := range areas {
		c.Areas = append(c.Areas, eventArea{area, "console.webhook.area." + area, slices.Contains(chosen, area+".*")})
	}
	c.Lines = strings.Join(slices.DeleteFunc(slices.Clone(chosen), func(p string) bool {
		area, whole := strings.CutSuffix(p, ".*")
		return p == webhook.All || whole && slices.Contains(areas, area)
	}), "\n")
	c.Open = !c.All
	return c
}

// eventsIn returns the patterns that a form chooses.
func eventsIn(f *page.Form) []string {
	if f.Ticked("all") {
		return []string{webhook.All}
	}
	all := strings.Fields(f.Get("events"))
	for _, area := range f.All("area[]") {
		all = append(all, area+".*")
	}
	return all
}

// headersIn returns the headers that a form sends.
func headersIn(f *page.Form) []webhook.Header {
	names, values := f.All("header[]"), f.All("header_value[]")
	all := []webhook.Header{}
	for i, name := range names {
		h := webhook.Header{Name: name}
		if i < len(values) {
			h.Value = values[i]
		}
		all = append(all, h)
	}
	return all
}

// addHookPage asks what a new webhook is for.
type addHookPage struct {
	eventChoices
	Kind    webhook.Kind // empty: which is asked first
	Kinds   []webhook.Kind
	Forms   []webhook.Form
	Schemes []webhook.Scheme
	Headers []string
	Values  bool
}

var (
	hookKinds   = []webhook.Kind{webhook.Events, webhook.Log}
	hookForms   = []webhook.Form{webhook.Own, webhook.OCSF}
	hookSchemes = []webhook.Scheme{webhook.Symmetric, webhook.Asymmetric}
)

func (s hooks) showAdd(v *page.Viewer) error {
	kind := webhook.Kind(cmp.Or(v.Form.Get("kind"), v.R.URL.Query().Get("kind")))
	if !slices.Contains(hookKinds, kind) {
		kind = ""
	}
	p := addHookPage{
		Kind: kind, Kinds: hookKinds, Forms: hookForms, Schemes: hookSchemes, eventChoices: offerEvents(v, []string{webhook.All}),
		Headers: headerNames(v, nil), Values: v.Form.Ticked("values"),
	}
	v.FormIf(kind != "")
	return v.Render("console-add-webhook", p)
}

// headerNames returns the names of the headers that a form shows: as typed, else as kept.
func headerNames(v *page.Viewer, kept []string) []string {
	names := slices.Clone(kept)
	if v.Form.Has("header[]") {
		names = slices.Clone(v.Form.All("header[]"))
	}
	for len(names) < webhook.MostHeaders {
		names = append(names, "")
	}
	return names[:webhook.MostHeaders]
}

// madeHookPage shows what a receiver verifies with, which no other page ever shows.
type madeHookPage struct {
	shownHook
	Secret string
	Public bool // it is a key that may be known
	Tested *webhook.Attempt
	Added  bool
}

func (s hooks) add(v *page.Viewer) error {
	ctx, actor, org := v.R.Context(), v.User.AsActor(), v.User.OrgID
	n := webhook.New{Settings: settingsIn(v), Headers: headersIn(v.Form), Scheme: webhook.Scheme(v.Form.Get("scheme"))}
	if err := s.Webhooks.Check(ctx, actor, org, n); err != nil {
		return err
	}
	var w webhook.Webhook
	var text string
	if err := s.site.DB.Update(ctx, func(tx *db.Tx) (err error) {
		w, text, err = s.Webhooks.Create(ctx, tx, actor, org, n)
		return err
	}); err != nil {
		return err
	}
	tested, err := s.Webhooks.Try(ctx, actor, org, w.ID)
	if err != nil {
		return err
	}
	v.NoForm()
	return v.Render("console-made-webhook", madeHookPage{shownAs(w), text, strings.HasPrefix(text, webhook.PublicPrefix), &tested, true})
}

func settingsIn(v *page.Viewer) webhook.Settings {
	f := v.Form
	return webhook.Settings{
		Name: f.Get("name"), Kind: webhook.Kind(f.Get("kind")), Form: webhook.Form(f.Get("form")), Address: f.Get("address"), Events: eventsIn(f), Values: f.Ticked("values"),
	}
}

var errNoDeed = fault.New(fault.Invalid, "page.form_malformed")

// to does something to the webhook in the path, as it is in that transaction.
func (s hooks) to(v *page.Viewer, do func(context.Context, *db.Tx, webhook.Webhook) error) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		w, err := webhook.ByID(ctx, tx, v.User.AsActor(), v.User.OrgID, v.ID())
		if err != nil {
			return err
		}
		return do(ctx, tx, w)
	}
}

func (s hooks) removes(v *page.Viewer) func(context.Context, *db.Tx) error {
	return s.to(v, func(ctx context.Context, tx *db.Tx, w webhook.Webhook) error {
		return webhook.Remove(ctx, tx, v.User.AsActor(), w)
	})
}

func (s hooks) change(v *page.Viewer) error {
	ctx, actor, org, at := v.R.Context(), v.User.AsActor(), v.User.OrgID, v.Path("admin/webhooks", v.ID())
	switch v.Form.Asked() {
	case "save":
		return s.save(v)
	case "test":
		_, err := s.Webhooks.Try(ctx, actor, org, v.ID())
		return v.Done(err, at+"?called")
	case "send":
		_, err := s.Webhooks.SendAgain(ctx, actor, org, v.ID(), v.Form.Get("event"))
		return v.Done(err, at+"?called")
	case "replay":
		return v.Do(s.replays(v), at+"?replayed")
	case "on":
		return v.Do(s.to(v, func(ctx context.Context, tx *db.Tx, w webhook.Webhook) error {
			return webhook.TurnOn(ctx, tx, actor, w)
		}), at+"?turned-on")
	case "off":
		return v.Do(s.to(v, func(ctx context.Context, tx *db.Tx, w webhook.Webhook) error {
			return webhook.TurnOff(ctx, tx, actor, w)
		}), at+"?turned-off")
	case "remove":
		return v.Do(s.removes(v), v.Path("admin/webhooks")+"?removed")
	}
	if _, err := webhook.ByID(ctx, s.site.DB, actor, org, v.ID()); err != nil {
		return err
	}
	return errNoDeed
}

func (s hooks) save(v *page.Viewer) error {
	ctx, actor, org := v.R.Context(), v.User.AsActor(), v.User.OrgID
	was, err := webhook.ByID(ctx, s.site.DB, actor, org, v.ID())
	if err == nil && v.Form.Get("address") != was.Address {
		err = s.Webhooks.Check(ctx, actor, org, webhook.New{Settings: settingsIn(v)})
	}
	if err != nil {
		return err
	}
	return v.Do(s.to(v, func(ctx context.Context, tx *db.Tx, w webhook.Webhook) error {
		_, err := s.Webhooks.Change(ctx, tx, actor, w, settingsIn(v), nil)
		return err
	}), v.Path("admin/webhooks", v.ID())+"?saved")
}

// replays sends everything again since the time that the form names.
func (s hooks) replays(v *page.Viewer) func(context.Context, *db.Tx) error {
	return s.to(v, func(ctx context.Context, tx *db.Tx, w webhook.Webhook) error {
		i := slices.IndexFunc(replaySpans, func(s replaySpan) bool { return s.Name == v.Form.Get("since") })
		switch {
		case i < 0:
			return errNoDeed
		case replaySpans[i].Back == 0:
			return webhook.Replay(ctx, tx, v.User.AsActor(), w, -1)
		}
		return webhook.ReplaySince(ctx, tx, v.User.AsActor(), w, tx.Now().Add(-replaySpans[i].Back))
	})
}

// ask asks before a webhook is removed, or events are sent once more.
func (s hooks) ask(v *page.Viewer) (bool, error) {
	w, err := webhook.ByID(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID, v.ID())
	if err != nil {
		return false, err
	}
	a, c := asks(s), confirmation{Back: v.Path("admin/webhooks", w.ID)}
	switch v.Form.Asked() {
	case "remove":
		c.Title, c.Button, c.Grave = v.Text("console.confirm.webhook", "Name", w.Name), v.Text("console.webhook.remove"), true
		c.Follows = []string{v.Text("console.webhook.remove_what")}
		return a.confirm(v, c, s.removes(v))
	case "replay":
		c.Title, c.Button = v.Text("console.confirm.webhook_replay", "Name", w.Name), v.Text("console.webhook.replay")
		c.Follows = []string{v.Text("console.webhook.replay_what")}
		return a.confirm(v, c, s.replays(v))
	case "test":
		c.Light, c.Title, c.Button = true, v.Text("console.webhook.test"), v.Text("console.webhook.test")
		return a.confirm(v, c)
	case "send":
		c.Light, c.Title, c.Button = true, v.Text("console.webhook.send"), v.Text("console.webhook.send")
		return a.confirm(v, c)
	case "on":
		c.Light, c.Title, c.Button = true, v.Text("console.webhook.turn_on"), v.Text("console.webhook.turn_on")
		return a.confirm(v, c)
	case "off":
		c.Light, c.Title, c.Button = true, v.Text("console.webhook.turn_off"), v.Text("console.webhook.turn_off")
		return a.confirm(v, c)
	}
	return false, nil
}

func (s hooks) askRotate(v *page.Viewer) (bool, error) {
	w, err := webhook.ByID(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID, v.ID())
	if err != nil {
		return false, err
	}
	c := confirmation{
		Title: v.Text("console.confirm.webhook_secret", "Name", w.Name), Button: v.Text("console.webhook.rotate"), Back: v.Path("admin/webhooks", w.ID),
		Follows: []string{v.Text("console.webhook.rotate_what")},
	}
	return asks(s).confirm(v, c)
}

func (s hooks) rotate(v *page.Viewer) error {
	var made webhook.Webhook
	var text string
	if err := s.site.DB.Update(v.R.Context(), func(tx *db.Tx) error {
		return s.to(v, func(ctx context.Context, tx *db.Tx, w webhook.Webhook) (err error) {
			made = w
			text, err = s.Webhooks.Rotate(ctx, tx, v.User.AsActor(), w, webhook.Scheme(v.Form.Get("scheme")))
			return err
		})(v.R.Context(), tx)
	}); err != nil {
		return err
	}
	v.NoForm()
	return v.Render("console-made-webhook", madeHookPage{shownAs(made), text, strings.HasPrefix(text, webhook.PublicPrefix), nil, false})
}

func (s hooks) saveHeaders(v *page.Viewer) error {
	return v.Do(s.to(v, func(ctx context.Context, tx *db.Tx, w webhook.Webhook) error {
		_, err := s.Webhooks.Change(ctx, tx, v.User.AsActor(), w, w.Settings, headersIn(v.Form))
		return err
	}), v.Path("admin/webhooks", v.ID())+"?saved")
}

// Place returns the sequence up to which everything was sent, and InARow how many requests failed
// since one was taken.
func (h shownHook) Place() int  { return int(h.Cursor) }
func (h shownHook) InARow() int { return int(h.Failures) }

// Everything reports whether a webhook is sent every event.
func (h shownHook) Everything() bool { return slices.Contains(h.Webhook.Events, webhook.All) }

// Areas returns what a webhook is sent, as the form's boxes name it, and single actions.
func (h shownHook) Subscribed() (keys []string) {
	for _, p := range h.Webhook.Events {
		if area, whole := strings.CutSuffix(p, ".*"); whole {
			keys = append(keys, "console.webhook.area."+area)
		} else if _, known := audit.Actions[audit.Action(p)]; known {
			keys = append(keys, "audit.action."+p)
		}
	}
	return keys
}
