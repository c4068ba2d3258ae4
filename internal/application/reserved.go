package application

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/naming"
)

// reserved are the claims that only Parvis sets: who the person is, for whom the token is and
// how the person signed in (R-OPR-08).
var reserved = strings.Fields(`iss sub aud exp nbf iat jti typ azp nonce auth_time acr amr sid org cnf act may_act events
	at_hash c_hash s_hash scope client_id token_type active email email_verified name locale zoneinfo groups roles`)

// exact are our claims that a registration may replace, but only under exactly that name.
var exact = strings.Fields(`preferred_username updated_at`)

// Reserved reports whether a claim may not be registered. Names are compared as loosely as
// the least careful readers of tokens do: Go's JSON ignores letter case, CGI turns each
// punctuation mark into _, and a dot leads into an object. So Email, email-verified and
// org.id count as email, email_verified and org.
func Reserved(claim string) bool {
	first, _, _ := strings.Cut(claim, ".")
	for _, name := range []string{claimKey(claim), claimKey(first)} {
		if slices.Contains(reserved, name) || slices.Contains(exact, name) && claim != name {
			return true
		}
	}
	return false
}

// claimKey returns the same text for two claims that some reader may take for the same.
func claimKey(claim string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-.:/", r) {
			return '_'
		}
		return r
	}, strings.ToLower(claim))
}

// OfIssuer reports whether a registered name is the issuer's address, however it is written,
// or something under it. Tokens of all applications can have the issuer as audience, so
// an application with that audience could introspect them.
func OfIssuer(issuer, name string) bool { return issuer != "" && hostIn(name) == hostIn(issuer) }

// hostIn returns host and port of an address, without a default port. An address without a
// scheme is read as if it had one.
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

// checkIssuer refuses audiences, permissions and claims under the issuer's address: we may
// use them later. A command that knows no issuer refuses nothing; introspection refuses
// such an audience even then (mayKnow).
func (s Settings) checkIssuer(issuer string) error {
	names := map[string][]string{"audience_claim": {s.Audience}, "scopes": s.Scopes}
	for _, c := range s.Claims {
		names["claims"] = append(names["claims"], c.Name)
	}
	for field, all := range names {
		if i := slices.IndexFunc(all, func(name string) bool { return OfIssuer(issuer, name) }); i >= 0 {
			return fault.Field(field, "op.field.of_issuer").With("Name", all[i])
		}
	}
	return nil
}

// checkOthers keeps an organization's application from getting tokens that look like those
// of an application of the installation: by its audience, by its client ID as audience, or
// by one of its permissions. Two organizations may use the same names: tokens name the
// organization, and a refusal would tell one what the other registered. A name or title
// that looks like another's is refused too.
func (c Application) checkOthers(ctx context.Context, r db.Reader, before, s Settings) error {
	if s.Audience == "" && len(s.own()) == 0 && slices.Equal(before.shown(), s.shown()) {
		return nil
	}
	others, err := allClients(ctx, r)
	if err != nil {
		return err
	}
	return errors.Join(c.clash(s, others), c.lookalike(before, s, others))
}

// clash returns a fault if settings of c use a name that belongs to one of the others.
func (c Application) clash(s Settings, others []Application) error {
	for _, other := range others {
		switch {
		case (c.OrgID == "") == (other.OrgID == ""):
		case s.Audience != "" && (s.Audience == other.Settings.Audience || s.Audience == string(other.ID)):
			return fault.Field("audience_claim", "op.field.audience_taken").With("Application", other.Settings.Name)
		case slices.ContainsFunc(s.own(), other.Has):
			return fault.Field("scopes", "op.field.scopes_taken").With("Application", other.Settings.Name)
		}
	}
	return nil
}

// lookalike returns a fault if a new name or title of c could be taken for that of another
// application which the same people use: one of the organization, or one of the
// installation. An application of the installation is not compared with those of
// organizations, because a refusal would tell the operator about them; doctor lists both.
func (c Application) lookalike(before, s Settings, others []Application) error {
	known := before.shown()
	for _, mine := range s.shown() {
		if slices.Contains(known, mine) {
			continue
		}
		for _, other := range others {
			if other.ID == c.ID || other.OrgID != "" && other.OrgID != c.OrgID {
				continue
			}
			if slices.ContainsFunc(other.Settings.shown(), func(theirs shown) bool { return naming.LookAlike(mine.text, theirs.text) }) {
				return fault.Field(mine.field, "op.field.looks_like").With("Name", mine.text, "Application", other.Settings.Name)
			}
		}
	}
	return nil
}

// shown is a name under which people see an application, with its field.
type shown struct{ field, text string }

func (s Settings) shown() []shown {
	all := []shown{{"name", s.Name}}
	for _, tag := range slices.Sorted(maps.Keys(s.Titles)) {
		all = append(all, shown{"title", s.Titles[tag]})
	}
	return all
}

// own returns the scopes that the application defines itself.
func (s Settings) own() []string {
	return slices.DeleteFunc(slices.Clone(s.Scopes), func(n string) bool { return slices.Contains(Scopes, n) })
}

func allClients(ctx context.Context, r db.Reader) ([]Application, error) {
	return db.List(ctx, r, (*Application).Targets, `
		select `+Columns+`
		from clients c
		where c.id <> '`+string(CommandLine)+`'
		order by c.created_at, c.id`)
}

// Outdated is an application whose settings would be refused today. It goes on working, but
// the settings that would be refused have no effect.
type Outdated struct {
	Application
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
