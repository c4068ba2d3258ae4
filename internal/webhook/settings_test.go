package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/expect"
	"parvis/internal/webhook"
)

const good = "https://hooks.your-company.com/parvis"

// create tries to make a webhook of alpha.
func (h *house) create(actor directory.Actor, n webhook.New) (w webhook.Webhook, err error) {
	err = h.try(func(ctx context.Context, tx *db.Tx) (err error) {
		w, _, err = h.sender.Create(ctx, tx, actor, h.org["alpha"], n)
		return err
	})
	return w, err
}

func TestAddressesThatAreNone(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, address := range []string{
		"", "hooks", "http://hooks.your-company.com/", "ftp://hooks.your-company.com/", "https://", "https:///path", "//hooks.your-company.com/",
		"https://user@hooks.your-company.com/", "https://user:password@hooks.your-company.com/", "https://hooks.your-company.com/#part",
		"https://2130706433/", "https://0x7f000001/", "https://127.1/", "https://0177.0.0.1/", "https://1/", "https://127.0.0.0x1/", "https://10.0.0.1./x/..",
		"https://hööks.example/", "https://hooks.your-company.com/\u202e", "https://hooks.your-company.com/a b", "https://hooks.your-company.com/\r\nX-A: b", "https://[::1", "\x00",
		"https://hooks.your-company.com/" + strings.Repeat("x", 2000), "javascript:alert(1)", "https:hooks.your-company.com",
	} {
		_, err := h.create(h.owner["alpha"], webhook.New{Settings: webhook.Settings{Name: "A", Address: address, Events: []string{"*"}}})
		if !errors.Is(err, webhook.ErrAddress) && !errors.Is(err, webhook.ErrLong) {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// Addresses that are some, and lead where nothing of ours may be sent, are refused at once and, if
// their name leads there later, by the connection.
func TestAddressesThatLeadInside(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, address := range []string{
		"https://127.0.0.1/", "https://10.1.2.3/", "https://169.254.169.254/latest/", "https://192.168.0.1:8443/", "https://[::1]/", "https://[::ffff:127.0.0.1]/",
		"https://[::ffff:a9fe:a9fe]/", "https://[64:ff9b::7f00:1]/", "https://[fd00::1]/", "https://localhost/", "https://app.localhost/", "https://168.63.129.16/",
	} {
		err := h.sender.Check(t.Context(), h.owner["alpha"], h.org["alpha"], webhook.New{Settings: webhook.Settings{Name: "A", Address: address, Events: []string{"*"}}})
		if err == nil || !strings.HasPrefix(err.Error(), "webhook.unreachable.") {
			t.Errorf("%s: %v", address, err)
		}
		w, _ := h.add("alpha", address)
		a, err := h.sender.Try(t.Context(), h.owner["alpha"], w.OrgID, w.ID)
		if refused := a.Why == "address" || a.Why == "unreachable"; err != nil || !refused {
			t.Errorf("%s is called: %+v, %v", address, a, err)
		}
	}
}

func TestSettingsAreJudgedAllAtOnce(t *testing.T) {
	t.Parallel()
	h := open(t)
	_, err := h.create(h.owner["alpha"], webhook.New{Settings: webhook.Settings{Kind: "push", Form: "cef", Address: "x", Events: []string{"user.*", "nothing.*"}}})
	for _, want := range []error{webhook.ErrAddress, webhook.ErrKind, webhook.ErrForm, webhook.ErrEvent} {
		if !errors.Is(err, want) {
			t.Errorf("%v is not said in %v", want, err)
		}
	}
	settings := func(events ...string) webhook.Settings {
		return webhook.Settings{Name: "A", Address: good, Events: events}
	}
	for _, events := range [][]string{nil, {""}, {"user"}, {"user."}, {"*.created"}, {"user.nothing"}, {"USER.*"}, {"**"}, {"user.*", "webhook.test"}} {
		if _, err := h.create(h.owner["alpha"], webhook.New{Settings: settings(events...)}); !errors.Is(err, webhook.ErrEvent) && !errors.Is(err, webhook.ErrNoEvents) {
			t.Errorf("%q: %v", events, err)
		}
	}
	w, err := h.create(h.owner["alpha"], webhook.New{Settings: settings("user.*", " group.created", "user.*")})
	if err != nil || strings.Join(w.Events, " ") != "group.created user.*" {
		t.Errorf("%q, %v", w.Events, err)
	}
	if w, err = h.create(h.owner["alpha"], webhook.New{Settings: settings("user.*", "*")}); err != nil || len(w.Events) != 1 {
		t.Errorf("%q, %v", w.Events, err)
	}
	if _, err := h.create(h.owner["alpha"], webhook.New{Settings: settings("*"), Scheme: "v2"}); !errors.Is(err, webhook.ErrScheme) {
		t.Errorf("another scheme: %v", err)
	}
}

func TestHeadersOfALog(t *testing.T) {
	t.Parallel()
	h := open(t)
	create := func(kind webhook.Kind, headers ...webhook.Header) (webhook.Webhook, error) {
		return h.create(h.owner["alpha"], webhook.New{Settings: webhook.Settings{Name: "A", Kind: kind, Address: good, Events: []string{"*"}}, Headers: headers})
	}
	for name, want := range map[string]error{
		"Host": webhook.ErrHeaderName, "Connection": webhook.ErrHeaderName, "Transfer-Encoding": webhook.ErrHeaderName, "Cookie": webhook.ErrHeaderName, "Webhook-Id": webhook.ErrHeaderName,
		"X-A\r\nHost": webhook.ErrHeaderName, "X A": webhook.ErrHeaderName, "X-": webhook.ErrHeaderName, "X-É": webhook.ErrHeaderName, "x-forwarded-for": webhook.ErrHeaderName, "": webhook.ErrHeaderName,
		"X-" + strings.Repeat("a", 80): webhook.ErrHeaderName,
	} {
		if _, err := create(webhook.Log, webhook.Header{Name: name, Value: "v"}); !errors.Is(err, want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, value := range []string{"", "a\r\nb", "é", "a\x00", strings.Repeat("a", 1001)} {
		if _, err := create(webhook.Log, webhook.Header{Name: "X-Key", Value: value}); !errors.Is(err, webhook.ErrHeaderValue) {
			t.Errorf("%q: %v", value, err)
		}
	}
	one := webhook.Header{Name: "authorization", Value: "Splunk secret-of-theirs"}
	if _, err := create(webhook.Events, one); !errors.Is(err, webhook.ErrHeaderKind) {
		t.Errorf("of single events: %v", err)
	}
	if _, err := create(webhook.Log, one, webhook.Header{"X-A", "1"}, webhook.Header{"X-B", "1"}, webhook.Header{"X-C", "1"}); !errors.Is(err, webhook.ErrHeaders) {
		t.Errorf("four: %v", err)
	}
	if _, err := create(webhook.Log, webhook.Header{"X-A", "1"}, webhook.Header{"x-a", "1"}); !errors.Is(err, webhook.ErrHeaderName) {
		t.Errorf("one twice: %v", err)
	}
	w, err := create(webhook.Log, one)
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "names", strings.Join(w.Headers, " "), "Authorization")
	for _, text := range []string{
		fmt.Sprintf("%+v", h.now(w)), h.text(`select headers_sealed from webhooks where id = $1`, w.ID), h.text(`select after from audit_events where action = 'webhook.created'`),
	} {
		if strings.Contains(text, "secret-of-theirs") {
			t.Errorf("its value is in %s", text)
		}
	}
}

func (h *house) text(query string, args ...any) (text string) {
	h.t.Helper()
	if _, err := h.One(h.t.Context(), db.Into(&text), query, args...); err != nil {
		h.t.Fatal(err)
	}
	return text
}

func TestAnOrganizationHasOnlySoMany(t *testing.T) {
	t.Parallel()
	h := open(t)
	for range webhook.Most {
		h.add("alpha", good)
	}
	_, err := h.create(h.owner["alpha"], webhook.New{Settings: webhook.Settings{Name: "A", Address: good, Events: []string{"*"}}})
	if !errors.Is(err, webhook.ErrTooMany) {
		t.Errorf("one more: %v", err)
	}
}

// People who set the rules keep webhooks, people who read the administration see them, and the
// neighbour does neither.
func TestWhoKeepsWebhooks(t *testing.T) {
	t.Parallel()
	h := open(t)
	w, _ := h.add("alpha", good)
	auditor := h.user("alpha", directory.Auditor)
	for who, one := range map[string]struct {
		actor         directory.Actor
		reads, writes error
	}{
		"the owner":     {h.owner["alpha"], nil, nil},
		"an auditor":    {auditor, nil, directory.ErrDenied},
		"a member":      {h.user("alpha", directory.Member), directory.ErrDenied, directory.ErrDenied},
		"the neighbour": {h.owner["beta"], directory.ErrNotFound, directory.ErrNotFound},
	} {
		if _, err := webhook.Of(t.Context(), h.DB, one.actor, h.org["alpha"]); !errors.Is(err, one.reads) {
			t.Errorf("%s lists: %v", who, err)
		}
		for what, read := range map[string]func(context.Context, *db.Tx) error{
			"one": func(ctx context.Context, tx *db.Tx) error {
				_, err := webhook.ByID(ctx, tx, one.actor, w.OrgID, w.ID)
				return err
			},
			"attempts": func(ctx context.Context, tx *db.Tx) error {
				_, err := webhook.Attempts(ctx, tx, one.actor, w, webhook.Query{Limit: 1})
				return err
			},
			"waiting": func(ctx context.Context, tx *db.Tx) error {
				_, err := webhook.WaitingOf(ctx, tx, one.actor, w, 1)
				return err
			},
			"secrets": func(ctx context.Context, tx *db.Tx) error {
				_, err := webhook.Secrets(ctx, tx, one.actor, w)
				return err
			},
			"schemes": func(ctx context.Context, tx *db.Tx) error {
				_, err := webhook.Schemes(ctx, tx, one.actor, w.OrgID)
				return err
			},
		} {
			if err := h.try(read); !errors.Is(err, one.reads) {
				t.Errorf("%s reads %s: %v", who, what, err)
			}
		}
		for what, write := range map[string]func(context.Context, *db.Tx) error{
			"make": func(ctx context.Context, tx *db.Tx) error {
				_, _, err := h.sender.Create(ctx, tx, one.actor, h.org["alpha"], webhook.New{Settings: w.Settings})
				return err
			},
			"change": func(ctx context.Context, tx *db.Tx) error {
				_, err := h.sender.Change(ctx, tx, one.actor, w, w.Settings, nil)
				return err
			},
			"rotate": func(ctx context.Context, tx *db.Tx) error {
				_, err := h.sender.Rotate(ctx, tx, one.actor, w, "")
				return err
			},
			"replay":   func(ctx context.Context, tx *db.Tx) error { return webhook.Replay(ctx, tx, one.actor, w, -1) },
			"turn off": func(ctx context.Context, tx *db.Tx) error { return webhook.TurnOff(ctx, tx, one.actor, w) },
			"turn on":  func(ctx context.Context, tx *db.Tx) error { return webhook.TurnOn(ctx, tx, one.actor, w) },
			"remove": func(ctx context.Context, tx *db.Tx) error {
				return errors.Join(webhook.Remove(ctx, tx, one.actor, w), rolledBack(one.writes))
			},
		} {
			if err := h.try(write); !errors.Is(err, one.writes) && !errors.Is(err, errRollback) {
				t.Errorf("%s may %s: %v", who, what, err)
			}
		}
		if one.writes == nil {
			continue
		}
		for what, call := range map[string]func() error{
			"test": func() error { _, err := h.sender.Try(t.Context(), one.actor, w.OrgID, w.ID); return err },
			"send": func() error { _, err := h.sender.SendAgain(t.Context(), one.actor, w.OrgID, w.ID, "evt_1"); return err },
			"check": func() error {
				return h.sender.Check(t.Context(), one.actor, w.OrgID, webhook.New{Settings: w.Settings})
			},
		} {
			if err := call(); !errors.Is(err, one.writes) {
				t.Errorf("%s may %s: %v", who, what, err)
			}
		}
	}
	// A webhook of the neighbour's is none in one's own organization.
	if _, err := h.sender.Try(t.Context(), h.owner["beta"], h.org["beta"], w.ID); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("by its id: %v", err)
	}
	beta, _ := h.add("beta", good)
	h.record("alpha", "user.deleted", 1)
	event := h.text(`select id from audit_events where action = 'user.deleted'`)
	if _, err := h.sender.SendAgain(t.Context(), h.owner["beta"], h.org["beta"], beta.ID, event); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("the neighbour's event is sent: %v", err)
	}
}

var errRollback = errors.New("rolled back")

// rolledBack keeps what the one who may removes for those who come after.
func rolledBack(want error) error {
	if want == nil {
		return errRollback
	}
	return nil
}

func (h *house) user(org string, role directory.Role) directory.Actor {
	h.t.Helper()
	var u directory.User
	h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		id := directory.NewUserID()
		u, err = directory.CreateFirstOwner(ctx, tx, directory.User{OrgID: h.org[org], ID: id, Email: string(id) + "@example.org", Name: string(role), Language: "en"})
		if err == nil {
			_, err = tx.Exec(ctx, `update users set role = $1 where org_id = $2 and id = $3`, string(role), string(u.OrgID), string(u.ID))
		}
		return err
	})
	u.Role = role
	return u.AsActor()
}

