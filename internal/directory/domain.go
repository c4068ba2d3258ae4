package directory

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/limit"
	"parvis/internal/mail"
	"parvis/internal/naming"
	"parvis/internal/secret"
)

const (
	// DomainGrace is how long the record of a proven domain may be missing before
	// the domain lapses.
	DomainGrace = 7 * 24 * time.Hour
	// domainInterval is how often a proven domain is looked up again.
	domainInterval = 24 * time.Hour
	// mostDomains is how many an organization may list.
	mostDomains = 50
	// domainsAtOnce is how many look-ups of a sweep are on the way at a time, so that
	// a name server that hangs keeps few others waiting.
	domainsAtOnce = 20
	// lookupLasts is how long a look-up may take.
	lookupLasts = 10 * time.Second

	proofLabel = "_parvis-challenge."
	proofValue = "parvis-domain="
	maxDomain  = 253 - len(proofLabel) // RFC 1035 §2.3.4, for the record's name
)

// PerOrganizationDomains counts look-ups that somebody asks for: each is a question
// to a name server of the asker's choice.
var PerOrganizationDomains = limit.Policy{Name: "domain-organization", Free: 30, First: 10 * time.Second, Most: 10 * time.Minute, Forget: time.Hour}

// PerOrganizationHosts counts the hosts that an organization's administrators have asked
// or looked up: when they type the address of an identity provider or of an application.
var PerOrganizationHosts = limit.Policy{Name: "host-organization", Free: 60, First: 10 * time.Second, Most: 10 * time.Minute, Forget: time.Hour}

// Policies are the limiters of this package.
var Policies = []limit.Policy{PerOrganizationDomains, PerOrganizationHosts}

// The faults of domains.
var (
	ErrDomainMissing  = fault.Field("domain", "directory.domain_missing")
	ErrDomainInvalid  = fault.Field("domain", "directory.domain_invalid")
	ErrDomainPublic   = fault.Field("domain", "directory.domain_public")
	ErrDomainProvider = fault.Field("domain", "directory.domain_provider")
	ErrDomainListed   = fault.Field("domain", "directory.domain_listed")
	ErrTooManyDomains = fault.Field("domain", "directory.too_many_domains")

	ErrProofMissing    = fault.New(fault.Conflict, "directory.proof_missing")
	ErrProofUnanswered = fault.New(fault.Conflict, "directory.proof_unanswered")
	ErrDomainHeld      = fault.New(fault.Conflict, "directory.domain_held")
	ErrChecksTooOften  = fault.New(fault.Throttled, "directory.checks_too_often")
)

// mailProviders are domains whose addresses anybody can have. None of them could
// be proven either; this says so before somebody tries.
var mailProviders = strings.Fields(`gmail.com googlemail.com outlook.com outlook.fr hotmail.com hotmail.fr hotmail.co.uk live.com
	live.fr msn.com yahoo.com yahoo.fr yahoo.co.uk yahoo.co.jp ymail.com rocketmail.com icloud.com me.com mac.com aol.com gmx.com gmx.net
	gmx.de gmx.fr web.de t-online.de freenet.de proton.me protonmail.com pm.me tutanota.com tuta.com fastmail.com hey.com zoho.com mail.com
	mail.ru bk.ru inbox.ru list.ru yandex.ru yandex.com rambler.ru qq.com foxmail.com 163.com 126.com sina.com naver.com hanmail.net
	daum.net rediffmail.com orange.fr wanadoo.fr free.fr sfr.fr laposte.net bbox.fr libero.it virgilio.it tiscali.it comcast.net
	verizon.net att.net sbcglobal.net btinternet.com sky.com bigpond.com uol.com.br bol.com.br terra.com.br seznam.cz wp.pl o2.pl onet.pl`)

