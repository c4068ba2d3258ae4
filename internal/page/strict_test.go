package page

import "testing"

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
