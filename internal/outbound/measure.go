package outbound

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"parvis/internal/measure"
	"parvis/internal/trace"
)

// measured is the one place where calls are counted and traced. Neither knows the address: a webhook's
// may be a secret.
func (c *Client) measured(r *http.Request, call func(*http.Request) (Response, error)) (Response, error) {
	watch, span := measure.Start(), trace.Call(r.Context(), "call "+c.purpose)
	span.Text("http.request.method", r.Method)
	w, err := call(r)
	why, refused := errors.AsType[Refused](err)
	result := "failed"
	switch {
	case err == nil:
		result = strconv.Itoa(min(w.Status/100, 5)) + "xx"
		span.Number("http.response.status_code", w.Status)
	case refused:
		result = string(why)
	case errors.Is(err, context.Canceled):
		result = "canceled"
	}
	if err != nil {
		span.Fail(result)
	}
	c.calls.Of(measure.Labels{c.purpose, result}).Observe(watch.Took())
	span.End()
	return w, err
}
