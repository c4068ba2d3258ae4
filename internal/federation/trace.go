package federation

import (
	"context"
	"encoding/json"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/naming"
	"parvis/internal/upstream"
)

// TracesKept is how long the trace of a sign-in by a provider is kept.
const TracesKept = 30 * 24 * time.Hour

// Trace explains one sign-in by a provider to the organization's administrators.
type Trace struct {
	OrgID        directory.OrgID
	ID           string // the reference that the person was shown
	ConnectionID string
	Connection   string // its name at that time, for the search
	At           time.Time
	Test         bool
	Tester       string // of a test: a user's id, or a setup link's
	Refused      string // name of the check that failed; empty where the person came in
	UserID       directory.UserID
	Who          string // address or subject, as the provider gave it
	Checks       []upstream.Check
	Claims       []upstream.Attribute // what arrived in a test; a sign-in's claims are not kept
	Network      string
	Rehearsal    Rehearsal // of a test only

	browser string // the browser that made the request; empty without one
}

// Rehearsal is the user as whom a test would have let the person in.
type Rehearsal struct {
	Subject string         `json:"subject,omitempty"` // the sub or NameID, as it came
	Format  string         `json:"format,omitempty"`  // of a NameID
	Name    string         `json:"name,omitempty"`    // empty, like the rest, if the person would not come in
	Email   string         `json:"email,omitempty"`
	Role    directory.Role `json:"role,omitempty"`
	Arrival Arrival        `json:"arrival,omitempty"`
}

// keepTrace stores what was looked at. For a failed sign-in the caller does so in a
// transaction of its own, so that the trace is not rolled back with it.
func keepTrace(ctx context.Context, tx *db.Tx, t Trace) error {
	checks, err := json.Marshal(t.Checks)
	if err != nil {
		return err
	}
	claims, err := json.Marshal(t.Claims)
	if err != nil {
		return err
	}
	var rehearsal db.Text
	if t.Rehearsal != (Rehearsal{}) {
		text, err := json.Marshal(t.Rehearsal)
		if err != nil {
			return err
		}
		rehearsal = db.Text(text)
	}
	_, err = tx.Exec(ctx, `
		insert into upstream_traces (org_id, id, connection_id, at, tester, refused, user_id, who, checks, claims, network, rehearsal, browser_id, search_key)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		string(t.OrgID), t.ID, t.ConnectionID, db.Time(tx.Now()), db.Text(t.Tester), db.Text(t.Refused), db.Text(t.UserID), t.Who,
		string(checks), string(claims), audit.OriginOf(ctx).Network, rehearsal, db.Text(t.browser),
		naming.SearchKey(t.Who, t.Connection, t.Rehearsal.Name))
	return err
}

const traceColumns = `t.org_id, t.id, t.connection_id, t.at, t.tester, t.refused, t.user_id, t.who, t.checks, t.claims, t.network, t.rehearsal`

func scanTrace(scan func(...any) error) (Trace, error) {
	var t Trace
	var checks, claims string
	var rehearsal db.Text
	if err := scan(&t.OrgID, &t.ID, &t.ConnectionID, (*db.Time)(&t.At), (*db.Text)(&t.Tester), (*db.Text)(&t.Refused), (*db.Text)(&t.UserID), &t.Who, &checks, &claims, &t.Network, &rehearsal); err != nil {
		return Trace{}, err
	}
	t.Test = t.Tester != ""
	if err := json.Unmarshal([]byte(checks), &t.Checks); err != nil {
		return Trace{}, err
	}
	if err := json.Unmarshal([]byte(claims), &t.Claims); err != nil || rehearsal == "" {
		return t, err
	}
	return t, json.Unmarshal([]byte(rehearsal), &t.Rehearsal)
}

// TraceOf returns the trace of one sign-in of an organization.
func TraceOf(ctx context.Context, r db.Reader, org directory.OrgID, id string) (Trace, error) {
	all, err := traces(ctx, r, `t.id = $2`, string(org), id)
	if err == nil && len(all) == 0 {
		err = directory.ErrNotFound
	}
	if err != nil {
		return Trace{}, err
	}
	return all[0], nil
}

// TraceQuery selects an organization's sign-ins by providers.
type TraceQuery struct {
	OrgID      directory.OrgID
	Connection string    // its id; empty for all
	Search     string    // a piece of an address, or of the name of a person or a connection
	Before     time.Time // zero for the newest
	Most       int
}

// TracesOf lists the traces that a query selects, the newest first.
func TracesOf(ctx context.Context, r db.Reader, q TraceQuery) ([]Trace, error) {
	if q.Before.IsZero() {
		q.Before = r.Now().Add(time.Hour)
	}
	return traces(ctx, r, `
		($2 = '' or t.connection_id = $2) and t.at < $3
			and ($4 = '' or t.search_key like $4 escape '\' or exists (
				select 1 from users u
				where u.org_id = t.org_id and u.id = t.user_id and u.search_key like $4 escape '\'))
		order by t.at desc, t.id desc
		limit $5`, string(q.OrgID), q.Connection, db.Time(q.Before), naming.SearchPattern(q.Search), q.Most)
}

func traces(ctx context.Context, r db.Reader, which string, args ...any) ([]Trace, error) {
	var all []Trace
	err := r.Rows(ctx, func(scan func(...any) error) error {
		t, err := scanTrace(scan)
		all = append(all, t)
		return err
	}, `select `+traceColumns+` from upstream_traces t where t.org_id = $1 and `+which, args...)
	return all, err
}
