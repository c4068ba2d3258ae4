package backup

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis/internal/application"
	"parvis/internal/audit"
	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/session"
	"parvis/internal/signin"
)

// An Event is what an export has of something that was done since the backup.
type Event struct {
	Org, ID, Actor, Target, Name string
	Action                       audit.Action
	At                           time.Time

	// fields are those after, and those before where there are none after. They are missing where they were erased, or
	// where somebody left them out of the file, which no hash shows: then the strictest is done.
	fields, before map[string]any
}

// text returns a field that is a text, empty if it is none.
func (e Event) text(field string) string {
	text, _ := e.fields[field].(string)
	return text
}

func (e Event) duration(field string, otherwise time.Duration) time.Duration {
	d, err := time.ParseDuration(e.text(field))
	if err != nil {
		return otherwise
	}
	return d
}

// number returns a field that is a number, and whether it is one.
func (e Event) number(field string) (int, bool) {
	n, ok := e.fields[field].(float64)
	return int(n), ok
}

func (e Event) texts(field string) (all []string) {
	list, _ := e.fields[field].([]any)
	for _, v := range list {
		if text, ok := v.(string); ok {
			all = append(all, text)
		}
	}
	return all
}

var named = regexp.MustCompile(`\{[a-z_]+\}`)

// take changes rows, with the values of an event as arguments.
func (s step) take(ctx context.Context, tx *db.Tx, e Event) (int64, error) {
	var args []any
	fill := func(text string) string {
		return named.ReplaceAllStringFunc(text, func(name string) string {
			name = strings.Trim(name, "{}")
			args = append(args, e.value(tx, name))
			return "$" + strconv.Itoa(len(args))
		})
	}
	set := fill(s.set)
	return tx.Rewrite(ctx, s.table, set, fill(s.where), args...)
}

func (e Event) value(tx *db.Tx, name string) any {
	switch name {
	case "org":
		return e.Org
	case "target":
		return e.Target
	case "actor":
		return e.Actor
	case "at":
		return e.At.UnixMicro()
	case "now":
		return tx.Now().UnixMicro()
	}
	return e.text(strings.TrimPrefix(name, "field_"))
}

// lower gives a person the role of the event where it is less than that of the backup. One role of two
// of which each may do what the other may not becomes that of a member.
func lower(ctx context.Context, tx *db.Tx, e Event) (n int64, err error) {
	to := directory.Role(e.text("role"))
	if !to.Valid() {
		to = directory.Member
	}
	for _, has := range directory.Roles {
		if lowered(has, to) == has {
			continue
		}
		changed, err := step{"users", "role = '" + string(lowered(has, to)) + "', changed_at = {now}", thisUser + " and role = '" + string(has) + "'"}.take(ctx, tx, e)
		if err != nil || changed > 0 {
			return changed, err
		}
	}
	return 0, nil
}

func lowered(has, to directory.Role) directory.Role {
	switch {
	case has == to, to == directory.Owner, to == directory.Administrator && has != directory.Owner:
		return has
	case has == directory.Owner, has == directory.Administrator:
		return to
	}
	return directory.Member
}

// readdress gives a person the address of the event.
func readdress(ctx context.Context, tx *db.Tx, e Event) (int64, error) {
	var has string
	found, err := tx.One(ctx, db.Into(&has), `select email from users where org_id = $1 and id = $2 and deleted_at is null`, e.Org, e.Target)
	if err != nil || !found || has == e.text("email") {
		return 0, err
	}
	done, err := directory.Readdress(ctx, tx, directory.OrgID(e.Org), directory.UserID(e.Target), e.text("email"))
	if err == nil && !done {
		return shutOut(ctx, tx, e)
	}
	if err != nil {
		return 0, err
	}
	return 1, nil
}

// leave takes a person out of the group of the event, or out of all.
func leave(ctx context.Context, tx *db.Tx, e Event) (int64, error) {
	if e.text("group_id") == "" {
		return step{"members", "", ofUser}.take(ctx, tx, e)
	}
	return step{"members", "", ofUser + " and group_id = {field_group_id}"}.take(ctx, tx, e)
}

// unlink removes the links of the event's person to a connection, or everybody's.
func unlink(ctx context.Context, tx *db.Tx, e Event) (int64, error) {
	if e.text("user") == "" {
		return step{"identities", "", "org_id = {org} and connection_id = {target}"}.take(ctx, tx, e)
	}
	return step{"identities", "", "org_id = {org} and connection_id = {target} and user_id = {field_user}"}.take(ctx, tx, e)
}

