package measure

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"parvis/internal/expect"
)

// What is written is read by Prometheus' own parser.
func TestPrometheusReadsWhatIsWritten(t *testing.T) {
	var counts By[Counter]
	var times By[Timer]
	counts.Of(Labels{`quote " back \ line` + "\n", "b"}).Add(3)
	counts.Of(Labels{"a", "b"}).Inc()
	for _, took := range []time.Duration{0, time.Millisecond, time.Millisecond + 1, time.Hour} {
		times.Of(Labels{"a"}).Observe(took)
	}
	text := Text([]Family{
		{Name: "some_total", Kind: Count, Help: "A \\ and\na line.", Labels: []string{"one", "two"}, Read: Counts(&counts, 2)},
		{Name: "some_seconds", Kind: Histogram, Help: "Times.", Labels: []string{"one"}, Times: Timings(1, &times)},
		{Name: "level", Kind: Gauge, Help: "A level.", Read: One(func() float64 { return math.Inf(1) })},
		{Name: "nothing", Kind: Gauge, Help: "Nothing.", Read: func(func(float64, ...string)) {}},
	})
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	expect.Equal(t, "families", len(families), 3)
	total := families["some_total"].GetMetric()
	expect.Equal(t, "the escaped label", total[1].GetLabel()[0].GetValue(), `quote " back \ line`+"\n")
	expect.Equal(t, "its count", total[1].GetCounter().GetValue(), 3.)
	h := families["some_seconds"].GetMetric()[0].GetHistogram()
	expect.Equal(t, "all", h.GetSampleCount(), uint64(4))
	expect.Equal(t, "sum", h.GetSampleSum(), (time.Hour + 2*time.Millisecond + 1).Seconds())
	got := map[float64]uint64{}
	for _, b := range h.GetBucket() {
		got[b.GetUpperBound()] = b.GetCumulativeCount()
	}
	for bound, want := range map[float64]uint64{0.0001: 1, 0.001: 2, 0.0025: 3, 30: 3, math.Inf(1): 4} {
		expect.Equal(t, "within "+number(bound), got[bound], want)
	}
}

func TestAProgramKnowsItself(t *testing.T) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(Text(Program())))
	if err != nil {
		t.Fatal(err)
	}
	for name, least := range map[string]float64{"go_goroutines": 1, "process_resident_memory_bytes": 1 << 20, "process_open_fds": 3, "process_max_fds": 3, "process_cpu_seconds_total": 0} {
		f := families[name]
		if f == nil || f.GetMetric()[0].GetGauge().GetValue()+f.GetMetric()[0].GetCounter().GetValue() < least {
			t.Errorf("%s is %v", name, f)
		}
	}
	if f := families["process_start_time_seconds"]; f == nil || math.Abs(f.GetMetric()[0].GetGauge().GetValue()-float64(time.Now().Unix())) > 3600 {
		t.Errorf("the process started at %v", f)
	}
}

func BenchmarkObserve(b *testing.B) {
	var t By[Timer]
	for b.Loop() {
		watch := Start()
		t.Of(Labels{"a"}).Observe(watch.Took())
	}
}
