package api

import (
	"context"
	"net/http"
	"reflect"
	"slices"
	"time"

	"parvis/internal/access"
	"parvis/internal/api/form"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/webhook"
)

var webhookOperations = []*operation{
	reads(operation{ID: "webhooks.list", Path: "/webhooks", Scope: access.ReadWebhooks, Role: directory.Auditor}, listWebhooks),
	does(operation{ID: "webhooks.create", Method: http.MethodPost, Path: "/webhooks", Scope: access.WriteWebhooks, Role: directory.Administrator, Fresh: true, status: http.StatusCreated},
		deed[struct{ Body form.NewWebhook }, form.MadeWebhook]{first: checkNewWebhook, do: createWebhook, show: showMadeWebhook}),
	webhookSettings.gets(operation{ID: "webhooks.get", Path: "/webhooks/{id}", Scope: access.ReadWebhooks, Role: directory.Auditor}),
	webhookSettings.patches(operation{ID: "webhooks.change", Path: "/webhooks/{id}", Scope: access.WriteWebhooks, Role: directory.Administrator, Fresh: true}),
	does(operation{ID: "webhooks.delete", Method: http.MethodDelete, Path: "/webhooks/{id}", Scope: access.WriteWebhooks, Role: directory.Administrator, Fresh: true},
		deed[at, form.Webhook]{do: withWebhook(webhook.Remove)}),
	does(operation{ID: "webhooks.turn_on", Method: http.MethodPost, Path: "/webhooks/{id}/turn-on", Scope: access.WriteWebhooks, Role: directory.Administrator},
		deed[at, form.Webhook]{do: withWebhook(webhook.TurnOn), show: showWebhook}),
	does(operation{ID: "webhooks.turn_off", Method: http.MethodPost, Path: "/webhooks/{id}/turn-off", Scope: access.WriteWebhooks, Role: directory.Administrator},
		deed[at, form.Webhook]{do: withWebhook(webhook.TurnOff), show: showWebhook}),
	does(operation{ID: "webhooks.set_headers", Method: http.MethodPost, Path: "/webhooks/{id}/headers", Scope: access.WriteWebhooks, Role: directory.Administrator, Fresh: true},
		deed[withBody[form.WebhookHeaders], form.Webhook]{do: setHeaders, show: showWebhook}),
	reads(operation{ID: "webhooks.secrets", Path: "/webhooks/{id}/secret", Scope: access.ReadWebhooks, Role: directory.Auditor}, listWebhookSecrets),
	does(operation{ID: "webhooks.rotate_secret", Method: http.MethodPost, Path: "/webhooks/{id}/secret", Scope: access.WriteWebhooks, Role: directory.Administrator, Fresh: true, status: http.StatusCreated},
		deed[withBody[form.Rotation], form.NewWebhookSecret]{do: rotateSecret, show: showRotated}),
	reads(operation{ID: "webhooks.attempts", Path: "/webhooks/{id}/attempts", Scope: access.ReadWebhooks, Role: directory.Auditor}, listDeliveries),
	reads(operation{ID: "webhooks.waiting", Path: "/webhooks/{id}/waiting", Scope: access.ReadWebhooks, Role: directory.Auditor}, listWaiting),
	does(operation{ID: "webhooks.replay", Method: http.MethodPost, Path: "/webhooks/{id}/replay", Scope: access.WriteWebhooks, Role: directory.Administrator},
		deed[withBody[form.Replay], form.Webhook]{do: replay, show: showWebhook}),
	callsWebhook(operation{ID: "webhooks.test", Path: "/webhooks/{id}/test", Scope: access.WriteWebhooks, Role: directory.Administrator},
		func(ctx context.Context, x *call, in at) (webhook.Attempt, error) {
			return x.server.Webhooks.Try(ctx, x.Actor, x.org(), in.ID)
		}),
	callsWebhook(operation{ID: "webhooks.send", Path: "/webhooks/{id}/send", Scope: access.WriteWebhooks, Role: directory.Administrator},
		func(ctx context.Context, x *call, in withBody[form.SentEvent]) (webhook.Attempt, error) {
			return x.server.Webhooks.SendAgain(ctx, x.Actor, x.org(), in.ID, in.Body.EventID)
		}),
}

