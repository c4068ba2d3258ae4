package api

import (
	"context"
	"fmt"
	"slices"

	"parvis/internal/api/form"
	"parvis/internal/db"
	"parvis/internal/fault"
	"parvis/internal/naming"
	"parvis/internal/webhook"
)

// A configuration takes the values of a log's headers and never shows them. A header that is sent
// without its value keeps the one that it has.

var errRotated = fault.Field("", "api.configuration_rotated")

var configuredWebhooks = things[form.ConfiguredWebhook]{
	part: part{name: "webhooks", kind: "webhook", fold: naming.Fold, blank: func(object) object {
		return tree(form.ConfiguredWebhook{
			WebhookSettings: form.WebhookSettings{Form: string(webhook.Own), Events: []string{}}, Scheme: string(webhook.Symmetric), Headers: []form.ConfiguredHeader{},
		})
	}},
	of: func(c *form.Configuration) *[]form.ConfiguredWebhook { return &c.Webhooks },
	id: func(w form.ConfiguredWebhook) string { return w.ID },
	read: func(ctx context.Context, r db.Reader, x *call) ([]form.ConfiguredWebhook, error) {
		all, err := webhook.Of(ctx, r, x.Actor, x.org())
		if err != nil {
			return nil, err
		}
		schemes, err := webhook.Schemes(ctx, r, x.Actor, x.org())
		return short(all, func(w webhook.Webhook) form.ConfiguredWebhook {
			return form.ConfiguredWebhook{
				ID: w.ID, Kind: string(w.Kind), WebhookSettings: ofWebhookSettings(w.Settings), Scheme: string(schemes[w.ID]), Headers: headersOf(w),
			}
		}).Items, err
	},
	make: func(ctx context.Context, tx *db.Tx, x *call, now form.ConfiguredWebhook) error {
		n := webhook.New{Settings: webhookSettingsOf(now.WebhookSettings), Scheme: webhook.Scheme(now.Scheme)}
		n.Kind = webhook.Kind(now.Kind)
		var err error
		if n.Headers, err = x.headers(webhook.Webhook{}, now); err != nil {
			return err
		}
		w, text, err := x.server.Webhooks.Create(ctx, tx, x.Actor, x.org(), n)
		if err != nil {
			return err
		}
		if x.made(text); x.secret != nil {
			x.secrets[w.ID] = *x.secret
		}
		return x.valuesOf(webhook.Webhook{}, w)
	},
	change: func(ctx context.Context, tx *db.Tx, x *call, was, now form.ConfiguredWebhook) error {
		switch {
		case was.Kind != now.Kind:
			return wrong{pointer: "/kind", why: errFixed}
		case was.Scheme != now.Scheme:
			return wrong{pointer: "/scheme", why: errRotated}
		}
		w, err := x.webhookAt(ctx, tx, was.ID)
		if err != nil {
			return err
		}
		headers, err := x.headers(w, now)
		if err != nil {
			return err
		}
		changed, err := x.server.Webhooks.Change(ctx, tx, x.Actor, w, webhookSettingsOf(now.WebhookSettings), headers)
		if err != nil {
			return err
		}
		return x.valuesOf(w, changed)
	},
	remove: func(ctx context.Context, tx *db.Tx, x *call, was form.ConfiguredWebhook) error {
		_, err := withWebhook(webhook.Remove)(ctx, tx, x, at{ID: was.ID})
		return err
	},
	fresh:        true,
	freshRemoval: true,
}

// headersOf returns the headers of a log without their values.
func headersOf(w webhook.Webhook) []form.ConfiguredHeader {
	all := make([]form.ConfiguredHeader, len(w.Headers))
	for i, name := range w.Headers {
		all[i].Name = name
	}
	return all
}

// headers returns what was sent of headers, each with a value: the one sent, or else the one kept.
func (x *call) headers(was webhook.Webhook, now form.ConfiguredWebhook) ([]webhook.Header, error) {
	sent := now.Headers
	all := make([]webhook.Header, len(sent))
	for i, h := range sent {
		all[i].Name = h.Name
		if h.Value != nil {
			all[i].Value = *h.Value
		}
	}
	all, err := x.server.Webhooks.Complete(was, all, now.Address)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(all, func(h webhook.Header) bool { return h.Value == "" }); i >= 0 {
		return nil, wrong{pointer: fmt.Sprintf("/headers/%d/value", i), why: errMissing}
	}
	return all, nil
}

// valuesOf has the plan name the headers whose values are other ones now.
func (x *call) valuesOf(was, now webhook.Webhook) error {
	names, err := x.server.Webhooks.NewValues(was, now)
	for _, name := range names {
		x.secretOf[now.ID] = append(x.secretOf[now.ID], "headers."+name)
	}
	return err
}

// newAddresses counts the addresses that we will call because a configuration says so.
func newAddresses(was, now form.Configuration) (n int) {
	for _, w := range now.Webhooks {
		same := func(b form.ConfiguredWebhook) bool { return b.ID == w.ID && b.Address == w.Address }
		if !slices.ContainsFunc(was.Webhooks, same) {
			n++
		}
	}
	return n
}
