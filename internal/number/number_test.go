package number

import (
	"testing"
	"time"
)

func TestNumbersAreReadAsTheyAreWritten(t *testing.T) {
	for _, text := range []string{"", "+8", "08", "-0", " 8", "8 ", "8.0", "8e1", "0x8", "1_000", "٨", "99999999999999999999"} {
		if n, ok := Parse(text); ok {
			t.Errorf("%q is read as %d", text, n)
		}
	}
	for text, want := range map[string]int{"0": 0, "8": 8, "-8": -8, "1000": 1000} {
		if n, ok := Parse(text); !ok || n != want {
			t.Errorf("%q is read as %d, %t", text, n, ok)
		}
	}
}

func TestAPortIsOneThatCanBeReached(t *testing.T) {
	for _, text := range []string{"", "0", "-1", "+25", "025", "65536", "smtp"} {
		if n, ok := Port(text); ok {
			t.Errorf("%q is read as port %d", text, n)
		}
	}
	for text, want := range map[string]int{"1": 1, "25": 25, "65535": 65535} {
		if n, ok := Port(text); !ok || n != want {
			t.Errorf("%q is read as port %d, %t", text, n, ok)
		}
	}
}

func TestTimesAreReadAsTheyAreWritten(t *testing.T) {
	for _, text := range []string{"", "+1h0m0s", "01h0m0s", "1h", "60m0s", "1h0m0s ", "3600"} {
		if d, ok := Duration(text); ok {
			t.Errorf("%q is read as %s", text, d)
		}
	}
	for _, want := range []time.Duration{0, time.Hour, 90 * time.Minute, -time.Second} {
		if d, ok := Duration(want.String()); !ok || d != want {
			t.Errorf("%s is read as %s, %t", want, d, ok)
		}
	}
}
