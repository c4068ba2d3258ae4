package page

import "testing"

func TestNumbersAreReadAsTheyAreWritten(t *testing.T) {
	for _, text := range []string{"", "+8", "08", "-0", " 8", "8 ", "8.0", "8e1", "0x8", "1_000", "٨", "99999999999999999999"} {
		if n, ok := Number(text); ok {
			t.Errorf("%q is read as %d", text, n)
		}
	}
	for text, want := range map[string]int{"0": 0, "8": 8, "-8": -8, "1000": 1000} {
		if n, ok := Number(text); !ok || n != want {
			t.Errorf("%q is read as %d, %t", text, n, ok)
		}
	}
}

func TestATickIsYesOrNothing(t *testing.T) {
	fields := Fields{"name", Tick("confirmed")}
	for _, value := range []string{"no", "false", "0", "off", "null", "on", "YES", "yes "} {
		if fields.check("confirmed", []string{value}) == nil {
			t.Errorf("%q is taken", value)
		}
	}
	for _, value := range []string{"", "yes"} {
		if err := fields.check("confirmed", []string{value}); err != nil {
			t.Errorf("%q: %v", value, err)
		}
	}
	if fields.check("tick:confirmed", []string{"yes"}) == nil {
		t.Error("the mark is taken for a field's name")
	}
	form := Form{values: map[string][]string{"confirmed": {""}}}
	if form.Ticked("confirmed") {
		t.Error("an empty field is ticked")
	}
}