// Domain is a mail domain that an organization says is its own. Once it is proven by
// a record in the DNS, addresses of it lead to the organization, which alone holds it;
// it never lets anybody in (R-TEN-09). A domain below it is another one.
type Domain struct {
	OrgID           OrgID
	ID              string
	Key             string // A-labels in lower case, as Address.Domain
	CreatedAt       time.Time
	ProvenAt        time.Time // zero while it waits for its proof
	CheckedAt       time.Time // when the DNS was last asked; zero before the first time
	MissingSince    time.Time // since when the DNS says that the record is not there; zero while it is
	UnansweredSince time.Time // since when the DNS says nothing at all; zero while it answers
	LapsedAt        time.Time // when the proof was missing for too long; zero while it holds

	proof string // random, and this organization's: nobody has its record by chance or from another
}

// DomainState is how far a domain came.
type DomainState string

// The states. An organization holds a domain that is proven or missing.
const (
	DomainWaiting DomainState = "waiting"
	DomainProven  DomainState = "proven"
	DomainMissing DomainState = "missing" // proven, and its record is gone: it lapses soon
	DomainLapsed  DomainState = "lapsed"
)

// State is how far d came.
func (d Domain) State() DomainState {
	switch {
	case d.ProvenAt.IsZero():
		return DomainWaiting
	case !d.LapsedAt.IsZero():
		return DomainLapsed
	case !d.MissingSince.IsZero():
		return DomainMissing
	}
	return DomainProven
}

// Held tells that the organization holds d.
func (d Domain) Held() bool { return !d.ProvenAt.IsZero() && d.LapsedAt.IsZero() }

// LapsesAt is when d lapses unless its record comes back.
func (d Domain) LapsesAt() time.Time { return d.MissingSince.Add(DomainGrace) }

// String is d as people write it, in its own script.
func (d Domain) String() string {
	shown, err := idna.Display.ToUnicode(d.Key)
	if err != nil {
		return d.Key
	}
	return shown
}

// Record is the name of the TXT record that proves d.
func (d Domain) Record() string { return proofLabel + d.Key }

// Value is what that record holds.
func (d Domain) Value() string { return proofValue + d.proof }

// ParseDomain makes of a domain that somebody typed what addresses of it have as
// their Domain. It refuses what belongs to nobody or to everybody.
func ParseDomain(typed string) (string, error) {
	typed = strings.TrimSpace(typed)
	if typed == "" {
		return "", ErrDomainMissing
	}
	domain, ok := naming.ParseHost(typed)
	if !ok || len(domain) > maxDomain {
		return "", ErrDomainInvalid
	}
	if suffix, _ := publicsuffix.PublicSuffix(domain); suffix == domain {
		return "", ErrDomainPublic
	}
	if slices.Contains(mailProviders, domain) {
		return "", ErrDomainProvider
	}
	return domain, nil
}

// AddDomain lists a domain, which waits for its proof then. Others may list it too:
// whoever proves it first holds it.
func AddDomain(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, typed string) (Domain, error) {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return Domain{}, err
	}
	key, err := ParseDomain(typed)
	if err != nil {
		return Domain{}, err
	}
	all, err := domainsOf(ctx, tx, org)
	if err != nil {
		return Domain{}, err
	}
	switch {
	case slices.ContainsFunc(all, func(d Domain) bool { return d.Key == key }):
		return Domain{}, ErrDomainListed
	case len(all) >= mostDomains:
		return Domain{}, ErrTooManyDomains.With("Most", mostDomains)
	}
	d := Domain{OrgID: org, ID: secret.NewID("dom"), Key: key, CreatedAt: tx.Now(), proof: hex.EncodeToString(secret.Bytes(16))}
	if _, err := tx.Exec(ctx, `
		insert into domains (org_id, id, domain_key, proof, created_at)
		values ($1, $2, $3, $4, $5)`, string(org), d.ID, d.Key, d.proof, db.Time(d.CreatedAt)); err != nil {
		return Domain{}, fmt.Errorf("inserting domain %s: %w", d.ID, err)
	}
	return d, d.record(ctx, tx, actor, "domain.added")
}

