package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// A question that tells nobody whether an address exists is asked about two
// kinds of address, in pairs.
type question struct {
	title        string
	path         string
	status       int
	one, another func() url.Values
}

// parity compares answers by the timing verdict of the attack papers: interleaved
// pairs after a warm-up; two kinds of address are told apart if their medians
// differ by more than 5 ms and a rank test gives p < 0.001, in two independent
// runs.
func (b *bench) parity() error {
	pairs := 300
	if b.rounds == 1 {
		pairs = 60
	}
	data := b.work + "/parity"
	s, people, err := b.proxied(data)
	if err != nil {
		return err
	}
	defer s.stop()
	gone, err := deactivate(data, people[:100]) // so many that none of them uses its free tries up
	if err != nil {
		return err
	}
	known := people[100:]
	for _, q := range []question{
		{"wrong password, known against unknown address", "/sign-in", http.StatusUnprocessableEntity, wrong(known), unknown()},
		{"right password of a deactivated user against unknown address", "/sign-in", http.StatusUnprocessableEntity, right(gone), unknown()},
		{"forgotten password, known against unknown address", "/forgot-password", http.StatusSeeOther, asked(known), asked(nil)},
		{"forgotten organization, known against unknown address", "/forgot-organization", http.StatusSeeOther, lost(known), lost(nil)},
	} {
		var told []string
		apart := true
		for range 2 {
			difference, p, err := ask(s, q, pairs)
			if err != nil {
				return fmt.Errorf("%s: %w", q.title, err)
			}
			told = append(told, fmt.Sprintf("%+.2f ms, p = %.3f", difference*1000, p))
			apart = apart && math.Abs(difference) > 0.005 && p < 0.001
		}
		verdict := "not told apart"
		if apart {
			verdict = "**told apart**"
		}
		b.row("timing: "+q.title, "not told apart", "%s (difference of medians: %s)", verdict, strings.Join(told, "; "))
	}
	return nil
}

// crowd measures what 200 wrong sign-ins at once cost somebody with the right
// password, and what a refusal costs beside a success.
func (b *bench) crowd() error {
	s, people, err := b.proxied(b.work + "/crowd")
	if err != nil {
		return err
	}
	defer s.stop()
	known, err := device(s, people[300])
	if err != nil {
		return err
	}
	for _, crowd := range []struct{ title, network, cookie, target string }{
		{"wrong ones from one network at once, in a new browser", "198.51.100.1", "parvis-on=1", "< 2 s"},
		{"wrong ones from 200 networks at once, in a browser that remembers the user", "", known, "< 2 s"},
		{"wrong ones from 200 networks at once, in a new browser", "", "parvis-on=1", "the time of 200 hashes"},
	} {
		var waits []time.Duration
		for range b.rounds {
			var wg sync.WaitGroup
			c := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200}}
			for i := range 200 {
				wg.Go(func() {
					_ = send(c, s, "/sign-in", crowd.network, "parvis-on=1", wrong(people[i:i+1])(), http.StatusUnprocessableEntity)
				})
			}
			time.Sleep(50 * time.Millisecond) // they stand in line by now
			began := time.Now()
			if err := send(redirectless(), s, "/sign-in", "", crowd.cookie, right(people[300:301])(), http.StatusSeeOther); err != nil {
				return err
			}
			waits = append(waits, time.Since(began))
			wg.Wait()
		}
		b.row("a right sign-in beside 200 "+crowd.title, crowd.target, "%d ms", median(waits).Milliseconds())
	}
	var ratio []float64
	for range b.rounds {
		granted := s.load(b.length, 4, func(c *http.Client) error {
			return send(c, s, "/sign-in", "", "parvis-on=1", right(people)(), http.StatusSeeOther)
		})
		refused := s.load(b.length, 4, func(c *http.Client) error {
			return send(c, s, "/sign-in", "", "parvis-on=1", wrong(people)(), http.StatusUnprocessableEntity)
		})
		if granted.errors+refused.errors > 0 {
			return fmt.Errorf("sign-ins failed: %w %w", granted.err, refused.err)
		}
		ratio = append(ratio, refused.cpuEach/granted.cpuEach)
	}
	b.row("a refused sign-in against a granted one, CPU", "≤ 1", "%.2f", medianF(ratio))
	return nil
}

// proxied starts a server that believes the network that each request names, so
// that no limiter stands between a measurement and what it measures.
func (b *bench) proxied(data string) (*server, []person, error) {
	s, err := b.start(data)
	if err != nil {
		return nil, nil, err
	}
	if err := s.stop(); err != nil {
		return nil, nil, err
	}
	people, err := seed(data, 400)
	if err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(filepath.Join(data, "parvis.toml"), []byte("trusted_proxies = [\"127.0.0.1\"]\n"), 0o600); err != nil {
		return nil, nil, err
	}
	s, err = b.start(data)
	return s, people, err
}

