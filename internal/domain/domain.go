// Package domain keeps the mail domains of organizations: which are listed, which are proven by a
// DNS record, and which organization holds them.
//
// It owns domains.
package domain

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/limit"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

const (
	// Grace is how long the record of a proven domain may be missing before the domain lapses.
	Grace = 7 * 24 * time.Hour
	// interval is how often a proven domain is looked up again.
	interval = 24 * time.Hour
	// most is how many domains an organization may list.
	most = 50
	// atOnce is how many look-ups a sweep makes at the same time, so that a name server that
	// hangs delays few others.
	atOnce = 20
	// lookupLasts is how long a look-up may take.
	lookupLasts = 10 * time.Second

	proofLabel = "_parvis-challenge."
	proofValue = "parvis-domain="
	longest    = 253 - len(proofLabel) // RFC 1035 §2.3.4, for the record's name
)

// PerOrganization limits the look-ups that people ask for: each is a question to a name server of
// their choice.
var PerOrganization = limit.Policy{Name: "domain-organization", Free: 30, First: 10 * time.Second, Most: 10 * time.Minute, Forget: time.Hour}

// Policies are the limiters of this package.
var Policies = []limit.Policy{PerOrganization}

// The faults of domains.
var (
	ErrMissing  = fault.Field("domain", "directory.domain_missing")
	ErrInvalid  = fault.Field("domain", "directory.domain_invalid")
	ErrPublic   = fault.Field("domain", "directory.domain_public")
	ErrProvider = fault.Field("domain", "directory.domain_provider")
	ErrListed   = fault.Field("domain", "directory.domain_listed")
	ErrTooMany  = fault.Field("domain", "directory.too_many_domains")

	ErrProofMissing    = fault.New(fault.Conflict, "directory.proof_missing")
	ErrProofUnanswered = fault.New(fault.Conflict, "directory.proof_unanswered")
	ErrHeld            = fault.New(fault.Conflict, "directory.domain_held")
	ErrChecksTooOften  = fault.New(fault.Throttled, "directory.checks_too_often")
)

// mailProviders are domains where anybody can have an address. None of them could be proven; the
// list says so before somebody tries.
var mailProviders = strings.Fields(`gmail.com googlemail.com outlook.com outlook.fr hotmail.com hotmail.fr hotmail.co.uk live.com
	live.fr msn.com yahoo.com yahoo.fr yahoo.co.uk yahoo.co.jp ymail.com rocketmail.com icloud.com me.com mac.com aol.com gmx.com gmx.net
	gmx.de gmx.fr web.de t-online.de freenet.de proton.me protonmail.com pm.me tutanota.com tuta.com fastmail.com hey.com zoho.com mail.com
	mail.ru bk.ru inbox.ru list.ru yandex.ru yandex.com rambler.ru qq.com foxmail.com 163.com 126.com sina.com naver.com hanmail.net
	daum.net rediffmail.com orange.fr wanadoo.fr free.fr sfr.fr laposte.net bbox.fr libero.it virgilio.it tiscali.it comcast.net
	verizon.net att.net sbcglobal.net btinternet.com sky.com bigpond.com uol.com.br bol.com.br terra.com.br seznam.cz wp.pl o2.pl onet.pl`)

// Domain is a mail domain that an organization claims. Once it is proven by a DNS record, only this
// organization holds it, and its addresses lead there; it never lets anybody in (R-TEN-09). A domain
// below it is a separate one.
type Domain struct {
	OrgID           directory.OrgID
	ID              string
	Key             string // A-labels in lower case, as Address.Domain
	CreatedAt       time.Time
	ProvenAt        time.Time // zero while it waits for its proof
	CheckedAt       time.Time // when the DNS was last asked; zero if never
	MissingSince    time.Time // since when the DNS says that there is no record; zero while there is
	UnansweredSince time.Time // since when the DNS does not answer; zero while it does
	LapsedAt        time.Time // when the proof had been missing for too long; zero while it holds

	proof string // random for each organization, so nobody else's record matches it
}

// State is how far the proof of a domain has come.
type State string

// The states. An organization holds a domain that is proven or missing.
const (
	Waiting State = "waiting"
	Proven  State = "proven"
	Missing State = "missing" // proven, but the record is gone: it will lapse
	Lapsed  State = "lapsed"
)

// State returns how far the proof of d has come.
func (d Domain) State() State {
	switch {
	case d.ProvenAt.IsZero():
		return Waiting
	case !d.LapsedAt.IsZero():
		return Lapsed
	case !d.MissingSince.IsZero():
		return Missing
	}
	return Proven
}

// Held reports whether the organization holds d.
func (d Domain) Held() bool { return !d.ProvenAt.IsZero() && d.LapsedAt.IsZero() }

// LapsesAt returns when d lapses unless its record comes back.
func (d Domain) LapsesAt() time.Time { return d.MissingSince.Add(Grace) }

// String returns d as people write it, in its own script.
func (d Domain) String() string {
	shown, err := idna.Display.ToUnicode(d.Key)
	if err != nil {
		return d.Key
	}
	return shown
}

// Record returns the name of the TXT record that proves d.
func (d Domain) Record() string { return proofLabel + d.Key }

// Value returns what that record must hold.
func (d Domain) Value() string { return proofValue + d.proof }

