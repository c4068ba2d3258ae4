// Package credential keeps what users prove themselves with. Passwords: which ones an
// organization's rules allow, how they are hashed and compared, and which were used before.
// Second steps: authenticator apps, passkeys, recovery codes.
//
// A new password goes one way only: Check refuses it with every reason at once, Hash refuses
// one used before and computes the hash, Set stores it. Each step needs what only the one
// before returns, so no door can leave a rule out (R-PWD-12). A typed password goes through
// Verify and Confirm. Check, Hash and Verify belong outside transactions, Set and Confirm
// inside.
//
// The package owns the tables of all of these, and replays: what may happen only once.
package credential

import (
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/measure"
	"parvis/internal/secret"
)

// The faults of this package.
var (
	ErrBusy    = fault.New(fault.Unavailable, "credential.busy").After(2 * time.Second)
	ErrRefused = fault.Field("password", "credential.password_refused")
	ErrChanged = fault.New(fault.Conflict, "credential.password_changed")

	ErrNoPassword = fault.New(fault.Conflict, "credential.no_password")
)

// Owner is the user to whom a password belongs. The hash is bound to both ids: moved to another
// row, it verifies nothing.
type Owner struct {
	OrgID  directory.OrgID
	UserID directory.UserID
}

// Options are what an installation may set. The zero value is good for production.
type Options struct {
	Parallel int      // hashes at once; as many as there are cores if zero
	Waiting  int      // callers that may wait for their turn; 256 if zero
	Breached string   // path of a list of breached passwords or of their SHA-1 hashes; none if empty
	Words    []string // names of this installation, such as its region, that may not be passwords
	Cost     Cost     // DefaultCost if zero; only tests have a reason to go below
}

// Store hashes and compares passwords, a few at a time.
type Store struct {
	pepper   *secret.Ring
	cost     Cost
	queue    *queue
	spent    spent
	imported secret.Box
	breached atomic.Pointer[breached] // nil where there is no list
	words    []string
}

// NewStore makes the one Store of a program. The only error is a list of breached passwords
// that cannot be read.
func NewStore(pepper *secret.Ring, o Options) (*Store, error) {
	if o.Parallel == 0 {
		o.Parallel = runtime.GOMAXPROCS(0)
	}
	if o.Waiting == 0 {
		o.Waiting = 256
	}
	if o.Cost == (Cost{}) {
		o.Cost = DefaultCost
	}
	s := &Store{
		pepper: pepper, cost: o.Cost, queue: newQueue(o.Parallel, o.Waiting),
		spent: spent{most: uint64(o.Parallel) * uint64(DefaultCost.Memory)}, imported: secret.NewBox(pepper, "imported passwords"),
		words: slices.Concat(o.Words, []string{"Parvis"}),
	}
	if o.Breached != "" {
		if err := s.ReadBreached(o.Breached); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Queue is how the computing of hashes goes.
type Queue struct {
	Waiting        func() int // callers
	Waited, Worked *measure.Timer
	Refused        *measure.Counter // callers for whom there was no place to wait
}

// Queue lets somebody watch the queue.
func (s *Store) Queue() Queue {
	return Queue{s.queue.waiting, &s.queue.waited, &s.queue.worked, &s.queue.busy}
}