// Values that are the ones kept are no change; a header without a value gets the one kept.
func TestHeadersKeepTheirValues(t *testing.T) {
	t.Parallel()
	h := open(t)
	two := []webhook.Header{{"X-Key", "one"}, {"X-Team", "two"}}
	w, _ := h.add("alpha", good, func(n *webhook.New) { n.Kind, n.Headers = webhook.Log, two })
	all, err := h.sender.Complete(w, []webhook.Header{{" x-team", ""}, {"X-Key", "other"}, {"X-New", ""}}, w.Address)
	if err != nil || !slices.Equal(all, []webhook.Header{{" x-team", "two"}, {"X-Key", "other"}, {"X-New", ""}}) {
		t.Errorf("completed: %v, %v", all, err)
	}
	change := func(headers ...webhook.Header) (now webhook.Webhook) {
		h.update(func(ctx context.Context, tx *db.Tx) (err error) {
			now, err = h.sender.Change(ctx, tx, h.owner["alpha"], w, w.Settings, headers)
			return err
		})
		return now
	}
	change(two...)
	expect.Equal(t, "changes of nothing", h.count(`select count(*) from audit_events where action = 'webhook.changed'`), 0)
	names, err := h.sender.NewValues(w, change(webhook.Header{Name: "X-Team", Value: "two"}, webhook.Header{Name: "X-Key", Value: "other"}, webhook.Header{Name: "X-New", Value: "three"}))
	if err != nil || !slices.Equal(names, []string{"X-Key", "X-New"}) {
		t.Errorf("other values: %v, %v", names, err)
	}
	expect.Equal(t, "changes", h.count(`select count(*) from audit_events where action = 'webhook.changed'`), 1)
	// A value that another webhook keeps is not this one's.
	other, _ := h.add("beta", good, func(n *webhook.New) { n.Kind = webhook.Log })
	if all, err := h.sender.Complete(other, []webhook.Header{{"X-Key", ""}}, other.Address); err != nil || all[0].Value != "" {
		t.Errorf("completed by a neighbour's: %v, %v", all, err)
	}
}

