package app_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	collector "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"parvis/internal/app"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/expect"
	"parvis/internal/idptest"
	"parvis/internal/measure"
	"parvis/internal/trace"
)

// What is typed in a day; nothing of it is in a metric or a trace.
const (
	dayPassword = "Mark9 of the Zebra!"
	dayWrong    = "Wrong9 mark of it!"
	dayName     = "Ximena Quispe Zorrilla"
	dayAddress  = "ximena.quispe@meridian.test"
	dayUnknown  = "typed-into-the-wrong-field@nowhere.test"
	dayNetwork  = "203.0.113.77"
)

// aDay is what people do, what is refused, what fails, and the repeated work. It returns the secrets
// that were given out.
func aDay(t *testing.T, s *idptest.Server) map[string]string {
	t.Helper()
	org := s.Organization(t, "Meridian Freight", "meridian-freight-and-sons")
	link := s.Invite(t, org, dayAddress, dayName, directory.Owner)
	b := s.Browser(t)
	b.Header.Set("X-Forwarded-For", dayNetwork)
	b.Get(link).Form("main").Fill("password", dayPassword).Fill("repetition", dayPassword).Submit("")
	home := b.Get("/o/meridian-freight-and-sons/home")
	expect.Equal(t, "status of home", home.Status, http.StatusOK)
	b.Get("/o/meridian-freight-and-sons/admin/people?q=" + url.QueryEscape(dayAddress))
	secrets := map[string]string{"cookie": b.Cookie("__Host-parvis"), "invitation": strings.TrimPrefix(link, "/invitation/")}
	signIn := func(email, password string) {
		other := s.Browser(t)
		other.Header.Set("X-Forwarded-For", dayNetwork)
		other.Get("/o/meridian-freight-and-sons").Form("main").Fill("email", email).Fill("password", password).Submit("")
	}
	signIn(dayAddress, dayPassword)
	for range 8 { // the last ones are refused by a limiter
		signIn(dayUnknown, dayWrong)
	}
	b.Get("/nowhere/" + url.PathEscape(dayAddress))
	b.PostBody("/token", "application/x-www-form-urlencoded", []byte("grant_type=authorization_code&client_id=nobody&client_secret="+url.QueryEscape(dayWrong)))
	s.Update(t, func(ctx context.Context, tx *db.Tx) error { // one letter that nobody takes yet
		_, err := s.Invitations.Send(ctx, tx, directory.Operator(), org, directory.NewInvitation{Email: "later@meridian.test", Role: directory.Member, Language: "en"})
		return err
	})
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	return secrets
}

// proxied lets browsers say where they come from.
func proxied(s *app.Settings) { s.Proxies = append(s.Proxies, netip.MustParsePrefix("127.0.0.1/32")) }

// label is one of a series.
type label struct{ metric, name, value string }

// scraped returns what /metrics says, and its labels as Prometheus' own parser reads them.
func scraped(t *testing.T, s *idptest.Server) (text string, labels []label) {
	t.Helper()
	b := measure.Text(s.Measures())
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(b))
	if err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels = append(labels, label{name, l.GetName(), l.GetValue()})
			}
		}
	}
	return string(b), labels
}

// value returns the value of a series.
func value(text, series string) (v float64, found bool) {
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(m[1], 64)
	return v, err == nil
}

// closed lists the values that each label may have: all of them are known when the program is built.
func closed(s *idptest.Server) map[string]func(string) bool {
	of := func(values ...string) func(string) bool {
		return func(v string) bool { return slices.Contains(values, v) }
	}
	var routes, policies, ways, sweeps []string
	for _, r := range s.Site.Routes() {
		routes = append(routes, r.Pattern)
	}
	for _, p := range app.Policies {
		policies = append(policies, p.Name)
	}
	policies = append(policies, edge.Limiters...)
	for _, w := range audit.Ways {
		ways = append(ways, string(w))
	}
	for _, f := range s.Measures() {
		if f.Name == "parvis_sweep_interval_seconds" {
			f.Read(func(_ float64, values ...string) { sweeps = append(sweeps, values[0]) })
		}
	}
	any := func(string) bool { return true }
	return map[string]func(string) bool{
		"route": of(append(routes, "none")...), "status": of("none", "1xx", "2xx", "3xx", "4xx", "5xx"),
		"way": of(ways...), "limiter": of(policies...), "sweep": of(sweeps...), "pool": of("all", "read", "write"),
		"grant": of("authorization_code", "refresh_token", "client_credentials", "device_code"),
		"verb":  of("other", "begin", "commit", "delete", "insert", "select", "update"),
		"kind":  of("provider", "application", "webhook", "region", "mail"),
		"result": of("done", "refused", "1xx", "2xx", "3xx", "4xx", "5xx", "taken", "later", "failed", "canceled",
			"scheme", "address", "redirect", "too_large", "timeout", "unreachable", "tls", "status"),
		"version": any, "revision": any, "goversion": any, // of the program: one series
	}
}