// RemoveDomain takes a domain off the list. From then on it leads nobody here, and
// whoever proves it holds it.
func RemoveDomain(ctx context.Context, tx *db.Tx, actor Actor, org OrgID, id string) error {
	if err := actor.MaySetRules(ctx, tx, org); err != nil {
		return err
	}
	d, err := domainByID(ctx, tx, org, id)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `delete from domains where org_id = $1 and id = $2`, string(org), id); err != nil {
		return fmt.Errorf("removing domain %s: %w", id, err)
	}
	return d.record(ctx, tx, actor, "domain.removed")
}

func (d Domain) record(ctx context.Context, tx *db.Tx, actor Actor, action audit.Action) error {
	e := actor.Event(d.OrgID, action)
	e.Target, e.TargetName = d.ID, d.Key
	return audit.Record(ctx, tx, e)
}

const domainColumns = `d.org_id, d.id, d.domain_key, d.proof, d.created_at, d.proven_at, d.checked_at, d.missing_since, d.unanswered_since, d.lapsed_at`

func (d *Domain) targets() []any {
	return db.Into(&d.OrgID, &d.ID, &d.Key, &d.proof, (*db.Time)(&d.CreatedAt), (*db.Time)(&d.ProvenAt), (*db.Time)(&d.CheckedAt),
		(*db.Time)(&d.MissingSince), (*db.Time)(&d.UnansweredSince), (*db.Time)(&d.LapsedAt))
}

// DomainByID returns a domain of an organization; ErrNotFound where it has none by
// that id.
func DomainByID(ctx context.Context, r db.Reader, actor Actor, org OrgID, id string) (Domain, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return Domain{}, err
	}
	return domainByID(ctx, r, org, id)
}

func domainByID(ctx context.Context, r db.Reader, org OrgID, id string) (Domain, error) {
	var d Domain
	found, err := r.One(ctx, d.targets(), `
		select `+domainColumns+`
		from domains d
		where d.org_id = $1 and d.id = $2`, string(org), id)
	if err == nil && !found {
		err = ErrNotFound
	}
	return d, err
}

// DomainsOf lists the domains of an organization, those of a name that begins alike
// beside each other.
func DomainsOf(ctx context.Context, r db.Reader, actor Actor, org OrgID) ([]Domain, error) {
	if err := actor.MayRead(ctx, r, org); err != nil {
		return nil, err
	}
	return domainsOf(ctx, r, org)
}

func domainsOf(ctx context.Context, r db.Reader, org OrgID) ([]Domain, error) {
	return listDomains(ctx, r, `
		select `+domainColumns+`
		from domains d
		where d.org_id = $1
		order by d.domain_key`, string(org))
}

func listDomains(ctx context.Context, r db.Reader, query string, args ...any) ([]Domain, error) {
	var all []Domain
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var d Domain
		err := scan(d.targets()...)
		all = append(all, d)
		return err
	}, query, args...)
	return all, err
}

// DomainHolder is the organization that holds the domain of an address, whoever has
// the address: it says where to go, never who may come in. A suspended one leads
// nobody anywhere.
func DomainHolder(ctx context.Context, r db.Reader, address naming.Address) (OrgID, bool, error) {
	var org OrgID
	found, err := r.One(ctx, db.Into(&org), `
		select d.org_id from domains d
		join organizations o on o.id = d.org_id and o.suspended_at is null
		where d.domain_key = $1 and d.proven_at is not null and d.lapsed_at is null`, address.Domain)
	return org, found, err
}

// HoldsDomain tells whether an organization holds the domain of an address.
func HoldsDomain(ctx context.Context, r db.Reader, org OrgID, address naming.Address) (bool, error) {
	var id string
	return r.One(ctx, db.Into(&id), `
		select id from domains
		where org_id = $1 and domain_key = $2 and proven_at is not null and lapsed_at is null`, string(org), address.Domain)
}

// Resolver looks up TXT records. *net.Resolver is one.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Domains proves domains by what the DNS says, and goes on asking it.
type Domains struct {
	Resolver Resolver
	Limits   *limit.Limiter
	Outbox   *mail.Outbox
	Base     string // the configured public address, without a slash at its end
}

