package ask

import (
	"errors"
	"slices"

	"parvis/internal/access"
	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/op"
	"parvis/internal/page"
	"parvis/internal/session"
	"parvis/internal/signin"
)

var deviceFields = page.Fields{"user_code", "session"}

// devicePage asks for the code that a device shows or, once it is known, whether the device
// may sign in.
type devicePage struct {
	asking
	Code    string
	Device  bool   // the code is known, and the page asks
	Network string // from where the device asked
	None    bool   // nobody who is signed in here may open the application
	Done    bool
	No      bool
}

// Shown returns the code as the device shows it, with a hyphen.
func (d devicePage) Shown() string {
	if len(d.Code) != op.UserCodeLength {
		return d.Code
	}
	return d.Code[:op.UserCodeLength/2] + "-" + d.Code[op.UserCodeLength/2:]
}

// showDevice asks for the code. If the address has one, it goes on to ask about the device.
func (p *Pages) showDevice(v *page.Visitor) error {
	q := v.R.URL.Query()
	if q.Has("done") || q.Has("no") {
		v.NoForm()
		return v.Render("op-device", devicePage{Done: q.Has("done"), No: q.Has("no")})
	}
	typed := v.Form.Get("user_code")
	if typed == "" {
		typed = q.Get("user_code")
	}
	if typed == "" || v.Form.Refused() {
		return v.Render("op-device", devicePage{Code: typed})
	}
	return p.askAboutDevice(v, typed)
}

// askAboutDevice shows which application asks, and as whom the person can let it in. If nobody
// is signed in, it leads to sign in first.
func (p *Pages) askAboutDevice(v *page.Visitor, typed string) error {
	ctx := v.R.Context()
	if err := p.CountTry(ctx, op.PerNetworkDevice); err != nil {
		return err
	}
	d, err := p.DeviceByCode(ctx, p.DB, typed)
	if errors.Is(err, op.ErrDeviceCode) {
		v.Status(fault.Invalid)
		v.Form.Refuse("user_code", typed, op.ErrDeviceCode)
		return v.Render("op-device", devicePage{Code: typed})
	}
	if err != nil {
		return err
	}
	visits, err := p.whoMay(v, d.Client)
	if err != nil {
		return err
	}
	if all, err := v.Visits(ctx); err != nil {
		return err
	} else if len(visits) == 0 && len(all) > 0 && v.Form.Do() != "other" {
		v.Status(fault.Denied)
		return v.Render("op-device", devicePage{asking: asking{Client: d.Client, Title: d.Client.Title(v.Language())}, Code: op.CleanUserCode(typed), None: true})
	}
	if len(visits) == 0 {
		begun, err := v.Begin(signin.Attempt{OrgID: d.Client.OrgID, ClientID: string(d.Client.ID), Return: op.DevicePath + "?user_code=" + op.CleanUserCode(typed)}, nil)
		if err != nil {
			return err
		}
		return v.Redirect("/sign-in/" + begun.ID)
	}
	return v.Render("op-device", devicePage{
		asking: asking{Client: d.Client, Title: d.Client.Title(v.Language()), Scopes: d.Scope, Visits: visits}, Code: op.CleanUserCode(typed), Device: true, Network: d.Network,
	})
}

// whoMay returns the sessions of this browser whose people may open an application.
func (p *Pages) whoMay(v *page.Visitor, c application.Application) ([]session.Visit, error) {
	all, err := v.Visits(v.R.Context())
	if err != nil {
		return nil, err
	}
	var may []session.Visit
	for _, w := range all {
		ok, err := application.May(v.R.Context(), p.DB, c, w)
		if err != nil {
			return nil, err
		}
		if ok == application.Allowed && c.ID == application.CommandLine {
			rules, err := access.RulesOf(v.R.Context(), p.DB, w.Session.OrgID)
			if err != nil {
				return nil, err
			}
			if !rules.Devices {
				continue
			}
		}
		if ok == application.Allowed {
			may = append(may, w)
		}
	}
	return may, nil
}

// answerDevice lets a device in as the chosen person, or refuses it.
func (p *Pages) answerDevice(v *page.Visitor) error {
	ctx := v.R.Context()
	if v.Form.Do() == "other" {
		return p.askAboutDevice(v, v.Form.Get("user_code"))
	}
	if v.Form.Do() != "allow" && v.Form.Do() != "deny" {
		return v.Redirect(op.DevicePath + "?user_code=" + op.CleanUserCode(v.Form.Get("user_code")))
	}
	if err := p.CountTry(ctx, op.PerNetworkDevice); err != nil {
		return err
	}
	d, err := p.DeviceByCode(ctx, p.DB, v.Form.Get("user_code"))
	if err != nil {
		return err
	}
	visits, err := p.whoMay(v, d.Client)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(visits, func(w session.Visit) bool { return w.Session.ID == v.Form.Get("session") })
	if i < 0 {
		return op.ErrDeviceCode // the chosen person is no longer signed in
	}
	acr, err := p.SignIn.Assurance(ctx, visits[i])
	if err != nil {
		return err
	}
	yes := v.Form.Do() == "allow"
	if err := p.DB.Update(ctx, func(tx *db.Tx) error { return p.KeepAnswer(ctx, tx, d, visits[i], acr, yes) }); err != nil {
		return err
	}
	if yes {
		return v.Redirect(op.DevicePath + "?done")
	}
	return v.Redirect(op.DevicePath + "?no")
}
