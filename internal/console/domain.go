package console

import (
	"context"
	"time"

	"parvis/internal/db"
	"parvis/internal/domain"
	"parvis/internal/page"
)

var domainsFields = page.Fields{"domain"}

// domainChips are what a list shows for each state.
var domainChips = map[domain.State]chip{
	domain.Waiting: {"console.domain.waiting", "warn"},
	domain.Proven:  {"console.domain.proven", "ok"},
	domain.Missing: {"console.domain.missing", "warn"},
	domain.Lapsed:  {"console.domain.lapsed", "bad"},
}

// shownDomain is a domain with its state.
type shownDomain struct {
	domain.Domain
	Chip chip
}

// Since returns when the domain entered this state.
func (d shownDomain) Since() time.Time {
	switch d.State() {
	case domain.Waiting:
		return d.CreatedAt
	case domain.Missing:
		return d.MissingSince
	case domain.Lapsed:
		return d.LapsedAt
	case domain.Proven:
	}
	return d.ProvenAt
}

func shown(d domain.Domain) shownDomain { return shownDomain{d, domainChips[d.State()]} }

// domainsPage lists an organization's domains.
type domainsPage struct {
	Domains   []shownDomain
	MayChange bool
	Removed   bool
}

func (s *Server) showDomains(v *page.Viewer) error {
	all, err := domain.Of(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID)
	if err != nil {
		return err
	}
	p := domainsPage{MayChange: rules(v.User.Role), Removed: v.Just("removed")}
	for _, d := range all {
		p.Domains = append(p.Domains, shown(d))
	}
	v.FormIf(p.MayChange)
	return v.Render("console-domains", p)
}

func (s *Server) addDomain(v *page.Viewer) error {
	ctx := v.R.Context()
	var d domain.Domain
	if err := s.site.DB.Update(ctx, func(tx *db.Tx) (err error) {
		d, err = domain.Add(ctx, tx, v.User.AsActor(), v.User.OrgID, v.Form.Get("domain"))
		return err
	}); err != nil {
		return err
	}
	return v.Redirect(v.Path("admin/domains", d.ID))
}

// domainPage shows one domain, with the record that proves it.
type domainPage struct {
	shownDomain
	Grace     int // days for which a record may be missing
	MayChange bool
	Checked   bool // shown right after the record was found
}

func (s *Server) showDomain(v *page.Viewer) error {
	d, err := domain.ByID(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID, v.ID())
	if err != nil {
		return err
	}
	p := domainPage{
		shownDomain: shown(d), Grace: int(domain.Grace.Hours() / 24),
		MayChange: rules(v.User.Role), Checked: v.Just("checked") && d.State() == domain.Proven,
	}
	v.FormIf(p.MayChange)
	return v.Render("console-domain", p)
}

// domain asks before a domain is removed.
func (s asks) domain(v *page.Viewer) (bool, error) {
	d, err := domain.ByID(v.R.Context(), s.site.DB, v.User.AsActor(), v.User.OrgID, v.ID())
	if err != nil {
		return false, err
	}
	c := confirmation{Back: v.Path("admin/domains", d.ID)}
	switch v.Form.Asked() {
	case "remove":
		c.Title, c.Button, c.Grave = v.Text("console.confirm.domain", "Domain", d.String()), v.Text("console.domain.remove"), true
		c.Follows = []string{v.Text("console.domain.remove_what")}
		return s.confirm(v, c, removeDomain(v))
	case "check":
		c.Light, c.Title, c.Button = true, v.Text("console.confirm.check", "Domain", d.String()), v.Text("console.domain.check")
		return s.confirm(v, c)
	}
	return false, nil
}

func removeDomain(v *page.Viewer) func(context.Context, *db.Tx) error {
	return func(ctx context.Context, tx *db.Tx) error {
		return domain.Remove(ctx, tx, v.User.AsActor(), v.User.OrgID, v.ID())
	}
}

func (s *Server) changeDomain(v *page.Viewer) error {
	id := v.ID()
	ctx, actor := v.R.Context(), v.User.AsActor()
	switch v.Form.Asked() {
	case "check":
		return v.Done(s.Domains.Check(ctx, s.site.DB, actor, v.User.OrgID, id), v.Path("admin/domains", id)+"?checked")
	case "remove":
		return v.Do(removeDomain(v), v.Path("admin/domains")+"?removed")
	}
	return s.showDomain(v)
}
