package main

import (
	"regexp"
	"slices"
	"strings"

	"parvis/internal/i18n"
	"parvis/internal/page"
)

// regionTable is one region as the configuration writes it, in TOML or in JSON.
type regionTable struct {
	ID      string            `json:"id"`
	Address string            `json:"address"`
	Name    map[string]string `json:"name"` // by language
}

var regionID = regexp.MustCompile(`^[a-z][a-z0-9-]{0,19}$`)

// checkRegions checks the list of regions, which is the same in each of them, and that this one
// is in it. Without a list there is one region, which needs no name.
func (c *configuration) checkRegions(p *plan) {
	switch {
	case c.Region == "" && len(c.Regions) == 0:
		return
	case c.Region == "":
		c.problem(`region is missing: write which of [[regions]] this is, as in region = "eu".`)
		return
	case len(c.Regions) == 0:
		c.problem("region is set, but there are no [[regions]]: write a table for each region, this one included.")
		return
	}
	p.regions.Here = c.Region
	hosts := map[string]bool{}
	for i := range c.Regions {
		r := &c.Regions[i]
		if !regionID.MatchString(r.ID) {
			c.problem("[[regions]] has the id %q: write up to 20 small letters, digits and hyphens, such as eu or us-east.", r.ID)
			continue
		}
		if slices.ContainsFunc(p.regions.All, func(other page.Region) bool { return other.ID == r.ID }) {
			c.problem("[[regions]] has the id %s twice.", r.ID)
			continue
		}
		base := c.checkAddress(&r.Address, "the address of region "+r.ID)
		one := page.Region{ID: r.ID, Address: r.Address, Names: c.checkRegionNames(r)}
		p.regions.All = append(p.regions.All, one)
		if base == nil {
			continue
		}
		// A browser sends the cookies of one port to every other port of the same host.
		if hosts[base.Hostname()] {
			c.problem("[[regions]] has the name %s twice: each region needs a name of its own, another port is not enough.", base.Hostname())
		}
		hosts[base.Hostname()] = true
		if r.ID == c.Region && p.base != nil && r.Address != p.base.String() {
			c.problem("region is %s, whose address is %s, but public_address is %s: they must be the same.", r.ID, r.Address, p.base)
		}
	}
	if !slices.ContainsFunc(c.Regions, func(r regionTable) bool { return r.ID == c.Region }) {
		c.problem("region is %q, which is not one of [[regions]].", c.Region)
	}
}

// checkRegionNames checks what people call a region: it needs a name in English, to which other
// languages fall back.
func (c *configuration) checkRegionNames(r *regionTable) map[i18n.Tag]string {
	names := map[i18n.Tag]string{}
	for language, name := range r.Name {
		tag, err := knownLanguage(language)
		if err != nil {
			c.problem("the name of region %s: %v.", r.ID, err)
			continue
		}
		names[tag] = strings.TrimSpace(name)
	}
	if names["en"] == "" {
		c.problem(`region %s has no name in English: write name = { en = "Europe" }.`, r.ID)
	}
	return names
}

// others returns the regions besides this one.
func (p plan) others() []page.Region {
	return slices.DeleteFunc(slices.Clone(p.regions.All), func(r page.Region) bool { return r.ID == p.regions.Here })
}
