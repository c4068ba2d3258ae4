package region

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parvis/internal/db"
	"parvis/internal/dbtest"
	"parvis/internal/directory"
	"parvis/internal/naming"
	"parvis/internal/outbound"
	"parvis/internal/secret"
)

// side is one region of a test: its service behind an address.
type side struct {
	*Service
	t     *testing.T
	clock *dbtest.Clock
	http  *httptest.Server

	mutex sync.Mutex
	heard []string // every question that came, as its bytes
}

// pair makes two regions with a key.
func pair(t *testing.T) (eu, us *side) {
	t.Helper()
	key := secret.Bytes(KeyBytes)
	eu, us = newSide(t), newSide(t)
	eu.serves("eu", Peer{"us", us.http.URL, key})
	us.serves("us", Peer{"eu", eu.http.URL, key})
	return eu, us
}

func newSide(t *testing.T) *side {
	t.Helper()
	s := &side{t: t}
	s.http = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mutex.Lock()
		s.heard = append(s.heard, string(body))
		s.mutex.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		s.serve(w, r)
	}))
	t.Cleanup(s.http.Close)
	return s
}

func (s *side) serves(id string, peers ...Peer) {
	d, clock := dbtest.Open(s.t)
	s.clock = clock
	s.Service = New(Settings{
		DB: d, Here: id, Peers: peers, Outbound: outbound.New(nil), Patience: time.Minute, Log: slog.New(slog.DiscardHandler),
		Domains: func(_ context.Context, _ db.Reader, each func(string, directory.OrgID, bool)) error {
			each("works.example", "org_1", false)
			each("sealed.example", "org_1", true)
			return nil
		},
	})
}

