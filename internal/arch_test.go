// Package internal holds the map of the program as a test.
package internal

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// packages lists every package, lowest first, with what it may import from this
// module and which tables it alone may write. It is the map of the program:
// read it top to bottom. ARCHITECTURE.md lists the same rooms.
var packages = []struct{ name, imports, tables string }{
	// Ground: no word of our domain.
	{"fault", "", ""},
	{"secret", "", ""},
	{"i18n", "", ""},
	{"picture", "", ""},
	{"number", "", ""},
	{"lifetime", "", ""},
	{"safely", "", ""},
	{"measure", "", ""},
	{"trace", "secret measure", ""},
	{"outbound", "measure trace", ""},
	{"upstream", "", ""},
	{"jose", "", ""},
	{"db", "number safely measure trace", "migrations leases installation changes nodes"},

	// Core: owns tables; never sees an http.Request.
	{"audit", "db secret measure", "audit_events audit_logs audit_tiles audit_checkpoints audit_keys audit_seals audit_days audit_epochs"},
	// What an export says is checked in a room that sees neither a database nor a key of ours.
	{"audit/verify", "", ""},
	{"limit", "db secret measure audit", "limits"},
	{"naming", "fault", ""},
	{"delivery", "", ""},
	{"mail", "db secret measure trace audit i18n number picture naming", "letters"},
	{"directory", "db fault secret i18n picture audit lifetime limit mail naming", "organizations former_short_names users images groups members invitations email_changes disavowals bootstraps"},
	{"domain", "db fault secret safely audit limit mail naming directory", "domains"},
	// What other systems stored of passwords is compared in a room that sees neither a table nor a request.
	{"credential/foreign", "fault", ""},
	{"credential", "db fault secret measure i18n jose audit lifetime mail directory naming credential/foreign", "passwords password_history password_rules reset_requests resets totp_seeds passkeys recovery_codes replays password_costs"},
	{"session", "db fault secret audit lifetime mail directory", "browsers sessions session_rules active_people active_days"},
	{"signin", "db fault secret i18n audit lifetime limit mail directory naming credential session", "attempts second_step_rules"},
	// Files of other systems are read in a room of their own.
	{"intake/dump", "fault credential/foreign", ""},
	{"intake", "db fault secret i18n audit directory naming credential intake/dump", "imports import_organizations imported"},
	// What a customer's directory says by SCIM is judged in a room that sees neither a table nor a request.
	{"scim/document", "fault", ""},

	// Applications, without a word of OAuth's. What they send is judged in rooms that see
	// neither a table nor a page.
	{"application/redirect", "", ""},
	{"application/proof", "jose", ""},
	{"application", "db fault secret safely i18n picture audit limit outbound directory naming session application/redirect application/proof",
		"clients client_secrets client_organizations client_uses consents"},

	// Lists of people as files, which the command reads too.
	{"administration/sheet", "fault naming", ""},

	{"administration", "db fault i18n audit limit mail directory naming credential session signin administration/sheet", ""},
	{"provisioning", "db fault secret i18n audit mail directory domain naming", "sources source_tokens provisioned source_calls source_waiting"},
	{"access", "db fault secret audit mail directory naming application", "api_tokens machine_rights operator_rights access_rules"},

	// What each table has of one person is one list, which is read through db.
	{"personal", "db audit directory naming", ""},

	// What is left of an organization that was deleted is removed as the schema says, through db.
	{"purge", "db audit directory", ""},

	// What callers of the API may repeat.
	{"once", "db fault", "answers"},

	// Customers' providers: what they say is judged in rooms that see neither a table
	// nor a page.
	{"federation/oidc", "secret jose outbound upstream", ""},
	{"federation/saml", "secret jose upstream", ""},

	// Surfaces: own routes and templates; never a table.
	{"edge", "db fault secret measure trace audit", ""},
	{"operations", "measure", ""},
	{"page", "db fault secret i18n picture number directory naming session signin administration edge", ""},
	{"region", "db fault secret safely audit limit outbound directory naming edge", "region_checks"},
	{"federation", "db fault secret i18n picture audit limit mail outbound directory domain naming provisioning credential session signin page jose upstream federation/oidc federation/saml",
		"connections connection_changes identities identity_requests upstream_requests upstream_responses upstream_replays upstream_traces upstream_sessions setup_links only_warnings federation_keys"},
	{"scim", "db fault secret i18n directory provisioning edge scim/document", ""},
	{"op", "db fault secret safely measure i18n number lifetime jose audit delivery limit outbound directory naming session signin access application application/redirect application/proof edge",
		"keys authorization_requests pushed_requests grants device_codes logouts used_proofs"},
	{"webhook", "db fault secret safely audit delivery limit mail outbound directory naming", "webhooks webhook_secrets webhook_retries webhook_attempts"},
	// The keys of the installation. Which columns hold what they sealed is declared by the packages that own
	// them; values are sealed again through db.
	{"rotation", "db secret audit mail credential federation op webhook", ""},
	// Backups. What a restore does with each table, and about each action of the log since, are two lists,
	// which it carries out through db.
	{"backup", "rotation db secret audit audit/verify directory credential session signin application federation", ""},
	{"op/ask", "db fault secret i18n audit directory naming session signin access application page op", ""},
	{"web", "db fault secret picture audit directory domain naming personal credential session signin application edge page region federation op op/ask", ""},
	{"console", "region db fault secret i18n picture number audit directory domain naming credential session signin administration administration/sheet personal access provisioning application page op webhook federation federation/saml federation/oidc upstream", ""},

	{"api/form", "", ""},
	{"api", "region audit db fault secret i18n naming picture directory domain credential session signin administration administration/sheet personal provisioning application access once edge page op webhook federation federation/saml federation/oidc upstream api/form", ""},

	// The whole, and what stands beside it.
	{"app", "measure trace region purge provisioning scim api once db secret i18n outbound audit lifetime limit mail directory domain credential session signin administration access application edge page op op/ask federation webhook web console", ""},
	{"mailbox", "", ""},
	{"expect", "", ""},
	{"loopback", "", ""},
	{"dbtest", "db loopback measure secret", ""},
	{"authenticator", "secret", ""},
	{"federation/providertest", "", ""},
	{"federation/samltest", "secret federation/saml", ""},
	{"idptest", "app authenticator db audit dbtest secret i18n mail mailbox directory credential provisioning signin page region outbound", ""},

	// The program. No table is written there: the command calls what the pages call.
	{"cmd/parvis/serving", "safely secret", ""},
	{"cmd/parvis/otlp", "outbound trace", ""},
	{"cmd/parvis/shell", "", ""},
	{"cmd/parvis/machine", "", ""},
	{"cmd/parvis/keyring", "db fault secret credential rotation backup cmd/parvis/machine cmd/parvis/serving", ""},
	{"cmd/parvis/demo/sample", "", ""},
	{"cmd/parvis/demo/company", "", ""},
	{"cmd/parvis/demo/staff", "", ""},
	{"cmd/parvis/demo", "region db secret i18n outbound mail directory domain credential session signin federation/oidc application page federation provisioning app mailbox cmd/parvis/serving cmd/parvis/demo/sample cmd/parvis/demo/company cmd/parvis/demo/staff", ""},
	{"cmd/parvis/admin", "administration/sheet api/form", ""}, // through the API alone
	{"cmd/parvis/tenant", "db directory purge", ""},
	{"cmd/parvis/moving", "fault i18n directory intake intake/dump", ""},
	{"cmd/parvis", "rotation cmd/parvis/keyring trace operations cmd/parvis/otlp cmd/parvis/machine backup cmd/parvis/moving cmd/parvis/tenant intake region provisioning cmd/parvis/admin access fault number secret i18n outbound db audit lifetime mail directory domain naming credential application edge page federation op webhook app cmd/parvis/serving cmd/parvis/shell cmd/parvis/demo", ""},
}

