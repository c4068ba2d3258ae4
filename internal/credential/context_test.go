package credential

import "testing"

// A password that is only a person's address, name or organization with a few characters added
// is what a guesser tries first (R-PWD-06).
func TestContextWithThreeCharactersMoreIsNoPassword(t *testing.T) {
	s, err := NewStore(testPepper("k"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	about := Context{Organization: []string{"Meridian Freight", "meridian"}, Name: "Bo Lindqvist", Email: "bo@meridian.example"}
	rules := Classic
	rules.Digit, rules.Special, rules.UpperCase, rules.LowerCase = false, false, false, false
	for password, taken := range map[string]bool{
		"bo@meridian.example1A": false, "bo@meridian.example1A!": false, "A1bo@meridian.example": false, "xbo@meridian.exampleYZ": false,
		"Meridian Freight x1A": false, "MeridianFreightAbc": false, "meridianXyz": false, "abLindqvistc": false, "Bo.Lindqvist+Q7": false,
		"mer1Aidian.Freight": false, "meridianXyz2026!": false,
		"bo@meridian.example4 horses": true, "Lindqvistabcd": true, "Merry dames fright nobody": true, "four-Bo-wagons": true, "a bold lion": true,
	} {
		_, err := s.Check(rules, about, password)
		if (err == nil) != taken {
			t.Errorf("%q: taken %t, want %t (%v)", password, err == nil, taken, err)
		}
	}
}