func TestNoLabelHoldsAPersonAfterADay(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, proxied)
	aDay(t, s)
	text, labels := scraped(t, s)
	allowed := closed(s)
	for _, l := range labels {
		if is := allowed[l.name]; is == nil || !is(l.value) {
			t.Errorf("%s has %s=%q, which is in no closed list", l.metric, l.name, l.value)
		}
	}
	for _, typed := range []string{dayPassword, dayWrong, "Ximena", "ximena", "nowhere.test", "meridian", dayNetwork, "later@"} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(typed)) {
			t.Errorf("%q is among the metrics", typed)
		}
	}
	// And what happened is counted.
	for series, least := range map[string]float64{
		`parvis_sign_ins_total{way="password",result="done"}`:               1,
		`parvis_sign_ins_total{way="password",result="refused"}`:            5,
		`parvis_sign_ins_total{way="invitation",result="done"}`:             1,
		`parvis_limiter_refusals_total{limiter="password-address-network"}`: 1,
		`parvis_limiter_refusals_total{limiter="api-caller"}`:               0,
		`parvis_limiter_refusals_total{limiter="scim-source"}`:              0,
		`parvis_http_requests_total{route="/token",status="4xx"}`:           1,
		`parvis_http_request_duration_seconds_count{route="/token"}`:        1,
		`parvis_sessions`:                                                                                            2,
		`parvis_letters_waiting`:                                                                                     0,
		`parvis_password_hash_duration_seconds_count`:                                                                5,
		`parvis_password_hash_wait_seconds_count`:                                                                    5,
		`parvis_outbound_call_duration_seconds_count{kind="mail",result="taken"}`:                                    1,
		`parvis_db_statement_duration_seconds_count{verb="select"}`:                                                  50,
		`parvis_db_statement_duration_seconds_count{verb="commit"}`:                                                  10,
		`parvis_sweep_last_success_timestamp_seconds{sweep="letters"}`:                                               1e9,
		`parvis_sweep_last_duration_seconds{sweep="audit log"}`:                                                      1e-9,
		`parvis_db_connections_open{pool="` + map[bool]string{true: "all", false: "write"}[s.DB.Path() == ""] + `"}`: 1,
	} {
		if got, found := value(text, series); !found || got < least {
			t.Errorf("%s is %v (%v), want %v or more", series, got, found, least)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
}

// The ages of what waits grow, and a stock is not counted at each scrape.
func TestWhatWaitsGetsOlder(t *testing.T) {
	t.Parallel()
	s := idptest.Start(t, func(s *app.Settings) { s.SMTP = nil })
	org := s.Organization(t, "Meridian Freight", "meridian")
	age := func() float64 {
		text, _ := scraped(t, s)
		v, _ := value(text, "parvis_letters_oldest_seconds")
		return v
	}
	expect.Equal(t, "age without letters", age(), 0.)
	s.Update(t, func(ctx context.Context, tx *db.Tx) error {
		_, err := s.Invitations.Send(ctx, tx, directory.Operator(), org, directory.NewInvitation{Email: "later@meridian.test", Role: directory.Member, Language: "en"})
		return err
	})
	expect.Equal(t, "age within the same stock", age(), 0.)
	s.Clock.Advance(time.Hour)
	expect.Equal(t, "age an hour later", age(), 3600.)
}

// receiver is a receiver of OTLP that keeps every byte.
type receiver struct {
	mu    sync.Mutex
	bytes []byte
	spans []span
}

type span struct {
	name, trace string
	attributes  map[string]string
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	m := &collector.ExportTraceServiceRequest{}
	if err != nil || proto.Unmarshal(body, m) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes = append(r.bytes, body...)
	for _, s := range m.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans() {
		one := span{s.GetName(), hex.EncodeToString(s.GetTraceId()), map[string]string{}}
		for _, a := range s.GetAttributes() {
			one.attributes[a.GetKey()] = a.GetValue().GetStringValue()
		}
		r.spans = append(r.spans, one)
	}
}

func TestTracesHoldNoSecretAndNobody(t *testing.T) {
	t.Parallel()
	r := &receiver{}
	at := httptest.NewServer(r)
	defer at.Close()
	tracer := trace.New(trace.Settings{Resource: map[string]string{"service.name": "parvis"}, Ratio: 1, Log: slog.New(slog.DiscardHandler), Send: func(ctx context.Context, body []byte) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.URL, bytes.NewReader(body))
		if err != nil {
			return err
		}
		w, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer w.Body.Close()
		if w.StatusCode != http.StatusOK {
			return fmt.Errorf("answered %d", w.StatusCode)
		}
		return nil
	}})
	ctx, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { tracer.Run(ctx); close(done) }()
	s := idptest.Start(t, proxied, func(s *app.Settings) { s.Trace = tracer })
	secrets := aDay(t, s)
	broken := s.Browser(t).Get("/o/meridian-freight-and-sons/home") // leads to the sign-in page
	reference := regexp.MustCompile(`"pattern":"GET /o/\{org\}","status":\d+,"reference":"(\w+)".*"trace":"(\w+)"`).FindAllStringSubmatch(s.Log.String(), -1)
	end()
	<-done
	expect.Equal(t, "spans lost", tracer.Lost.Value(), 0.)
	if broken.Status != http.StatusOK || len(reference) == 0 {
		t.Fatalf("answered %d; the log has no line with reference and trace: %.2000s", broken.Status, s.Log)
	}
	last := reference[len(reference)-1]
	statements, found := 0, false
	for _, s := range r.spans {
		if s.trace != last[2] {
			continue
		}
		if s.attributes["db.query.text"] != "" {
			statements++
		}
		found = found || s.attributes["parvis.reference"] == last[1]
	}
	if !found || statements == 0 {
		t.Errorf("the trace of request %s, %s, has it as an attribute: %v, and %d statements", last[1], last[2], found, statements)
	}
	for name, secret := range map[string]string{
		"password": dayPassword, "wrong password": dayWrong, "address": dayAddress, "unknown address": dayUnknown, "name": dayName,
		"network": dayNetwork, "organization": "meridian", "cookie": secrets["cookie"], "invitation": secrets["invitation"], "host": s.Site.Base.Host,
	} {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret)), hex.EncodeToString([]byte(secret))} {
			if bytes.Contains(bytes.ToLower(r.bytes), []byte(strings.ToLower(form))) {
				t.Errorf("the %s is in a trace", name)
			}
		}
	}
	if len(r.spans) < 100 {
		t.Errorf("only %d spans: this test looks past the others", len(r.spans))
	}
}