func shorterSessions(ctx context.Context, tx *db.Tx, e Event) (int64, error) {
	has, err := session.RulesOf(ctx, tx, directory.OrgID(e.Org))
	if err != nil {
		return 0, err
	}
	r := session.Rules{Idle: min(has.Idle, e.duration("idle", session.Idle)), Absolute: min(has.Absolute, e.duration("absolute", session.Absolute))}
	if r == has {
		return 0, nil
	}
	return replace(ctx, tx, "session_rules", row{"org_id": e.Org, "idle": r.Idle.Microseconds(), "absolute": r.Absolute.Microseconds()})
}

// stricterPasswords takes of each rule the stricter one. Of two presets, of which none is the stricter, it
// takes that of the event.
func stricterPasswords(ctx context.Context, tx *db.Tx, e Event) (int64, error) {
	has, err := credential.RulesOf(ctx, tx, directory.OrgID(e.Org))
	if err != nil {
		return 0, err
	}
	r := has
	preset, known := credential.Preset(e.text("preset")).Rules()
	if !known {
		preset = has
		preset.MinimumLength = credential.Modern.MinimumLength
	} else if preset.Preset != has.Preset {
		r = credential.Rules{Preset: preset.Preset, MaximumLength: has.MaximumLength, ResetLifetime: has.ResetLifetime}
	}
	number := func(field string, otherwise int) int {
		if n, ok := e.number(field); ok {
			return n
		}
		return otherwise
	}
	r.MinimumLength = max(r.MinimumLength, number("minimum_length", preset.MinimumLength))
	r.History = max(r.History, number("history", preset.History))
	r.ResetLifetime = min(r.ResetLifetime, e.duration("reset_lifetime", r.ResetLifetime))
	for field, rule := range map[string]*bool{"digit": &r.Digit, "upper_case": &r.UpperCase, "lower_case": &r.LowerCase, "special": &r.Special} {
		*rule = *rule || e.fields[field] == true
	}
	r.MaximumLength = max(r.MaximumLength, r.MinimumLength)
	if r == has {
		return 0, nil
	}
	return replace(ctx, tx, "password_rules", row{
		"org_id": e.Org, "preset": r.Preset, "minimum_length": r.MinimumLength, "maximum_length": r.MaximumLength, "digit": r.Digit, "upper_case": r.UpperCase,
		"lower_case": r.LowerCase, "special": r.Special, "history": r.History, "reset_lifetime": r.ResetLifetime.Microseconds(),
	})
}

func stricterSecondStep(ctx context.Context, tx *db.Tx, e Event) (int64, error) {
	has, err := signin.SecondStepRulesOf(ctx, tx, directory.OrgID(e.Org))
	if err != nil {
		return 0, err
	}
	r := has
	r.Privileged = r.Privileged || e.fields["privileged"] != false
	r.Passwordless = r.Passwordless && e.fields["passwordless"] == true
	if n, ok := e.number("tolerance"); ok {
		r.Tolerance = min(r.Tolerance, n)
	}
	from, err := time.Parse(time.RFC3339, e.text("required_from"))
	if e.fields == nil {
		from = e.At
	} else if err != nil {
		from = time.Time{}
	}
	if !from.IsZero() && (r.RequiredFrom.IsZero() || from.Before(r.RequiredFrom)) {
		r.RequiredFrom = from
	}
	if r == has {
		return 0, nil
	}
	all := row{"org_id": e.Org, "required_from": nil, "privileged": r.Privileged, "tolerance": r.Tolerance, "passwordless": r.Passwordless}
	if !r.RequiredFrom.IsZero() {
		all["required_from"] = r.RequiredFrom.UnixMicro()
	}
	return replace(ctx, tx, "second_step_rules", all)
}

// keep holds the log where it was held, or where nobody knows, and keeps it for the shorter time.
func keep(ctx context.Context, tx *db.Tx, e Event) (int64, error) {
	has, err := audit.KeepingOf(ctx, tx, e.Org)
	if err != nil {
		return 0, err
	}
	k := has
	if k.Held.IsZero() && e.fields["held"] != false {
		k.Held = e.At
	}
	if days, ok := e.number("days"); ok && e.before["days"] != e.fields["days"] && (k.Days == 0 || days < k.Days) {
		k.Days = days
	}
	if k == has {
		return 0, nil
	}
	return 1, audit.SetKeeping(ctx, tx, e.Org, k)
}