// Another host gets none of the values that were given for this one: a person who may change a
// webhook would read them there.
func TestHeadersStayWithTheirHost(t *testing.T) {
	t.Parallel()
	h := open(t)
	w, _ := h.add("alpha", good, func(n *webhook.New) { n.Kind, n.Headers = webhook.Log, []webhook.Header{{"X-Key", "one"}} })
	move := func(address string, headers []webhook.Header) error {
		return h.try(func(ctx context.Context, tx *db.Tx) error {
			to := w.Settings
			to.Address = address
			_, err := h.sender.Change(ctx, tx, h.owner["alpha"], w, to, headers)
			return err
		})
	}
	elsewhere := strings.Replace(w.Address, "://", "://other.", 1)
	if err := move(elsewhere, nil); !errors.Is(err, webhook.ErrHeadersStay) {
		t.Errorf("to another host: %v", err)
	}
	if err := move(w.Address+"/deeper", nil); err != nil {
		t.Errorf("to another path: %v", err)
	}
	if err := move(elsewhere, []webhook.Header{{"X-Key", "two"}}); err != nil {
		t.Errorf("with a value for the new host: %v", err)
	}
	if err := move(elsewhere, []webhook.Header{}); err != nil {
		t.Errorf("without headers: %v", err)
	}
	if all, err := h.sender.Complete(w, []webhook.Header{{"X-Key", ""}}, elsewhere); err != nil || all[0].Value != "" {
		t.Errorf("completed for another host: %v, %v", all, err)
	}
}

