package directory

import (
	"context"
	"fmt"
	"strings"

	"parvis/internal/db"
)

// openState is Invitation.State of an open invitation, as i, for statements that count by it. $2
// is the present time. A subquery with one value is answered by an index for each invitation; for
// a join, PostgreSQL may read all letters and all users.
var openState = `case
	when (select t.id` + addressee + ` and not ` + invitable + `) is not null then 'taken'
	when not (i.invited_by is null and coalesce(i.asked_kind, '') <> '` + string(KindUser) + `' or coalesce((
		select v.role || ' ' || i.role
		from users v
		where v.org_id = i.org_id and v.id = i.invited_by and v.deactivated_at is null), '') in (` + governing() + `)) then 'lapsed'
	else coalesce((
		select case
			when l.bounced_at is not null then 'bounced'
			when i.expires_at <= $2 then 'expired'
			when i.opened_at is not null then 'opened'
			when l.sent_at is not null then 'sent'
			when l.given_up_at is not null then 'given_up'
			else 'waiting' end
		from letters l
		where l.org_id = i.org_id and l.id = i.letter_id), case
			when i.expires_at <= $2 then 'expired'
			when i.opened_at is not null then 'opened'
			else 'waiting' end) end`

// governing lists each role with each that it governs, for Asker.StillGoverns in a statement.
func governing() string {
	var pairs []string
	for _, r := range Roles {
		for _, other := range r.Grants() {
			pairs = append(pairs, `'`+string(r)+` `+string(other)+`'`)
		}
	}
	return strings.Join(pairs, `, `)
}

// MostStates is how many open invitations InvitationStates looks at, the newest: to find the
// state of one reads its letter, who sent it, and who has its address.
const MostStates = 500

// InvitationStates counts the open invitations of an organization by state.
func InvitationStates(ctx context.Context, r db.Reader, org OrgID) (map[InvitationState]int, error) {
	states := map[InvitationState]int{}
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var s InvitationState
		err := scan(&s)
		states[s]++
		return err
	}, `
		select `+openState+` from (
			select org_id, email_key, role, letter_id, invited_by, asked_kind, expires_at, opened_at
			from invitations
			where org_id = $1 and accepted_at is null and withdrawn_at is null and replaced_at is null
			order by created_at desc, id desc
			limit $3) i`, string(org), db.Time(r.Now()), MostStates)
	if err != nil {
		return nil, fmt.Errorf("counting open invitations: %w", err)
	}
	return states, nil
}
