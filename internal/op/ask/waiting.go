package ask

import (
	"errors"
	"net/url"

	"parvis/internal/op"
	"parvis/internal/page"
	"parvis/internal/secret"
)

// waitingFor stores a request for this browser, unless it is stored already.
func (p *Pages) waitingFor(v *page.Visitor, q op.Pending) (op.Pending, error) {
	if q.ID != "" {
		return q, nil
	}
	ctx := v.R.Context()
	b, err := v.BrowserOrNew(ctx)
	if err != nil {
		return op.Pending{}, err
	}
	q.ID = secret.NewID("req")
	return q, p.Keep(ctx, b.ID, q)
}

// waiting returns the stored request that the address names.
func (p *Pages) waiting(v *page.Visitor) (op.Pending, error) {
	ctx := v.R.Context()
	b, err := v.Browser(ctx)
	if err != nil {
		return op.Pending{}, err
	}
	q, found, err := p.Kept(ctx, p.DB, b, v.R.URL.Query().Get("request"))
	if err == nil && !found {
		err = op.ErrRequestGone
	}
	return q, err
}

// gone sends the browser on if the error is that its request no longer waits.
func (p *Pages) gone(v *page.Visitor, err error) error {
	if !errors.Is(err, op.ErrRequestGone) {
		return err
	}
	return v.Redirect(resumePath + "?" + url.Values{"request": {v.R.URL.Query().Get("request")}}.Encode())
}