// answer is what the DNS says of a record.
type answer int

const (
	unanswered answer = iota // nothing: its servers fail or are not reached
	missing
	found
)

// ask looks for the record of a domain. Only what the DNS says for certain makes a
// record missing: a failure of its servers says nothing about it.
func (p *Domains) ask(ctx context.Context, d Domain) answer {
	ctx, cancel := context.WithTimeout(ctx, lookupLasts)
	defer cancel()
	// The dot at the end keeps the machine's own search list out.
	values, err := p.Resolver.LookupTXT(ctx, d.Record()+".")
	switch no, isDNS := errors.AsType[*net.DNSError](err); {
	case isDNS && no.IsNotFound:
		return missing
	case err != nil:
		return unanswered
	case slices.Contains(values, d.Value()):
		return found
	}
	return missing
}

// Asked is what the DNS said of a domain.
type Asked struct {
	domain Domain
	answer answer
}

// Ask looks for the record of a domain now, for an actor who may settle what comes of it.
// It counts how often an organization asks.
func (p *Domains) Ask(ctx context.Context, d *db.DB, actor Actor, org OrgID, id string) (Asked, error) {
	if err := actor.MaySetRules(ctx, d, org); err != nil {
		return Asked{}, err
	}
	domain, err := domainByID(ctx, d, org, id)
	if err != nil {
		return Asked{}, err
	}
	taken, err := limit.Take(ctx, d, p.Limits.Key(PerOrganizationDomains, limit.Of(org)))
	if err != nil {
		return Asked{}, err
	}
	if !taken.Allowed {
		return Asked{}, ErrChecksTooOften.After(taken.Wait)
	}
	a := p.ask(ctx, domain)
	return Asked{domain, a}, ctx.Err() // where nobody waits any more, nothing is no answer of the DNS
}

// Check asks and settles. Where that does not prove the domain, the fault says why.
func (p *Domains) Check(ctx context.Context, d *db.DB, actor Actor, org OrgID, id string) error {
	asked, err := p.Ask(ctx, d, actor, org, id)
	if err != nil {
		return err
	}
	var unproven error
	err = d.Update(ctx, func(tx *db.Tx) (err error) {
		unproven, err = p.Settle(ctx, tx, actor, asked)
		return err
	})
	return cmp.Or(err, unproven)
}

// Settle writes down what the DNS said of a domain, by the actor who asked. Where that
// does not prove the domain, unproven says why; what was found is kept all the same.
func (p *Domains) Settle(ctx context.Context, tx *db.Tx, actor Actor, asked Asked) (unproven, err error) {
	if err := actor.MaySetRules(ctx, tx, asked.domain.OrgID); err != nil {
		return nil, err
	}
	now, err := p.settle(ctx, tx, actor, asked)
	switch {
	case err != nil:
		return nil, err
	case asked.answer == missing:
		return ErrProofMissing, nil
	case asked.answer == unanswered:
		return ErrProofUnanswered, nil
	case !now.Held():
		return ErrDomainHeld, nil
	}
	return nil, nil
}

// settle writes down what the DNS said of a domain. What follows from it happens
// once, however many nodes asked.
func (p *Domains) settle(ctx context.Context, tx *db.Tx, actor Actor, asked Asked) (Domain, error) {
	was, err := domainByID(ctx, tx, asked.domain.OrgID, asked.domain.ID)
	if err != nil {
		return Domain{}, err
	}
	free := false
	if asked.answer == found && !was.Held() {
		if free, err = was.free(ctx, tx); err != nil {
			return Domain{}, err
		}
	}
	now := was.after(asked.answer, free, tx.Now())
	if _, err := tx.Exec(ctx, `
		update domains set proven_at = $1, checked_at = $2, missing_since = $3, unanswered_since = $4, lapsed_at = $5
		where org_id = $6 and id = $7`,
		db.Time(now.ProvenAt), db.Time(now.CheckedAt), db.Time(now.MissingSince), db.Time(now.UnansweredSince), db.Time(now.LapsedAt),
		string(now.OrgID), now.ID); err != nil {
		return Domain{}, fmt.Errorf("settling domain %s: %w", now.ID, err)
	}
	return now, p.tell(ctx, tx, actor, was, now)
}

