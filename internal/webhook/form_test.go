package webhook_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/expect"
	"parvis/internal/webhook"
)

func stored(action audit.Action, actor, target string) audit.Stored {
	e := audit.Stored{ID: "evt_1", At: time.Date(2026, 11, 22, 9, 0, 0, 120_000, time.UTC), Sealed: true, Leaf: 17, Sequence: 17}
	e.OrgID, e.Actor, e.ActorName, e.Action, e.Result, e.Target, e.TargetName = "org_1", actor, "Ada", action, audit.Done, target, "Ben"
	e.Origin = audit.Origin{Network: "203.0.113.7", Agent: "Firefox", Request: "req_1"}
	e.Session, e.Method, e.Region = "ses_1", "pwd", "eu"
	e.Before, e.After = audit.Fields{"state": "active"}, audit.Fields{"state": "deactivated"}
	return e
}

func TestBodies(t *testing.T) {
	t.Parallel()
	for _, one := range []struct {
		what   string
		event  audit.Stored
		form   webhook.Form
		values bool
		want   string
	}{
		{"ours", stored("user.deactivated", "usr_1", "usr_2"), webhook.Own, false,
			`{"type":"user.deactivated","id":"evt_1","timestamp":"2026-11-22T09:00:00.000120Z","version":1,"sequence":17,"organization":"org_1",` +
				`"actor":{"type":"user","id":"usr_1"},"object":{"type":"user","id":"usr_2"},"changed":["state"],"result":"done","reference":"req_1","session":"ses_1","method":"pwd","region":"eu"}`},
		{"ours with values", stored("user.deactivated", "usr_1", "usr_2"), webhook.Own, true,
			`{"type":"user.deactivated","id":"evt_1","timestamp":"2026-11-22T09:00:00.000120Z","version":1,"sequence":17,"organization":"org_1",` +
				`"actor":{"type":"user","id":"usr_1"},"object":{"type":"user","id":"usr_2"},"changed":["state"],"result":"done","reference":"req_1","session":"ses_1","method":"pwd","region":"eu",` +
				`"values":{"actor_name":"Ada","object_name":"Ben","network":"203.0.113.7","agent":"Firefox","before":{"state":"active"},"after":{"state":"deactivated"}}}`},
		{"a target that is only a text", stored("signin.refused", audit.Anonymous, "ada@example.org"), webhook.Own, false,
			`{"type":"signin.refused","id":"evt_1","timestamp":"2026-11-22T09:00:00.000120Z","version":1,"sequence":17,"organization":"org_1",` +
				`"actor":{"type":"anonymous","id":"anonymous"},"object":null,"changed":["state"],"result":"done","reference":"req_1","session":"ses_1","method":"pwd","region":"eu"}`},
		{"OCSF", stored("user.deactivated", "usr_1", "usr_2"), webhook.OCSF, false,
			`{"category_uid":3,"category_name":"Identity \u0026 Access Management","class_uid":3001,"class_name":"Account Change","activity_id":5,"activity_name":"Disable",` +
				`"type_uid":300105,"type_name":"Account Change: Disable","time":1795338000000,"severity_id":1,"severity":"Informational","status_id":1,"status":"Success",` +
				`"message":"user.deactivated","metadata":{"version":"1.3.0","product":{"name":"Parvis","vendor_name":"Parvis"},"uid":"evt_1","event_code":"user.deactivated",` +
				`"sequence":17,"correlation_uid":"req_1","tenant_uid":"org_1"},"actor":{"user":{"uid":"usr_1","type_id":1,"type":"User"},"session":{"uid":"ses_1"}},` +
				`"user":{"uid":"usr_2","type_id":1,"type":"User"},"unmapped":{"changed":["state"],"method":"pwd","region":"eu"}}`},
	} {
		got, err := webhook.LineOf(one.event, one.form, one.values)
		if err != nil {
			t.Fatal(err)
		}
		expect.Equal(t, one.what, string(got), one.want)
	}
}

