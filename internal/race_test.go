package internal

import (
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// noRace are tests that start goroutines and that the race detector does not see, with the reason.
var noRace = map[string]string{
	"./cmd/parvis TestScripts": "A script starts a program for each of its 160 lines, one after the other. Other tests talk to the same server.",
	// They took a quarter of the time of the stage.
	"./cmd/parvis TestARestoreRevivesNothing":          "A command does one thing after another. The server that somebody signs in to beside it is a program of its own, which other tests start too.",
	"./cmd/parvis TestARestoreWithAnExportFromOutside": "As before.",
	// These took another quarter.
	"./cmd/parvis TestBadBackupsAreRefused":                                      "A command does one thing after another, and no server runs beside it.",
	"./cmd/parvis TestDoctorFindsWhatIsWrong":                                    doctor,
	"./cmd/parvis TestDoctorFindsWhatAProxyDoesWrong":                            doctor,
	"./cmd/parvis TestDoctorLooksAfterWebhooksAndDirectories":                    doctor,
	"./cmd/parvis TestDoctorFindsAWrongPublicAddress":                            doctor,
	"./cmd/parvis TestDoctorFindsAProxyThatIsNotTrusted":                         doctor,
	"./cmd/parvis TestDoctorFindsAProxyThatNamesNoAddress":                       doctor,
	"./cmd/parvis TestDoctorFindsAProxyThatAltersRequests":                       doctor,
	"./cmd/parvis TestDoctorTellsOfRefusedLetters":                               doctor,
	"./cmd/parvis TestDoctorLooksAfterWhatIsStored":                              doctor,
	"./cmd/parvis TestDoctorLooksAfterApplications":                              doctor,
	"./cmd/parvis TestDoctorNamesWhatIsWrongBetweenRegions":                      doctor,
	"./cmd/parvis TestDoctorFindsADatabaseThatItCannotWrite":                     doctor,
	"./cmd/parvis TestDoctorJudgesClocks":                                        doctor,
	"./cmd/parvis/demo TestEveryOwnerGetsInWithTheLinkThatIsTold":                demo,
	"./cmd/parvis/demo TestTheMailboxShowsLettersUnderItsOwnNameOnly":            demo,
	"./internal/op TestAConnectionThatIsEndedInMidStatementIsToldOnEverySurface": "It asks for one table after another. TestEverySurfaceSaysThatTheDatabaseIsAway has each surface lose its connection too.",
	"./internal/op TestKeysAreReplacedOnSchedule":                                "A clock is moved and keys are asked for, in turn. In TestOPR10AFloodOfUnknownKeys they are read again while others ask for them.",
	"./internal/mail TestLettersReadWell":                                        "Letters are written one after another. TestTwoNodesSendEachLetterOnce writes them at the same time.",
}

const (
	doctor = "Doctor starts nothing and does one thing after another. The race detector sees it beside one server in TestDoctorFindsNothingWrongWithAHealthyInstallation, beside two in TestDoctorOfTwoNodes."
	demo   = "It asks one thing after another of the demo that TestParvisFollowsTheStaffDirectory starts too."
)

// The race detector finds only what two goroutines do at the same time, and it makes everything
// several times slower. So './check all' shows it the tests in which goroutines run at the same
// time: each that starts some, or calls a function of its package or of its package's tests that
// does. Nobody keeps a list, so none can be forgotten: the script takes the lines that begin
// with "race: " from this test.
func TestWhatTheRaceDetectorSees(t *testing.T) {
	// A module of its own has a check of its own, packaging/try, in which the race detector has no part.
	others := repositoryFiles(t, "/go.mod")
	functions := map[string]map[string][]*ast.FuncDecl{} // of a folder, by name; a method's begins with a dot
	for _, name := range repositoryFiles(t, ".go") {
		folder := path.Dir(name)
		if slices.ContainsFunc(others, func(module string) bool { return strings.HasPrefix(name, path.Dir(module)+"/") }) {
			continue
		}
		if functions[folder] == nil {
			functions[folder] = map[string][]*ast.FuncDecl{}
		}
		for _, d := range parse(t, name).Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				name := f.Name.Name
				if f.Recv != nil {
					name = "." + name
				}
				functions[folder][name] = append(functions[folder][name], f)
			}
		}
	}
	found := map[string]bool{}
	for _, folder := range slices.Sorted(maps.Keys(functions)) {
		var concurrent []string
		for name := range functions[folder] {
			if !strings.HasPrefix(name, "Test") || name == "TestMain" || !starts(name, functions[folder], map[string]bool{}) {
				continue
			}
			test := "./" + folder + " " + name
			found[test] = true
			if noRace[test] == "" {
				concurrent = append(concurrent, name)
			}
		}
		if len(concurrent) > 0 {
			slices.Sort(concurrent)
			t.Logf("race: ./%s %s", folder, strings.Join(concurrent, "|"))
		}
	}
	if len(found) < 100 {
		t.Errorf("%d tests start goroutines: this test looks past them", len(found))
	}
	for test := range noRace {
		if !found[test] {
			t.Errorf("%s is left out, and starts no goroutine", test)
		}
	}
}

// starts reports whether a function of this name, or one that it names, starts a goroutine. It
// goes by names alone, so it finds rather too many.
func starts(name string, functions map[string][]*ast.FuncDecl, seen map[string]bool) (found bool) {
	if seen[name] {
		return false
	}
	seen[name] = true
	var look func(ast.Node) bool
	look = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = true
		case *ast.SelectorExpr:
			// Go is of a WaitGroup, AfterFunc of time and context.
			found = found || n.Sel.Name == "Go" || n.Sel.Name == "AfterFunc" || starts("."+n.Sel.Name, functions, seen)
			ast.Inspect(n.X, look)
			return false
		case *ast.Ident:
			found = found || starts(n.Name, functions, seen)
		}
		return !found
	}
	for _, f := range functions[name] {
		ast.Inspect(f.Body, look)
	}
	return found
}