var errOneReplay = fault.Field("after", "api.one_replay")

func (x *call) webhookAt(ctx context.Context, r db.Reader, id string) (webhook.Webhook, error) {
	return webhook.ByID(ctx, r, x.Actor, x.org(), id)
}

func ofWebhook(ctx context.Context, r db.Reader, w webhook.Webhook) (form.Webhook, error) {
	behind, err := webhook.Behind(ctx, r, w)
	if err != nil {
		return form.Webhook{}, err
	}
	sequence, err := audit.SequenceOf(ctx, r, string(w.OrgID), w.Cursor)
	return form.Webhook{
		ID: w.ID, Kind: string(w.Kind), WebhookSettings: ofWebhookSettings(w.Settings), Version: w.Version, Headers: append([]string{}, w.Headers...), State: string(w.State()), Why: textOrNull(string(w.Why)),
		Sequence: sequence, Behind: behind, Failures: w.Failures, ParkedAt: moment(w.ParkedAt), NextTryAt: moment(w.NextTryAt), TakenAt: moment(w.TakenAt),
		CreatedAt: w.CreatedAt.UTC(), ChangedAt: w.ChangedAt.UTC(),
	}, err
}

func textOrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func ofWebhookSettings(s webhook.Settings) form.WebhookSettings {
	return form.WebhookSettings{Name: s.Name, Form: string(s.Form), Address: s.Address, Events: s.Events, Values: s.Values}
}

func listWebhooks(ctx context.Context, r db.Reader, x *call, _ struct{}) (form.Page[form.Webhook], error) {
	all, err := webhook.Of(ctx, r, x.Actor, x.org())
	out := form.Page[form.Webhook]{Items: make([]form.Webhook, 0, len(all))}
	for _, w := range all {
		shown, err := ofWebhook(ctx, r, w)
		if err != nil {
			return out, err
		}
		out.Items = append(out.Items, shown)
	}
	return out, err
}

func showWebhook(ctx context.Context, r db.Reader, x *call, id string) (form.Webhook, error) {
	w, err := x.webhookAt(ctx, r, id)
	if err != nil {
		return form.Webhook{}, err
	}
	return ofWebhook(ctx, r, w)
}

// webhookSettings is a webhook by its settings.
var webhookSettings = document[form.WebhookSettings, form.Webhook]{
	first: func(ctx context.Context, x *call, _ at, was, now form.WebhookSettings) error {
		if now.Address == was.Address {
			return nil
		}
		return x.server.Webhooks.Check(ctx, x.Actor, x.org(), webhook.New{Settings: webhookSettingsOf(now)})
	},
	read: func(ctx context.Context, r db.Reader, x *call, at at) (form.WebhookSettings, error) {
		w, err := x.webhookAt(ctx, r, at.ID)
		return ofWebhookSettings(w.Settings), err
	},
	write: func(ctx context.Context, tx *db.Tx, x *call, at at, _, now form.WebhookSettings) error {
		w, err := x.webhookAt(ctx, tx, at.ID)
		if err != nil {
			return err
		}
		_, err = x.server.Webhooks.Change(ctx, tx, x.Actor, w, webhookSettingsOf(now), nil)
		return err
	},
	show: func(ctx context.Context, r db.Reader, x *call, at at) (form.Webhook, error) {
		return showWebhook(ctx, r, x, at.ID)
	},
}

func checkNewWebhook(ctx context.Context, x *call, in struct{ Body form.NewWebhook }) error {
	return x.server.Webhooks.Check(ctx, x.Actor, x.org(), newWebhookOf(in.Body))
}

func webhookSettingsOf(s form.WebhookSettings) webhook.Settings {
	return webhook.Settings{Name: s.Name, Form: webhook.Form(s.Form), Address: s.Address, Events: s.Events, Values: s.Values}
}

