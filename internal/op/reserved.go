package op

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
)

// reserved are the claims that say who somebody is, for whom a token is and how it was
// proved. No registration sets them (R-OPR-08).
var reserved = strings.Fields(`iss sub aud exp nbf iat jti typ azp nonce auth_time acr amr sid org cnf act may_act events
	at_hash c_hash s_hash scope client_id token_type active email email_verified name locale zoneinfo groups roles`)

// exact are claims of ours that a registration may replace, under exactly that name.
var exact = strings.Fields(`preferred_username updated_at`)

// Reserved reports whether no registration may set a claim. Names are compared as the
// readers of tokens compare them who are least careful: Go's JSON ignores letter case,
// CGI writes each punctuation mark as _, and a dot leads into an object, so that Email,
// email-verified and org.id are email, email_verified and org.
func Reserved(claim string) bool {
	first, _, _ := strings.Cut(claim, ".")
	for _, name := range []string{claimKey(claim), claimKey(first)} {
		if slices.Contains(reserved, name) || slices.Contains(exact, name) && claim != name {
			return true
		}
	}
	return false
}

// claimKey is what two claims have in common that some reader takes for one.
func claimKey(claim string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-.:/", r) {
			return '_'
		}
		return r
	}, strings.ToLower(claim))
}

// ofIssuer reports whether a name of a registration belongs to the issuer: its address,
// however it is written, or something under it. Tokens for the issuer are every
// application's, so who had its name as audience could ask about all of them.
func ofIssuer(issuer, name string) bool { return issuer != "" && hostIn(name) == hostIn(issuer) }

// hostIn is the host and port of an address, without the port that goes without saying.
// What has no scheme is read as if it had one.
func hostIn(address string) string {
	address = strings.ToLower(address)
	if _, after, ok := strings.Cut(address, "://"); ok {
		address = after
	}
	if i := strings.IndexAny(address, "/?#"); i >= 0 {
		address = address[:i]
	}
	address = address[strings.LastIndexByte(address, '@')+1:]
	for _, usual := range []string{":443", ":80", "."} {
		address = strings.TrimSuffix(address, usual)
	}
	return address
}

// checkIssuer refuses names under the issuer: audiences, permissions and claims there are
// ours, now and later. Without an issuer, as where a command knows none, nothing is
// refused; introspection refuses even so (mayKnow).
func (s Settings) checkIssuer(issuer string) error {
	if s.Audience != "" && ofIssuer(issuer, s.Audience) {
		return fault.Field("audience_claim", "op.field.of_issuer").With("Name", s.Audience)
	}
	for _, name := range s.Scopes {
		if ofIssuer(issuer, name) {
			return fault.Field("scopes", "op.field.of_issuer").With("Name", name)
		}
	}
	for _, c := range s.Claims {
		if ofIssuer(issuer, c.Name) {
			return fault.Field("claims", "op.field.of_issuer").With("Name", c.Name)
		}
	}
	return nil
}

// checkOthers refuses what would make tokens of an organization's application look like
// those for one of the installation: its audience, its client ID as audience, or a
// permission of its own. Organizations have their names each for itself, since tokens say
// whose they are, and so none learns from a refusal what another registered.
// Nor may its name or titles look like another's.
func (c Client) checkOthers(ctx context.Context, r db.Reader, before, s Settings) error {
	if s.Audience == "" && len(s.own()) == 0 && slices.Equal(before.shown(), s.shown()) {
		return nil
	}
	others, err := allClients(ctx, r)
	if err != nil {
		return err
	}
	return errors.Join(c.clash(s, others), c.lookalike(before, s, others))
}

// clash is the fault where settings of c take what one of the others has.
func (c Client) clash(s Settings, others []Client) error {
	for _, other := range others {
		switch {
		case (c.OrgID == "") == (other.OrgID == ""):
		case s.Audience != "" && (s.Audience == other.Settings.Audience || s.Audience == string(other.ID)):
			return fault.Field("audience_claim", "op.field.audience_taken").With("Application", other.Settings.Name)
		case slices.ContainsFunc(s.own(), other.has):
			return fault.Field("scopes", "op.field.scopes_taken").With("Application", other.Settings.Name)
		}
	}
	return nil
}

// lookalike is the fault where a name or title of c, other than before, could be taken for
// that of an application that the same people meet: the organization's own, or one of the
// installation. What organizations call theirs binds the installation's in nothing, since
// the operator would be told of it; doctor lists the two.
func (c Client) lookalike(before, s Settings, others []Client) error {
	known := before.shown()
	for _, mine := range s.shown() {
		if slices.Contains(known, mine) {
			continue
		}
		for _, other := range others {
			if other.ID == c.ID || other.OrgID != "" && other.OrgID != c.OrgID {
				continue
			}
			if slices.ContainsFunc(other.Settings.shown(), func(theirs shown) bool { return directory.LookAlike(mine.text, theirs.text) }) {
				return fault.Field(mine.field, "op.field.looks_like").With("Name", mine.text, "Application", other.Settings.Name)
			}
		}
	}
	return nil
}

// shown is what people know an application by, and the field that has it.
type shown struct{ field, text string }

func (s Settings) shown() []shown {
	all := []shown{{"name", s.Name}}
	for _, tag := range slices.Sorted(maps.Keys(s.Titles)) {
		all = append(all, shown{"title", s.Titles[tag]})
	}
	return all
}

// own are the permissions that are the application's own.
func (s Settings) own() []string {
	return slices.DeleteFunc(slices.Clone(s.Scopes), func(n string) bool { return slices.Contains(Scopes, n) })
}

func allClients(ctx context.Context, r db.Reader) ([]Client, error) {
	var all []Client
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var w clientRow
		if err := scan(w.targets()...); err != nil {
			return err
		}
		c, err := w.client()
		all = append(all, c)
		return err
	}, `
		select `+clientColumns+`
		from clients c
		order by c.created_at, c.id`)
	return all, err
}

// Outdated is an application that was registered before what it has was refused. It goes
// on working; what is refused by now gives nothing any more.
type Outdated struct {
	Client
	Fault error // why it would not be registered today
}

// FindOutdated lists the applications of all organizations that would not be registered
// today as they are.
func FindOutdated(ctx context.Context, r db.Reader, issuer string) ([]Outdated, error) {
	all, err := allClients(ctx, r)
	if err != nil {
		return nil, err
	}
	var old []Outdated
	for _, c := range all {
		_, err := c.Settings.clean(c.Kind, issuer)
		if err == nil {
			err = errors.Join(c.clash(c.Settings, all), c.lookalike(Settings{}, c.Settings, all))
		}
		if err != nil {
			old = append(old, Outdated{c, err})
		}
	}
	return old, nil
}