// folder is where a package is, seen from here.
func folder(name string) string {
	if strings.HasPrefix(name, "cmd/") {
		return filepath.Join("..", name)
	}
	return name
}

// unscoped lists the statements on tables of organizations that do not name
// theirs, each with its reason. There are two kinds (decision 0010): a look-up by
// a secret's hash or an address, which returns the organization, and a sweep.
var unscoped = map[string]string{
	"access: delete from machine_rights where ends":                                                "sweep",
	"audit: select id from audit_events where leaf is null":                                        "sweep: is there anything to seal",
	"audit: select id from audit_events where by_hash = ''":                                        "sweep: is there anything from before the trees",
	"audit: select org_id, id, actor_name, network":                                                "sweep: what is from before the trees, of every organization",
	"audit: select org_id, id, at, actor, actor_name":                                              "sweep: the chain that was before the trees ran through every organization",
	"audit: select e.org_id, l.size":                                                               "sweep: the trees of every organization in which something is to be sealed",
	"audit: update audit_events set leaf":                                                          "sweep: each event gets its place in the log of its organization",
	"audit: select org_id, keep_days from audit_logs":                                              "sweep: how long each organization keeps its events",
	"audit: select org_id from audit_logs limit":                                                   "each node: is there anything to know of the database",
	"audit: select org_id, size from audit_logs order":                                             "each node: is the database older than what it knows",
	"audit: select '' union select org_id from audit_logs":                                         "restore: every log begins an epoch",
	"audit: select org_id from audit_logs union":                                                   "doctor: checks every log by itself",
	"access: delete from api_tokens where ends":                                                    "sweep",
	"audit: delete from audit_days where day":                                                      "sweep",
	"provisioning: delete from source_tokens where":                                                "sweep",
	"provisioning: select ⟨⟩, t.id, t.used_at from source_tokens":                                  "look-up by a secret's hash",
	"session: select max(day) from active_days":                                                    "sweep: the days of every organization are counted at once",
	"session: select p.org_id, p.day, count(*)":                                                    "sweep: the days of every organization are counted at once",
	"session: delete from active_days where day":                                                   "sweep",
	"intake: select i.id, i.format":                                                                "operator: all imports",
	"intake: select org_id from import_organizations where import":                                 "operator: the organizations that one import made",
	"idptest: select distinct org_id, id, at, actor, action":                                       "test: what the log of every organization has",
	"webhook: select ⟨⟩ from webhooks w where w.parked_at":                                         "sweep: what is parked for long",
	"webhook: select ⟨⟩ from webhooks w where w.state = 'on' and ⟨⟩ order":                         "sweep: who subscribed to checkpoints",
	"webhook: delete from webhook_":                                                                "sweep: what was kept for long enough",
	"mail: select id from letters where next_try_at":                                               "sweep: is there anything to send",
	"mail: select count(*), min(created_at) from letters where next_try_at":                        "operations: how many wait, of every organization",
	"session: select count(*) from sessions where ended_at is null":                                "operations: how many are open, of every organization",
	"op: select count(*) from grants where ended_at is null":                                       "operations: how many are open, of every organization",
	"audit: select count(*), min(at) from audit_events where leaf is null":                         "operations: how many wait, of every organization",
	"webhook: select count(*), min(failed_at) from webhook_retries":                                "operations: how many wait, of every organization",
	"webhook: select count(*) from webhooks where parked_at":                                       "operations: how many are parked, of every organization",
	"mail: select reply, count(*) from letters":                                                    "the operator's: what the mail server refuses",
	"mail: update letters set next_try_at = $1, reply = coalesce($2, reply) where next":            "sweep: puts off what is due while the server is down",
	"directory: select id from users where role":                                                   "installation: does any owner exist yet",
	"directory: select ⟨⟩, ⟨⟩ from invitations i join":                                             "look-up by a secret's hash",
	"session: select ⟨⟩, x.id":                                                                     "look-up by a secret's hash, for the organization in the path",
	"session: select ⟨⟩ from browsers b":                                                           "look-up by a secret's hash: who is signed in here",
	"session: select s.org_id from sessions s where s.browser_id":                                  "one browser: where was it last",
	"session: select s.id, s.started_at":                                                           "one browser: who is signed in here, for the switcher",
	"directory: select ⟨⟩, ⟨⟩, d.email, d.restores":                                                "look-up by a secret's hash",
	"credential: select ⟨⟩ from resets r join users":                                               "look-up by a secret's hash, of a link that is dead",
	"directory: select ⟨⟩ from disavowals d join users":                                            "look-up by a secret's hash, of a link that is dead",
	"directory: select ⟨⟩ from email_changes c join users":                                         "look-up by a secret's hash, of a link that is dead",
	"credential: select ⟨⟩, ⟨⟩, r.id from resets":                                                  "look-up by a secret's hash",
	"directory: select ⟨⟩, ⟨⟩ from email_changes c join":                                           "look-up by a secret's hash",
	"domain: select ⟨⟩ from domains d where d.proven_at":                                           "sweep: which records are to be looked up again",
	"domain: select d.org_id from domains d join":                                                  "look-up by a domain, which returns the organization that holds it",
	"directory: delete from disavowals where expires":                                              "sweep",
	"credential: select ⟨⟩ from passkeys where credential":                                         "look-up by a credential id, which is random and returns it",
	"credential: select substr(p.hash, 1, $1), count(*)":                                           "sweep: how many passwords have which cost",
	"credential: select p.org_id, p.user_id, p.id, p.name":                                         "installation: whose passkeys the doctor lists, for their keys",
	"credential: select count(distinct user_id) from recovery_codes":                               "operator: how many people's codes need a pepper",
	"credential: delete from totp_seeds where confirmed":                                           "sweep",
	"signin: select a.id, a.browser_id, a.org_id":                                                  "one browser's attempt, whose user and password are joined by its own org_id",
	"session: select ⟨⟩, ⟨⟩, s.org_id, s.id, s.methods from sessions":                              "one browser, whose cookie was copied: all its sessions end",
	"session: select b.id from browsers b where b.id":                                              "sweep: a browser belongs to no organization",
	"session: select s.org_id, s.id from sessions s where s.ended_at is null and s.until <= $1 li": "sweep",
	"federation: select k.id, k.org_id, k.connection_id":                                           "look-up by a secret's hash",
	"federation: select ⟨⟩ from letters l join setup_links":                                        "look-up by a secret's hash",
	"federation: select ⟨⟩ from connections c where c.proto":                                       "sweep: metadata that renews itself, certificates that end",
	"federation: select org_id, id, created_at from upstream_requests":                             "sweep",
	"federation: delete from setup_links":                                                          "sweep",
	"federation: select ⟨⟩, ⟨⟩ from connections c join":                                            "look-up by a connection's id, which its addresses have, and which returns the organization",
	"op: select ⟨⟩ from sessions s join grants g on g.org_id = s.org_id and g.session_id":          "sweep: grants whose session ended; and one browser, where the person went over to another organization",
	"op: select g.id from sessions s join grants":                                                  "one browser: has another organization something open here",
	"op: select ⟨⟩ from grants g where ⟨⟩":                                                         "look-up by a secret's hash, to revoke; or by both keys",
	"op: select ⟨⟩, a.asked, a.ended_at":                                                           "one browser's request, whose grant and session are joined by its own organization",
	"op: select c.id, (select l.tried_at from logouts l where ⟨⟩":                                  "operator: how each application answers, whatever organization it was about",
	"op: select ⟨⟩, l.org_id, l.id":                                                                "sweep: which applications are to be told",
	"session: delete from browsers where id":                                                       "sweep: a browser belongs to no organization",
	"mail: select org_id, id from letters where next_try_at":                                       "sweep: what nobody takes is given up",
	"directory: select id from organizations where (short_name":                                    "installation: no two organizations have a name, or one that was another's",
	"directory: select ⟨⟩, coalesce(o.id = ( select f.org_id from former":                          "look-up by a name, which returns the organization that has or had it",
	"directory: select org_id, short_name_key, short_name_skeleton from former":                    "region: the names of every organization, which another region may ask for",
	"region: select c.org_id, o.short_name, o.display_name, c.peer":                                "operator: names that another region has too, of every organization",
	"region: select distinct c.peer from region_checks":                                            "sweep: regions with which something is open",
	"region: select o.id, o.short_name, o.display_name from organizations o left":                  "sweep: which organizations another region is to be asked about",
	"directory: delete from former_short_names where ends":                                         "sweep",
	"directory: delete from former_short_names where short_name_key":                               "installation: who takes a name takes it from whoever had it",
	"directory: delete from users where deleted_at":                                                "sweep",
	"domain: select org_id from domains where domain_key":                                          "installation: one organization holds a domain",
}