func TestAChangeIsRecordedWithWhatChanged(t *testing.T) {
	t.Parallel()
	h := open(t)
	w, _ := h.add("alpha", good, func(n *webhook.New) { n.Kind, n.Headers = webhook.Log, []webhook.Header{{"X-Key", "one"}} })
	to := w.Settings
	to.Name, to.Kind = "SIEM", ""
	was := w
	h.update(func(ctx context.Context, tx *db.Tx) (err error) {
		w, err = h.sender.Change(ctx, tx, h.owner["alpha"], was, to, nil)
		return err
	})
	expect.Equal(t, "after", h.text(`select after from audit_events where action = 'webhook.changed'`), `{"name":"SIEM"}`)
	expect.Equal(t, "headers", strings.Join(h.now(w).Headers, " "), "X-Key")
	to.Kind = webhook.Events
	if err := h.try(func(ctx context.Context, tx *db.Tx) error {
		_, err := h.sender.Change(ctx, tx, h.owner["alpha"], w, to, nil)
		return err
	}); !errors.Is(err, webhook.ErrKind) {
		t.Errorf("another kind: %v", err)
	}
	h.update(func(ctx context.Context, tx *db.Tx) error {
		_, err := h.sender.Change(ctx, tx, h.owner["alpha"], w, w.Settings, []webhook.Header{})
		return err
	})
	expect.Equal(t, "headers", len(h.now(w).Headers), 0)
	h.update(func(ctx context.Context, tx *db.Tx) error { return webhook.Remove(ctx, tx, h.owner["alpha"], w) })
	for _, table := range []string{"webhooks", "webhook_secrets", "webhook_retries", "webhook_attempts"} {
		expect.Equal(t, table, h.count(`select count(*) from `+table), 0)
	}
	for action := range audit.Actions {
		if strings.HasPrefix(string(action), "webhook.") && audit.Actions[action].Object != audit.Webhook {
			t.Errorf("%s is about %s", action, audit.Actions[action].Object)
		}
	}
}

// After a restore a webhook has no secret. It is not turned on before it has a new one.
func TestAWebhookWithoutASecretStaysOff(t *testing.T) {
	h := open(t)
	w, _ := h.add("alpha", good)
	dbtest.Do(t, h.DB, `delete from webhook_secrets`)
	dbtest.Do(t, h.DB, `update webhooks set state = 'off'`)
	off := h.now(w)
	turnOn := func(ctx context.Context, tx *db.Tx) error { return webhook.TurnOn(ctx, tx, h.owner["alpha"], off) }
	if err := h.try(turnOn); !errors.Is(err, webhook.ErrNoSecret) {
		t.Errorf("without a secret: %v", err)
	}
	h.update(func(ctx context.Context, tx *db.Tx) error {
		_, err := h.sender.Rotate(ctx, tx, h.owner["alpha"], w, "")
		return err
	})
	if err := h.try(turnOn); err != nil {
		t.Errorf("with a new one: %v", err)
	}
}
