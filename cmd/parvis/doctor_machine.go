package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"parvis/cmd/parvis/machine"
	"parvis/internal/backup"
)

// now is this machine's time, by which certificates and backups are judged.
func now() time.Time { return time.Now() } //nolint:forbidigo // There may be no database.

// holderOf returns the name of a folder's owner; a placeholder where it is not known.
func holderOf(folder string) string {
	info, err := os.Stat(folder)
	if err == nil && machine.Owner(info) != "" {
		return machine.Owner(info)
	}
	return "USER"
}

// files looks for what somebody left in the data folder who ran a command as another user.
func (d *doctor) files(folder fs.FileInfo) {
	const check = "data folder"
	if strange := machine.Strangers(d.plan.data); len(strange) > 0 {
		owner := machine.Owner(folder)
		d.fail(check, "%s in it belong to another user than %s, as whom the server runs: chown %s %s",
			counted(int64(len(strange)), "file", "files"), owner, owner, strings.Join(strange, " "))
		return
	}
	d.ok(check, "%s, for its owner only", d.plan.data)
}

// unit looks at the service of this machine, if there is one and its data is what is looked at.
func (d *doctor) unit() {
	service, found := machine.Service(d.ctx)
	if !found {
		return
	}
	owner := ""
	if info, err := os.Stat(d.plan.data); err == nil {
		owner = machine.Owner(info)
	}
	if trouble := service.Trouble(d.plan.data, owner); trouble != "" {
		d.fail("service", "%s", trouble)
	}
}

// certificate judges the file of [tls].
func (d *doctor) certificate() {
	const check = "certificate"
	if !d.plan.secured {
		return
	}
	pair, err := tls.LoadX509KeyPair(d.plan.cert, d.plan.key)
	if err != nil {
		d.fail(check, "%v: certificate and key of [tls] are PEM files that belong together.", err)
		return
	}
	if wrong := machine.Ended(pair.Leaf, d.plan.cert, d.plan.base.Hostname(), now()); wrong != "" {
		d.uncertified = true
		d.fail(check, "%s", wrong)
		return
	}
	if soon := machine.EndingSoon(pair.Leaf.NotAfter, d.plan.cert, now()); soon != "" {
		d.note(check, "%s", soon)
		return
	}
	d.ok(check, "%s is for %s until %s", d.plan.cert, d.plan.base.Hostname(), pair.Leaf.NotAfter.UTC().Format(time.DateOnly))
}

// shown judges what the public address shows where somebody else does TLS.
func (d *doctor) shown(a answer) {
	if soon := machine.EndingSoon(a.ends, "the certificate that "+d.plan.base.String()+" shows", now()); soon != "" && !d.plan.secured {
		d.note("certificate", "%s", soon)
	}
}

// process looks at the listener of those who watch, and at the process behind it.
func (d *doctor) process() {
	const check = "operations"
	listen := d.plan.watched.listen
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return // it is off
	}
	if !isLoopback(host) {
		d.note(check, "health and metrics are open to the network at %s: let only those who watch reach this port, or write listen = \"127.0.0.1:%s\" in [operations].", listen, port)
	}
	if n := machine.OpenFiles(d.ctx, listen); n > 0 && n < machine.FewFiles {
		d.note("open files", "the server at %s may have %d open, connections included, and takes 4000 connections: write LimitNOFILE=65536 in its unit ('systemctl edit parvis'), or run 'ulimit -n 65536' before it.", listen, n)
	}
}

// bodies looks whether a proxy stops what the server would take.
func (d *doctor) bodies() {
	if !machine.TakesBodies(d.ctx, dialPublic, d.plan.base.String()+identityPath) {
		d.fail("proxy", "it refuses a body of %d MB, which the server takes: metadata of identity providers, logos and files of people do not arrive. "+
			"In nginx write client_max_body_size 16m;", machine.MostSent>>20)
	}
}

// resolver asks the configured name server for something. That there is no such thing is an answer.
func (d *doctor) resolver() {
	const check = "name server"
	if d.plan.resolver == nil {
		return
	}
	ctx, cancel := context.WithTimeout(d.ctx, patience)
	defer cancel()
	_, err := d.plan.resolver.LookupTXT(ctx, "parvis.test.")
	if dns, ok := errors.AsType[*net.DNSError](err); err != nil && (!ok || !dns.IsNotFound) {
		d.fail(check, "%s does not answer, so no domain can be proved: %v. Correct resolver in [dns], or open the way to it by UDP and TCP.", d.plan.resolverAt, err)
		return
	}
	d.ok(check, "%s answers", d.plan.resolverAt)
}

// backups looks into the folder in which they are made again and again.
func (d *doctor) backups(folder string, every time.Duration) {
	const check = "backups"
	if folder == "" {
		return
	}
	names, newest, err := backup.Kept(folder, now())
	remedy := fmt.Sprintf("does 'parvis backup %s --every %s' run, and what did it say last?", folder, machine.Span(every))
	switch {
	case err != nil:
		d.fail(check, "%v: %s", err, remedy)
	case len(names) == 0:
		d.fail(check, "there is none in %s: %s", folder, remedy)
	case now().Sub(newest) > every+every/4:
		d.fail(check, "the newest in %s is of %s: %s", folder, newest.UTC().Format(time.DateTime+" MST"), remedy)
	default:
		d.ok(check, "the newest in %s is of %s", folder, newest.UTC().Format(time.DateTime+" MST"))
	}
}

// alike names the settings that a node has otherwise, as its answer tells.
func (d *doctor) alike(differ []string) {
	if slices.Contains(differ, versionName) {
		d.note("version", "the server that answers is another version than this program (%s): restart it, or run doctor of its version. Nodes of two versions are for the time of an upgrade.", versionText())
	}
	if differ = slices.DeleteFunc(differ, func(name string) bool { return name == versionName }); len(differ) > 0 {
		d.note("settings", "the server that answers has others than doctor: %s. Give doctor what the server was given, restart a server whose file changed, and let all nodes have the same.",
			strings.Join(differ, ", "))
	}
}
