package op

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/limit"
	"parvis/internal/op/redirect"
	"parvis/internal/outbound"
)

// Channel is how an application answers when it is told that a session ended.
type Channel struct {
	TriedAt time.Time // of the last call; zero if there was none within seven days
	Reply   string    // to that call: a status, or why there is none
	Taken   bool      // the application accepted that call
	Waiting int       // ended sessions that it has not been told of yet
	NextTry time.Time // when it is told next; zero if nothing waits
}

// Failing reports whether the application did not accept the last call.
func (t Channel) Failing() bool { return !t.TriedAt.IsZero() && !t.Taken }

// ReplyKey returns the catalogue key of the sentence that says what went wrong, or nothing
// if the reply is a status.
func (t Channel) ReplyKey() string {
	if why, ok := strings.CutPrefix(t.Reply, "outbound: "); ok {
		return "op.channel." + why
	}
	if t.Reply == "" || t.Reply[0] >= '0' && t.Reply[0] <= '9' {
		return ""
	}
	return "op.channel.unsent"
}

// ChannelOf returns how an application answered when sessions of one organization ended.
func ChannelOf(ctx context.Context, r db.Reader, org directory.OrgID, c ClientID) (Channel, error) {
	all, err := channels(ctx, r, channelOf, string(org), string(c))
	return all[c], err
}

// Channels returns how every application answered for all organizations together; the
// operator sees it.
func Channels(ctx context.Context, r db.Reader) (map[ClientID]Channel, error) {
	return channels(ctx, r, channelsOfAll)
}

// Both statements begin at the applications, and find the last call and what waits by an
// index, so their cost does not grow with the number of earlier calls.
const (
	tried   = `l.client_id = c.id and l.tried_at is not null order by l.tried_at desc, l.id desc limit 1`
	waiting = `l.client_id = c.id and l.next_try_at is not null`

	channelOf = `
		select c.id,
			(select l.tried_at from logouts l where l.org_id = $1 and ` + tried + `),
			(select l.reply from logouts l where l.org_id = $1 and ` + tried + `),
			(select l.told_at from logouts l where l.org_id = $1 and ` + tried + `),
			(select count(*) from logouts l where l.org_id = $1 and ` + waiting + `),
			(select min(l.next_try_at) from logouts l where l.org_id = $1 and ` + waiting + `)
		from clients c
		where c.id = $2`
	channelsOfAll = `
		select c.id,
			(select l.tried_at from logouts l where ` + tried + `),
			(select l.reply from logouts l where ` + tried + `),
			(select l.told_at from logouts l where ` + tried + `),
			(select count(*) from logouts l where ` + waiting + `),
			(select min(l.next_try_at) from logouts l where ` + waiting + `)
		from clients c`
)

func channels(ctx context.Context, r db.Reader, statement string, args ...any) (map[ClientID]Channel, error) {
	all := map[ClientID]Channel{}
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var c ClientID
		var t Channel
		var taken time.Time
		if err := scan(&c, (*db.Time)(&t.TriedAt), (*db.Text)(&t.Reply), (*db.Time)(&taken), &t.Waiting, (*db.Time)(&t.NextTry)); err != nil {
			return err
		}
		if t.Taken = !taken.IsZero(); t != (Channel{}) {
			all[c] = t
		}
		return nil
	}, statement, args...)
	return all, err
}

// ErrReachTooOften says that an organization entered addresses for us to call too often.
var ErrReachTooOften = fault.New(fault.Throttled, "op.reach_too_often")

// CheckReach refuses an address in the settings of an organization's application that we
// are meant to call and never could. Each address that changes is counted before its name
// is looked up, because that asks a name server of the administrator's choice.
func (p *Provider) CheckReach(ctx context.Context, c Client, to Settings) error {
	all := calledAddresses(to)
	for field, address := range calledAddresses(c.Settings) {
		if all[field] == address {
			delete(all, field)
		}
	}
	if c.OrgID == "" {
		return nil
	}
	for range all {
		taken, err := limit.Take(ctx, p.DB, p.Limits.Key(directory.PerOrganizationHosts, limit.Of(c.OrgID)))
		if err != nil {
			return err
		}
		if !taken.Allowed {
			return ErrReachTooOften.After(taken.Wait)
		}
	}
	return reach(ctx, p.Outbound, all)
}

// CheckReach does the same for the operator, uncounted. What the operator registers for
// the whole installation may be anywhere.
func CheckReach(ctx context.Context, client *outbound.Client, org directory.OrgID, to Settings) error {
	if org == "" {
		return nil
	}
	return reach(ctx, client, calledAddresses(to))
}

// calledAddresses returns the addresses at which we call an application, by field. What is
// not a web address is left out: registration refuses it with a reason of its own.
func calledAddresses(s Settings) map[string]string {
	all := map[string]string{"back_channel": s.BackChannel, "keys_url": s.KeysURL}
	maps.DeleteFunc(all, func(_, address string) bool { return redirect.CheckWeb(address) != nil })
	return all
}

// reach refuses addresses that are not https, or lead into a network that is not public.
// It looks names up, so it is called outside any transaction; a name that is not found
// may exist tomorrow.
func reach(ctx context.Context, client *outbound.Client, addresses map[string]string) error {
	var all []error
	for field, address := range addresses {
		if why, never := errors.AsType[outbound.Refused](client.Reaches(ctx, address)); never {
			all = append(all, fault.Field(field, "op.unreachable."+string(why)))
		}
	}
	return errors.Join(all...)
}
