package mail

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/expect"
	"parvis/internal/mailbox"
)

func TestARefusalForNowIsTriedAgainLaterAndLater(t *testing.T) {
	t.Parallel()
	refuse := true
	b := newBench(t, mailbox.Options{Recipient: func(string) error {
		if refuse {
			return mailbox.Refuse(451, "try again later")
		}
		return nil
	}})
	id := b.put(Letter{})
	for tries, wait := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour, 4 * time.Hour} {
		b.sweep()
		b.expect(id, stored{state: Waiting, tries: tries + 1, next: wait, answer: "451"})
		b.clock.Advance(wait - time.Microsecond)
		b.sweep()
		if got := b.stored(id).tries; got != tries+1 {
			t.Fatalf("tried %d times before its time came", got)
		}
		b.clock.Advance(time.Microsecond)
	}
	refuse = false
	b.sweep()
	b.expect(id, stored{state: Sent, tries: 7, next: -1, answer: taken})
}

func TestALetterIsGivenUpWhenItIsOfNoMoreUse(t *testing.T) {
	t.Parallel()
	refuse := mailbox.Options{Recipient: func(string) error { return mailbox.Refuse(451, "try again later") }}
	tests := map[string]struct {
		ends  time.Duration // of the invitation, from the start; 0 for a letter that never ends
		after time.Duration // when it was last tried
		tries int
	}{
		"after three days":               {after: 3 * 24 * time.Hour, tries: 22},
		"when its link has died":         {ends: time.Hour, after: 21 * time.Minute, tries: 4},
		"before it is sent, if too late": {ends: time.Second, after: time.Minute, tries: 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, refuse)
			p := b.invitation()
			if p.Expires = (time.Time{}); tt.ends != 0 {
				p.Expires = dbtest.Start.Add(tt.ends)
			}
			id := b.put(Letter{Parameters: p})
			if tt.ends == time.Second {
				b.clock.Advance(time.Minute)
			}
			for range 30 {
				b.sweep()
				next := b.stored(id).next
				if next < 0 {
					break
				}
				b.clock.Advance(next)
			}
			got := b.stored(id)
			if got.state != GivenUp || got.tries != tt.tries || got.parameters != "" {
				t.Errorf("got %+v", got)
			}
			if after := b.clock.Now().Sub(dbtest.Start); after > tt.after {
				t.Errorf("given up after %v, want at most %v", after, tt.after)
			}
		})
	}
}

// What an organization that was deleted would say is said to nobody, and the next letter leaves.
func TestLettersOfAnOrganizationThatWritesToNobodyAreGivenUp(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	b.outbox.letterhead = func(ctx context.Context, r db.Reader, orgID string) (Letterhead, error) {
		if orgID == org {
			return Letterhead{}, ErrNoLetters
		}
		return letterhead(ctx, r, orgID)
	}
	id := b.put(Letter{})
	b.putOf(Letter{OrgID: bare})
	b.sweep()
	b.expect(id, stored{state: GivenUp, tries: 1, next: -1})
	if n := len(b.box.Letters()); n != 1 {
		t.Errorf("%d letters left, want 1", n)
	}
}

func TestARefusalForGoodBounces(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		options mailbox.Options
		means   string
	}{
		"no such mailbox": {mailbox.Options{Recipient: func(string) error { return mailbox.Refuse(550, "no such\tmailbox \x1b[31m") }}, "mail.answer.refused"},
		"bad address":     {mailbox.Options{Recipient: func(string) error { return mailbox.Refuse(501, "no such mailbox") }}, "mail.answer.no_mailbox"},
		"content refused": {mailbox.Options{Accept: func(mailbox.Received) error { return mailbox.Refuse(554, "no such mailbox") }}, "mail.answer.refused"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, tt.options)
			id := b.put(Letter{})
			b.sweep()
			s := b.stored(id)
			expect.Equal(t, "state", s.state, Bounced)
			expect.Equal(t, "next", s.next, -1)
			expect.Equal(t, "parameters", s.parameters, "")
			expect.Equal(t, "Key", s.answer.Key(), tt.means)
		})
	}
}

