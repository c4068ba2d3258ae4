package op

import (
	"context"
	"strings"
	"time"

	"parvis/internal/application"
	"parvis/internal/db"
	"parvis/internal/directory"
)

// Channel is how an application answers when it is told that a session ended.
type Channel struct {
	TriedAt time.Time // of the last call; zero if there was none within seven days
	Reply   string    // to that call: a status, or why there is none
	Taken   bool      // the application accepted that call
	Waiting int       // ended sessions that it does not know about yet
	NextTry time.Time // when we call it next; zero if nothing waits
}

// Failing reports whether the application did not accept the last call.
func (t Channel) Failing() bool { return !t.TriedAt.IsZero() && !t.Taken }

// ReplyKey returns the catalogue key of the sentence that says what went wrong, or an empty
// text if the reply is a status.
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
func ChannelOf(ctx context.Context, r db.Reader, org directory.OrgID, c application.ID) (Channel, error) {
	all, err := channels(ctx, r, channelOf, string(org), string(c))
	return all[c], err
}

// ChannelsOf is ChannelOf for every application to which an end was reported.
func ChannelsOf(ctx context.Context, r db.Reader, org directory.OrgID) (map[application.ID]Channel, error) {
	return channels(ctx, r, channelsOfOne, string(org))
}

// Channels returns how every application answered, all organizations taken together. The
// operator sees it.
func Channels(ctx context.Context, r db.Reader) (map[application.ID]Channel, error) {
	return channels(ctx, r, channelsOfAll)
}

// The statements start at the applications, and find the last call and the waiting notices
// by an index, so that earlier calls cost nothing.
const (
	tried   = `l.client_id = c.id and l.tried_at is not null order by l.tried_at desc, l.id desc limit 1`
	waiting = `l.client_id = c.id and l.next_try_at is not null`

	channelsOfOne = `
		select c.id,
			(select l.tried_at from logouts l where l.org_id = $1 and ` + tried + `),
			(select l.reply from logouts l where l.org_id = $1 and ` + tried + `),
			(select l.told_at from logouts l where l.org_id = $1 and ` + tried + `),
			(select count(*) from logouts l where l.org_id = $1 and ` + waiting + `),
			(select min(l.next_try_at) from logouts l where l.org_id = $1 and ` + waiting + `)
		from clients c`
	channelOf = channelsOfOne + `
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

func channels(ctx context.Context, r db.Reader, statement string, args ...any) (map[application.ID]Channel, error) {
	all := map[application.ID]Channel{}
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var c application.ID
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
