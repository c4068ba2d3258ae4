package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/op"
	"parvis/internal/outbound"
)

// applicationCommands are what the operator does with applications: with those of the
// installation, which nobody else can change, and with any organization's.
type applicationCommands struct {
	Add    addApplicationCommand    `cmd:"" help:"Register an application, and print its secret once."`
	List   listApplicationsCommand  `cmd:"" help:"List applications."`
	Show   showApplicationCommand   `cmd:"" help:"Print the settings of an application."`
	Set    setApplicationCommand    `cmd:"" help:"Change settings of an application: only those that a flag names."`
	Secret secretCommands           `cmd:"" help:"Add, list and remove secrets: two work while an application changes to the new one."`
	Place  placeApplicationCommand  `cmd:"" help:"Decide who in an organization sees an application, and whether people are asked."`
	Remove removeApplicationCommand `cmd:"" help:"Remove an application: nobody can sign in to it any more."`
}

type secretCommands struct {
	Add    addSecretCommand    `cmd:"" help:"Make another secret, and print it once."`
	List   listSecretsCommand  `cmd:"" help:"List secrets, without showing them."`
	Remove removeSecretCommand `cmd:"" help:"Remove one of two secrets, which stops working at once."`
}

// ownerFlags say whose applications are meant.
type ownerFlags struct {
	storageFlags
	Organization string `placeholder:"NAME" help:"Short name of the organization whose application it is. Without it, the whole installation's."`
}

// owner returns that organization, or the zero one for the installation.
func (f ownerFlags) owner(ctx context.Context, tx *db.Tx) (directory.Organization, error) {
	if f.Organization == "" {
		return directory.Organization{}, nil
	}
	org, err := directory.OrganizationByName(ctx, tx, f.Organization)
	if errors.Is(err, directory.ErrNotFound) {
		err = unknownOrganization(f.Organization)
	}
	return org, err
}

// checkReach refuses an address of an organization's application that would never be called.
func (f ownerFlags) checkReach(p *program, st *storage, s application.Settings) error {
	var org directory.Organization
	if err := st.db.View(p.ctx, func(tx *db.Tx) (err error) {
		org, err = f.owner(p.ctx, tx)
		return err
	}); err != nil {
		return err
	}
	return application.CheckReach(p.ctx, outbound.New(st.plan.allow), org.ID, s)
}

// applicationFlags name one application.
type applicationFlags struct {
	ownerFlags
	ID string `arg:"" help:"Its client ID."`
}

// find finds the application, as its organization has it if one was named.
func (f applicationFlags) find(ctx context.Context, tx *db.Tx) (application.Placed, directory.Organization, error) {
	org, err := f.owner(ctx, tx)
	if err != nil {
		return application.Placed{}, org, err
	}
	a, err := application.ByID(ctx, tx, directory.Operator(), org.ID, application.ID(f.ID))
	if errors.Is(err, application.ErrUnknown) {
		err = fmt.Errorf("there is no application %q here: 'parvis application list' shows those of the installation, "+
			"with --organization NAME those of an organization too", f.ID)
	}
	return a, org, err
}

// update changes an application in one transaction. If an organization is named, the
// application must be its own, so that nobody else's is changed by mistake.
func (f applicationFlags) update(p *program, do func(*db.Tx, application.Application) error) error {
	return f.with(p, func(s *storage) error {
		return s.db.Update(p.ctx, func(tx *db.Tx) error {
			a, org, err := f.find(p.ctx, tx)
			if err == nil && a.OrgID != org.ID {
				err = fmt.Errorf("%s is the whole installation's: leave --organization out, or decide with 'parvis application place' how %s has it",
					a.ID, org.DisplayName)
			}
			if err != nil {
				return err
			}
			return do(tx, a.Application)
		})
	})
}

