// Package provisioning keeps people and groups of an organization as the customer's own directory
// says. Each such directory is a source. A source owns what it made and sees nothing else; what it
// asks for beyond that waits for an administrator.
//
// The package owns sources, source_tokens, provisioned, source_calls and source_waiting. It knows
// no word of SCIM, which is how sources speak.
package provisioning

import (
	"context"
	"fmt"
	"slices"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

// Service does what sources and their administrators ask for.
type Service struct {
	DB          *db.DB
	Invitations *directory.Invitations
	Emails      *directory.EmailChanges
	Outbox      *mail.Outbox
	Base        string // the public address, without a slash at its end
	// ComesIn reports whether somebody with an address can come in by a connection of their
	// organization, or by the one that is named. Connections stand above this package, so app fills it in.
	ComesIn func(ctx context.Context, r db.Reader, org directory.OrgID, address naming.Address, connection string) (bool, error)
	// Connects reports whether an organization has a connection; app fills it in too.
	Connects func(ctx context.Context, r db.Reader, org directory.OrgID, connection string) (bool, error)
	// Speak runs a call that somebody wrote down as a source would make it, and undoes it. How sources
	// speak stands above this package too.
	Speak func(context.Context, Source, Sent) (Call, error)
}

// State is what a source may do.
type State string

// The states.
const (
	Watching State = "watching" // reads are answered; writes are done, rolled back and listed
	On       State = "on"
	Stopped  State = "stopped" // nothing is answered
)

// Provider is whose directory a source is. It decides only which guide is shown.
type Provider string

// Providers lists all providers, as they are offered.
var Providers = []Provider{"entra", "okta", "onelogin", "jumpcloud", "google", "ping", "other"}

// mostSources is how many sources an organization may have.
const mostSources = 10

// The faults of managing sources.
var (
	ErrProvider       = fault.Field("provider", "provisioning.provider_unknown")
	ErrNameTaken      = fault.Field("name", "provisioning.name_taken")
	ErrConnection     = fault.Field("connection_id", "provisioning.connection_unknown")
	ErrTooManySources = fault.New(fault.Conflict, "provisioning.too_many_sources")
	ErrStateHeld      = fault.New(fault.Conflict, "provisioning.state_held")
)

// Source is a directory of a customer.
type Source struct {
	OrgID    directory.OrgID
	ID       string // src_ and 26 characters
	Name     string
	Provider Provider
	State    State
	// ConnectionID is the connection that its people come in by; empty for any. One that was removed
	// lets nobody in, until another one is chosen.
	ConnectionID string

	Invites   bool // who cannot come in by single sign-on gets an invitation
	Brake     bool // deletions and memberships beyond the measure are held
	CreatedAt time.Time
	UsedAt    time.Time // of its last call, to the minute; zero before the first
	Network   string    // from where that came

	lostSince time.Time
	lost      int
	record    *record // what the call under way did
}

const sourceColumns = `s.org_id, s.id, s.name, s.provider, s.state, s.connection_id, s.invites, s.brake, s.created_at, s.used_at, s.network, s.lost_since, s.lost`

func (s *Source) targets() []any {
	return db.Into(&s.OrgID, &s.ID, &s.Name, &s.Provider, &s.State, (*db.Text)(&s.ConnectionID), &s.Invites, &s.Brake, (*db.Time)(&s.CreatedAt),
		(*db.Time)(&s.UsedAt), &s.Network, (*db.Time)(&s.lostSince), &s.lost)
}

// Actor returns the source as the one who acts. It may do to people what an administrator may, as
// long as it is not stopped; what it must never do is refused by the functions of this package.
// Write and Settle read the source in the transaction in which it acts: it need not be read again.
func (s Source) Actor() directory.Actor {
	a := directory.Actor{Kind: directory.KindSource, OrgID: s.OrgID, ID: s.ID, Name: s.Name, Role: directory.Administrator}
	itself := a
	a.Again = func(context.Context, db.Reader) (directory.Actor, error) { return itself, nil }
	return a
}

func (s Source) event(actor directory.Actor, action audit.Action) audit.Event {
	e := actor.Event(s.OrgID, action)
	e.Target, e.TargetName = s.ID, s.Name
	return e
}

func sourceByID(ctx context.Context, r db.Reader, org directory.OrgID, id string) (Source, error) {
	var s Source
	found, err := r.One(ctx, s.targets(), `
		select `+sourceColumns+`
		from sources s
		where s.org_id = $1 and s.id = $2`, string(org), id)
	if err == nil && !found {
		err = directory.ErrNotFound
	}
	return s, err
}

// SourceByID returns a source for those who read the administration.
func SourceByID(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, id string) (Source, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return Source{}, err
	}
	return sourceByID(ctx, r, org, id)
}

// Sources lists the sources of an organization by name.
func Sources(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) ([]Source, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return nil, err
	}
	return sourcesOf(ctx, r, org)
}

func sourcesOf(ctx context.Context, r db.Reader, org directory.OrgID) ([]Source, error) {
	return db.List(ctx, r, (*Source).targets, `
		select `+sourceColumns+`
		from sources s
		where s.org_id = $1
		order by s.name, s.id`, string(org))
}

// Settings are what an administrator chooses of a source.
type Settings struct {
	Name         string
	Provider     Provider
	ConnectionID string
	Invites      bool
}

// Settings returns what was chosen of s.
func (s Source) Settings() Settings { return Settings{s.Name, s.Provider, s.ConnectionID, s.Invites} }

