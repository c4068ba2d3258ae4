package domain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/limit"
	"parvis/internal/mail"
	"parvis/internal/safely"
)

// Resolver looks up TXT records, as *net.Resolver does.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
}

// Prover proves domains by what the DNS says, and asks again every day.
type Prover struct {
	Resolver Resolver
	Limits   *limit.Limiter
	Outbox   *mail.Outbox
	Base     string // the configured public address, without a slash at its end
}

// answer is what the DNS says of a record.
type answer int

const (
	unanswered answer = iota // its servers fail or cannot be reached
	missing
	found
)

// ask looks up the record of a domain. Only a definite answer makes a record missing; a failure of
// the DNS says nothing about it.
func (p *Prover) ask(ctx context.Context, d Domain) answer {
	ctx, cancel := context.WithTimeout(ctx, lookupLasts)
	defer cancel()
	// The final dot keeps out the machine's own search list.
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

// Ask looks up the record of a domain now, for an actor who may settle the result. It counts
// against the organization's limit.
func (p *Prover) Ask(ctx context.Context, d *db.DB, actor directory.Actor, org directory.OrgID, id string) (Asked, error) {
	if err := actor.MaySetRules(ctx, d, org); err != nil {
		return Asked{}, err
	}
	domain, err := byID(ctx, d, org, id)
	if err != nil {
		return Asked{}, err
	}
	taken, err := limit.Take(ctx, d, p.Limits.Key(PerOrganization, limit.Of(org)).In(string(org)))
	if err != nil {
		return Asked{}, err
	}
	if !taken.Allowed {
		return Asked{}, ErrChecksTooOften.After(taken.Wait)
	}
	a := p.ask(ctx, domain)
	return Asked{domain, a}, ctx.Err() // if the request was cancelled, no answer is not the DNS's silence
}

// Check asks and settles. If that does not prove the domain, the fault says why.
func (p *Prover) Check(ctx context.Context, d *db.DB, actor directory.Actor, org directory.OrgID, id string) error {
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

// Settle stores what the DNS said of a domain, for the actor who asked. If that does not prove the
// domain, unproven says why; the answer is stored all the same.
func (p *Prover) Settle(ctx context.Context, tx *db.Tx, actor directory.Actor, asked Asked) (unproven, err error) {
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
		return ErrHeld, nil
	}
	return nil, nil
}

// settle stores what the DNS said of a domain. What follows from it happens once, however many
// nodes asked.
func (p *Prover) settle(ctx context.Context, tx *db.Tx, actor directory.Actor, asked Asked) (Domain, error) {
	was, err := byID(ctx, tx, asked.domain.OrgID, asked.domain.ID)
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

// free reports whether no other organization holds d.
func (d Domain) free(ctx context.Context, tx *db.Tx) (bool, error) {
	var holder directory.OrgID
	held, err := tx.One(ctx, db.Into(&holder), `
		select org_id from domains
		where domain_key = $1 and org_id <> $2 and proven_at is not null and lapsed_at is null`, d.Key, string(d.OrgID))
	return !held, err
}

// after returns d after an answer of the DNS. free says whether the organization may come to hold it.
func (d Domain) after(a answer, free bool, now time.Time) Domain {
	d.CheckedAt = now
	switch a {
	case unanswered:
		if d.UnansweredSince.IsZero() {
			d.UnansweredSince = now
		}
		return d // silence alone never makes it lapse
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

// tell records a change of a domain's state, and writes to the administrators if they must act.
func (p *Prover) tell(ctx context.Context, tx *db.Tx, actor directory.Actor, was, now Domain) error {
	before, after := was.State(), now.State()
	switch {
	case before == after:
		return nil
	case after == Missing:
		if err := p.write(ctx, tx, now); err != nil {
			return err
		}
		return now.record(ctx, tx, actor, "domain.missing")
	case after == Lapsed:
		if err := p.write(ctx, tx, now); err != nil {
			return err
		}
		return now.record(ctx, tx, actor, "domain.lapsed")
	case before == Missing:
		return now.record(ctx, tx, actor, "domain.found")
	}
	return now.record(ctx, tx, actor, "domain.proven")
}

// write writes to every owner and administrator that the record of a domain is missing, or that
// the domain has lapsed.
func (p *Prover) write(ctx context.Context, tx *db.Tx, d Domain) error {
	org, err := directory.OrganizationByID(ctx, tx, d.OrgID)
	if err != nil {
		return err
	}
	all, err := directory.Administrators(ctx, tx, d.OrgID)
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

// Sweep looks up the domains that organizations hold, each once a day.
func (p *Prover) Sweep(ctx context.Context, d *db.DB) error {
	for {
		due, err := list(ctx, d, `
			select `+columns+`
			from domains d
			where d.proven_at is not null and d.lapsed_at is null and d.checked_at <= $1
			order by d.checked_at
			limit $2`, db.Time(d.Now().Add(-interval)), atOnce)
		if err != nil || len(due) == 0 {
			return err
		}
		answers, errs := make([]answer, len(due)), make([]error, len(due))
		var wg sync.WaitGroup
		for i := range due {
			wg.Go(func() { errs[i] = safely.Do(func() error { answers[i] = p.ask(ctx, due[i]); return nil }) })
		}
		wg.Wait()
		if err := errors.Join(append(errs, ctx.Err())...); err != nil {
			return err
		}
		for i, a := range answers {
			err := d.Update(ctx, func(tx *db.Tx) error {
				_, err := p.settle(ctx, tx, directory.System(due[i].OrgID), Asked{due[i], a})
				return err
			})
			if err != nil && !errors.Is(err, directory.ErrNotFound) {
				return err
			}
		}
	}
}