// settingFlags are what can be registered. A flag that is not given changes nothing; for a
// list, an empty text removes everything.
type settingFlags struct {
	Name               *string                 `placeholder:"NAME" help:"Name by which people know it."`
	Title              map[string]string       `placeholder:"LANGUAGE=TEXT" mapsep:"none" help:"Title of its tile in a language, where the name will not do. Repeatable."`
	Description        map[string]string       `placeholder:"LANGUAGE=TEXT" mapsep:"none" help:"Description under the title, in a language. Repeatable."`
	Address            *string                 `placeholder:"URL" help:"Where its tile leads."`
	InitiateURI        *string                 `placeholder:"URL" help:"Where a sign-in that begins here is sent (initiate_login_uri), if it has that."`
	RedirectURI        []string                `placeholder:"URL" sep:"none" help:"Where people come back with a code. Repeatable."`
	PostLogoutURI      []string                `placeholder:"URL" sep:"none" help:"Where they may come back after signing out. Repeatable."`
	BackChannelLogout  *string                 `placeholder:"URL" help:"Where it is told, server to server, that a session ended."`
	FrontChannelLogout *string                 `placeholder:"URL" help:"Where it is told so through the browser."`
	Auth               *application.AuthMethod `placeholder:"METHOD" enum:"secret,private_key_jwt,none" help:"How it proves who it is: ${enum}. A secret comes in the header or in the form. Unless set, its kind decides."`
	CodeProtection     *application.Protection `placeholder:"PROTECTION" enum:"pkce,pkce_or_nonce,none" help:"What its requests must bring so that nobody else can use its codes: ${enum}. Less than pkce is for libraries that send no PKCE, with a secret or key."`
	Keys               []byte                  `placeholder:"FILE" type:"filecontent" help:"Its public keys, as a JSON key set, for private_key_jwt."`
	KeysURL            *string                 `placeholder:"URL" help:"Or where that key set is."`
	Scope              []string                `placeholder:"SCOPE" help:"What it may ask for: openid, profile, email, groups, roles, or names of its own. Unless set: the first three."`
	Audience           *string                 `placeholder:"NAME" help:"Audience of its access tokens."`
	Refresh            *bool                   `negatable:"" help:"It gets refresh tokens."`
	Device             *bool                   `negatable:"" help:"People may sign in to it on a device without a browser."`
	OwnBehalf          *bool                   `negatable:"" help:"It may ask for tokens of its own (client credentials), as each machine does."`
	RS256              *bool                   `name:"rs256" negatable:"" help:"Its ID tokens are signed with RS256, not ES256."`
	SignedUserinfo     *bool                   `negatable:"" help:"Its answers about a person (UserInfo) come as signed tokens."`
	Opaque             *bool                   `negatable:"" help:"Only Parvis can read its access tokens."`
	InIDToken          *bool                   `name:"in-id-token" negatable:"" help:"The ID token also contains what the scopes give."`
	Pairwise           *bool                   `negatable:"" help:"It gets a name for each person that no other application gets (pairwise)."`
	PushedOnly         *bool                   `negatable:"" help:"It must push its requests (PAR)."`
	DPoPOnly           *bool                   `name:"dpop-only" negatable:"" help:"Its access tokens are bound to a key (DPoP)."`
	Asks               *bool                   `negatable:"" help:"People are asked first, because the application is somebody else's."`
	AccessFor          *time.Duration          `placeholder:"TIME" help:"How long its access tokens are valid, such as 5m."`
	IDTokenFor         *time.Duration          `name:"id-token-for" placeholder:"TIME" help:"How long its ID tokens are valid."`
	RefreshFor         *time.Duration          `placeholder:"TIME" help:"How long it may refresh, such as 720h."`
	Claim              []string                `placeholder:"NAME=SOURCE" sep:"none" help:"One more thing that it is told: name, email, role, language, groups, user_id or organization under another name, or NAME=fixed:TEXT. Repeatable."`
}

// fieldFlags are the flags of fields whose fault alone does not say which flag is meant.
var fieldFlags = map[string]string{
	"scopes": "--scope", "audience_claim": "--audience", "pairwise": "--pairwise", "code_protection": "--code-protection",
	"back_channel": "--back-channel-logout", "keys_url": "--keys-url",
	"access_for": "--access-for", "id_token_for": "--id-token-for", "refresh_for": "--refresh-for",
}

// A choice is a setting with its flag.
type choice struct {
	flag   string
	given  bool
	values []string // the values now, after the flags were applied
}