// One letter that the server refuses must not keep the next from being sent
// over the same connection.
func TestOneRefusalLeavesTheOtherLettersAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{Recipient: func(to string) error {
		if to == "nobody@example.org" {
			return mailbox.Refuse(550, "no such mailbox")
		}
		return nil
	}})
	var ids []string
	for _, to := range []string{"a@example.org", "nobody@example.org", "b@example.org"} {
		ids = append(ids, b.put(Letter{Recipient: to}))
	}
	b.sweep()
	if got := []State{b.stored(ids[0]).state, b.stored(ids[1]).state, b.stored(ids[2]).state}; !slices.Equal(got, []State{Sent, Bounced, Sent}) {
		t.Errorf("got %v", got)
	}
}

func TestAServerThatIsDownCostsNoLetterATry(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	id := b.put(Letter{})
	b.box.Close()
	for range 5 {
		b.sweep()
		b.expect(id, stored{state: Waiting, tries: 0, next: pause})
		b.clock.Advance(pause)
	}
	b.box = startMailbox(t, mailbox.Options{})
	b.outbox.server.Address = b.box.Address()
	b.sweep()
	b.expect(id, stored{state: Sent, tries: 1, next: -1, answer: taken})
	late := b.put(Letter{})
	b.box.Close()
	b.clock.Advance(usefulness)
	b.sweep()
	b.expect(late, stored{state: GivenUp, tries: 0, next: -1})
}

// An answer about the server itself does not end a letter.
func TestAServerInTroubleBouncesNothing(t *testing.T) {
	t.Parallel()
	var code int
	b := newBench(t, mailbox.Options{Recipient: func(string) error { return mailbox.Refuse(code, "go away") }})
	for _, code = range []int{421, 503, 530, 535} {
		first, second := b.put(Letter{}), b.put(Letter{})
		b.sweep()
		a, z := b.stored(first), b.stored(second)
		of := expect.Case(t, "after %d", code)
		expect.Equal(of, "a.state", a.state, Waiting)
		expect.Equal(of, "z.state", z.state, Waiting)
		expect.Equal(of, "a.tries+z.tries", a.tries+z.tries, 1)
		expect.Equal(of, "a.next", a.next, pause)
		expect.Equal(of, "z.next", z.next, pause)
		b.withdraw(first)
		b.withdraw(second)
	}
}

func TestAHangingServerIsLeftAndLosesNothing(t *testing.T) {
	var hang atomic.Bool
	hang.Store(true)
	done := t.Context().Done()
	b := newBench(t, mailbox.Options{Accept: func(mailbox.Received) error {
		if hang.Load() {
			<-done
			return errors.New("too late")
		}
		return nil
	}})
	b.outbox.server.Timeout = 100 * time.Millisecond
	ids := []string{b.put(Letter{}), b.put(Letter{}), b.put(Letter{})}
	began := time.Now()
	b.sweep()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the sweep hung for %v", took)
	}
	tries := 0
	for _, id := range ids {
		s := b.stored(id)
		tries += s.tries
		if s.state != Waiting || s.next != pause {
			t.Errorf("got %+v", s)
		}
	}
	if tries != 1 {
		t.Errorf("%d letters were tried on a server that hangs", tries)
	}
	hang.Store(false)
	b.outbox.server.Timeout = 10 * time.Second
	b.clock.Advance(pause)
	b.sweep()
	b.received(3)
}

func TestStoppingInterruptsASendThatHangs(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	done := t.Context().Done()
	b := newBench(t, mailbox.Options{Recipient: func(string) error {
		stop()
		<-done
		return nil
	}})
	b.outbox.grace = 50 * time.Millisecond
	id := b.put(Letter{})
	if err := b.outbox.Sweep(ctx, b.d); err != nil {
		t.Fatal(err)
	}
	b.expect(id, stored{state: Waiting, tries: 1, next: time.Minute})
}

func TestStoppingFinishesTheLetterInHandAndReturnsTheOthers(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	b := newBench(t, mailbox.Options{Accept: func(mailbox.Received) error { stop(); return nil }})
	first, second := b.put(Letter{}), b.put(Letter{})
	if err := b.outbox.Sweep(ctx, b.d); err != nil {
		t.Fatal(err)
	}
	if b.stored(first).state == Waiting {
		first, second = second, first
	}
	b.expect(first, stored{state: Sent, tries: 1, next: -1, answer: taken})
	b.expect(second, stored{state: Waiting, tries: 0, next: 0})
}

