package console

import (
	"context"
	"slices"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/op"
	"parvis/internal/page"
	"parvis/internal/picture"
)

var (
	tileFields    = settingFields(application.TilePart)
	signInFields  = settingFields(application.SignInPart)
	claimsFields  = settingFields(application.ClaimsPart)
	tokensFields  = settingFields(application.TokensPart)
	placeFields   = page.Fields{"audience", "group[]", "standing"}
	secretsFields = page.Fields{"secret"}
)

var errNothingSent = fault.New(fault.Invalid, "page.form_malformed")

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
	p := applicationPage{MayPlace: rules(v.User.Role), Issuer: s.base(), Discovery: s.Provider.Configuration(), frame: v.Form}
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
	for deed, key := range map[string]string{"added": "console.application.added", "saved": "console.application.saved"} {
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

// InGroup reports whether a group is among those that the application is for.
func (p applicationPage) InGroup(id string) bool {
	if p.frame.Has("audience") {
		return slices.Contains(p.frame.All("group[]"), id)
	}
	return slices.Contains(p.Place.Groups, id)
}

// Audiences lists the audiences to choose from.
func (applicationPage) Audiences() []application.Audience { return application.Audiences }

// Standings lists what the organization can decide about the application.
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

// Removed returns the id of a group that a form was sent with and that is not there any more.
func (p applicationPage) Removed(id string) string {
	if slices.ContainsFunc(p.Groups, func(g directory.Group) bool { return g.ID == id }) {
		return ""
	}
	return id
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

// saved leads back to the application's page, unless err says that nothing was saved.
func saved(v *page.Viewer, err error) error {
	return v.Done(err, v.Path("admin/applications", string(applicationIn(v)))+"?saved")
}

// withApplication does something to the application in the path, as it is in that transaction.
func (s *Server) withApplication(v *page.Viewer, do func(*db.Tx, application.Application) error) error {
	ctx, to := v.R.Context(), toApplication(v, do)
	return s.site.DB.Update(ctx, func(tx *db.Tx) error { return to(ctx, tx) })
}

func toApplication(v *page.Viewer, do func(*db.Tx, application.Application) error) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		a, err := application.ByID(ctx, tx, v.User.AsActor(), v.User.OrgID, applicationIn(v))
		if err != nil {
			return err
		}
		return do(tx, a.Application)
	}
}

func (s *Server) changeApplication(v *page.Viewer) error {
	if v.Form.Asked() == "remove" {
		return v.Do(removesApplication(v), v.Path("admin/applications")+"?removed")
	}
	return s.changeSettings(application.TilePart)(v)
}

func (s *Server) saveApplicationLogo(v *page.Viewer) error {
	logo, err := v.PictureOrNone(picture.Logo)
	if err != nil {
		return err
	}
	ctx := v.R.Context()
	return saved(v, s.withApplication(v, func(tx *db.Tx, c application.Application) error {
		return application.SetLogo(ctx, tx, v.User.AsActor(), c, logo)
	}))
}

// placeApplication says who sees an application of the installation and whether anybody may
// open it: this is all that an organization decides about it.
func (s *Server) placeApplication(v *page.Viewer) error {
	ctx, places := v.R.Context(), places(v)
	return saved(v, s.site.DB.Update(ctx, func(tx *db.Tx) error { return places(ctx, tx) }))
}

// changeSecrets makes a secret, and answers with it, or removes one.
func (s *Server) changeSecrets(v *page.Viewer) error {
	ctx, actor := v.R.Context(), v.User.AsActor()
	switch v.Form.Asked() {
	case "remove":
		removes := removesSecret(v)
		return saved(v, s.site.DB.Update(ctx, func(tx *db.Tx) error { return removes(ctx, tx) }))
	case "add":
		var client application.Application
		var secret string
		if err := s.withApplication(v, func(tx *db.Tx, c application.Application) (err error) {
			client = c
			_, secret, err = application.AddSecret(ctx, tx, actor, c)
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
	preview, err := s.Provider.Preview(ctx, s.site.DB, v.Visit, a)
	if err != nil {
		return err
	}
	return v.Render("console-application-test", testPage{a, preview, a.Connected() && !preview.Forbidden && !preview.NotYours})
}
