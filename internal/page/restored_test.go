package page_test

import (
	"testing"
	"time"

	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/page"
	"parvis/internal/session"
)

func TestOwnersReadForThirtyDaysThatTheDatabaseWasRestored(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for _, c := range []struct {
		who      string
		role     directory.Role
		made, at time.Time // of the organization, and of the restore
		reads    bool
	}{
		{"an owner", directory.Owner, now.Add(-90 * day), now.Add(-day), true},
		{"an owner on the last day", directory.Owner, now.Add(-90 * day), now.Add(-30*day + time.Second), true},
		{"an owner, afterwards", directory.Owner, now.Add(-90 * day), now.Add(-30 * day), false},
		{"who looks after people", directory.Administrator, now.Add(-90 * day), now.Add(-day), false},
		{"an owner of an organization made since", directory.Owner, now.Add(-time.Hour), now.Add(-day), false},
		{"an owner where nothing was restored", directory.Owner, now.Add(-90 * day), time.Time{}, false},
	} {
		v := &page.Viewer{Visit: session.Visit{User: directory.User{Role: c.role}, Organization: directory.Organization{CreatedAt: c.made}}}
		expect.Equal(expect.Case(t, "%s", c.who), "reads it", v.ToldOfRestore(c.at, now), c.reads)
	}
}
