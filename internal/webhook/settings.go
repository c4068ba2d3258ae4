package webhook

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"parvis/internal/audit"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/limit"
	"parvis/internal/naming"
	"parvis/internal/outbound"
)

// clean returns the settings as they are stored, or what is wrong with them, all at once.
func (s Settings) clean(client *outbound.Client) (Settings, error) {
	name, wrongName := naming.CleanName(s.Name, "name")
	address, wrongAddress := cleanAddress(client, s.Address)
	events, wrongEvents := cleanEvents(s.Events)
	var wrongKind, wrongForm error
	s.Kind, s.Form = cmp.Or(s.Kind, Events), cmp.Or(s.Form, Own)
	if s.Kind != Events && s.Kind != Log {
		wrongKind = ErrKind
	}
	if s.Form != Own && s.Form != OCSF {
		wrongForm = ErrForm
	}
	s.Name, s.Address, s.Events = name, address, events
	return s, errors.Join(wrongName, wrongAddress, wrongKind, wrongForm, wrongEvents)
}

const longestAddress = 2000

// cleanAddress returns an address as it is stored. Where it leads is asked outside of transactions,
// and again of each connection.
func cleanAddress(client *outbound.Client, text string) (string, error) {
	text = strings.TrimSpace(text)
	if len(text) > longestAddress {
		return "", ErrLong.With("Most", longestAddress)
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.Opaque != "" || u.Fragment != "":
		return "", ErrAddress
	case !client.Admits(text):
		return "", ErrAddress
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) || numeric(u.Hostname()):
		return "", ErrAddress
	}
	return u.String(), nil
}

// numeric reports whether a host is a number that some resolvers take for an IP address, such as
// 2130706433 or 0x7f.1, and is not one as it is usually written.
func numeric(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return false
	}
	last := host[strings.LastIndex(strings.TrimSuffix(host, "."), ".")+1:]
	last = strings.ToLower(strings.TrimSuffix(last, "."))
	return last == "" || strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x")
}

// All is the pattern of every action.
const All = "*"

// Areas lists the areas of actions, such as 'user', in their order.
func Areas() []string {
	var all []string
	for action := range audit.Actions {
		area, _, _ := strings.Cut(string(action), ".")
		all = append(all, area)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// cleanEvents returns patterns in their order, each once.
func cleanEvents(sent []string) ([]string, error) {
	areas := Areas()
	var all []string
	for _, p := range sent {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		area, whole := strings.CutSuffix(p, ".*")
		if _, known := audit.Actions[audit.Action(p)]; !known && p != All && (!whole || !slices.Contains(areas, area)) {
			return nil, ErrEvent
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, ErrNoEvents
	}
	slices.Sort(all)
	if all = slices.Compact(all); slices.Contains(all, All) {
		return []string{All}, nil
	}
	return all, nil
}

// unsent are headers that would change what a request is, or say who a proxy is.
var unsent = []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip"}

// cleanHeaders returns headers as they are stored. Only 'Authorization' and those that begin with
// 'X-' may be chosen: none of them is the connection's own.
func cleanHeaders(k Kind, sent []Header) ([]Header, error) {
	var all []Header
	for _, h := range sent {
		name := canonical(strings.TrimSpace(h.Name))
		value := strings.TrimSpace(h.Value)
		known := slices.ContainsFunc(all, func(o Header) bool { return o.Name == name })
		switch {
		case name == "" && value == "":
			continue
		case name == "" || known || name != "Authorization" && !strings.HasPrefix(name, "X-") || len(name) > 64 || len(name) < 3 || slices.Contains(unsent, name):
			return nil, ErrHeaderName
		case value == "" || len(value) > 1000 || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }):
			return nil, ErrHeaderValue
		}
		all = append(all, Header{name, value})
	}
	switch {
	case len(all) > MostHeaders:
		return nil, ErrHeaders.With("Most", MostHeaders)
	case len(all) > 0 && k != Log:
		return nil, ErrHeaderKind
	}
	return all, nil
}

// canonical writes a header's name as it is usually written, or returns nothing for what is none.
func canonical(name string) string {
	parts := strings.Split(strings.ToLower(name), "-")
	for i, p := range parts {
		if p == "" || strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return ""
		}
		parts[i] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, "-")
}

// Check refuses settings that Create and Change would refuse, and an address that we would never
// call, because its name leads into a network that is not public. It looks the name up, so it is
// counted, and not called inside a transaction.
func (s *Sender) Check(ctx context.Context, actor directory.Actor, org directory.OrgID, n New) error {
	if err := actor.MaySetRules(ctx, s.DB, org); err != nil {
		return err
	}
	settings, err := n.clean(s.client(org))
	_, wrongHeaders := cleanHeaders(settings.Kind, n.Headers)
	if err = errors.Join(err, wrongHeaders); err == nil {
		err = s.Count(ctx, org, 1)
	}
	if err != nil {
		return err
	}
	if why, never := errors.AsType[outbound.Refused](s.client(org).Reaches(ctx, settings.Address)); never {
		return fault.Field("address", "webhook.unreachable."+string(why))
	}
	return nil
}

// Count counts so many addresses that an organization has us look up or call. It is not called inside
// a transaction.
func (s *Sender) Count(ctx context.Context, org directory.OrgID, addresses int) error {
	if org == "" || addresses == 0 {
		return nil
	}
	taken, err := limit.Take(ctx, s.DB, s.Limits.Key(directory.PerOrganizationHosts, limit.Of(org)).In(string(org)).Times(addresses))
	if err == nil && !taken.Allowed {
		err = ErrTooOften.After(taken.Wait)
	}
	return err
}

// fields is what the log keeps of settings.
func (s Settings) fields(headers []string) audit.Fields {
	return audit.Fields{
		"name": s.Name, "kind": string(s.Kind), "form": string(s.Form), "address": s.Address, "subscribed": strings.Join(s.Events, " "), "values": s.Values,
		"headers": strings.Join(headers, " "),
	}
}
