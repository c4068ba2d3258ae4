package edge

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"parvis/internal/db"
	"parvis/internal/fault"
)

// ComeBack is when to try again if the database does not work.
const ComeBack = 10 * time.Second

// Answer is how an error is answered, in any format. Only the text of a fault is shown; any
// other error is our own, and is logged under the reference that the answer names (R-LOG-06).
type Answer struct {
	Status int          // 0: nobody waits for an answer
	Fault  *fault.Error // nil if the error is not a fault
}

// Answer is the one place where an error becomes an answer: it judges and logs the error, and
// says in a header when to come back.
func (q *Request) Answer(err error) Answer {
	if all := fault.All(err); len(all) > 0 {
		q.RetryAfter(all[0].RetryAfter)
		return Answer{all[0].Kind.Status(), all[0]}
	}
	a := Answer{Status: http.StatusInternalServerError}
	switch {
	case errors.Is(err, context.Canceled):
		return Answer{}
	case db.IsUnavailable(err) || errors.Is(err, context.DeadlineExceeded):
		a.Status = http.StatusServiceUnavailable
		q.RetryAfter(ComeBack)
	}
	q.edge.Log.ErrorContext(q.R.Context(), "request failed", "reference", q.reference, "pattern", q.R.Pattern, "error", err.Error())
	return a
}

// RetryAfter sets the header that says when to come back, unless d is zero.
func (q *Request) RetryAfter(d time.Duration) {
	if d > 0 {
		q.W.Header().Set("Retry-After", strconv.Itoa(int((d+time.Second-1)/time.Second)))
	}
}