func (n Settings) fields(other Settings) audit.Fields {
	f := audit.Fields{}
	if n.Name != other.Name {
		f["name"] = n.Name
	}
	if n.Provider != other.Provider {
		f["provider"] = n.Provider
	}
	if n.ConnectionID != other.ConnectionID {
		f["connection"] = n.ConnectionID
	}
	if n.Invites != other.Invites {
		f["invites"] = n.Invites
	}
	return f
}

// judge returns settings of a source as they are stored, or a fault for a value that is wrong.
func (s *Service) judge(ctx context.Context, r db.Reader, n Settings, of Source, others []Source) (Settings, error) {
	name, err := naming.CleanName(n.Name, "name")
	if err != nil {
		return n, err
	}
	n.Name = name
	if !slices.Contains(Providers, n.Provider) {
		return n, ErrProvider
	}
	for _, other := range others {
		if other.ID != of.ID && naming.Fold(other.Name) == naming.Fold(n.Name) {
			return n, ErrNameTaken
		}
	}
	if n.ConnectionID == "" || n.ConnectionID == of.ConnectionID {
		return n, nil
	}
	found, err := s.Connects(ctx, r, of.OrgID, n.ConnectionID)
	if err == nil && !found {
		err = ErrConnection
	}
	return n, err
}

// Create adds a source, which only watches until it is turned on. Only the operator makes one
// without a brake, which is for test suites.
func (s *Service) Create(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, n Settings, brake bool) (Source, error) {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return Source{}, err
	}
	if !brake && actor.Kind != directory.KindOperator {
		return Source{}, directory.ErrDenied
	}
	others, err := sourcesOf(ctx, tx, org)
	if err != nil {
		return Source{}, err
	}
	if len(others) >= mostSources {
		return Source{}, ErrTooManySources.With("Most", mostSources)
	}
	if n, err = s.judge(ctx, tx, n, Source{OrgID: org}, others); err != nil {
		return Source{}, err
	}
	source := Source{
		OrgID: org, ID: secret.NewID("src"), Name: n.Name, Provider: n.Provider, State: Watching, ConnectionID: n.ConnectionID, Invites: n.Invites, Brake: brake, CreatedAt: tx.Now(),
	}
	if _, err := tx.Exec(ctx, `
		insert into sources (org_id, id, name, provider, state, connection_id, invites, brake, created_at)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		string(org), source.ID, source.Name, string(source.Provider), string(source.State), db.Text(source.ConnectionID), source.Invites, source.Brake, db.Time(source.CreatedAt)); err != nil {
		return Source{}, fmt.Errorf("inserting source %s: %w", source.ID, err)
	}
	e := source.event(actor, "source.created")
	e.After = n.fields(Settings{})
	e.After["brake"] = brake
	return source, audit.Record(ctx, tx, e)
}

// Change changes what was chosen of a source.
func (s *Service) Change(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string, n Settings) (Source, error) {
	source, err := changeable(ctx, tx, actor, org, id)
	if err != nil {
		return Source{}, err
	}
	others, err := sourcesOf(ctx, tx, org)
	if err != nil {
		return Source{}, err
	}
	before := source.Settings()
	if n, err = s.judge(ctx, tx, n, source, others); err != nil || n == before {
		return source, err
	}
	if _, err := tx.Exec(ctx, `
		update sources set name = $1, provider = $2, invites = $3, connection_id = $4
		where org_id = $5 and id = $6`, n.Name, string(n.Provider), n.Invites, db.Text(n.ConnectionID), string(org), id); err != nil {
		return Source{}, fmt.Errorf("changing source %s: %w", id, err)
	}
	source.Name, source.Provider, source.Invites, source.ConnectionID = n.Name, n.Provider, n.Invites, n.ConnectionID
	e := source.event(actor, "source.changed")
	e.Before, e.After = before.fields(n), n.fields(before)
	return source, audit.Record(ctx, tx, e)
}

// Turn gives a source another state.
func (s *Service) Turn(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string, to State) error {
	source, err := changeable(ctx, tx, actor, org, id)
	if err == nil && source.State == to {
		err = ErrStateHeld
	}
	if err != nil {
		return err
	}
	return source.turn(ctx, tx, actor, to)
}

func (s Source) turn(ctx context.Context, tx *db.Tx, actor directory.Actor, to State) error {
	if _, err := tx.Exec(ctx, `update sources set state = $1 where org_id = $2 and id = $3`, string(to), string(s.OrgID), s.ID); err != nil {
		return fmt.Errorf("making source %s %s: %w", s.ID, to, err)
	}
	e := s.event(actor, "source.turned")
	e.Before, e.After = audit.Fields{"state": s.State}, audit.Fields{"state": to}
	return audit.Record(ctx, tx, e)
}

// Delete removes a source with its tokens. Its people and groups stay as they are, and only
// administrators change them from then on.
func (s *Service) Delete(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string) error {
	source, err := changeable(ctx, tx, actor, org, id)
	if err != nil {
		return err
	}
	released, err := directory.ReleaseSource(ctx, tx, org, id)
	if err == nil {
		err = directory.EndRight(ctx, tx, org, id)
	}
	if err == nil {
		_, err = tx.Exec(ctx, `delete from sources where org_id = $1 and id = $2`, string(org), id)
	}
	if err != nil {
		return fmt.Errorf("deleting source %s: %w", id, err)
	}
	e := source.event(actor, "source.deleted")
	e.Before = audit.Fields{"people": released}
	return audit.Record(ctx, tx, e)
}

func changeable(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, id string) (Source, error) {
	if err := actor.MaySetRules(ctx, r, org); err != nil {
		return Source{}, err
	}
	return sourceByID(ctx, r, org, id)
}