// forbid lets nobody sign in to an application, and ends its rights: in its organization, or in all if
// it is the installation's.
func forbid(ctx context.Context, tx *db.Tx, e Event) (n int64, err error) {
	of, orgs := "org_id = {org} and client_id = {target}", []string{e.Org}
	if e.Org == "" {
		of = "client_id = {target}"
		if orgs, err = db.List(ctx, tx, db.Value[string], `select id from organizations order by id`); err != nil {
			return 0, err
		}
	}
	found, err := tx.One(ctx, db.Into(new(string)), `select id from clients where id = $1 and coalesce(org_id, '') = $2`, e.Target, e.Org)
	if err != nil || !found {
		return 0, err
	}
	for _, org := range orgs {
		placed := e
		placed.Org = org
		if _, err := forbidIn(ctx, tx, placed); err != nil {
			return 0, err
		}
	}
	if e.Org == "" {
		if _, err := (step{"operator_rights", "", of}).take(ctx, tx, e); err != nil {
			return 0, err
		}
	}
	_, err = step{"machine_rights", "", of}.take(ctx, tx, e)
	return 1, err
}

func forbidIn(ctx context.Context, tx *db.Tx, e Event) (int64, error) {
	var standing application.Standing
	found, err := tx.One(ctx, db.Into((*db.Text)(&standing)), `select standing from client_organizations where org_id = $1 and client_id = $2`, e.Org, e.Target)
	if err != nil || standing == application.Forbidden {
		return 0, err
	}
	if found {
		return step{"client_organizations", "standing = 'forbidden', forbidden_at = {now}", "org_id = {org} and client_id = {target}"}.take(ctx, tx, e)
	}
	return 1, put(ctx, tx, "client_organizations", row{"org_id": e.Org, "client_id": e.Target, "standing": application.Forbidden,
		"audience": application.Everyone, "groups": "", "forbidden_at": tx.Now().UnixMicro()})
}

func removeApplication(ctx context.Context, tx *db.Tx, e Event) (int64, error) {
	return step{"clients", "", "id = {target} and coalesce(org_id, '') = {org}"}.take(ctx, tx, e)
}

// place restricts who may sign in to an application, where the event does.
func place(ctx context.Context, tx *db.Tx, e Event) (int64, error) {
	found, err := tx.One(ctx, db.Into(new(string)), `select id from clients where id = $1`, e.Target)
	if err != nil || !found {
		return 0, err
	}
	has := application.Placement{Audience: application.Everyone}
	if _, err := tx.One(ctx, has.Targets(), `select `+application.PlaceColumns+` from client_organizations co where co.org_id = $1 and co.client_id = $2`, e.Org, e.Target); err != nil {
		return 0, err
	}
	then := application.Placement{Standing: application.Standing(e.text("standing")), Audience: application.Audience(e.text("audience")), Groups: e.texts("groups")}
	if e.fields == nil || then.Standing == application.Forbidden {
		if has.Standing == application.Forbidden {
			return 0, nil
		}
		return forbidIn(ctx, tx, e)
	}
	now := has
	if has.Standing == application.Approved {
		now.Standing = then.Standing
	}
	if then.Audience == application.SomeGroups {
		if now.Audience = then.Audience; has.Audience != application.SomeGroups {
			now.Groups = then.Groups
		}
		now.Groups = slices.DeleteFunc(slices.Clone(now.Groups), func(g string) bool { return !slices.Contains(then.Groups, g) })
	}
	if now.Standing == has.Standing && now.Audience == has.Audience && slices.Equal(now.Groups, has.Groups) {
		return 0, nil
	}
	if _, err := (step{"client_organizations", "", "org_id = {org} and client_id = {target}"}).take(ctx, tx, e); err != nil {
		return 0, err
	}
	return 1, put(ctx, tx, "client_organizations", row{"org_id": e.Org, "client_id": e.Target, "standing": now.Standing,
		"audience": now.Audience, "groups": strings.Join(now.Groups, " ")})
}

// row has the values of a row by its columns.
type row map[string]any

// replace puts a row in the place of its organization's.
func replace(ctx context.Context, tx *db.Tx, table string, r row) (int64, error) {
	if _, err := tx.Rewrite(ctx, table, "", "org_id = $1", r["org_id"]); err != nil {
		return 0, err
	}
	return 1, put(ctx, tx, table, r)
}

func put(ctx context.Context, tx *db.Tx, table string, r row) error {
	tables, err := tx.Tables(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(tables, func(t db.Table) bool { return t.Name == table })
	if i < 0 {
		return fmt.Errorf("there is no table %q", table)
	}
	var columns []string
	var values []any
	for column, value := range r {
		columns, values = append(columns, column), append(values, value)
	}
	line, err := json.Marshal(values)
	if err != nil {
		return err
	}
	into, err := tx.PutBack(tables[i], columns)
	if err == nil {
		if err = into.Row(ctx, line); err == nil {
			err = into.End(ctx)
		}
	}
	return err
}