// tablesOfOrganizations are those whose rows belong to an organization, as the migrations
// say: their org_id is never null.
func tablesOfOrganizations(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("db/migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migration found: %v", err)
	}
	var tables []string
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range createTable.FindAllStringSubmatch(string(content), -1) {
			if neverNull.MatchString(m[2]) {
				tables = append(tables, m[1])
			}
		}
	}
	return tables
}

func TestPackagesAreTheOnesInTheMap(t *testing.T) {
	for _, root := range []string{".", "../cmd/parvis"} { // cmd/bench fills databases, and serves nobody
		err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || path == e.Name() {
				return err
			}
			for folder := filepath.Dir(path); !inMap(folder); folder = filepath.Dir(folder) {
				if folder == "." {
					t.Errorf("the package of %s is not in the map", path)
					break
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i, p := range packages {
		for _, imported := range strings.Fields(p.imports) {
			j := slices.IndexFunc(packages, func(q struct{ name, imports, tables string }) bool { return q.name == imported })
			if j < 0 || j >= i {
				t.Errorf("%s may import %s, which is not above it", p.name, imported)
			}
		}
	}
}

// inMap reports whether a folder is a package of the map, as a room of another may be.
func inMap(path string) bool {
	return slices.ContainsFunc(packages, func(p struct{ name, imports, tables string }) bool { return folder(p.name) == path })
}

// onlyImporter names who alone may import a package that is easy to misuse. XML
// Encryption is a format of others, so saml opens it itself.
var onlyImporter = map[string]string{
	"database/sql": "db", "crypto/rand": "secret cmd/parvis/demo/sample cmd/parvis/demo/company", "crypto/aes": "secret federation/saml", "math/rand": "", "unsafe": "", "net/smtp": "",
	"text/template":                 "",
	"github.com/go-jose/go-jose/v4": "jose cmd/parvis/demo/company", "github.com/go-jose/go-jose/v4/json": "jose",
}

func TestImportsAreThoseOfTheMap(t *testing.T) {
	for _, p := range packages {
		for path, file := range goFiles(t, p.name, false) {
			for _, spec := range file.Imports {
				name, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if owner, guarded := onlyImporter[name]; guarded && !slices.Contains(strings.Fields(owner), p.name) {
					t.Errorf("%s imports %s; only %q may", path, name, owner)
				}
				inside, ours := strings.CutPrefix(name, "parvis/")
				inside = strings.TrimPrefix(inside, "internal/")
				if ours && !slices.Contains(strings.Fields(p.imports), inside) && !strings.HasPrefix(inside, p.name+"/") {
					t.Errorf("%s: %s may not import %s", path, p.name, inside)
				}
			}
		}
	}
}

// A sample application is what an integrator could copy, and the company's sign-in server and the
// staff directory are customers': all see Parvis from outside.
func TestSampleProgramsImportNothingOfOurs(t *testing.T) {
	for _, folder := range []string{"sample", "company", "staff"} {
		files := goFiles(t, "../cmd/parvis/demo/"+folder, false)
		for path, file := range files {
			for _, spec := range file.Imports {
				if strings.HasPrefix(spec.Path.Value, `"parvis/`) {
					t.Errorf("%s imports %s", path, spec.Path.Value)
				}
			}
		}
		if len(files) == 0 {
			t.Errorf("no file found in %s: this test looks past them", folder)
		}
	}
}

// lossy lists who may write without waiting for the disk, and why what is lost with the machine's
// power, together with everything after it, is no loss (decision 0072). Sessions, grants that were
// exchanged, credentials, rules and deeds are never among them.
var lossy = map[string]string{
	"limit.TakeInTurn":       "a count: the try is counted while the machine runs",
	"limit.Release":          "a count",
	"signin.giveBack":        "a count: of a right password, after which a new one was refused",
	"db.Lease":               "its holder is gone too",
	"db.EndLease":            "it ends by itself",
	"session.Stay":           "when somebody was last there, coarsely",
	"op.IssueCode":           "a code is nothing before its exchange, which is durable",
	"application.noteSecret": "when a secret was last used, coarsely",
	"access.Touch":           "when a token was last used, coarsely",
	"provisioning.note":      "when a directory last called, coarsely",
}

func TestOnlyWhatMayBeLostIsWrittenWithoutWaiting(t *testing.T) {
	used := map[string]bool{}
	for _, p := range packages {
		for path, file := range goFiles(t, p.name, false) {
			for _, declared := range file.Decls {
				name := "a variable"
				if f, ok := declared.(*ast.FuncDecl); ok {
					name = f.Name.Name
				}
				ast.Inspect(declared, func(n ast.Node) bool {
					s, ok := n.(*ast.SelectorExpr)
					if !ok || !slices.Contains([]string{"Lax", "LaxInTurn", "UpdateLax"}, s.Sel.Name) {
						return true
					}
					if who := p.name + "." + name; lossy[who] == "" {
						t.Errorf("%s: %s may not write without waiting for the disk", path, who)
					} else {
						used[who] = true
					}
					return true
				})
			}
		}
	}
	for who := range lossy {
		if !used[who] {
			t.Errorf("%s writes nothing without waiting any more", who)
		}
	}
}

// outbound is the one client for other hosts; the browsers of tests ask servers of
// their own.
func TestOnlyOutboundAsksOtherHosts(t *testing.T) {
	client := strings.Fields("Client Transport DefaultClient DefaultTransport Get Head Post PostForm")
	for _, p := range packages {
		if slices.Contains([]string{"outbound", "idptest", "federation/providertest"}, p.name) || strings.HasPrefix(p.name, "cmd/") {
			continue // a command asks what its operator names
		}
		for path, file := range goFiles(t, p.name, false) {
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "http" && slices.Contains(client, s.Sel.Name) {
						t.Errorf("%s: use outbound, not http.%s", path, s.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

// Keys that share primes are for tests. idptest makes them so, and no program of ours imports it.
func TestOnlyTestsReplaceWhatMakesRSAKeys(t *testing.T) {
	for _, p := range packages {
		if p.name == "idptest" {
			continue
		}
		for path, file := range goFiles(t, p.name, false) {
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "GenerateRSA" {
					t.Errorf("%s uses secret.GenerateRSA; only idptest may", path)
				}
				return true
			})
			for _, spec := range file.Imports {
				if strings.HasSuffix(spec.Path.Value, `/idptest"`) {
					t.Errorf("%s imports idptest, which only tests may", path)
				}
			}
		}
	}
}

func TestNobodyReadsTheWallClock(t *testing.T) {
	for _, p := range packages {
		if slices.Contains([]string{"db", "mailbox", "measure", "trace"}, p.name) || strings.HasPrefix(p.name, "cmd/") { // the clock itself; a server for the demo; what says how long something took, by which nothing is decided; programs
			continue
		}
		for path, file := range goFiles(t, p.name, false) {
			if path == "edge/stream.go" { // the deadline of a connection, which has no other clock
				continue
			}
			ast.Inspect(file, func(n ast.Node) bool {
				if s, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until"}, s.Sel.Name) {
						t.Errorf("%s: use tx.Now, db.Now or a parameter, not time.%s", path, s.Sel.Name)
					}
				}
				return true
			})
		}
	}
}

// unsafely lists who begins a goroutine that does not use safely.Do, and why no panic in it ends the
// program.
var unsafely = map[string]string{
	"app.Run":        "each sweep is recovered by itself, and regions by theirs",
	"delivery.Await": "it only waits",
	"mailbox":        "a server for the demo",
}

// A panic in a goroutine ends the program with all its requests, so none of ours goes without safely.Do.
func TestGoroutinesDoNotEndTheProgram(t *testing.T) {
	found, used := 0, map[string]bool{}
	for _, p := range packages {
		if strings.HasPrefix(p.name, "cmd/") || slices.Contains([]string{"idptest", "dbtest", "federation/providertest", "federation/samltest"}, p.name) {
			continue
		}
		for path, file := range goFiles(t, p.name, false) {
			for _, declared := range file.Decls {
				f, ok := declared.(*ast.FuncDecl)
				if !ok {
					continue
				}
				ast.Inspect(f, func(n ast.Node) bool {
					var work ast.Node
					switch n := n.(type) {
					case *ast.GoStmt:
						work = n.Call
					case *ast.CallExpr:
						if selected(n) == "Go" && len(n.Args) == 1 {
							work = n.Args[0]
						}
					}
					if work == nil {
						return true
					}
					found++
					safe := false
					ast.Inspect(work, func(n ast.Node) bool {
						if s, ok := n.(*ast.SelectorExpr); ok {
							x, named := s.X.(*ast.Ident)
							safe = safe || named && x.Name == "safely"
						}
						return true
					})
					for _, who := range []string{p.name + "." + f.Name.Name, p.name} {
						if unsafely[who] != "" {
							used[who], safe = true, true
						}
					}
					if !safe {
						t.Errorf("%s: a goroutine of %s.%s does not use safely.Do", path, p.name, f.Name.Name)
					}
					return true
				})
			}
		}
	}
	if found < 8 {
		t.Errorf("only %d goroutines found: this test looks past the others", found)
	}
	for who := range unsafely {
		if !used[who] {
			t.Errorf("%s begins no goroutine any more", who)
		}
	}
}

var (
	createTable = regexp.MustCompile(`(?s)create table (\w+) \((.*?)\n\);`)
	neverNull   = regexp.MustCompile(`(?m)^\s*org_id\s+text\s+not null`)

	verb         = regexp.MustCompile(`^(select|insert into|update|delete from|with) `)
	writes       = regexp.MustCompile(`(?:^|[ (])(?:insert into|update|delete from) ([a-z_]+)`)
	writesWhat   = regexp.MustCompile(`(?:^|[ (])(insert into|delete from|update) ?(?:⟨⟩|%)`)
	reads        = regexp.MustCompile(`(?:^|[ (])(?:from|join) ([a-z_]+)(?: [a-z]+)?`)
	readsWhat    = regexp.MustCompile(`(?:^|[ (])(from|join) ?(?:⟨⟩|%)`)
	readsBoth    = regexp.MustCompile(`(?:^|[ (])from ([a-z_]+)(?: [a-z]+)?, *([a-z_]+)`)
	scope        = regexp.MustCompile(`(?:^|[ (.])org_id(?: =| in|,)`)
	placeholders = regexp.MustCompile(`\$([0-9]+)`)
	spaces       = regexp.MustCompile(`\s+`)
)

// A house is the map, read for judging statements.
type house struct {
	owner   map[string]string   // of each table
	mayRead map[string][]string // by package: whose tables, beside its own
	tenants []string            // the tables of organizations
	passes  map[string]string   // the statements that name no organization, with why
	used    map[string]bool     // of passes
	written map[string]bool     // the tables that something writes
}

// What breaks a rule is found: each of these would be, where it stood in the package.
func TestBrokenRulesAreFound(t *testing.T) {
	h := newHouse(t)
	h.passes = nil
	for _, broken := range []struct{ rule, pkg, source, want string }{
		{"another's table written", "web", `tx.Exec(ctx, "update sessions set ended_at = $1 where org_id = $2")`, "may not write table sessions"},
		{"another's table written in a part", "web", `q := " or exists (delete from sessions where org_id = $1)"`, "may not write table sessions"},
		{"another's table written behind with", "web", `tx.Exec(ctx, "with x as (insert into sessions (org_id) values ($1)) select 1")`, "may not write table sessions"},
		{"an unknown table written", "directory", `tx.Exec(ctx, "update people set name = $1 where org_id = $2")`, "may not write table people"},
		{"a table whose name is put together written", "credential", `tx.Exec(ctx, "delete from "+table+" where org_id = $1")`, "cannot read"},
		{"a table whose name is put together updated", "credential", `tx.Exec(ctx, "update "+table+" set name = $1 where org_id = $2")`, "cannot read"},
		{"a table whose name is formatted", "credential", `tx.Exec(ctx, fmt.Sprintf("insert into %s (org_id) values ($1)", table))`, "cannot read"},
		{"a table whose name is put together read", "credential", `tx.Rows(ctx, f, "select id from "+table+" where org_id = $1")`, "cannot read"},
		{"another's table read", "directory", `tx.One(ctx, f, "select id from sessions where org_id = $1")`, "may not read table sessions"},
		{"another's table joined in a part", "directory", `q := "join sessions s on s.org_id = u.org_id"`, "may not read table sessions"},
		{"another's table behind a comma", "directory", `tx.One(ctx, f, "select u.id from users u, sessions s where u.org_id = $1")`, "may not read table sessions"},
		{"no organization", "session", `tx.Exec(ctx, "update sessions set ended_at = $1 where id = $2")`, "names none"},
		{"an organization set and not asked", "session", `tx.Exec(ctx, "update sessions set org_id = $1 where id = $2")`, "names none"},
		{"an organization returned and not asked", "session", `tx.One(ctx, f, "delete from sessions where id = $1 returning org_id, id")`, "names none"},
		{"an organization sorted by", "session", `tx.Rows(ctx, f, "select id from sessions where id > $1 order by org_id, id")`, "names none"},
		{"any other organization", "session", `tx.Rows(ctx, f, "select id from sessions where org_id <> $1")`, "names none"},
		{"no organization inserted", "session", `tx.Exec(ctx, "insert into sessions (id) select org_id from users where org_id = $1")`, "names none"},
		{"no condition at all", "session", `tx.Rows(ctx, f, "select id from sessions")`, "names none"},
		{"placeholders out of order", "session", `tx.Exec(ctx, "update sessions set ended_at = $2 where org_id = $1")`, "$2 appears before $1"},
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "broken.go", "package p\nfunc f() { "+broken.source+" }", 0)
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, sql := range textsOf(file) {
			found = append(found, h.judge(broken.pkg, sql)...)
		}
		if !strings.Contains(strings.Join(found, "; "), broken.want) {
			t.Errorf("%s is found as %q, want %q", broken.rule, found, broken.want)
		}
	}
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{map[string]string{}, map[string][]string{}, tablesOfOrganizations(t), unscoped, map[string]bool{}, map[string]bool{}}
	for _, p := range packages {
		h.mayRead[p.name] = strings.Fields(p.imports)
		for _, table := range strings.Fields(p.tables) {
			h.owner[table] = p.name
		}
	}
	return h
}

// A permission that nobody uses is one that somebody may use unseen.
func TestPermissionsAreUsed(t *testing.T) {
	h := newHouse(t)
	for _, p := range packages {
		used := map[string]bool{}
		for _, file := range goFiles(t, p.name, false) {
			for _, spec := range file.Imports {
				name := strings.TrimPrefix(strings.Trim(spec.Path.Value, `"`), "parvis/")
				used[strings.TrimPrefix(name, "internal/")] = true
			}
			for _, sql := range textsOf(file) {
				for _, m := range reads.FindAllStringSubmatch(sql, -1) {
					used[h.owner[m[1]]] = true
				}
			}
		}
		for _, permitted := range strings.Fields(p.imports) {
			if !used[permitted] {
				t.Errorf("%s may import %s, and does not", p.name, permitted)
			}
		}
	}
}

func TestStatementsKeepTheRules(t *testing.T) {
	h, statements := newHouse(t), 0
	for _, p := range packages {
		for path, file := range goFiles(t, p.name, false) {
			for _, sql := range textsOf(file) {
				if verb.MatchString(sql) {
					statements++
				}
				for _, broken := range h.judge(p.name, sql) {
					t.Errorf("%s: %s: %.120s", path, broken, sql)
				}
			}
		}
	}
	if statements < 50 {
		t.Errorf("found only %d statements: this test looks past them", statements)
	}
	for entry := range h.passes {
		if !h.used[entry] {
			t.Errorf("no statement without organization begins with %q any more", entry)
		}
	}
	for table, owner := range h.owner {
		if !h.written[table] && table != "migrations" { // which goose writes
			t.Errorf("%s owns table %s, and writes it nowhere", owner, table)
		}
	}
}

// judge says which rules a text of a package breaks: a whole statement, or a part that is
// added to one elsewhere.
func (h *house) judge(pkg, sql string) (broken []string) {
	if pkg == "dbtest" { // empties, dumps and compares every table
		return nil
	}
	if m := writesWhat.FindStringSubmatch(sql); m != nil {
		broken = append(broken, "after '"+m[1]+"' comes something that this test cannot read")
	}
	if m := readsWhat.FindStringSubmatch(sql); m != nil && len(broken) == 0 && verb.MatchString(sql) {
		broken = append(broken, "after '"+m[1]+"' comes something that this test cannot read")
	}
	touched := false
	for _, m := range writes.FindAllStringSubmatch(sql, -1) {
		o, known := h.owner[m[1]]
		if known && o != pkg || !known && verb.MatchString(sql) && m[1] != "set" && m[1] != "of" {
			broken = append(broken, pkg+" may not write table "+m[1])
		}
		h.written[m[1]] = true
		touched = touched || slices.Contains(h.tenants, m[1])
	}
	tables := reads.FindAllStringSubmatch(sql, -1)
	for _, m := range readsBoth.FindAllStringSubmatch(sql, -1) {
		tables = append(tables, []string{m[0], m[2]})
	}
	for _, m := range tables {
		if o := h.owner[m[1]]; o != "" && o != pkg && !slices.Contains(h.mayRead[pkg], o) {
			broken = append(broken, pkg+" may not read table "+m[1]+" of "+o)
		}
		touched = touched || slices.Contains(h.tenants, m[1])
	}
	if !verb.MatchString(sql) {
		return broken
	}
	if err := placeholderOrder(sql); err != nil {
		broken = append(broken, err.Error())
	}
	if touched && !scoped(sql) && !h.pass(pkg, sql) {
		broken = append(broken, "a statement on a table of organizations names none")
	}
	return broken
}

// scoped reports whether a statement names an organization in what it chooses by, or in
// what it inserts.
func scoped(sql string) bool {
	if strings.HasPrefix(sql, "insert into") {
		columns, _, _ := strings.Cut(sql, ")")
		return strings.Contains(columns, "org_id")
	}
	_, where, _ := strings.Cut(sql, " where ")
	for _, end := range []string{" returning ", " order by ", " group by "} {
		where, _, _ = strings.Cut(where, end)
	}
	return scope.MatchString(where)
}

// pass reports whether a statement may name no organization.
func (h *house) pass(pkg, sql string) bool {
	for entry := range h.passes {
		if strings.HasPrefix(pkg+": "+sql, entry) {
			h.used[entry] = true
			return true
		}
	}
	return false
}

// placeholderOrder wants $1, $2, … in order of first appearance, because one
// driver swaps others silently.
func placeholderOrder(sql string) error {
	highest := 0
	for _, m := range placeholders.FindAllStringSubmatch(sql, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return err
		}
		if n > highest+1 && !strings.Contains(sql, "⟨⟩") {
			return fmt.Errorf("$%d appears before $%d", n, highest+1)
		}
		highest = max(highest, n)
	}
	return nil
}

// textsOf collects the texts of a file: string literals, joined where they are added up;
// what is added but is no literal shows as ⟨⟩.
func textsOf(file *ast.File) []string {
	var all []string
	visit := func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		text, isText := flatten(e)
		if !isText {
			return true
		}
		all = append(all, strings.TrimSpace(spaces.ReplaceAllString(text, " ")))
		return false
	}
	ast.Inspect(file, visit)
	return all
}

func flatten(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.BinaryExpr:
		if e.Op != token.ADD {
			return "", false
		}
		left, l := flatten(e.X)
		right, r := flatten(e.Y)
		if !l && !r {
			return "", false
		}
		if !l {
			left = "⟨⟩"
		}
		if !r {
			right = "⟨⟩"
		}
		return left + right, true
	}
	return "", false
}

