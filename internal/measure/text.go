package measure

import (
	"bytes"
	"strconv"
	"strings"
)

// ContentType is that of what Text returns.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Kind is what a metric is, as the text format calls it.
type Kind string

// The kinds.
const (
	Count     Kind = "counter"
	Gauge     Kind = "gauge"
	Histogram Kind = "histogram"
)

// A Family is all that has one name.
type Family struct {
	Name   string
	Kind   Kind
	Help   string
	Labels []string // names, in the order in which values come
	// Read calls add for each value. One of the two is set, the other for a histogram.
	Read  func(add func(value float64, labels ...string))
	Times func(add func(t *Timer, labels ...string))
}

// One is the Read of a family without labels.
func One(value func() float64) func(func(float64, ...string)) {
	return func(add func(float64, ...string)) { add(value()) }
}

// Counts is the Read of counters by as many labels as a family has.
func Counts(of *By[Counter], labels int) func(func(float64, ...string)) {
	return func(add func(float64, ...string)) {
		of.Each(func(l Labels, c *Counter) { add(c.Value(), l[:labels]...) })
	}
}

// Timings is the Times of timers by as many labels as a family has.
func Timings(labels int, all ...*By[Timer]) func(func(*Timer, ...string)) {
	return func(add func(*Timer, ...string)) {
		for _, of := range all {
			of.Each(func(l Labels, t *Timer) { add(t, l[:labels]...) })
		}
	}
}

// Text writes families in Prometheus' text format 0.0.4. A family without values is left out.
func Text(all []Family) []byte {
	var b bytes.Buffer
	for _, f := range all {
		headed := false
		head := func() {
			if !headed {
				b.WriteString("# HELP " + f.Name + " " + escapedHelp.Replace(f.Help) + "\n# TYPE " + f.Name + " " + string(f.Kind) + "\n")
			}
			headed = true
		}
		if f.Kind == Histogram {
			f.Times(func(t *Timer, values ...string) {
				head()
				f.histogram(&b, t, values)
			})
			continue
		}
		f.Read(func(value float64, values ...string) {
			head()
			b.WriteString(f.Name + f.labels(values, "") + " " + number(value) + "\n")
		})
	}
	return b.Bytes()
}

func (f *Family) histogram(b *bytes.Buffer, t *Timer, values []string) {
	// The sum is read first: then no reader sees a time that is in no bucket yet.
	sum, n := float64(t.sum.Load())/1e9, int64(0)
	for i := range t.within {
		n += t.within[i].Load()
		bound := "+Inf"
		if i < len(bounds) {
			bound = number(bounds[i].Seconds())
		}
		b.WriteString(f.Name + "_bucket" + f.labels(values, bound) + " " + strconv.FormatInt(n, 10) + "\n")
	}
	labels := f.labels(values, "")
	b.WriteString(f.Name + "_sum" + labels + " " + number(sum) + "\n" + f.Name + "_count" + labels + " " + strconv.FormatInt(n, 10) + "\n")
}

// labels writes the values of labels; bound is that of a bucket, or empty.
func (f *Family) labels(values []string, bound string) string {
	var all []string
	for i, v := range values {
		all = append(all, f.Labels[i]+`="`+escapedValue.Replace(v)+`"`)
	}
	if bound != "" {
		all = append(all, `le="`+bound+`"`)
	}
	if len(all) == 0 {
		return ""
	}
	return "{" + strings.Join(all, ",") + "}"
}

var (
	escapedHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	escapedValue = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