// choices puts what was given into s, and lists everything that s has.
func (f settingFlags) choices(s *application.Settings) ([]choice, error) {
	titles, err := texts("title", f.Title, &s.Titles)
	if err != nil {
		return nil, err
	}
	descriptions, err := texts("description", f.Description, &s.Descriptions)
	if err != nil {
		return nil, err
	}
	switch { // one or the other
	case f.Keys != nil:
		s.KeysURL = ""
	case f.KeysURL != nil:
		s.Keys = nil
	}
	rs256 := s.Algorithm == application.RS256
	all := []choice{
		one("name", f.Name, &s.Name), titles, descriptions, one("address", f.Address, &s.Address), one("initiate-uri", f.InitiateURI, &s.InitiateURI),
		many("redirect-uri", f.RedirectURI, &s.RedirectURIs), many("post-logout-uri", f.PostLogoutURI, &s.PostLogoutURIs),
		one("back-channel-logout", f.BackChannelLogout, &s.BackChannel), one("front-channel-logout", f.FrontChannelLogout, &s.FrontChannel),
		one("auth", f.Auth, &s.Auth), one("code-protection", f.CodeProtection, &s.Protection), keys(f.Keys, s), one("keys-url", f.KeysURL, &s.KeysURL), many("scope", f.Scope, &s.Scopes),
		one("audience", f.Audience, &s.Audience), one("refresh", f.Refresh, &s.Refreshes), one("device", f.Device, &s.Devices),
		one("own-behalf", f.OwnBehalf, &s.OwnBehalf), one("rs256", f.RS256, &rs256), one("signed-userinfo", f.SignedUserinfo, &s.SignsInfo),
		one("opaque", f.Opaque, &s.Opaque), one("in-id-token", f.InIDToken, &s.InIDToken), one("pairwise", f.Pairwise, &s.Pairwise),
		one("pushed-only", f.PushedOnly, &s.PushedOnly), one("dpop-only", f.DPoPOnly, &s.BoundOnly), one("asks", f.Asks, &s.Asks),
		one("access-for", f.AccessFor, &s.AccessFor), one("id-token-for", f.IDTokenFor, &s.IDTokenFor), one("refresh-for", f.RefreshFor, &s.RefreshFor),
		claims(f.Claim, &s.Claims),
	}
	if s.Algorithm = application.ES256; rs256 {
		s.Algorithm = application.RS256
	}
	return all, nil
}

func one[T comparable](flag string, given, into *T) choice {
	c := choice{flag: flag, given: given != nil}
	if c.given {
		*into = *given
	}
	var zero T
	if *into != zero {
		c.values = []string{fmt.Sprint(*into)}
	}
	return c
}

func many(flag string, given []string, into *[]string) choice {
	if given != nil {
		*into = slices.DeleteFunc(given, func(s string) bool { return s == "" })
	}
	return choice{flag, given != nil, *into}
}

// texts applies one text in each language; an empty one removes that language's.
func texts(flag string, given map[string]string, into *map[i18n.Tag]string) (choice, error) {
	c := choice{flag: flag, given: given != nil}
	for language, text := range given {
		tag, err := knownLanguage(language)
		if err != nil {
			return c, err
		}
		if *into == nil {
			*into = map[i18n.Tag]string{}
		}
		if (*into)[tag] = text; text == "" {
			delete(*into, tag)
		}
	}
	for tag, text := range *into {
		c.values = append(c.values, string(tag)+"="+text)
	}
	slices.Sort(c.values)
	return c, nil
}

func keys(given []byte, s *application.Settings) choice {
	if given != nil {
		s.Keys = json.RawMessage(given)
	}
	c := choice{flag: "keys", given: given != nil}
	if len(s.Keys) > 0 {
		c.values = []string{string(s.Keys)}
	}
	return c
}

func claims(given []string, into *[]application.Claim) choice {
	c := choice{flag: "claim", given: given != nil}
	if c.given {
		*into = nil
		for _, text := range given {
			if name, from, _ := strings.Cut(text, "="); text != "" {
				source, value, _ := strings.Cut(from, ":")
				*into = append(*into, application.Claim{Name: name, Source: source, Value: value})
			}
		}
	}
	for _, told := range *into {
		c.values = append(c.values, strings.TrimSuffix(told.Name+"="+told.Source+":"+told.Value, ":"))
	}
	return c
}

type addApplicationCommand struct {
	ownerFlags
	settingFlags
	Kind application.Kind `default:"web" enum:"web,single_page,native,machine,link" help:"What it runs on: ${enum}; a link is a tile and nothing else."`
	ID   string           `placeholder:"ID" help:"Client ID of your choice: small letters, digits, _ and -. Unless set, a new one is made."`
}

