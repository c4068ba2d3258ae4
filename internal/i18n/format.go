package i18n

import (
	"strconv"
	"time"
)

// In returns a Localizer that writes instants in a time zone. Without one they
// are written in UTC.
func (l Localizer) In(zone *time.Location) Localizer {
	l.zone = zone
	return l
}

// local returns t in the zone.
func (l Localizer) local(t time.Time) time.Time {
	if l.zone == nil {
		return t.UTC()
	}
	return t.In(l.zone)
}

// Date writes the day of t: 22 November 2026.
func (l Localizer) Date(t time.Time) string {
	t = l.local(t)
	day := strconv.Itoa(t.Day())
	if t.Day() == 1 {
		day = l.Text("language.first_of_month") // French: 1er
	}
	month := l.Text("language.month." + strconv.Itoa(int(t.Month())))
	return l.Text("language.date", "Day", day, "Month", month, "Year", t.Year())
}

// DateTime writes t to the minute and names the zone: 22 November 2026, 10:00 CET.
func (l Localizer) DateTime(t time.Time) string {
	at := l.local(t)
	return l.Text("language.date_time", "Date", l.Date(t), "Time", at.Format("15:04"), "Zone", zoneAt(at))
}

// zoneAt returns the abbreviation of a zone at a time or, if it has none, its offset from
// UTC: UTC+05:45.
func zoneAt(t time.Time) string {
	name, _ := t.Zone()
	if name[0] != '+' && name[0] != '-' {
		return name
	}
	if hours := len("+05"); len(name) > hours {
		name = name[:hours] + ":" + name[hours:]
	}
	return "UTC" + name
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

// Duration writes d in its largest unit, and adds the next smaller one if d is no multiple
// of the first: 7 days, 1 hour 30 minutes. It rounds up, so that somebody who waits that long
// has waited long enough.
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
