package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	netmail "net/mail"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"parvis/internal/db"
	"parvis/internal/domain"
	"parvis/internal/lifetime"
	"parvis/internal/mail"
	"parvis/internal/number"
	"parvis/internal/page"
)

// A plan is a configuration that was checked: what the program is built from.
type plan struct {
	base       *url.URL
	issuer     string // the public address as it was written, for commands that do not need it; may be empty
	listen     string
	data       string
	database   string          // address for db.Open
	remembers  bool            // answers of the database are remembered
	resolver   domain.Resolver // nil for this machine's
	resolverAt string
	smtp       *mail.SMTP
	from       string
	operator   string
	proxies    []netip.Prefix
	allow      []string // hosts that outbound may ask although they are not public
	links      page.Links
	regions    page.Regions
	pairs      map[string][]byte // the key that this region shares with each of the others
	breached   string
	unreadable error // why the list of breached passwords is
	lifetimes  lifetime.Overrides
	kept       kept
	prints     string // of the audit log, on standard output; empty for nothing
	secured    bool   // this program does TLS itself
	cert, key  string
	text       bool // logs are text, not JSON
	level      slog.Level
	watched    watched
	strangers  []string          // variables that look like settings and are not
	shared     map[string]string // the settings that all nodes have alike
}

// keysPath returns where the keys of an installation are.
func (p plan) keysPath() string { return filepath.Join(p.data, "keys") }

// checkStorage checks what every command needs that opens the database.
func (c *configuration) checkStorage() plan {
	p := plan{data: c.Data, database: filepath.Join(c.Data, "parvis.db"), issuer: c.PublicAddress}
	c.checkOutbound(&p)
	p.remembers = c.remembers()
	if c.Database == "" {
		return p
	}
	p.database = c.Database
	if !db.IsPostgres(c.Database) {
		c.problem("database is an address such as postgres://parvis@/parvis?host=/run/postgresql, or is left out: then it is %s.",
			filepath.Join(c.Data, "parvis.db"))
		return p
	}
	u, err := url.Parse(c.Database)
	if err != nil {
		c.problem("database cannot be read as a URL: special characters in its password are written as %%XX.")
		return p
	}
	if !c.onThisMachine(u) && u.Query().Get("sslmode") != "verify-full" {
		c.problem("database is on another machine, so its certificate must be verified: add sslmode=verify-full to the address, " +
			"and sslrootcert=FILE where the certificate is from an authority of your own.")
	}
	return p
}

// onThisMachine reports whether a database is reached only by a socket or on loopback.
// PostgreSQL's own variable counts if the address names no host.
func (c *configuration) onThisMachine(u *url.URL) bool {
	for host := range strings.SplitSeq(cmp.Or(u.Query().Get("host"), u.Host, c.env["PGHOST"], "/"), ",") {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !strings.HasPrefix(host, "/") && !isLoopback(strings.Trim(host, "[]")) {
			return false
		}
	}
	return true
}

// isLoopback reports whether a name or address leads to this machine wherever it is used.
func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
}

// check checks the whole configuration for a program that serves.
func (c *configuration) check() plan {
	p := c.checkStorage()
	p.base = c.checkPublicAddress()
	c.checkRegions(&p)
	c.checkPairs(&p)
	c.checkTLS(&p)
	c.checkListen(&p)
	c.checkMail(&p)
	c.checkDNS(&p)
	c.checkFiles(&p)
	c.checkLog(&p)
	c.checkLifetimes(&p)
	c.checkRetention(&p)
	c.checkPrint(&p)
	c.checkOperations(&p)
	p.strangers = c.strangers()
	p.shared = c.shared()
	return p
}

func (c *configuration) checkPublicAddress() *url.URL {
	const write = `write the address that people use, as in public_address = "https://sign-in.your-company.com" (PARVIS_PUBLIC_ADDRESS, --public-address)`
	if c.PublicAddress == "" {
		c.problem("public_address is missing: %s.", write)
		return nil
	}
	return c.checkAddress(&c.PublicAddress, "public_address")
}

