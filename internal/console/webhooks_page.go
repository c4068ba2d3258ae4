package console

import (
	"net/url"
	"time"

	"parvis/internal/db"
	"parvis/internal/page"
	"parvis/internal/webhook"
)

// hookPage shows one webhook: how it is, what was sent, and what can be done.
type hookPage struct {
	shownHook
	eventChoices
	Behind    int
	Secrets   []webhook.Secret
	Attempts  []attemptRow
	Failed    bool // only attempts that failed are listed
	Waiting   []webhook.Waiting
	MayChange bool
	Done      string
	Bad       bool // what was done went wrong
	Forms     []webhook.Form
	Schemes   []webhook.Scheme
	Spans     []replaySpan
	Names     []string // of headers, as the form shows them
	Pages     page.Pages
	Ticked    bool // values
}

// attemptRow is one request with what came of it.
type attemptRow struct {
	webhook.Attempt
	Chip  chip
	Event string // its page in the audit log; empty for a test
}

// replaySpan is how far back events are sent again.
type replaySpan struct {
	Name string
	Back time.Duration // zero for everything
}

var replaySpans = []replaySpan{{"hour", time.Hour}, {"day", day}, {"week", 7 * day}, {"all", 0}}

const deliveriesShown = 50

// attemptPlace is where a page of attempts begins.
type attemptPlace struct {
	At time.Time
	ID string
}

func (s hooks) show(v *page.Viewer) error {
	ctx, actor := v.R.Context(), v.User.AsActor()
	p := hookPage{MayChange: rules(v.User.Role), Forms: hookForms, Schemes: hookSchemes, Spans: replaySpans, Failed: v.R.URL.Query().Has("failed")}
	var from attemptPlace
	if err := v.OpenPlace("webhook attempts", v.R.URL.Query().Get("before"), &from); err != nil {
		return err
	}
	var attempts []webhook.Attempt
	if err := s.site.DB.View(ctx, func(tx *db.Tx) (err error) {
		w, err := webhook.ByID(ctx, tx, actor, v.User.OrgID, v.ID())
		if err != nil {
			return err
		}
		p.shownHook = shownAs(w)
		behind, err := webhook.Behind(ctx, tx, w)
		if err != nil {
			return err
		}
		p.Behind = int(behind)
		if p.Secrets, err = webhook.Secrets(ctx, tx, actor, w); err != nil {
			return err
		}
		if p.Waiting, err = webhook.WaitingOf(ctx, tx, actor, w, deliveriesShown); err != nil {
			return err
		}
		attempts, err = webhook.Attempts(ctx, tx, actor, w, webhook.Query{Before: from.At, ID: from.ID, Failed: p.Failed, Limit: deliveriesShown + 1})
		return err
	}); err != nil {
		return err
	}
	s.listAttempts(v, &p, attempts, from)
	p.eventChoices, p.Names = offerEvents(v, p.Webhook.Events), headerNames(v, p.Webhook.Headers)
	if p.Ticked = p.Webhook.Values; v.Form.Has("address") {
		p.Ticked = v.Form.Ticked("values")
	}
	p.said(v, attempts)
	v.FormIf(p.MayChange)
	return v.Render("console-webhook", p)
}

// listAttempts fills in the list of attempts, with the ways to its other pages.
func (s hooks) listAttempts(v *page.Viewer, p *hookPage, attempts []webhook.Attempt, from attemptPlace) {
	at := v.Path("admin/webhooks", p.ID)
	query := url.Values{}
	if p.Failed {
		query.Set("failed", "")
	}
	if !from.At.IsZero() {
		p.Pages.Newest = at + "?" + query.Encode()
	}
	if len(attempts) > deliveriesShown {
		attempts = attempts[:deliveriesShown]
		last := attempts[deliveriesShown-1]
		query.Set("before", v.SealPlace("webhook attempts", attemptPlace{last.At, last.ID}))
		p.Pages.Older = at + "?" + query.Encode()
	}
	for _, a := range attempts {
		row := attemptRow{Attempt: a, Chip: chip{"console.webhook.taken", "ok"}}
		if !a.Taken() {
			row.Chip = chip{"console.webhook.not_taken", "bad"}
		}
		if a.Action != webhook.Test {
			row.Event = v.Path("admin/audit", a.EventID)
		}
		p.Attempts = append(p.Attempts, row)
	}
}

// said says what was done just before.
func (p *hookPage) said(v *page.Viewer, attempts []webhook.Attempt) {
	for deed, key := range map[string]string{"saved": "console.webhook.saved", "replayed": "console.webhook.replayed", "turned-on": "console.webhook.turned_on", "turned-off": "console.webhook.turned_off"} {
		if v.Just(deed) {
			p.Done = key
		}
	}
	if v.Just("called") && len(attempts) > 0 {
		if p.Done = "console.webhook.answered"; !attempts[0].Taken() {
			p.Done, p.Bad = "console.webhook.refused", true
		}
	}
}
