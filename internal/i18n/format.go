package i18n

import (
	"strconv"
	"time"
)

// Date writes the day of t in UTC: 22 November 2026. Pages put it into
// <time datetime>, where a script writes it in the reader's own zone.
func (l Localizer) Date(t time.Time) string {
	t = t.UTC()
	day := strconv.Itoa(t.Day())
	if t.Day() == 1 {
		day = l.Text("language.first_of_month") // French: 1er
	}
	month := l.Text("language.month." + strconv.Itoa(int(t.Month())))
	return l.Text("language.date", "Day", day, "Month", month, "Year", t.Year())
}

// DateTime writes t to the minute and says that it is UTC: 22 November 2026,
// 09:00 UTC.
func (l Localizer) DateTime(t time.Time) string {
	return l.Text("language.date_time", "Date", l.Date(t), "Time", t.UTC().Format("15:04"))
}

var units = []struct {
	length time.Duration
	key    string
}{
	{24 * time.Hour, "language.days"},
	{time.Hour, "language.hours"},
	{time.Minute, "language.minutes"},
	{time.Second, "language.seconds"},
}

// Duration writes d in its largest unit, with the next smaller one where the
// first does not come out even: 7 days, 1 hour 30 minutes. It rounds up, so
// that whoever waits as long as it says has waited long enough.
func (l Localizer) Duration(d time.Duration) string {
	for i, u := range units[:len(units)-1] {
		smaller := units[i+1]
		rounded := roundUp(d, smaller.length)
		if rounded < u.length {
			continue
		}
		text := l.Text(u.key, "Count", int(rounded/u.length))
		if rest := rounded % u.length; rest != 0 {
			text = l.Text("language.two_units", "Larger", text, "Smaller", l.Text(smaller.key, "Count", int(rest/smaller.length)))
		}
		return text
	}
	return l.Text("language.seconds", "Count", int(roundUp(max(d, 0), time.Second)/time.Second))
}

func roundUp(d, unit time.Duration) time.Duration {
	if rest := d % unit; rest > 0 {
		return d - rest + unit
	}
	return d
}