// endsSometime is a certificate of the server's own.
func endsSometime(s *app.Settings) { s.Ends = func() time.Time { return time.Unix(1_900_000_000, 0) } }

func TestTheWatchPageNamesEveryMetric(t *testing.T) {
	s := idptest.Start(t, endsSometime)
	page, err := os.ReadFile("../../docs/watch.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		rows[m[1]] = true
	}
	for _, f := range s.Measures() {
		if !rows[f.Name] && strings.HasPrefix(f.Name, "parvis_") && !strings.HasPrefix(f.Name, "parvis_trace_") {
			t.Errorf("docs/watch.md has no row for %s", f.Name)
		}
		delete(rows, f.Name)
	}
	delete(rows, "parvis_trace_spans_sent_total") // where something is traced
	delete(rows, "parvis_trace_spans_lost_total")
	for name := range rows {
		t.Errorf("docs/watch.md has a row for %s, which does not exist", name)
	}
}

// families are all metrics by their names, those that are only there where something is traced, or TLS is done, too.
func families(t *testing.T) map[string]measure.Family {
	t.Helper()
	s := idptest.Start(t, endsSometime, func(s *app.Settings) { s.Trace = trace.New(trace.Settings{}) })
	all := map[string]measure.Family{"up": {Name: "up", Kind: measure.Gauge}} // Prometheus' own
	for _, f := range s.Measures() {
		if all[f.Name].Name != "" {
			t.Errorf("%s stands twice", f.Name)
		}
		all[f.Name] = f
	}
	return all
}