// Parse turns a typed domain into the Domain of its addresses. It refuses domains that belong to
// nobody or to everybody.
func Parse(typed string) (string, error) {
	typed = strings.TrimSpace(typed)
	if typed == "" {
		return "", ErrMissing
	}
	domain, ok := naming.ParseHost(typed)
	if !ok || len(domain) > longest {
		return "", ErrInvalid
	}
	if suffix, _ := publicsuffix.PublicSuffix(domain); suffix == domain {
		return "", ErrPublic
	}
	if slices.Contains(mailProviders, domain) {
		return "", ErrProvider
	}
	return domain, nil
}

// Add lists a domain, which then waits for its proof. Others may list it too: the first one that
// proves it holds it.
func Add(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, typed string) (Domain, error) {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return Domain{}, err
	}
	key, err := Parse(typed)
	if err != nil {
		return Domain{}, err
	}
	all, err := of(ctx, tx, org)
	if err != nil {
		return Domain{}, err
	}
	switch {
	case slices.ContainsFunc(all, func(d Domain) bool { return d.Key == key }):
		return Domain{}, ErrListed
	case len(all) >= most:
		return Domain{}, ErrTooMany.With("Most", most)
	}
	d := Domain{OrgID: org, ID: secret.NewID("dom"), Key: key, CreatedAt: tx.Now(), proof: hex.EncodeToString(secret.Bytes(16))}
	if _, err := tx.Exec(ctx, `
		insert into domains (org_id, id, domain_key, proof, created_at)
		values ($1, $2, $3, $4, $5)`, string(org), d.ID, d.Key, d.proof, db.Time(d.CreatedAt)); err != nil {
		return Domain{}, fmt.Errorf("inserting domain %s: %w", d.ID, err)
	}
	return d, d.record(ctx, tx, actor, "domain.added")
}

// Remove takes a domain off the list. From then on it leads nobody here, and another organization
// can prove it.
func Remove(ctx context.Context, tx *db.Tx, actor directory.Actor, org directory.OrgID, id string) error {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return err
	}
	d, err := byID(ctx, tx, org, id)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `delete from domains where org_id = $1 and id = $2`, string(org), id); err != nil {
		return fmt.Errorf("removing domain %s: %w", id, err)
	}
	return d.record(ctx, tx, actor, "domain.removed")
}

func (d Domain) record(ctx context.Context, tx *db.Tx, actor directory.Actor, action audit.Action) error {
	e := actor.Event(d.OrgID, action)
	e.Target, e.TargetName = d.ID, d.Key
	return audit.Record(ctx, tx, e)
}

const columns = `d.org_id, d.id, d.domain_key, d.proof, d.created_at, d.proven_at, d.checked_at, d.missing_since, d.unanswered_since, d.lapsed_at`

func (d *Domain) targets() []any {
	return db.Into(&d.OrgID, &d.ID, &d.Key, &d.proof, (*db.Time)(&d.CreatedAt), (*db.Time)(&d.ProvenAt), (*db.Time)(&d.CheckedAt),
		(*db.Time)(&d.MissingSince), (*db.Time)(&d.UnansweredSince), (*db.Time)(&d.LapsedAt))
}

// ByID returns a domain of an organization, or directory.ErrNotFound.
func ByID(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID, id string) (Domain, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return Domain{}, err
	}
	return byID(ctx, r, org, id)
}

func byID(ctx context.Context, r db.Reader, org directory.OrgID, id string) (Domain, error) {
	var d Domain
	found, err := r.One(ctx, d.targets(), `
		select `+columns+`
		from domains d
		where d.org_id = $1 and d.id = $2`, string(org), id)
	if err == nil && !found {
		err = directory.ErrNotFound
	}
	return d, err
}

// Of lists the domains of an organization by name.
func Of(ctx context.Context, r db.Reader, actor directory.Actor, org directory.OrgID) ([]Domain, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return nil, err
	}
	return of(ctx, r, org)
}

func of(ctx context.Context, r db.Reader, org directory.OrgID) ([]Domain, error) {
	return list(ctx, r, `
		select `+columns+`
		from domains d
		where d.org_id = $1
		order by d.domain_key`, string(org))
}

func list(ctx context.Context, r db.Reader, query string, args ...any) ([]Domain, error) {
	return db.List(ctx, r, (*Domain).targets, query, args...)
}

// Holder returns the organization that holds the domain of an address, whether or not anybody has
// the address. It says where to sign in, never who may come in. It returns no suspended one.
func Holder(ctx context.Context, r db.Reader, address naming.Address) (directory.OrgID, bool, error) {
	var org directory.OrgID
	found, err := r.One(ctx, db.Into(&org), `
		select d.org_id from domains d
		join organizations o on o.id = d.org_id and o.suspended_at is null
		where d.domain_key = $1 and d.proven_at is not null and d.lapsed_at is null`, address.Domain)
	return org, found, err
}

// Holds reports whether an organization holds the domain of an address.
func Holds(ctx context.Context, r db.Reader, org directory.OrgID, address naming.Address) (bool, error) {
	var id string
	return r.One(ctx, db.Into(&id), `
		select id from domains
		where org_id = $1 and domain_key = $2 and proven_at is not null and lapsed_at is null`, string(org), address.Domain)
}