func newWebhookOf(n form.NewWebhook) webhook.New {
	return webhook.New{
		Settings: webhook.Settings{Name: n.Name, Kind: webhook.Kind(n.Kind), Form: webhook.Form(n.Form), Address: n.Address, Events: n.Events, Values: n.Values},
		Headers:  headersIn(n.Headers), Scheme: webhook.Scheme(n.Scheme),
	}
}

func createWebhook(ctx context.Context, tx *db.Tx, x *call, in struct{ Body form.NewWebhook }) (string, error) {
	w, text, err := x.server.Webhooks.Create(ctx, tx, x.Actor, x.org(), newWebhookOf(in.Body))
	x.made(text)
	return w.ID, err
}

func headersIn(sent []form.WebhookHeader) []webhook.Header {
	all := make([]webhook.Header, len(sent))
	for i, h := range sent {
		all[i] = webhook.Header{Name: h.Name, Value: h.Value}
	}
	return all
}

// showMadeWebhook shows a webhook with its secret. When that was shown before, it says so in place
// of an answer without one.
func showMadeWebhook(ctx context.Context, r db.Reader, x *call, id string) (form.MadeWebhook, error) {
	w, err := showWebhook(ctx, r, x, id)
	if err == nil && x.again {
		err = errShown.With("Object", id)
	}
	if err != nil {
		return form.MadeWebhook{}, err
	}
	return form.MadeWebhook{Webhook: w, Secret: x.secret}, nil
}

// withWebhook does a deed to the webhook that a call names, as it is in that transaction.
func withWebhook(do func(context.Context, *db.Tx, directory.Actor, webhook.Webhook) error) func(context.Context, *db.Tx, *call, at) (string, error) {
	return func(ctx context.Context, tx *db.Tx, x *call, in at) (string, error) {
		w, err := x.webhookAt(ctx, tx, in.ID)
		if err != nil {
			return "", err
		}
		return w.ID, do(ctx, tx, x.Actor, w)
	}
}

func setHeaders(ctx context.Context, tx *db.Tx, x *call, in withBody[form.WebhookHeaders]) (string, error) {
	w, err := x.webhookAt(ctx, tx, in.ID)
	if err != nil {
		return "", err
	}
	_, err = x.server.Webhooks.Change(ctx, tx, x.Actor, w, w.Settings, headersIn(in.Body.Headers))
	return w.ID, err
}

func ofWebhookSecret(s webhook.Secret) form.WebhookSecret {
	return form.WebhookSecret{ID: s.ID, Scheme: string(s.Scheme), Public: textOrNull(s.Public), CreatedAt: s.CreatedAt.UTC(), EndsAt: moment(s.EndsAt)}
}

func listWebhookSecrets(ctx context.Context, r db.Reader, x *call, in at) (form.Page[form.WebhookSecret], error) {
	w, err := x.webhookAt(ctx, r, in.ID)
	if err != nil {
		return form.Page[form.WebhookSecret]{}, err
	}
	all, err := webhook.Secrets(ctx, r, x.Actor, w)
	return short(all, ofWebhookSecret), err
}

func rotateSecret(ctx context.Context, tx *db.Tx, x *call, in withBody[form.Rotation]) (string, error) {
	w, err := x.webhookAt(ctx, tx, in.ID)
	if err != nil {
		return "", err
	}
	text, err := x.server.Webhooks.Rotate(ctx, tx, x.Actor, w, webhook.Scheme(in.Body.Scheme))
	x.made(text)
	return w.ID, err
}

func showRotated(ctx context.Context, r db.Reader, x *call, id string) (form.NewWebhookSecret, error) {
	if x.again {
		return form.NewWebhookSecret{}, errShown.With("Object", id)
	}
	w, err := x.webhookAt(ctx, r, id)
	if err != nil {
		return form.NewWebhookSecret{}, err
	}
	all, err := webhook.Secrets(ctx, r, x.Actor, w)
	i := slices.IndexFunc(all, func(s webhook.Secret) bool { return s.EndsAt.IsZero() })
	if err != nil || i < 0 {
		return form.NewWebhookSecret{}, err
	}
	return form.NewWebhookSecret{WebhookSecret: ofWebhookSecret(all[i]), Secret: x.secret}, nil
}

