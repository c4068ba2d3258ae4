package internal

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every form of the console has its operations in the API, or a reason why it has none: docs/api.md
// lists both.
func TestEveryFormOfTheConsoleHasItsOperation(t *testing.T) {
	known := operations(t)
	code := regexp.MustCompile("`([^`]+)`")
	listed := map[string]string{}
	for _, row := range rows(section(t, "docs/api.md", "The console's forms")) {
		for _, form := range code.FindAllStringSubmatch(row[0], -1) {
			listed[form[1]] = row[1]
		}
		for _, o := range code.FindAllStringSubmatch(row[1], -1) {
			if !slices.Contains(known, o[1]) {
				t.Errorf("docs/api.md: there is no operation %s", o[1])
			}
		}
	}
	for _, r := range routes(t) {
		form, isForm := strings.CutPrefix(r.Pattern, "POST /o/{org}/admin/")
		if isForm && strings.TrimSpace(listed[form]) == "" {
			t.Errorf("docs/api.md lists neither an operation for the form %s nor why there is none", form)
		}
		delete(listed, form)
	}
	for form := range listed {
		t.Errorf("docs/api.md: there is no form %s", form)
	}
}

// operations lists the names of what the API does.
func operations(t *testing.T) (all []string) {
	t.Helper()
	var document struct {
		Paths map[string]map[string]struct{ OperationID string }
	}
	if err := json.Unmarshal([]byte(read(t, "docs/openapi.json")), &document); err != nil {
		t.Fatal(err)
	}
	for _, methods := range document.Paths {
		for _, o := range methods {
			all = append(all, o.OperationID)
		}
	}
	return all
}