// Run registers an application with what its kind is usually given.
func (c *addApplicationCommand) Run(p *program) error {
	s := application.Defaults(c.Kind)
	if c.Keys != nil || c.KeysURL != nil {
		s.Auth = application.PrivateKey
	}
	if _, err := c.choices(&s); err != nil {
		return err
	}
	return c.with(p, func(st *storage) error {
		if err := c.checkReach(p, st, s); err != nil {
			return err
		}
		var client application.Application
		var shown, whose string
		if err := st.db.Update(p.ctx, func(tx *db.Tx) error {
			org, err := c.owner(p.ctx, tx)
			if err != nil {
				return err
			}
			whose = ownerOf(org)
			client, shown, err = application.Register(p.ctx, tx, directory.Operator(), st.plan.issuer, application.Application{ID: application.ID(c.ID), OrgID: org.ID, Kind: c.Kind, Settings: s})
			return err
		}); err != nil {
			return err
		}
		fmt.Fprintf(p.out, "Registered %s for %s.\nClient ID: %s\n", client.Settings.Name, whose, client.ID)
		if shown != "" {
			showSecret(p.out, shown)
		}
		tellDeveloper(p.out, client, st.plan.issuer)
		return nil
	})
}

// tellDeveloper prints what to enter in the application, and what is missing here.
func tellDeveloper(w io.Writer, c application.Application, issuer string) {
	if c.Kind == application.Link {
		return
	}
	fmt.Fprintln(w, "Enter in the application, where it does not find the others by the first two:")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range op.Endpoints(cmp.Or(issuer, "PUBLIC-ADDRESS")) {
		fmt.Fprintf(table, "  %s\t%s\n", e.Name, e.Address)
	}
	table.Flush() //nolint:errcheck // As with every other line, the reader may have gone.
	if c.Code() && len(c.Settings.RedirectURIs) == 0 {
		fmt.Fprintf(w, "It has no redirect address, so nobody can sign in to it yet: parvis application set %s --redirect-uri URL\n", c.ID)
	}
}

func ownerOf(org directory.Organization) string {
	return cmp.Or(org.DisplayName, "the whole installation")
}

func showSecret(w io.Writer, shown string) {
	fmt.Fprintf(w, "Client secret: %s\nIt is shown this once: keep it where the application reads it.\n", shown)
}

type listApplicationsCommand struct{ ownerFlags }

// Run lists the installation's applications, or all that an organization has.
func (c *listApplicationsCommand) Run(p *program) error {
	return c.with(p, func(s *storage) error {
		return s.db.View(p.ctx, func(tx *db.Tx) error {
			org, err := c.owner(p.ctx, tx)
			if err != nil {
				return err
			}
			all, err := application.Of(p.ctx, tx, directory.Operator(), org.ID)
			if err != nil {
				return err
			}
			if len(all) == 0 {
				fmt.Fprintln(p.out, "No application yet.")
				return nil
			}
			return listApplications(p.ctx, p.out, tx, org, all)
		})
	})
}

func listApplications(ctx context.Context, w io.Writer, r db.Reader, org directory.Organization, all []application.Placed) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if org.ID == "" {
		fmt.Fprintln(table, "ID\tNAME\tKIND\tSTATE")
	} else {
		fmt.Fprintln(table, "ID\tNAME\tKIND\tSTATE\tFOR\tPEOPLE ARE ASKED")
	}
	for _, a := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s", a.ID, a.Settings.Name, a.Kind, stateOf(a.Application))
		if org.ID != "" {
			audience, err := audienceOf(ctx, r, org, a.Place)
			if err != nil {
				return err
			}
			fmt.Fprintf(table, "\t%s\t%s", audience, asksOf(a))
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

// stateOf returns the state of an application's tile.
func stateOf(c application.Application) string {
	switch {
	case c.Kind == application.Machine:
		return "no tile"
	case tileOf(c) == "":
		return "no address yet"
	case !c.FailedAt.IsZero():
		return "nobody answers since " + c.FailedAt.Format(time.DateOnly)
	}
	return tileOf(c)
}

func tileOf(c application.Application) string {
	return cmp.Or(c.Settings.InitiateURI, c.Settings.Address)
}

// audienceOf returns who sees an application, with groups by name.
func audienceOf(ctx context.Context, r db.Reader, org directory.Organization, place application.Placement) (string, error) {
	if place.Audience != application.SomeGroups {
		return string(place.Audience), nil
	}
	known, err := directory.Groups(ctx, r, directory.Operator(), org.ID)
	if err != nil {
		return "", err
	}
	var names []string
	for _, g := range known {
		if slices.Contains(place.Groups, g.ID) {
			names = append(names, g.Name)
		}
	}
	return cmp.Or(strings.Join(names, ", "), "groups that no longer exist"), nil
}

func asksOf(a application.Placed) string {
	switch {
	case a.Place.Standing == application.Forbidden:
		return "forbidden"
	case a.Place.Standing == application.Approved:
		return "no, approved"
	case a.Settings.Asks:
		return "yes"
	}
	return "no"
}

type showApplicationCommand struct{ applicationFlags }

// Run prints settings as the flags that 'set' takes.
func (c *showApplicationCommand) Run(p *program) error {
	return c.with(p, func(s *storage) error {
		return s.db.View(p.ctx, func(tx *db.Tx) error {
			a, org, err := c.find(p.ctx, tx)
			if err != nil {
				return err
			}
			own, err := settingFlags{}.choices(&a.Settings)
			if err != nil {
				return err
			}
			if a.OrgID != org.ID {
				org = directory.Organization{}
			}
			table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
			fmt.Fprintf(table, "client ID\t%s\nof\t%s\nkind\t%s\nstate\t%s\n", a.ID, ownerOf(org), a.Kind, stateOf(a.Application))
			for _, setting := range own {
				for _, value := range setting.values {
					fmt.Fprintf(table, "--%s\t%s\n", setting.flag, value)
				}
			}
			channels, err := op.Channels(p.ctx, tx)
			if err != nil {
				return err
			}
			if t := channels[a.ID]; t.Waiting > 0 || !t.TriedAt.IsZero() {
				fmt.Fprintf(table, "told of ended sessions\t%s\n", channelOf(t))
			}
			return table.Flush()
		})
	})
}

// channelOf says how an application answers on its back channel.
func channelOf(t op.Channel) string {
	var parts []string
	switch {
	case t.Failing():
		parts = append(parts, fmt.Sprintf("failed at %s: %s", t.TriedAt.Format(time.DateTime), replyOf(t)))
	case !t.TriedAt.IsZero():
		parts = append(parts, "last at "+t.TriedAt.Format(time.DateTime)+", answered as it should")
	}
	if t.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting, next try at %s", t.Waiting, t.NextTry.Format(time.DateTime)))
	}
	return strings.Join(parts, "; ")
}

