package web

import (
	"parvis/internal/directory"
	"parvis/internal/domain"
	"parvis/internal/naming"
	"parvis/internal/page"
	"parvis/internal/signin"
)

// nameElsewhere leads to the region that knows the name of an organization which nobody has here, and
// reports whether it answered. Nothing of the form is counted, stored or compared before; of a password
// nothing is read (decision 0076). A name that is known here stays here, even if other regions know it too.
func (s *Server) nameElsewhere(v *page.Visitor, named, path string) (bool, error) {
	ctx := v.R.Context()
	if named == "" || !s.regions.Asks() {
		return false, nil
	}
	here, err := directory.OrganizationsNamed(ctx, s.site.DB, named)
	if err != nil || len(here) > 0 {
		return false, err
	}
	if wait := s.regions.Wait(ctx); wait > 0 {
		return false, signin.ErrTooOften.After(wait)
	}
	found := s.regions.Name(ctx, named)
	if len(found.Known) == 0 && len(found.Silent) == 0 {
		return false, nil
	}
	if len(found.Known) == 0 { // a name that nobody knows, as far as we know
		if err := s.signIn.CountUnknown(ctx); err != nil {
			return false, err
		}
	}
	return true, v.LeadElsewhere(page.Elsewhere{
		Path: path, Organization: named, Email: v.Form.Get("email"), Known: found.Known, Silent: found.Silent,
	})
}

// domainElsewhere leads an address whose domain an organization of another region has proven to that
// region, by the rules by which route leads one of this region. The question is about the domain alone,
// no matter if anybody has the address. A region that does not answer leads nobody and keeps nobody.
func (s *Server) domainElsewhere(v *page.Visitor) (bool, error) {
	ctx := v.R.Context()
	address, err := naming.ParseAddress(v.Form.Get("email"))
	if err != nil || !s.regions.Asks() || s.signIn.Remembers(v.Remembered(), address) {
		return false, nil //nolint:nilerr // What is no address leads nowhere; the form says so.
	}
	if _, err := domain.Parse(address.Domain); err != nil {
		return false, nil //nolint:nilerr // Nobody can prove it, as those of mail providers.
	}
	if _, held, err := domain.Holder(ctx, s.site.DB, address); err != nil || held {
		return false, err
	}
	if s.regions.Wait(ctx) > 0 {
		return false, nil
	}
	found := s.regions.Domain(ctx, address)
	known := found.Known
	if v.Form.Get("password") != "" {
		known = found.Only // else somebody who typed a password means to use it
	}
	if len(known) == 0 {
		return false, nil
	}
	return true, v.LeadElsewhere(page.Elsewhere{Path: "/sign-in", Email: v.Form.Get("email"), Known: known})
}
