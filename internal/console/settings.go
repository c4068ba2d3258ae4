package console

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/page"
)

// setting is one setting of an application as a page shows it: as it is stored, or as it was
// sent with a form that is shown again.
type setting struct {
	page.Field
	Of      application.Setting
	Options []option          // to choose from
	Ticked  bool              // of a switch
	Texts   map[string]string // by language
	Entries [][]string        // with empty ones to fill in
}

// option is one entry of a list.
type option struct{ Value, Text string }

// settingFields lists the fields of a part's form.
func settingFields(part application.Part, more ...string) (all page.Fields) {
	for _, t := range application.Table {
		switch {
		case t.Part == part && t.Type == application.Switch:
			all = append(all, page.Tick(t.Field()))
		case t.Part == part:
			all = append(all, t.Fields()...)
		}
	}
	return append(all, more...)
}

// typed returns what a form says of a setting, and whether it says anything. A box that is
// not ticked is not sent: the other fields of its part say that the form had it.
func typed(f *page.Form, t application.Setting) (texts []string, sent bool) {
	fields := t.Fields()
	if t.Type == application.Switch {
		return []string{strconv.FormatBool(f.Ticked(fields[0]))}, slices.ContainsFunc(application.Table, func(other application.Setting) bool {
			return other.Part == t.Part && other.Type != application.Switch && f.Has(other.Field())
		})
	}
	for i := range f.All(fields[0]) {
		for _, column := range t.Columns {
			texts = append(texts, append(slices.Clone(f.All(column)), make([]string, i+1)...)[i])
		}
	}
	for _, name := range fields[len(t.Columns):] {
		texts = append(texts, f.All(name)...)
	}
	return texts, f.Has(fields[len(fields)-1])
}

// keep puts what a form says into settings, as far as an application of a kind has them, and
// reports whether it says anything.
func keep(f *page.Form, k application.Kind, into *application.Settings, of func(application.Setting) bool) (said bool) {
	for _, t := range application.Table {
		if texts, sent := typed(f, t); sent && of(t) && t.Fits(k) {
			t.Set(into, texts...)
			said = true
		}
	}
	return said
}

// changeSettings changes what a part's form says, and keeps what somebody else changed
// meanwhile on another part of the page.
func (s *Server) changeSettings(part application.Part) func(*page.Viewer) error {
	of := func(t application.Setting) bool { return t.Part == part }
	return func(v *page.Viewer) error {
		ctx, actor := v.R.Context(), v.User.AsActor()
		a, err := application.ByID(ctx, s.site.DB, actor, v.User.OrgID, applicationIn(v))
		if err != nil {
			return err
		}
		var to application.Settings
		if !keep(v.Form, a.Kind, &to, of) {
			return errNothingSent
		}
		if err := s.Provider.Reach.Check(ctx, a.Application, to); err != nil {
			return err
		}
		return saved(v, s.withApplication(v, func(tx *db.Tx, c application.Application) error {
			settings := c.Settings
			keep(v.Form, c.Kind, &settings, of)
			_, err := application.Change(ctx, tx, actor, s.base(), c, settings)
			return err
		}))
	}
}

// Part returns the settings of a part that the application has: those that few need, or the
// others.
func (p applicationPage) Part(f page.Frame, part application.Part, seldom bool) []setting {
	return p.settings(f, func(t application.Setting) bool { return t.Part == part && t.Seldom == seldom })
}

// Registered returns the settings that the application has and that read as they are stored.
func (p applicationPage) Registered(f page.Frame) []setting {
	return p.settings(f, func(t application.Setting) bool { return t.Columns == nil && t.Name != "name" })
}

// Unfold reports whether a folded part of the page must be open: a fault is in one of its
// fields, or what was typed was brought back after fresh proof.
func (applicationPage) Unfold(f page.Frame, folded []setting) bool {
	return f.Returned() || slices.ContainsFunc(folded, func(s setting) bool { return s.Error != "" })
}

func (p applicationPage) settings(f page.Frame, of func(application.Setting) bool) (all []setting) {
	now := p.Settings
	keep(p.frame, p.Kind, &now, func(t application.Setting) bool { return of(t) && t.Usual == nil }) // a list shows what is stored besides
	for _, t := range application.Table {
		if of(t) && t.Fits(p.Kind) {
			all = append(all, p.setting(f, t, now))
		}
	}
	return all
}

// spare is how many empty lines a list ends with, to fill in.
const spare = 2

func (p applicationPage) setting(f page.Frame, t application.Setting, now application.Settings) setting {
	texts, kind, key := t.Get(now), "text", "console.setting."+t.Name
	if t.Type == application.Address {
		kind = "url"
	}
	if p.Kind == application.Link && t.Name == "address" {
		key += "_link"
	}
	s := setting{Of: t, Ticked: t.Type == application.Switch && texts != nil, Texts: map[string]string{}, Options: options(f, t, t.Now(now))}
	value := strings.Join(texts, "\n")
	switch t.Type {
	case application.Words:
		for _, scope := range texts {
			s.Texts[scope] = scope
		}
		value = strings.Join(slices.DeleteFunc(slices.Clone(texts), func(s string) bool { return slices.Contains(application.Scopes, s) }), " ")
	case application.Choice, application.Time:
		value = fmt.Sprint(t.Now(now))
	case application.Texts:
		for one := range slices.Chunk(texts, 2) {
			s.Texts[one[0]] = one[1]
		}
	case application.Entries:
		empty := make([]string, spare*len(t.Columns))
		s.Entries = slices.Collect(slices.Chunk(append(texts, empty...), len(t.Columns)))
	case application.Text, application.Address, application.Addresses, application.Switch, application.Document:
	}
	s.Field = f.Optional(t.Field(), key, kind, "off", value)
	s.Required = slices.Contains(t.Needed, p.Kind)
	s.explain(f, key)
	if p.Kind == application.Native && t.Name == "redirect_uris" {
		s.Hint += " " + f.T("console.setting.redirect_uris_native")
	}
	return s
}

// explain says what a setting means: below it where what is typed has a form, or a tick does
// harm, and behind a question mark otherwise.
func (s *setting) explain(f page.Frame, key string) {
	switch s.Of.Type {
	case application.Texts:
	case application.Addresses, application.Words, application.Document, application.Entries:
		s.Hint = f.T(key + "_hint")
	default:
		if s.Of.Name == "pairwise" {
			s.Hint = f.T(key + "_hint")
			return
		}
		s.Field = s.Explained(f.T(key + "_hint"))
	}
}

// options returns what can be chosen in the place of what holds now.
func options(f page.Frame, t application.Setting, now any) (all []option) {
	if lasts, ok := now.(time.Duration); ok {
		for _, d := range withOwn(t.Times, lasts) {
			all = append(all, option{d.String(), f.Duration(d)})
		}
	}
	for _, c := range t.Choices {
		if t.Name != "auth" || c != string(application.NoAuth) || now == application.NoAuth {
			all = append(all, option{c, f.T("console.setting." + t.Name + "." + strings.ToLower(c))})
		}
	}
	return all
}