// Whatever the action, an event without values has nothing that is known of a person.
func TestNothingPersonalIsSentUnasked(t *testing.T) {
	t.Parallel()
	for action, meaning := range audit.Actions {
		e := stored(action, "usr_1", "usr_2")
		if meaning.Object == audit.Nothing {
			e.Target = "Secret-Target"
		}
		e.ActorName, e.TargetName, e.Origin.Network, e.Origin.Agent = "Secret-Actor", "Secret-Name", "Secret-Net", "Secret-Agent"
		e.Before, e.After = audit.Fields{}, audit.Fields{}
		for name := range strings.FieldsSeq(meaning.Fields) {
			if name == "group_id" || action == "audit.checkpoint" { // an id, and what was signed of a tree of hashes
				e.After[name] = "grp_1"
				continue
			}
			e.Before[name], e.After[name] = "Secret-Before", "Secret-After"
		}
		for _, form := range []webhook.Form{webhook.Own, webhook.OCSF} {
			got, err := webhook.LineOf(e, form, false)
			if err != nil || strings.Contains(string(got), "Secret") {
				t.Errorf("%s as %s: %s, %v", action, form, got, err)
			}
			whole, err := webhook.LineOf(e, form, true)
			if err != nil || !strings.Contains(string(whole), "Secret-Net") {
				t.Errorf("%s as %s with values: %s, %v", action, form, whole, err)
			}
		}
	}
}

// Each action is an event of one of four classes, with what the class requires.
func TestEveryActionIsAnEventOfTheFramework(t *testing.T) {
	t.Parallel()
	activities := map[int][]int{3001: {1, 2, 3, 4, 5, 6, 10, 11, 99}, 3002: {1, 2, 3, 4, 99}, 3004: {1, 2, 3, 4}, 3006: {3, 4, 5, 6, 99}}
	for action, meaning := range audit.Actions {
		for _, who := range []string{"usr_1", "tok_1", "app_1", audit.Operator, audit.System, audit.Anonymous} {
			e := stored(action, who, "usr_2")
			e.After = audit.Fields{"group_id": "grp_1"}
			e.Result = audit.Refused
			text, err := webhook.LineOf(e, webhook.OCSF, false)
			if err != nil {
				t.Fatal(err)
			}
			var o struct {
				Class    int             `json:"class_uid"`
				Activity int             `json:"activity_id"`
				Type     int             `json:"type_uid"`
				Status   int             `json:"status_id"`
				User     json.RawMessage `json:"user"`
				Group    json.RawMessage `json:"group"`
				Entity   json.RawMessage `json:"entity"`
				Service  json.RawMessage `json:"service"`
			}
			if err := json.Unmarshal(text, &o); err != nil {
				t.Fatal(err)
			}
			has := map[string]bool{"user": o.User != nil, "group": o.Group != nil, "entity": o.Entity != nil, "service": o.Service != nil}
			for _, need := range map[int][]string{3001: {"user"}, 3002: {"user", "service"}, 3004: {"entity"}, 3006: {"group"}}[o.Class] {
				if !has[need] {
					t.Errorf("%s by %s has no %s: %s", action, who, need, text)
				}
			}
			if o.Class != int(meaning.Class) || !slices.Contains(activities[o.Class], o.Activity) {
				t.Errorf("%s by %s is %s", action, who, text)
			}
			if o.Type != o.Class*100+o.Activity || o.Status != 2 {
				t.Errorf("%s by %s has the type %d and the status %d", action, who, o.Type, o.Status)
			}
		}
	}
}

func TestActivitiesOfTheFramework(t *testing.T) {
	t.Parallel()
	for action, want := range map[audit.Action]string{
		"user.created": "300101", "user.deactivated": "300105", "user.reactivated": "300102", "user.erased": "300106", "password.changed": "300103", "reset.sent": "300104",
		"device.added": "300110", "device.removed": "300111", "user.role_changed": "300199",
		"signin.done": "300201", "session.ended": "300202", "application.opened": "300204", "grant.ended": "300299",
		"connection.created": "300401", "application.changed": "300403", "domain.removed": "300404", "audit.exported": "300402", "webhook.removed": "300404",
		"group.created": "300606", "group.member_added": "300603", "group.member_removed": "300604", "group.deleted": "300605", "group.renamed": "300699",
	} {
		e := stored(action, "usr_1", "usr_2")
		text, err := webhook.LineOf(e, webhook.OCSF, true)
		if err != nil || !strings.Contains(string(text), `"type_uid":`+want+`,`) {
			t.Errorf("%s is not %s: %s", action, want, text)
		}
	}
	e := stored("group.member_added", "usr_1", "usr_2")
	e.Before, e.After = nil, audit.Fields{"group": "Ops", "group_id": "grp_1"}
	for values, want := range map[bool]string{false: `"group":{"uid":"grp_1"}`, true: `"group":{"uid":"grp_1","name":"Ops"}`} {
		if text, err := webhook.LineOf(e, webhook.OCSF, values); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("a group is not %s: %s", want, fmt.Sprint(string(text), err))
		}
	}
}
