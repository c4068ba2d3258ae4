package db

import (
	"fmt"
	"testing"
	"time"
)

// An answer that was read before a change does not hold, and one that was read after it does; also
// once so many rows changed that the memory dropped what it knew of the first ones.
func TestMemoryHoldsWhatWasReadAfterTheChange(t *testing.T) {
	for _, more := range []int{0, 1, 40, 60, 110, 170} { // thousands of other rows that change in between
		m := &memory{}
		before := m.stamp()
		m.note(told{ids: []string{"a"}})
		after := m.stamp()
		for i := range more {
			ids := make([]string, mostTold)
			for j := range ids {
				ids[j] = fmt.Sprintf("%d-%d", i, j)
			}
			m.note(told{ids: ids})
		}
		if m.holds(before, []string{"b", "a"}) {
			t.Errorf("%d,000 rows later, what was read before holds", more)
		}
		if more <= 40 && !m.holds(after, []string{"b", "a"}) {
			t.Errorf("%d,000 rows later, what was read after does not hold", more)
		}
		if now := m.stamp(); !m.holds(now, []string{"a", "0-0"}) {
			t.Errorf("%d,000 rows later, what is read now does not hold", more)
		}
		if n := len(m.young) + len(m.old); n > 2*changedIDs {
			t.Errorf("it knows %d rows", n)
		}
		m.note(told{all: true})
		if m.holds(after, []string{"b"}) || !m.holds(m.stamp(), []string{"b"}) {
			t.Error("everything changed, and what was read before holds, or what is read now does not")
		}
	}
}

// Nothing is remembered for longer than a minute, whatever was heard.
func TestNothingIsRememberedForLongerThanAMinute(t *testing.T) {
	d, now := &DB{memory: &memory{}}, time.Now()
	for ago, want := range map[time.Duration]bool{59 * time.Second: true, 61 * time.Second: false} {
		var r Recall[string, int]
		r.put("a", recalled[int]{value: 1, hangs: []string{"a"}, read: now.Add(-ago)})
		if _, got := r.get(d, "a", now); got != want {
			t.Errorf("what was read %s ago is remembered: %v", ago, got)
		}
	}
}

// What is too old to be believed is not kept either, so that memory follows how many people come in a
// minute, and not how many came since the start.
func TestWhatIsTooOldIsNotKept(t *testing.T) {
	var r Recall[string, int]
	for i, key := range []string{"a", "b", "c", "d"} {
		r.put(key, recalled[int]{hangs: []string{key}, read: time.Now().Add(time.Duration(i) * 61 * time.Second)})
	}
	if n := len(r.young) + len(r.old); n != 2 {
		t.Errorf("of four answers, a minute apart, %d are kept, want 2", n)
	}
	m, before := &memory{}, uint64(0)
	for _, id := range []string{"a", "b", "c", "d"} {
		before = m.stamp()
		m.note(told{ids: []string{id}})
		m.began = m.began.Add(-61 * time.Second)
	}
	if n := len(m.young) + len(m.old); n != 2 {
		t.Errorf("of four rows that changed a minute apart %d are known, want 2", n)
	}
	if m.holds(before, []string{"d"}) || !m.holds(before, []string{"c"}) || !m.holds(m.stamp(), []string{"a", "d"}) {
		t.Error("what was read before the last change holds, or what was read after it does not")
	}
}

// A time is as long ago as either clock says: one stands still while a machine is suspended, and the
// other one may be set back.
func TestAgeByEitherClock(t *testing.T) {
	now := time.Now()
	asleep := now.Round(0).Add(time.Hour) // without the clock that runs evenly, as after an hour's suspension
	if got := age(now, asleep); got < time.Hour {
		t.Errorf("after an hour in which one clock stood still: %s", got)
	}
	if got := age(now, now.Add(2*time.Second)); got != 2*time.Second {
		t.Errorf("after two seconds: %s", got)
	}
}

// Statements are changed so that they tell the rows that they write, and no others.
func TestStatementsThatTell(t *testing.T) {
	for text, want := range map[string]string{
		"\n\t\tupdate grants set ended_at = $1\n\t\twhere org_id = $2":         "\n\t\tupdate grants set ended_at = $1\n\t\twhere org_id = $2\nreturning grants.id",
		"update sessions set seen_at = $1 where org_id = $2 returning user_id": "update sessions set seen_at = $1 where org_id = $2 returning user_id, sessions.id, sessions.browser_id",
		"insert into sessions (id) values ($1)":                                "insert into sessions (id) values ($1)\nreturning sessions.browser_id",
		"delete from members where org_id = $1":                                "delete from members where org_id = $1\nreturning members.user_id",
		"insert into grants (id) values ($1)":                                  "", // nothing hangs on a grant that was not there
		"update letters set sent_at = $1":                                      "",
		"select id from users":                                                 "",
	} {
		got := ""
		if g := newTelling(text); g != nil {
			got = g.text
		}
		if got != want {
			t.Errorf("%q becomes %q", text, got)
		}
	}
}