// A crash while letters are claimed delays them by a minute. Then those that expire soonest
// are sent first.
func TestWhatACrashedSweepHadTakenIsSentWithinAMinute(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	for range batch {
		b.put(Letter{Recipient: "many@example.org"})
	}
	p := ResetParameters{Organization: "Acme", Link: link, Expires: dbtest.Start.Add(10 * time.Minute)}
	id := b.put(Letter{Parameters: p})
	if taken, err := b.outbox.claim(t.Context(), b.d); err != nil || len(taken) != batch || !slices.ContainsFunc(taken, func(l waiting) bool { return l.id == id }) {
		t.Fatalf("%d letters were claimed (%v), want those that end soonest among them", len(taken), err)
	}
	b.clock.Advance(time.Minute)
	b.sweep()
	b.expect(id, stored{state: Sent, tries: 2, next: -1, answer: taken})
}

func TestWhatIsGivenUpIsLogged(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	var log bytes.Buffer
	b.outbox.log = slog.New(slog.NewTextHandler(&log, nil))
	id := b.put(Letter{Parameters: ResetParameters{Organization: "Acme", Link: link, Expires: dbtest.Start.Add(10 * time.Minute)}})
	b.clock.Advance(10 * time.Minute)
	b.sweep()
	if b.stored(id).state != GivenUp || !strings.Contains(log.String(), "letter given up") || !strings.Contains(log.String(), id) {
		t.Errorf("the letter is %+v, and the log says %s", b.stored(id), log.String())
	}
}

// Letters that waited for too long are given up many at a time, and each is in the log of its own
// organization, once.
func TestEachLetterThatIsGivenUpIsInTheLogOfItsOrganization(t *testing.T) {
	t.Parallel()
	b := newBench(t, mailbox.Options{})
	b.box.Close() // nobody answers while they wait
	of := map[string]string{}
	for i := range 2*db.Part + 3 {
		l := Letter{OrgID: org}
		if i%3 == 0 {
			l.OrgID = bare
		}
		of[b.putOf(l)] = l.OrgID
	}
	b.clock.Advance(usefulness - time.Microsecond)
	b.sweep()
	for range 2 { // what was given up is not given up again
		b.clock.Advance(pause)
		b.sweep()
	}
	events, err := db.List(t.Context(), b.d, func(e *audit.Event) []any { return db.Into(&e.OrgID, &e.Target) },
		`select org_id, target from audit_events where action = $1 and result = $2`, "letter.refused", string(audit.Refused))
	if err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "events", len(events), len(of))
	for _, e := range events {
		expect.Equal(t, "organization in whose log the letter is", e.OrgID, of[e.Target])
		delete(of, e.Target)
	}
	expect.Equal(t, "letters without an event", len(of), 0)
}

// No order of steps closes this gap: the server has accepted the letter, and the program
// crashes before it stores that.
func TestACrashAfterSendingSendsTheSameLetterOnceMore(t *testing.T) {
	t.Parallel()
	address := dbtest.Address(t)
	var crashing *db.DB
	var crash atomic.Bool
	crash.Store(true)
	b := newBench(t, mailbox.Options{Accept: func(mailbox.Received) error {
		if crash.Load() {
			return crashing.Close()
		}
		return nil
	}})
	open := func() *db.DB {
		d := dbtest.OpenAt(t, address)
		d.Clock = b.clock.Now
		return d
	}
	crashing = open()
	b.d = crashing
	id := b.put(Letter{})
	if err := b.outbox.Sweep(t.Context(), b.d); err == nil {
		t.Fatal("the letter could be marked after the crash")
	}
	crash.Store(false)
	b.d = open()
	b.clock.Advance(lease - time.Microsecond)
	b.sweep()
	b.received(1)
	b.clock.Advance(time.Microsecond)
	b.sweep()
	b.sweep()
	letters := b.received(2)
	if a, z := letters[0].Header.Get("Message-Id"), letters[1].Header.Get("Message-Id"); a != z || a != "<"+id+"@parvis.example>" {
		t.Errorf("the two copies are %s and %s", a, z)
	}
	b.expect(id, stored{state: Sent, tries: 2, next: -1, answer: taken})
}