// deliveries is what a list of attempts may be asked for.
type deliveries struct {
	at
	listing
	Failed bool `query:"failed"`
}

// deliveryPlace is where the next page of attempts begins.
type deliveryPlace struct {
	At time.Time `json:"at"`
	ID string    `json:"id"`
}

func listDeliveries(ctx context.Context, r db.Reader, x *call, in deliveries) (form.Page[form.Delivery], error) {
	w, err := x.webhookAt(ctx, r, in.ID)
	if err != nil {
		return form.Page[form.Delivery]{}, err
	}
	var from deliveryPlace
	limit, err := x.begin(in.listing, &from)
	if err != nil {
		return form.Page[form.Delivery]{}, err
	}
	all, err := webhook.Attempts(ctx, r, x.Actor, w, webhook.Query{Before: from.At, ID: from.ID, Failed: in.Failed, Limit: limit + 1})
	more := len(all) > limit
	out := short(all[:min(limit, len(all))], ofDelivery)
	if more {
		last := all[limit-1]
		out.Next = x.next(deliveryPlace{last.At, last.ID})
	}
	return out, err
}

func ofDelivery(a webhook.Attempt) form.Delivery {
	d := form.Delivery{
		ID: a.ID, At: a.At.UTC(), EventID: a.EventID, Action: string(a.Action), Events: a.Events, TookMS: a.Took.Milliseconds(), Taken: a.Taken(), Why: textOrNull(a.Why),
	}
	if a.Status != 0 {
		d.Status = &a.Status
	}
	return d
}

func listWaiting(ctx context.Context, r db.Reader, x *call, in at) (form.Page[form.WaitingEvent], error) {
	w, err := x.webhookAt(ctx, r, in.ID)
	if err != nil {
		return form.Page[form.WaitingEvent]{}, err
	}
	all, err := webhook.WaitingOf(ctx, r, x.Actor, w, mostOfPage)
	return short(all, func(e webhook.Waiting) form.WaitingEvent {
		return form.WaitingEvent{EventID: e.EventID, Tries: e.Tries, FailedAt: e.Failed.UTC(), NextTryAt: moment(e.NextAt)}
	}), err
}

func replay(ctx context.Context, tx *db.Tx, x *call, in withBody[form.Replay]) (string, error) {
	w, err := x.webhookAt(ctx, tx, in.ID)
	switch {
	case err != nil:
		return "", err
	case (in.Body.After == nil) == (in.Body.Since == nil):
		return "", errOneReplay
	case in.Body.Since != nil:
		return w.ID, webhook.ReplaySince(ctx, tx, x.Actor, w, *in.Body.Since)
	}
	after, err := audit.PlaceOf(ctx, tx, string(w.OrgID), *in.Body.After)
	if err != nil {
		return w.ID, err
	}
	return w.ID, webhook.Replay(ctx, tx, x.Actor, w, after)
}

// callsWebhook completes an operation that calls a receiver at once, and shows what it answered.
func callsWebhook[In any](o operation, do func(context.Context, *call, In) (webhook.Attempt, error)) *operation {
	o.Method, o.status, o.many, o.in, o.out = http.MethodPost, http.StatusOK, true, reflect.TypeFor[In](), reflect.TypeFor[form.Delivery]()
	o.run = func(ctx context.Context, x *call) error {
		in, err := input[In](x)
		switch {
		case err != nil:
			return err
		case x.R.Header.Get("Idempotency-Key") != "":
			return errNoKey
		case x.dry:
			return errSpeaksToOthers
		}
		a, err := do(ctx, x, in)
		if err != nil {
			return err
		}
		return x.answer(o.status, ofDelivery(a))
	}
	return &o
}