// free tells that no other organization holds d.
func (d Domain) free(ctx context.Context, tx *db.Tx) (bool, error) {
	var holder OrgID
	held, err := tx.One(ctx, db.Into(&holder), `
		select org_id from domains
		where domain_key = $1 and org_id <> $2 and proven_at is not null and lapsed_at is null`, d.Key, string(d.OrgID))
	return !held, err
}

// after is what d becomes by an answer of the DNS. free says whether it may become
// the organization's.
func (d Domain) after(a answer, free bool, now time.Time) Domain {
	d.CheckedAt = now
	switch a {
	case unanswered:
		if d.UnansweredSince.IsZero() {
			d.UnansweredSince = now
		}
		return d // it lapses by no silence
	case missing:
		if d.MissingSince.IsZero() {
			d.MissingSince = now
		}
		if d.Held() && !now.Before(d.LapsesAt()) {
			d.LapsedAt = now
		}
	case found:
		d.MissingSince = time.Time{}
		if free {
			d.ProvenAt, d.LapsedAt = now, time.Time{}
		}
	}
	d.UnansweredSince = time.Time{}
	return d
}

// tell records what became of a domain, and writes to the administrators where they
// have to do something.
func (p *Domains) tell(ctx context.Context, tx *db.Tx, actor Actor, was, now Domain) error {
	before, after := was.State(), now.State()
	switch {
	case before == after:
		return nil
	case after == DomainMissing:
		if err := p.write(ctx, tx, now); err != nil {
			return err
		}
		return now.record(ctx, tx, actor, "domain.missing")
	case after == DomainLapsed:
		if err := p.write(ctx, tx, now); err != nil {
			return err
		}
		return now.record(ctx, tx, actor, "domain.lapsed")
	case before == DomainMissing:
		return now.record(ctx, tx, actor, "domain.found")
	}
	return now.record(ctx, tx, actor, "domain.proven")
}

// write writes the letter to every owner and administrator that the record of a
// domain is missing, or that the domain lapsed.
func (p *Domains) write(ctx context.Context, tx *db.Tx, d Domain) error {
	org, err := OrganizationByID(ctx, tx, d.OrgID)
	if err != nil {
		return err
	}
	all, err := Administrators(ctx, tx, d.OrgID)
	if err != nil {
		return err
	}
	for _, u := range all {
		l := mail.DomainParameters{
			Organization: org.DisplayName, Name: u.Name, Domain: d.String(), Record: d.Record(), Value: d.Value(),
			Link: p.Base + org.Path("admin", "domains", d.ID),
		}
		if d.LapsedAt.IsZero() {
			l.Lapses = d.LapsesAt()
		}
		if _, err := p.Outbox.Put(ctx, tx, u.Letter(l)); err != nil {
			return err
		}
	}
	return nil
}

// Sweep looks up again what was proven, each domain once a day.
func (p *Domains) Sweep(ctx context.Context, d *db.DB) error {
	for {
		due, err := listDomains(ctx, d, `
			select `+domainColumns+`
			from domains d
			where d.proven_at is not null and d.lapsed_at is null and d.checked_at <= $1
			order by d.checked_at
			limit $2`, db.Time(d.Now().Add(-domainInterval)), domainsAtOnce)
		if err != nil || len(due) == 0 {
			return err
		}
		answers := make([]answer, len(due))
		var wg sync.WaitGroup
		for i := range due {
			wg.Go(func() { answers[i] = p.ask(ctx, due[i]) })
		}
		wg.Wait()
		if err := ctx.Err(); err != nil {
			return err
		}
		for i, a := range answers {
			err := d.Update(ctx, func(tx *db.Tx) error {
				_, err := p.settle(ctx, tx, System(due[i].OrgID), Asked{due[i], a})
				return err
			})
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
		}
	}
}