// ask sends pairs in random order and returns the difference of the medians, in
// seconds, and how likely a rank test finds such samples alike.
func ask(s *server, q question, pairs int) (difference, p float64, err error) {
	c := redirectless()
	var one, another []float64
	for i := range pairs + pairs/10 {
		first := rand.IntN(2) == 0
		for k := range 2 {
			v, into := q.one, &one
			if first != (k == 0) {
				v, into = q.another, &another
			}
			began := time.Now()
			if err := send(c, s, q.path, "", "parvis-on=1", v(), q.status); err != nil {
				return 0, 0, err
			}
			if i >= pairs/10 { // after the warm-up
				*into = append(*into, time.Since(began).Seconds())
			}
		}
	}
	p = rankTest(one, another)
	return medianF(one) - medianF(another), p, nil
}

// rankTest is the two-sided Mann-Whitney U test by its normal approximation,
// which 60 samples and more allow.
func rankTest(a, b []float64) float64 {
	type sample struct {
		value float64
		first bool
	}
	var all []sample
	for _, v := range a {
		all = append(all, sample{v, true})
	}
	for _, v := range b {
		all = append(all, sample{v, false})
	}
	slices.SortFunc(all, func(x, y sample) int {
		switch {
		case x.value < y.value:
			return -1
		case x.value > y.value:
			return 1
		}
		return 0
	})
	sum := 0.0
	for rank, s := range all {
		if s.first {
			sum += float64(rank + 1)
		}
	}
	n, m := float64(len(a)), float64(len(b))
	u := sum - n*(n+1)/2
	z := (u - n*m/2) / math.Sqrt(n*m*(n+m+1)/12)
	return math.Erfc(math.Abs(z) / math.Sqrt2)
}

func redirectless() *http.Client {
	return &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// send posts a form from a network, or where none is named from one of its own.
func send(c *http.Client, s *server, path, network, cookie string, v url.Values, status int) error {
	r, err := formOf(s, path, network, cookie, v)
	if err != nil {
		return err
	}
	return expect(c, r, status)
}

func formOf(s *server, path, network, cookie string, v url.Values) (*http.Request, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.url+path, strings.NewReader(v.Encode()))
	if err != nil {
		return nil, err
	}
	if network == "" {
		network = fmt.Sprintf("10.%d.%d.%d", rand.IntN(256), rand.IntN(256), rand.IntN(256))
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Cookie", cookie)
	r.Header.Set("X-Forwarded-For", network)
	return r, nil
}

// device signs in once and returns the cookie by which the browser remembers it.
func device(s *server, p person) (string, error) {
	r, err := formOf(s, "/sign-in", "", "parvis-on=1", right([]person{p})())
	if err != nil {
		return "", err
	}
	res, err := redirectless().Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	for _, c := range res.Cookies() {
		if c.Name == "parvis-device" {
			return c.Name + "=" + c.Value, nil
		}
	}
	return "", fmt.Errorf("signing in gave no device cookie: %d", res.StatusCode)
}

// one of them at random, so that no address uses its free tries up.
func one(people []person) string {
	if len(people) == 0 {
		return "nobody" + secret.NewID("x") + "@bench.example"
	}
	return people[rand.IntN(len(people))].email
}

func wrong(people []person) func() url.Values {
	return func() url.Values { return url.Values{"email": {one(people)}, "password": {"a wrong password"}} }
}

func unknown() func() url.Values { return wrong(nil) }

func right(people []person) func() url.Values {
	return func() url.Values { return url.Values{"email": {one(people)}, "password": {password}} }
}

func asked(people []person) func() url.Values {
	return func() url.Values { return url.Values{"email": {one(people)}, "organization": {""}} }
}

func lost(people []person) func() url.Values {
	return func() url.Values { return url.Values{"email": {one(people)}} }
}

// deactivate closes users as an administrator does.
func deactivate(data string, people []person) ([]person, error) {
	ctx := context.Background()
	d, err := db.Open(ctx, databaseOf(data))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return people, d.Update(ctx, func(tx *db.Tx) error {
		for _, p := range people {
			if _, err := tx.Exec(ctx, `update users set deactivated_at = $1, state = 'deactivated' where email_key = $2`, db.Time(tx.Now()), p.email); err != nil {
				return err
			}
		}
		return nil
	})
}