func replyOf(t op.Channel) string {
	if key := t.ReplyKey(); key != "" {
		return inEnglish(fault.New(fault.Conflict, key))
	}
	return "it answered " + t.Reply
}

type setApplicationCommand struct {
	applicationFlags
	settingFlags
}

// Run changes what flags name, and nothing else.
func (c *setApplicationCommand) Run(p *program) error {
	plan, err := c.plan(p)
	if err != nil {
		return err
	}
	if err := c.with(p, func(st *storage) error {
		var named application.Settings
		if c.BackChannelLogout != nil {
			named.BackChannel = *c.BackChannelLogout
		}
		if c.KeysURL != nil {
			named.KeysURL = *c.KeysURL
		}
		return c.checkReach(p, st, named)
	}); err != nil {
		return err
	}
	var changed application.Application
	if err := c.update(p, func(tx *db.Tx, client application.Application) error {
		s := client.Settings
		all, err := c.choices(&s)
		if err != nil {
			return err
		}
		if s.Auth != application.PrivateKey && (len(c.Keys) > 0 || c.KeysURL != nil && *c.KeysURL != "") {
			return fmt.Errorf("--keys and --keys-url are for an application that proves itself with a key of its own: add --auth %s", application.PrivateKey)
		}
		if !slices.ContainsFunc(all, func(one choice) bool { return one.given }) {
			return errors.New("no setting was named: 'parvis application set --help' lists those that can be changed")
		}
		changed, err = application.Change(p.ctx, tx, directory.Operator(), plan.issuer, client, s)
		return err
	}); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s was changed.\n", changed.Settings.Name)
	return nil
}

type addSecretCommand struct{ applicationFlags }

// Run makes a second secret beside the one in use.
func (c *addSecretCommand) Run(p *program) error {
	var shown string
	if err := c.update(p, func(tx *db.Tx, client application.Application) (err error) {
		shown, err = application.AddSecret(p.ctx, tx, directory.Operator(), client)
		return err
	}); err != nil {
		return err
	}
	showSecret(p.out, shown)
	return nil
}

type listSecretsCommand struct{ applicationFlags }