func (s *side) organization(name, short string) (o directory.Organization) {
	s.t.Helper()
	if err := s.DB.Update(s.t.Context(), func(tx *db.Tx) (err error) {
		o, err = directory.CreateOrganization(s.t.Context(), tx, directory.Operator(), directory.NewOrganization{DisplayName: name, ShortName: short, Language: "en"})
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	return o
}

// put sends a question as it is, and returns the answer.
func (s *side) put(q question) answer {
	s.t.Helper()
	body, err := json.Marshal(q)
	if err != nil {
		s.t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.serve(w, httptest.NewRequestWithContext(s.t.Context(), http.MethodPost, Path, bytes.NewReader(body)))
	var a answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil || w.Code != statuses[a.Refused] {
		s.t.Fatalf("%d %s (%v)", w.Code, w.Body, err)
	}
	return a
}

// signed returns a right question of s to its only peer.
func (s *side) signed(change func(*question)) question {
	p := s.peers[0]
	q := question{From: s.Here, To: p.ID, Time: s.DB.Now().Unix(), Nonce: secret.NewToken().Reveal(), Hashes: []string{p.hash(aName, "alpha").String()}}
	if change != nil {
		change(&q)
	}
	q.MAC = q.sign(p)
	return q
}

func (s *side) knows(typed string) bool {
	s.t.Helper()
	f := s.Name(s.t.Context(), typed)
	if len(f.Silent) > 0 {
		s.t.Fatalf("no answer about %q: %v", typed, s.peers[0].silence)
	}
	return len(f.Known) > 0
}

func address(t *testing.T, text string) naming.Address {
	t.Helper()
	a, err := naming.ParseAddress(text)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAPeerSaysWhetherItKnowsAName(t *testing.T) {
	eu, us := pair(t)
	us.organization("Alpha Works", "alpha")
	for typed, want := range map[string]bool{
		"alpha": true, " ALPHA": true, "alpha works": true, "Alpha Works (alpha)": true, "alph": false, "aIpha": false, "org_1": false, "works.example": false,
		"": false, "alpha\x00": false, "a@lpha": false, strings.Repeat("a", 300): false,
	} {
		if got := eu.knows(typed); got != want {
			t.Errorf("%q: %v, want %v", typed, got, want)
		}
	}
	for text, want := range map[string]Found{
		"x@works.example":     {Known: []string{"us"}},
		"x@sealed.example":    {Known: []string{"us"}, Only: []string{"us"}},
		"x@sub.works.example": {},
		"alpha@elsewhere.org": {},
	} {
		got := eu.Domain(t.Context(), address(t, text))
		if !slices.Equal(got.Known, want.Known) || !slices.Equal(got.Only, want.Only) || len(got.Silent) > 0 {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

// What crosses the border is a keyed hash: nothing typed, and not the same under another pair's key.
func TestNothingTypedCrossesTheBorder(t *testing.T) {
	eu, us := pair(t)
	us.organization("Alpha Works", "alpha")
	eu.Name(t.Context(), "Alpha Works")
	eu.Name(t.Context(), "o＠omega.example")
	eu.Name(t.Context(), "o@omega.example")
	eu.Domain(t.Context(), address(t, "somebody@works.example"))
	if len(us.heard) != 2 {
		t.Fatalf("%d questions: %v", len(us.heard), us.heard)
	}
	for _, text := range us.heard {
		for _, typed := range []string{"lpha", "orks", "somebody", "example"} {
			if strings.Contains(text, typed) {
				t.Errorf("%q crossed: %s", typed, text)
			}
		}
	}
	other, _ := pair(t)
	if a, b := eu.peers[0].hash(aName, "alpha"), other.peers[0].hash(aName, "alpha"); a == b {
		t.Error("two pairs have one hash")
	}
	if p := eu.peers[0]; p.hash(aName, "alpha") == p.hash(aDomain, "alpha") {
		t.Error("a name has the hash of a domain")
	}
}

func TestAQuestionIsSignedFreshAndForHere(t *testing.T) {
	eu, us := pair(t)
	us.organization("Alpha Works", "alpha")
	right := eu.signed(nil)
	if a := us.put(right); a.Refused != "" || a.Level != known || a.MAC != a.sign(eu.peers[0], right) {
		t.Fatalf("a right question: %+v", a)
	}
	if a := us.put(right); a.Refused != replayed || a.Level != unknown {
		t.Errorf("a replayed question: %+v", a)
	}
	// Altered after it was signed.
	for what, alter := range map[string]func(*question){
		"nonce": func(q *question) { q.Nonce += "x" }, "time": func(q *question) { q.Time++ }, "claim": func(q *question) { q.Claim = true },
		"hashes": func(q *question) { q.Hashes = append(q.Hashes, q.Hashes[0]) }, "no hash": func(q *question) { q.Hashes = nil },
		"signature": func(q *question) { q.MAC = "" },
	} {
		q := eu.signed(nil)
		alter(&q)
		if a := us.put(q); a.Refused != wrongKey || a.MAC != "" {
			t.Errorf("another %s: %+v", what, a)
		}
	}
	for want, change := range map[reason]func(*question){
		wrongRegion: func(q *question) { q.To = "ap" },
		sameRegion:  func(q *question) { q.From = "us" },
		stranger:    func(q *question) { q.From = "ap" },
		unreadable:  func(q *question) { q.Hashes = []string{"alpha"} },
	} {
		if a := us.put(eu.signed(change)); a.Refused != want || a.Level != unknown {
			t.Errorf("want %s: %+v", want, a)
		}
	}
	five := eu.signed(func(q *question) { q.Hashes = slices.Repeat(q.Hashes, 5) })
	if a := us.put(five); a.Refused != unreadable {
		t.Errorf("five hashes: %+v", a)
	}
	if a := us.put(eu.signed(func(q *question) { q.Nonce = strings.Repeat("x", mostNonce+1) })); a.Refused != unreadable {
		t.Errorf("a long nonce: %+v", a)
	}
	for _, off := range []time.Duration{-24 * time.Hour, -2 * Tolerance, 2 * Tolerance, 24 * time.Hour} {
		q := eu.signed(func(q *question) { q.Time += int64(off / time.Second) })
		if a := us.put(q); a.Refused != wrongClock || a.Time != us.DB.Now().Unix() {
			t.Errorf("a clock %s off: %+v", off, a)
		}
	}
}

// A nonce is kept for as long as its question could be asked again.
func TestAQuestionIsNeverAnsweredTwice(t *testing.T) {
	eu, us := pair(t)
	us.put(eu.signed(nil)) // the window begins, and is nearly over when the question comes
	eu.clock.Advance(2*Tolerance - 10*time.Second)
	us.clock.Advance(2*Tolerance - 10*time.Second)
	q := eu.signed(func(q *question) { q.Time += int64(Tolerance / time.Second) }) // as far ahead as a clock may be
	if a := us.put(q); a.Refused != "" {
		t.Fatalf("%+v", a)
	}
	for range 8 {
		eu.clock.Advance(Tolerance / 3)
		us.clock.Advance(Tolerance / 3)
		us.put(eu.signed(nil))
		if a := us.put(q); a.Refused != replayed && a.Refused != wrongClock {
			t.Errorf("answered again: %+v", a)
		}
	}
}

// What comes back is believed only if the peer signed it for this very question.
func TestAnAnswerIsThePeersAndForTheQuestion(t *testing.T) {
	eu, us := pair(t)
	p := eu.peers[0]
	q := eu.signed(nil)
	us.organization("Alpha Works", "alpha")
	right := us.put(q)
	if l, err := right.judge(p, q, eu.DB.Now()); l != known || err != nil {
		t.Fatalf("%d, %v", l, err)
	}
	other := eu.signed(nil)
	for what, a := range map[string]answer{
		"of another question": us.put(other), "without a signature": {Level: known, Time: right.Time}, "raised": {Level: only, Time: right.Time, MAC: right.MAC},
		"denied": {Time: right.Time, MAC: right.MAC}, "of another time": {Level: known, Time: right.Time + 1, MAC: right.MAC},
		"that is the question's": {Level: known, MAC: q.MAC}, "empty": {},
	} {
		if l, err := a.judge(p, q, eu.DB.Now()); l != unknown || err == nil {
			t.Errorf("an answer %s is believed: %d", what, l)
		}
	}
	// Nor does what answers there reach the operator's terminal as it is.
	for _, a := range []answer{{Refused: "key\x1b[2J"}, {Refused: wrongRegion, Region: "ap\x1b[2J"}} {
		var trouble Trouble
		if _, err := a.judge(p, q, eu.DB.Now()); !errors.As(err, &trouble) || trouble.Why != string(unreadable) || trouble.Region != "" {
			t.Errorf("%+v: %v", a, err)
		}
	}
}

// The peer is named what is wrong with it, and no name is believed to be known or unknown there.
func TestWhatIsWrongWithAPeerIsNamed(t *testing.T) {
	greets := func(s *side) (trouble Trouble) {
		t.Helper()
		err := s.Greet(t.Context(), s.peers[0].ID)
		if !errors.As(err, &trouble) && err != nil {
			t.Fatal(err)
		}
		return trouble
	}
	eu, us := pair(t)
	if got := greets(eu); got.Why != "" {
		t.Errorf("a right peer: %+v", got)
	}
	us.clock.Advance(24 * time.Hour)
	if got := greets(eu); got.Why != "clock" || got.Off.Round(time.Hour) != 24*time.Hour {
		t.Errorf("a clock a day off: %+v", got)
	}
	if f := eu.Name(t.Context(), "alpha"); !slices.Equal(f.Silent, []string{"us"}) {
		t.Errorf("it is believed: %+v", f)
	}
	us.serves("us", Peer{"eu", eu.http.URL, secret.Bytes(KeyBytes)})
	if got := greets(eu); got.Why != "key" {
		t.Errorf("another key: %+v", got)
	}
	us.serves("ap", Peer{"eu", eu.http.URL, eu.Peers[0].Key})
	if got := greets(eu); got.Why != "region" || got.Region != "ap" {
		t.Errorf("another region: %+v", got)
	}
	us.serves("eu", Peer{"ap", eu.http.URL, eu.Peers[0].Key})
	if got := greets(eu); got.Why != "same" {
		t.Errorf("two regions of one id: %+v", got)
	}
	us.serves("us")
	if got := greets(eu); got.Why != "stranger" {
		t.Errorf("without a key: %+v", got)
	}
}

// A region that does not answer is waited for once, and then not until it may have come back.
func TestADeadRegionIsWaitedForOnce(t *testing.T) {
	eu, us := pair(t)
	us.organization("Alpha Works", "alpha")
	var asked atomic.Int64
	hangs := make(chan struct{})
	dead := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		select {
		case <-hangs:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(hangs); dead.Close() })
	alive := eu.Peers[0].Address
	eu.Patience = 50 * time.Millisecond
	eu.peers[0].Address, eu.peers[0].client = dead.URL, outbound.New(nil).Peer(dead.URL)
	for range 5 {
		if f := eu.Name(t.Context(), "alpha"); !slices.Equal(f.Silent, []string{"us"}) || len(f.Known) > 0 {
			t.Fatalf("%+v", f)
		}
	}
	if n := asked.Load(); n > 1 { // none where the machine took longer than Patience to get there
		t.Errorf("it was asked %d times", n)
	}
	eu.Patience = time.Minute
	eu.peers[0].Address, eu.peers[0].client = alive, outbound.New(nil).Peer(alive)
	eu.clock.Advance(retry)
	us.clock.Advance(retry)
	if !eu.knows("alpha") {
		t.Error("it is not asked again")
	}
}

// A person who leaves before the answer makes no region silent.
func TestWhoLeavesMakesNoRegionSilent(t *testing.T) {
	eu, us := pair(t)
	us.organization("Alpha Works", "alpha")
	gone, leave := context.WithCancel(t.Context())
	leave()
	eu.Name(gone, "alpha")
	if !eu.knows("alpha") {
		t.Error("the region is not asked")
	}
}

// A redirect of a peer is followed nowhere.
func TestAPeersRedirectLeadsNowhere(t *testing.T) {
	eu, us := pair(t)
	trap := newSide(t)
	moved := httptest.NewServer(http.RedirectHandler(trap.http.URL+Path, http.StatusTemporaryRedirect))
	t.Cleanup(moved.Close)
	eu.peers[0].Address, eu.peers[0].client = moved.URL, outbound.New(nil).Peer(moved.URL)
	if f := eu.Name(t.Context(), "alpha"); len(f.Silent) != 1 || len(trap.heard)+len(us.heard) > 0 {
		t.Errorf("%+v, and %v was heard", f, trap.heard)
	}
}

// What is known is what the database says, a second later at most, no matter which node wrote it.
func TestWhatIsKnownIsKeptCurrent(t *testing.T) {
	eu, us := pair(t)
	if eu.knows("alpha") {
		t.Error("nobody has the name yet")
	}
	us.organization("Alpha Works", "alpha") // written beside the service, as another node does
	us.clock.Advance(freshAtBest)
	eu.clock.Advance(freshAtBest)
	if !eu.knows("alpha") {
		t.Error("a new name is not known")
	}
	us.Update(func(tx *db.Tx) error {
		o, err := directory.OrganizationByName(t.Context(), tx, "alpha")
		if err != nil {
			return err
		}
		p := o.Profile()
		p.DisplayName, p.ShortName = "Beta Works", "beta"
		_, err = directory.ChangeOrganization(t.Context(), tx, directory.Operator(), o.ID, p)
		return err
	})
	us.clock.Advance(freshAtBest)
	for name, want := range map[string]bool{"beta": true, "beta works": true, "alpha works": false, "alpha": true} { // the former short name still leads there
		if got := eu.knows(name); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	us.clock.Advance(directory.FormerShortName + time.Minute)
	eu.clock.Advance(directory.FormerShortName + time.Minute)
	if eu.knows("alpha") {
		t.Error("a former name is known for ever")
	}
}

func (s *side) Update(fn func(*db.Tx) error) {
	s.t.Helper()
	if err := s.DB.Update(s.t.Context(), fn); err != nil {
		s.t.Fatal(err)
	}
}

// What takes long to read is read beside the questions, and no longer than a fiftieth of the time.
func TestReadingWhatIsKnownIsNoLoad(t *testing.T) {
	k := knowledge{readAt: time.Unix(1000, 0), took: 400 * time.Millisecond}
	for after, want := range map[time.Duration]bool{time.Second: false, 19 * time.Second: false, 20 * time.Second: true, -time.Second: true} {
		if got := k.old(k.readAt.Add(after)); got != want {
			t.Errorf("after %s: %v", after, got)
		}
	}
	eu, us := pair(t)
	eu.knows("alpha")
	us.memory.now.took = time.Second
	us.organization("Alpha Works", "alpha")
	us.clock.Advance(50 * time.Second)
	eu.clock.Advance(50 * time.Second)
	eu.knows("alpha") // answered from before, and read again
	for range 10_000 {
		us.memory.mutex.Lock()
		reading := us.memory.reading
		us.memory.mutex.Unlock()
		if !reading {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if !eu.knows("alpha") {
		t.Error("it was not read anew")
	}
}

func TestAPeerMayAskSoMuch(t *testing.T) {
	eu, us := pair(t)
	refused := 0
	for range us.taking.Burst + 10 {
		if us.put(eu.signed(nil)).Refused == tooOften {
			refused++
		}
	}
	if refused != 10 {
		t.Errorf("%d were refused", refused)
	}
	// Strangers use nothing of it up.
	us.clock.Advance(time.Minute)
	for range us.taking.Burst + 10 {
		us.put(eu.signed(func(q *question) { q.From = "ap" }))
	}
	if a := us.put(eu.signed(func(q *question) { q.Time = us.DB.Now().Unix() })); a.Refused != "" {
		t.Errorf("%+v", a)
	}
}

// serve finds out by itself which regions are dead, so that no person's request has to.
func TestADeadRegionIsFoundBeforeAnybodyWaits(t *testing.T) {
	eu, _ := pair(t)
	eu.peers[0].Address, eu.peers[0].client = "http://127.0.0.1:1", outbound.New(nil).Peer("http://127.0.0.1:1")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { eu.Run(ctx); close(ended) }()
	for range 5000 {
		if eu.peers[0].silent(eu.DB.Now()) != nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	stop()
	<-ended
	var asked bool
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	t.Cleanup(trap.Close)
	eu.peers[0].Address, eu.peers[0].client = trap.URL, outbound.New(nil).Peer(trap.URL)
	if f := eu.Name(t.Context(), "alpha"); !slices.Equal(f.Silent, []string{"us"}) || asked {
		t.Errorf("%+v, asked %v", f, asked)
	}
}