// checkAddress checks an address that people use, and brings it into the form browsers send.
func (c *configuration) checkAddress(text *string, title string) *url.URL {
	const write = `write the address that people use, such as "https://sign-in.your-company.com"`
	u, err := url.Parse(*text)
	if err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" ||
		u.Scheme != "https" && u.Scheme != "http" {
		c.problem("%s is not https:// and a name, with nothing after it: %s.", title, write)
		return nil
	}
	// Browsers send the name in small ASCII letters and leave the usual port out.
	host, port := strings.ToLower(u.Hostname()), u.Port()
	switch {
	case strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-.:") != "" || strings.HasSuffix(host, "."):
		c.problem("%s has a name that browsers write differently: write it in ASCII, without a dot at its end, an international one as xn--….", title)
		return nil
	case isPlaceholder(host):
		c.problem("%s is only an example: %s.", title, write)
	case u.Scheme == "http" && !isLoopback(host):
		c.problem("%s is not encrypted: write https:// instead of http://, which is for localhost only.", title)
	}
	if _, ok := number.Port(port); port != "" && !ok {
		c.problem("%s ends with a port that browsers write differently, or with something that is not a port: write a number from 1 to 65535, without a zero before it.", title)
		return nil
	}
	if port == map[string]string{"https": "443", "http": "80"}[u.Scheme] {
		port = ""
	}
	base := &url.URL{Scheme: u.Scheme, Host: host}
	if strings.Contains(host, ":") {
		base.Host = "[" + host + "]"
	}
	if port != "" {
		base.Host += ":" + port
	}
	*text = base.String()
	return base
}

// isPlaceholder reports whether a name is reserved for manuals.
func isPlaceholder(host string) bool {
	for _, reserved := range []string{"example.com", "example.org", "example.net"} {
		if host == reserved || strings.HasSuffix(host, "."+reserved) {
			return true
		}
	}
	return false
}

func (c *configuration) checkTLS(p *plan) {
	p.cert, p.key = c.TLS.Certificate, c.TLS.Key
	switch {
	case p.cert == "" && p.key == "":
		return
	case p.cert == "" || p.key == "":
		c.problem("[tls] needs both: certificate = \"FILE\" with the chain, and key = \"FILE\".")
		return
	case p.base != nil && p.base.Scheme == "http":
		c.problem("public_address begins with http:// although [tls] is set: write https://.")
	}
	p.secured = true
	if _, err := tls.LoadX509KeyPair(p.cert, p.key); err != nil {
		c.problem("[tls] cannot be used: %v. certificate and key are PEM files that belong together.", err)
	}
}

// checkListen decides where to listen: by default on the port of the public address, and on
// loopback if a proxy in front of us does TLS.
func (c *configuration) checkListen(p *plan) {
	c.checkProxies(p)
	p.listen = c.Listen
	if p.listen == "" && p.base != nil {
		port := cmp.Or(p.base.Port(), map[string]string{"https": "443", "http": "80"}[p.base.Scheme])
		switch {
		case isLoopback(p.base.Hostname()):
			p.listen = net.JoinHostPort("127.0.0.1", port)
			if ip, err := netip.ParseAddr(p.base.Hostname()); err == nil {
				p.listen = net.JoinHostPort(ip.String(), port)
			}
		case p.secured:
			p.listen = ":" + port
		default:
			p.listen = "127.0.0.1:8080"
		}
		c.Listen = p.listen
	}
	if p.listen == "" {
		return // nothing to derive it from, which is reported already
	}
	host, port, err := net.SplitHostPort(p.listen)
	_, ok := number.Port(port)
	_, iperr := netip.ParseAddr(host)
	if err != nil || !ok && port != "0" || iperr != nil && host != "" && host != "localhost" {
		c.problem(`listen is an address of this machine and a port, such as "127.0.0.1:8080", or ":443" for all addresses.`)
		return
	}
	if !p.secured && !isLoopback(host) && len(c.TrustedProxies) == 0 {
		c.problem("listen is open to the network without encryption: set [tls] certificate and key, " +
			"or name the proxy in front that does TLS, as in trusted_proxies = [\"10.0.0.7/32\"], or listen on 127.0.0.1.")
	}
}

func (c *configuration) checkProxies(p *plan) {
	for _, text := range c.TrustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if ip, iperr := netip.ParseAddr(text); iperr == nil {
			prefix, err = netip.PrefixFrom(ip, ip.BitLen()), nil
		}
		switch {
		case err != nil:
			c.problem("trusted_proxies has %q, which is not an address or range: write 10.0.0.7 or 10.0.0.0/24.", text)
		case prefix.Bits() == 0:
			c.problem("trusted_proxies has %q, which is everybody: then anybody could claim any address. Write the proxy's own.", text)
		default:
			p.proxies = append(p.proxies, prefix)
		}
	}
}

// checkOutbound takes names and ports one by one: a range would open more than anybody meant.
func (c *configuration) checkOutbound(p *plan) {
	for _, text := range c.Outbound.Allow {
		host, port, err := net.SplitHostPort(text)
		if _, ok := number.Port(port); err != nil || !ok || host == "" || strings.ContainsAny(host, "/*@") {
			c.problem(`[outbound] allow has %q, which is not a host with a port: write "idp.your-company.lan:443".`, text)
			continue
		}
		p.allow = append(p.allow, strings.ToLower(text))
	}
}