func TestTwoNodesSendEachLetterOnce(t *testing.T) {
	t.Parallel()
	address := dbtest.Address(t)
	b := newBench(t, mailbox.Options{})
	nodes := []*db.DB{dbtest.OpenAt(t, address), dbtest.OpenAt(t, address)}
	for _, d := range nodes {
		d.Clock = b.clock.Now
	}
	b.d = nodes[0]
	const letters = 2*batch + 7
	for range letters {
		b.put(Letter{})
	}
	var wg sync.WaitGroup
	for _, d := range nodes {
		wg.Go(func() {
			for range 4 {
				if err := b.outbox.Sweep(t.Context(), d); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	ids := map[string]bool{}
	for _, r := range b.received(letters) {
		ids[r.Header.Get("Message-Id")] = true
	}
	if len(ids) != letters {
		t.Errorf("%d different letters came, want %d", len(ids), letters)
	}
}

// A node whose clock is behind wrote the second letter: people get what happened first, first.
func TestLettersOfOneSweepLeaveInTheOrderOfWhatHappened(t *testing.T) {
	b := newBench(t, mailbox.Options{})
	b.clock.Advance(10 * time.Second)
	b.put(Letter{Recipient: "later@example.org"})
	b.clock.Advance(-5 * time.Second)
	b.put(Letter{Recipient: "earlier@example.org"})
	b.clock.Advance(time.Minute)
	b.sweep()
	letters := b.received(2) // the newest first
	expect.Equal(t, "last", letters[0].To, "later@example.org")
	expect.Equal(t, "first", letters[1].To, "earlier@example.org")
}

// A person waits for a link that soon works no more, and nobody for the others.
func TestALinkNearItsEndIsSentFirst(t *testing.T) {
	b := newBench(t, mailbox.Options{})
	reset := func(to string, lasts time.Duration) {
		p := ResetParameters{Organization: "Acme", Link: link, Expires: b.clock.Now().Add(lasts)}
		b.put(Letter{Recipient: to, Parameters: p})
	}
	b.put(Letter{Recipient: "notice@example.org"})
	b.clock.Advance(time.Second)
	reset("hour@example.org", time.Hour)
	b.clock.Advance(time.Second)
	reset("ten@example.org", 10*time.Minute)
	b.clock.Advance(time.Second)
	reset("five@example.org", 5*time.Minute)
	b.clock.Advance(time.Minute)
	b.sweep()
	var to []string
	for _, l := range b.received(4) { // the newest first
		to = append(to, l.To)
	}
	expect.Equal(t, "from the last to the first", strings.Join(to, " "), "hour@example.org notice@example.org ten@example.org five@example.org")
}

// A node that dies with as many letters as it takes at once delays each by a minute, of which no
// other node can send any earlier: they might be in the hands of a mail server.
func TestANodeThatDiesWithFiftyLettersDelaysThemByAMinute(t *testing.T) {
	t.Parallel()
	address := dbtest.Address(t)
	b := newBench(t, mailbox.Options{})
	b.d = dbtest.OpenAt(t, address)
	other := dbtest.OpenAt(t, address)
	b.d.Clock, other.Clock = b.clock.Now, b.clock.Now
	for range batch {
		b.put(Letter{Parameters: ResetParameters{Organization: "Acme", Link: link, Expires: dbtest.Start.Add(10 * time.Minute)}})
	}
	if taken, err := b.outbox.claim(t.Context(), b.d); err != nil || len(taken) != batch {
		t.Fatalf("%d letters were claimed (%v)", len(taken), err)
	}
	for _, after := range []struct {
		wait time.Duration
		want int
	}{{59 * time.Second, 0}, {time.Second, batch}} {
		b.clock.Advance(after.wait)
		if err := b.outbox.Sweep(t.Context(), other); err != nil {
			t.Fatal(err)
		}
		b.received(after.want)
	}
}