// Run lists secrets, oldest first, so that one can see which are still used.
func (c *listSecretsCommand) Run(p *program) error {
	return c.with(p, func(s *storage) error {
		return s.db.View(p.ctx, func(tx *db.Tx) error {
			a, _, err := c.find(p.ctx, tx)
			if err != nil {
				return err
			}
			all, err := application.Secrets(p.ctx, tx, directory.Operator(), a.Application)
			if err != nil {
				return err
			}
			if len(all) == 0 {
				fmt.Fprintln(p.out, "No secret.")
				return nil
			}
			table := tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "SECRET\tCREATED\tLAST USED")
			for _, one := range all {
				used := "never"
				if !one.UsedAt.IsZero() {
					used = one.UsedAt.Format(time.DateOnly)
				}
				fmt.Fprintf(table, "%s\t%s\t%s\n", one.ID, one.CreatedAt.Format(time.DateOnly), used)
			}
			return table.Flush()
		})
	})
}

type removeSecretCommand struct {
	applicationFlags
	Secret string `arg:"" help:"Its id, as 'parvis application secret list' shows it."`
}

// Run removes a secret; the last one cannot be removed.
func (c *removeSecretCommand) Run(p *program) error {
	if err := c.update(p, func(tx *db.Tx, client application.Application) error {
		return application.RemoveSecret(p.ctx, tx, directory.Operator(), client, c.Secret)
	}); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s no longer works.\n", c.Secret)
	return nil
}

type placeApplicationCommand struct {
	storageFlags
	ID           string   `arg:"" help:"Its client ID."`
	Organization string   `required:"" placeholder:"NAME" help:"Short name of the organization."`
	Everyone     bool     `xor:"audience" help:"Everybody sees it."`
	Group        []string `placeholder:"NAME" sep:"none" xor:"audience" help:"Members of this group see it, and nobody else can sign in to it. Repeatable."`
	Nobody       bool     `xor:"audience" help:"Nobody sees it; its own address works for everybody."`
	Approve      bool     `xor:"standing" help:"It is approved for everybody: nobody is asked."`
	Forbid       bool     `xor:"standing" help:"Nobody in this organization can sign in to it."`
	AsRegistered bool     `xor:"standing" help:"People are asked where its registration says so."`
}

// Run decides for an organization, and leaves alone what no flag names.
func (c *placeApplicationCommand) Run(p *program) error {
	if !c.Everyone && !c.Nobody && len(c.Group) == 0 && !c.Approve && !c.Forbid && !c.AsRegistered {
		return errors.New("nothing was named: 'parvis application place --help' lists what can be decided")
	}
	return c.with(p, func(s *storage) error {
		var name, at string
		if err := s.db.Update(p.ctx, func(tx *db.Tx) error {
			a, org, err := applicationFlags{ownerFlags{Organization: c.Organization}, c.ID}.find(p.ctx, tx)
			if err != nil {
				return err
			}
			name, at = a.Settings.Name, org.DisplayName
			place, err := c.placement(p.ctx, tx, org, a.Place)
			if err != nil {
				return err
			}
			return application.Place(p.ctx, tx, directory.Operator(), org.ID, a.Application, place)
		}); err != nil {
			return err
		}
		fmt.Fprintf(p.out, "%s has %s as you decided.\n", at, name)
		return nil
	})
}

func (c *placeApplicationCommand) placement(ctx context.Context, r db.Reader, org directory.Organization, place application.Placement) (application.Placement, error) {
	switch {
	case c.Approve:
		place.Standing = application.Approved
	case c.Forbid:
		place.Standing = application.Forbidden
	case c.AsRegistered:
		place.Standing = application.AsRegistered
	}
	switch {
	case c.Everyone:
		place.Audience, place.Groups = application.Everyone, nil
	case c.Nobody:
		place.Audience, place.Groups = application.Nobody, nil
	case len(c.Group) > 0:
		place.Audience, place.Groups = application.SomeGroups, nil
	}
	known, err := directory.Groups(ctx, r, directory.Operator(), org.ID)
	if err != nil {
		return place, err
	}
	for _, name := range c.Group {
		i := slices.IndexFunc(known, func(g directory.Group) bool { return strings.EqualFold(g.Name, name) })
		if i < 0 {
			return place, fmt.Errorf("%s has no group %q", org.DisplayName, name)
		}
		place.Groups = append(place.Groups, known[i].ID)
	}
	return place, nil
}

type removeApplicationCommand struct{ applicationFlags }

// Run removes an application and everything that it was given.
func (c *removeApplicationCommand) Run(p *program) error {
	var name string
	if err := c.update(p, func(tx *db.Tx, client application.Application) error {
		name = client.Settings.Name
		return application.Remove(p.ctx, tx, directory.Operator(), client)
	}); err != nil {
		return err
	}
	fmt.Fprintf(p.out, "%s was removed, and what it was given no longer works.\n", name)
	return nil
}