// judge says what is wrong with a query: metrics and labels that do not exist, and rates of what does
// not only grow.
func judge(query string, known map[string]measure.Family) (wrong []string) {
	query = strings.NewReplacer("$job", "job", "$instance", "instance").Replace(query)
	parsed, err := metricsql.Parse(query)
	if err != nil {
		return []string{err.Error()}
	}
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	labels := []string{"job", "instance"}
	grows := func(name string) bool {
		f, suffix := familyOf(name, known)
		return f.Kind == measure.Count || suffix != ""
	}
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		switch e := e.(type) {
		case *metricsql.MetricExpr:
			for _, filters := range e.LabelFilterss {
				name := filters[0].Value
				f, suffix := familyOf(name, known)
				if filters[0].Label != "__name__" || f.Name == "" {
					complain("%s is no metric", filters[0].Value)
					continue
				}
				own := slices.Concat([]string{"job", "instance"}, f.Labels)
				if suffix == "_bucket" {
					own = append(own, "le")
				}
				labels = append(labels, own...)
				for _, l := range filters[1:] {
					if !slices.Contains(own, l.Label) {
						complain("%s has no label %s", name, l.Label)
					}
				}
			}
		case *metricsql.FuncExpr:
			if e.Name != "rate" && e.Name != "increase" {
				return
			}
			over, _ := e.Args[0].(*metricsql.RollupExpr)
			if over == nil {
				complain("%s has no range", e.Name)
			} else if m, ok := over.Expr.(*metricsql.MetricExpr); ok && !grows(m.LabelFilterss[0][0].Value) {
				complain("%s may shrink, and has no rate", m.LabelFilterss[0][0].Value)
			}
		}
	})
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		if of, ok := e.(*metricsql.AggrFuncExpr); ok {
			for _, l := range of.Modifier.Args {
				if !slices.Contains(labels, l) {
					complain("nothing has the label %s", l)
				}
			}
		}
	})
	return wrong
}

// familyOf returns the family that a series is of, and its suffix where that is a histogram.
func familyOf(series string, known map[string]measure.Family) (f measure.Family, suffix string) {
	if f = known[series]; f.Name != "" && f.Kind != measure.Histogram {
		return f, ""
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if name, ok := strings.CutSuffix(series, suffix); ok && known[name].Kind == measure.Histogram {
			return known[name], suffix
		}
	}
	return measure.Family{}, ""
}

func TestDashboardAndAlertsAskForWhatExists(t *testing.T) {
	known := families(t)
	queries := map[string]string{}
	alerts, err := os.ReadFile("../../docs/monitoring/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/watch.md")
	if err != nil {
		t.Fatal(err)
	}
	rules := regexp.MustCompile(`(?m)^      - alert: (\w+)\n        expr: (.+)$`).FindAllStringSubmatch(string(alerts), -1)
	for _, m := range rules {
		queries[m[1]] = m[2]
		if !strings.Contains(string(page), "`"+m[1]+"`") {
			t.Errorf("docs/watch.md does not say what to do at %s", m[1])
		}
	}
	expect.Equal(t, "rules", len(rules), strings.Count(string(alerts), "- alert:"))
	text, err := os.ReadFile("../../docs/monitoring/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ RefID, Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			queries[p.Title+" "+target.RefID] = target.Expr
		}
	}
	if len(queries) < 50 {
		t.Errorf("only %d queries: this test looks past the others", len(queries))
	}
	for name, query := range queries {
		for _, wrong := range judge(query, known) {
			t.Errorf("%s: %s, in %s", name, wrong, query)
		}
	}
}

func TestWrongQueriesAreFound(t *testing.T) {
	known := families(t)
	for query, want := range map[string]string{
		`sum(rate(parvis_sign_ins_total[5m]))`:                                                     "",
		`sum(rate(parvis_sing_ins_total[5m]))`:                                                     "is no metric",
		`parvis_http_request_duration_seconds > 1`:                                                 "is no metric",
		`sum by (way) (rate(parvis_tokens_issued_total[5m]))`:                                      "label way",
		`rate(parvis_sign_ins_total{person="ana"}[5m])`:                                            "no label person",
		`rate(parvis_sessions[5m])`:                                                                "may shrink",
		`rate(parvis_sign_ins_total)`:                                                              "no range",
		`sum(rate(parvis_sign_ins_total[5m])`:                                                      "",
		`histogram_quantile(0.9, sum by (le) (rate(parvis_sessions_bucket[5m])))`:                  "is no metric",
		`histogram_quantile(0.9, sum by (le) (rate(parvis_password_hash_wait_seconds_count[5m])))`: "label le",
	} {
		wrong := strings.Join(judge(query, known), "; ")
		if strings.Count(query, "(") != strings.Count(query, ")") {
			want = "unparsed"
			if wrong != "" {
				wrong = "unparsed"
			}
		}
		if want == "" && wrong != "" || !strings.Contains(wrong, want) {
			t.Errorf("%s is found as %q, want %q", query, wrong, want)
		}
	}
}
