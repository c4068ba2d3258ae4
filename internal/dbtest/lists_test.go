package dbtest

import (
	"slices"
	"testing"
)

// The steps are what SQLite says of such statements.
func TestAListThatIsComparedWithEachRowIsSeen(t *testing.T) {
	const ours = "SEARCH u USING INDEX users_source (org_id=? AND source_id=?)"
	for name, c := range map[string]struct {
		query string
		steps []string
		want  []string
	}{
		"looked up":              {`u.org_id = $1 and u.id in ($2, $3)`, []string{"SEARCH u USING INDEX sqlite_autoindex_users_1 (org_id=? AND id=?)"}, nil},
		"without a short name":   {`org_id = $1 and id in ($2, $3)`, []string{"SEARCH users USING INDEX sqlite_autoindex_users_1 (org_id=? AND id=?)"}, nil},
		"the end of other names": {`u.org_id = $1 and u.id in ($2, $3)`, []string{ours}, []string{"u.id"}},
		"those without a name":   {`org_id = $1 and id in ($2, $3)`, []string{"SEARCH users USING INDEX users_source (org_id=? AND source_id=?)"}, []string{"id"}},
		"of another table":       {`u.id in ($2, $3) and v.id = u.maker_id`, []string{ours, "SEARCH v USING INDEX sqlite_autoindex_users_1 (org_id=? AND id=?)"}, []string{"u.id"}},
		"all rows":               {`i.email_key in ($1, $2)`, []string{"SCAN i"}, []string{"i.email_key"}},
		"one of two": {`m.user_id in ($1, $2) or m.group_id in ($3, $4)`, []string{
			"MULTI-INDEX OR", "SEARCH m USING INDEX members_user (org_id=? AND user_id=?)", "SEARCH m USING INDEX sqlite_autoindex_members_1 (org_id=?)",
		}, []string{"m.group_id"}},
		"which rows not to take": {`org_id not in ($1, $2)`, []string{"SCAN leaves"}, nil},
		"what many rows share":   {`u.role in ($1, $2)`, []string{"SCAN u"}, nil},
	} {
		if got := compared(c.query, c.steps); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
