package main

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"parvis/internal/i18n"
	"parvis/internal/page"
	"parvis/internal/region"
	"parvis/internal/secret"
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

// checkPairs takes the key that this region shares with each of the others, as in "us=KEY ap=KEY".
func (c *configuration) checkPairs(p *plan) {
	title := c.by(&c.RegionKeys).title()
	p.pairs = map[string][]byte{}
	with := map[string]string{}
	for _, entry := range strings.FieldsFunc(c.RegionKeys, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		id, text, two := strings.Cut(entry, "=")
		key, err := base64.RawURLEncoding.Strict().DecodeString(text)
		switch {
		case !two || !regionID.MatchString(id): // not shown: it may be a key
			c.problem("%s has an entry that is not a region and a key: write us=KEY for each other region.", title)
		case id == c.Region:
			c.problem("%s has a key for %s, which is this region: a key is shared with another one.", title, id)
		case !slices.ContainsFunc(c.Regions, func(r regionTable) bool { return r.ID == id }):
			c.problem("%s has a key for %s, which is not one of [[regions]].", title, id)
		case err != nil || len(key) != region.KeyBytes:
			c.problem("%s has a text for %s that is no key: 'parvis region key' makes one.", title, id)
		case p.pairs[id] != nil:
			c.problem("%s has two keys for %s.", title, id)
		case with[text] != "":
			c.problem("%s has one key for %s and %s: each pair of regions needs a key of its own.", title, with[text], id)
		default:
			p.pairs[id], with[text] = key, id
		}
	}
}

// others returns the regions besides this one.
func (p plan) others() []page.Region {
	return slices.DeleteFunc(slices.Clone(p.regions.All), func(r page.Region) bool { return r.ID == p.regions.Here })
}

// regionCommands are what the operator of several regions does.
type regionCommands struct {
	Key    regionKeyCommand    `cmd:"" help:"Print a new key for two regions to share."`
	Checks regionChecksCommand `cmd:"" help:"List organizations whose names another region has too, or could not be asked about."`
}

type regionKeyCommand struct{}

// Run prints a key and nothing else, so that it can be written to a file.
func (*regionKeyCommand) Run(p *program) error {
	fmt.Fprintln(p.out, base64.RawURLEncoding.EncodeToString(secret.Bytes(region.KeyBytes)))
	fmt.Fprintln(p.err, "Both regions need it: each in region_keys, beside the id of the other.")
	return nil
}

type regionChecksCommand struct{ storageFlags }

// Run lists what 'serve' found out about names in other regions.
func (c *regionChecksCommand) Run(p *program) error {
	return c.with(p.onOlder(), func(s *storage) error {
		all, err := region.Checks(p.ctx, s.db)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			fmt.Fprintln(p.out, "No other region has a name of an organization of this one, as far as they could be asked.")
			return nil
		}
		table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "SHORT NAME\tNAME\tREGION\tSTATE")
		for _, one := range all {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", one.ShortName, one.Name, one.Peer, checkState(one))
		}
		return table.Flush()
	})
}

func checkState(c region.Check) string {
	if c.ClashAt.IsZero() {
		return "not asked yet: it does not answer"
	}
	return "has one of these names too, since " + c.ClashAt.Format(time.DateOnly)
}
