package idptest

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"parvis/internal/audit"
	"parvis/internal/db"
)

// judgeEvents fails a test after which the log has an event that is not as docs/events.md says, or
// an action or a field of one that audit.Actions does not list.
func judgeEvents(t testing.TB, d *db.DB) {
	if err := d.Rows(context.Background(), func(scan func(...any) error) error {
		var e recorded
		if err := scan(&e.org, &e.id, &e.at, &e.actor, &e.action, &e.result, &e.network, &e.agent, &e.request, &e.session, &e.method, &e.before, &e.after); err != nil {
			return err
		}
		wrong := e.wrong()
		if len(wrong) > 0 {
			t.Errorf("%s of %s is recorded wrongly: %s: %+v", e.action, e.actor, strings.Join(wrong, ", "), e)
		}
		return nil
	}, `
		select distinct org_id, id, at, actor, action, result, network, agent, request, session, method, before, after
		from audit_events`); err != nil && !db.IsUnavailable(err) {
		t.Errorf("reading the log after the test: %v", err)
	}
}

// recorded is what the log has of an event, as far as docs/events.md says how it is.
type recorded struct {
	org, id                                  string
	at                                       int64
	actor                                    string
	action                                   audit.Action
	result                                   audit.Result
	network, agent, request, session, method string
	before, after                            string
}

var (
	eventID   = regexp.MustCompile(`^evt_[a-z2-7]{26}$`)
	orgID     = regexp.MustCompile(`^(org_.+)?$`)
	requestID = regexp.MustCompile(`^(req_[a-z2-7]{10})?$`)
	sessionID = regexp.MustCompile(`^(ses_[a-z2-7]{26})?$`)
)

// wrong lists what is wrong with an event.
func (e recorded) wrong() []string {
	var all []string
	add := func(what string, wrong bool) {
		if wrong {
			all = append(all, what)
		}
	}
	meaning, known := audit.Actions[e.action]
	add("audit.Actions lacks the action", !known)
	add("id", !eventID.MatchString(e.id))
	add("organization", !orgID.MatchString(e.org))
	add("time", e.at <= 0)
	add("actor", e.actor == "")
	add("result", e.result != audit.Done && e.result != audit.Refused)
	add("request", !requestID.MatchString(e.request))
	add("network without a request, or a request without a network", (e.network == "") != (e.request == ""))
	add("session", !sessionID.MatchString(e.session))
	add("a session and no method", e.session != "" && e.method == "")
	for word := range strings.FieldsSeq(e.method) {
		add("docs/events.md lacks the method "+word, !slices.Contains(methods(), word))
	}
	switch audit.KindOf(e.actor) {
	case audit.System, audit.Anonymous:
		add("who proved nothing has a session or a method", e.session+e.method != "")
	case audit.Operator:
		add("no method", e.method == "")
	default:
		add("no method", e.request != "" && e.method == "")
	}
	for _, text := range []string{e.before, e.after} {
		fields := audit.Fields{}
		if text != "" {
			add("values", json.Unmarshal([]byte(text), &fields) != nil)
		}
		for name := range fields {
			add("audit.Actions does not list its field "+name, !meaning.Has(name))
		}
	}
	return all
}

// methods are those that docs/events.md lists under their heading.
var methods = sync.OnceValue(func() []string {
	_, here, _, _ := runtime.Caller(0)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(here), "..", "..", "docs", "events.md"))
	if err != nil {
		panic(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Method\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var all []string
	for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(section, -1) {
		all = append(all, m[1])
	}
	return all
})