func goFiles(t *testing.T, pkg string, tests bool) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	root := folder(pkg)
	err := filepath.WalkDir(root, func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() && path != root && inMap(path) {
			return filepath.SkipDir
		}
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") != tests {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		files[path] = f
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// ARCHITECTURE.md lists the same rooms, each with the tables that it writes, on floors from the
// top down: what a room may import stands on its floor or below. Its lines fit a terminal.
func TestArchitecturePageShowsThisMap(t *testing.T) {
	text, err := os.ReadFile("../ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		if n := utf8.RuneCountInString(line); n > 100 {
			t.Errorf("ARCHITECTURE.md:%d has %d columns", i+1, n)
		}
	}
	_, rooms, _ := strings.Cut(string(text), "\nPROGRAM\n")
	rooms, _, _ = strings.Cut(rooms, "\n```\n")
	floor, floors, writes, room := 0, map[string]int{}, map[string]string{}, ""
	for _, line := range strings.Split(rooms, "\n") {
		switch {
		case line == strings.ToUpper(line):
			floor++
		case line[0] != ' ':
			room, _, _ = strings.Cut(line, " ")
			floors[room] = floor
		default:
			writes[room] += " " + strings.TrimPrefix(strings.TrimSpace(line), "writes:")
		}
	}
	known := map[string]bool{}
	for _, p := range packages {
		known[p.name] = true
		if _, listed := floors[p.name]; !listed {
			t.Errorf("ARCHITECTURE.md does not list %s", p.name)
			continue
		}
		for _, below := range strings.Fields(p.imports) {
			if floors[below] < floors[p.name] && floors[p.name] < floor { // what is for tests stands beside
				t.Errorf("%s may import %s, which ARCHITECTURE.md shows on a floor above it", p.name, below)
			}
		}
		if got, want := slices.Sorted(slices.Values(strings.Fields(writes[p.name]))), slices.Sorted(slices.Values(strings.Fields(p.tables))); !slices.Equal(got, want) {
			t.Errorf("ARCHITECTURE.md says that %s writes %v, which are %v", p.name, got, want)
		}
	}
	for room := range floors {
		if !known[room] {
			t.Errorf("ARCHITECTURE.md lists %s, which is no package", room)
		}
	}
}