func (c *configuration) checkMail(p *plan) {
	m := &c.Mail
	if m.Address == "" {
		for _, s := range []*string{&m.TLS, &m.Username, &m.Password} {
			if *s != "" {
				c.problem("%s is set, but [mail] address is not: write the mail server as address = \"mail.your-company.com:587\".", c.by(s).title())
				break
			}
		}
	} else {
		c.checkServer(p)
	}
	if m.From == "" && m.Address == "" && p.base != nil {
		m.From = "no-reply@" + noReplyHost(p.base.Hostname())
	}
	p.from = m.From
	p.operator = m.Operator
	if a, err := netmail.ParseAddress(m.Operator); m.Operator != "" && (err != nil || a.Address != m.Operator) {
		c.problem("[mail] operator is one plain address without a name, as in operator = \"operations@your-company.com\".")
	}
	a, err := netmail.ParseAddress(m.From)
	switch {
	case m.From == "" && m.Address == "":
		return // derived from the public address, which is reported already
	case m.From == "":
		c.problem("[mail] from is missing: write the address that letters come from, as in from = \"no-reply@your-company.com\".")
	case err != nil || a.Address != m.From:
		c.problem("[mail] from is one plain address without a name, as in from = \"no-reply@your-company.com\".")
	case isPlaceholder(m.From[strings.LastIndex(m.From, "@")+1:]):
		c.problem("[mail] from is only an example: write an address of your own.")
	}
}

// greeting returns the name for EHLO: that of the public address, which is in the DNS, because
// many servers refuse a machine's name that is not. An IP address stands in brackets (RFC 5321
// §4.1.3).
func greeting(host string) string {
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil:
		return host
	case ip.Is4():
		return "[" + host + "]"
	}
	return "[IPv6:" + host + "]"
}

func (c *configuration) checkServer(p *plan) {
	m := &c.Mail
	if m.TLS == "" {
		m.TLS = string(mail.StartTLS)
		if strings.HasSuffix(m.Address, ":465") {
			m.TLS = string(mail.ImplicitTLS)
		}
	}
	p.smtp = &mail.SMTP{Address: m.Address, TLS: mail.TLSMode(m.TLS), Username: m.Username, Password: m.Password}
	if p.base != nil {
		p.smtp.Name = greeting(p.base.Hostname())
	}
	if err := p.smtp.Validate(); err != nil {
		c.problem("[mail]: %v.", err)
	}
	if (m.Username == "") != (m.Password == "") {
		c.problem("[mail] needs both username and password (or password_file), or neither.")
	}
}

// checkDNS makes the resolver that asks only the configured name server.
func (c *configuration) checkDNS(p *plan) {
	server := c.DNS.Resolver
	if server == "" {
		return
	}
	_, err := netip.ParseAddrPort(server)
	if _, ok := number.Port(server[strings.LastIndex(server, ":")+1:]); err != nil || !ok {
		c.problem("[dns] resolver must be a name server's IP address and port, as in resolver = \"10.0.0.53:53\".")
		return
	}
	p.resolverAt = server
	p.resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server)
	}}
}

// checkFiles checks the rest: files that are read and links that are shown.
func (c *configuration) checkFiles(p *plan) {
	if p.breached = c.BreachedPasswords; p.breached != "" {
		f, err := os.Open(p.breached)
		if p.unreadable = err; err != nil {
			c.problem("breached_passwords cannot be read: %v.", err)
		} else {
			f.Close() //nolint:errcheck // It was only opened to see whether that works.
		}
	}
	for _, link := range []*string{&c.Links.Help, &c.Links.Privacy, &c.Links.Status} {
		if u, err := url.Parse(*link); *link != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
			c.problem("%s must be a page's whole address, which begins with https://.", c.by(link).title())
		}
	}
	p.links = page.Links{Help: c.Links.Help, Privacy: c.Links.Privacy, Status: c.Links.Status}
}

// checkLifetimes accepts overridden lifetimes only on a loopback address: they are shorter than
// what organizations may choose (decision 0015).
func (c *configuration) checkLifetimes(p *plan) {
	some := false
	texts, times := reflect.ValueOf(&c.Lifetimes).Elem(), reflect.ValueOf(&p.lifetimes).Elem()
	for i := range texts.NumField() {
		text := texts.Field(i).String()
		if text == "" {
			continue
		}
		some = true
		d, err := time.ParseDuration(text)
		if err != nil || strings.IndexByte("+0", text[0]) >= 0 || d < lifetime.Shortest {
			c.problem(`%s is a time from 2 seconds up, such as "90s", "30m" or "12h".`, c.by(texts.Field(i).Addr().Interface()).title())
		}
		times.Field(i).SetInt(int64(d))
	}
	if some && p.base != nil && !isLoopback(p.base.Hostname()) {
		c.problem("[lifetimes] is for trying things out, where public_address is localhost: remove the section. " +
			"Each organization sets its own lifetimes.")
	}
}
