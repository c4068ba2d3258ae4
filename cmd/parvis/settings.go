package main

import "parvis/internal/lifetime"

// Config is everything that must be known before the database is opened. It holds texts as they
// were written; check turns them into what the program uses, and fills in what is in force where
// nothing was written. The names in the file, in the environment and in messages all come from here.
//
// So does the file of 'parvis config --example', which docs/settings.md shows: each comment, then the
// setting with the value of its example tag, or the one in force unless set. After a change:
//
//	go test ./cmd/parvis -run TheExample -update
//
// How much of a value is secret says the tag secret. A setting that nodes of one installation may
// have differently, such as a place on their own machine, has the tag node:"own".
type Config struct {
	// The address that people use. Mandatory. Links in letters are built from it and nothing else.
	PublicAddress string `toml:"public_address" example:"https://sign-in.your-company.com"`
	// Where to listen. Unless set: every address on the public port with [tls], the public port on loopback
	// for localhost, else 127.0.0.1:8080.
	Listen string `toml:"listen" example:"127.0.0.1:8080" node:"own"`
	// Folder of keys and SQLite database. Not in DATA/parvis.toml itself, which is found by it.
	Data string `toml:"data" example:"/var/lib/parvis" node:"own"`
	// PostgreSQL instead of SQLite; on another machine with sslmode=verify-full. Or a file that holds the
	// address.
	Database     string `toml:"database" secret:"address" example:"postgres://parvis@/parvis?host=/run/postgresql" node:"own"`
	DatabaseFile string `toml:"database_file" example:"/etc/parvis/database" node:"own"`
	// Whether a node remembers for up to a minute who a cookie, token or client is, and forgets it within a
	// second of any change on any node. "on" with SQLite. "off" with PostgreSQL unless set: turn it on once
	// every node and command runs a release from December 2026 or later, because older ones do not tell the
	// others what they change.
	DatabaseMemory string `toml:"database_memory"`
	// Addresses or ranges of proxies in front, whose X-Forwarded-For is believed. Leave out without a proxy;
	// never a network that people are in: somebody who is trusted can claim to be anybody.
	TrustedProxies []string `toml:"trusted_proxies" example:"127.0.0.1" node:"own"`
	// Passwords known from leaks, one a line, in clear or as SHA-1 in hexadecimal; at most 5,000,000.
	BreachedPasswords string `toml:"breached_passwords" example:"/var/lib/parvis/breached.txt" node:"own"`

	// Where the deployment has several regions, each an installation with its own database, keys and address:
	// which one this is. Then the sign-in page offers the others.
	Region string `toml:"region" example:"eu"`
	// The key that this region shares with each of the others, so that a name typed in the wrong one leads to
	// the right one: docs/regions.md. 'parvis region key' makes one. Or a file with the same text.
	RegionKeys     string `toml:"region_keys" secret:"whole" example:"us=KEY ap=KEY"`
	RegionKeysFile string `toml:"region_keys_file" example:"/etc/parvis/region-keys" node:"own"`

	// The mail server. Without address letters wait in the outbox, and the start says so.
	Mail struct {
		Address string `toml:"address" example:"mail.your-company.com:587"`
		// starttls, tls (usual on port 465), or none for a server on this machine. Unless set, the port decides.
		TLS string `toml:"tls" example:"starttls"`
		// Name and password, if it asks for them; the password here or in a file.
		Username     string `toml:"username" example:"parvis"`
		Password     string `toml:"password" secret:"whole" example:"..."`
		PasswordFile string `toml:"password_file" example:"/etc/parvis/mail-password" node:"own"`
		// The address that letters come from. The mail server is greeted by the host of public_address.
		From string `toml:"from" example:"no-reply@your-company.com"`
		// The operator's address, for letters about the installation: an audit log that was altered. Unless
		// set, only the log says so.
		Operator string `toml:"operator" example:"operations@your-company.com"`
	} `toml:"mail"`

	// The name server that looks for the records by which organizations prove their domains; unless set, those
	// of this machine. Best one that validates DNSSEC.
	DNS struct {
		Resolver string `toml:"resolver" example:"10.0.0.53:53" node:"own"`
	} `toml:"dns"`

	// TLS by Parvis itself: PEM files, read again when they change. Not together with a proxy that does TLS.
	TLS struct {
		Certificate string `toml:"certificate" example:"/etc/parvis/chain.pem" node:"own"`
		Key         string `toml:"key" example:"/etc/parvis/key.pem" node:"own"`
	} `toml:"tls"`

	// Identity providers are asked by https and in public networks only, whatever address an administrator
	// types. For these hosts http and a private network will do.
	Outbound struct {
		Allow []string `toml:"allow" example:"idp.your-company.lan:443"`
	} `toml:"outbound"`

	// Pages of yours, shown at the foot of every page.
	Links struct {
		Help    string `toml:"help" example:"https://help.your-company.com"`
		Privacy string `toml:"privacy" example:"https://your-company.com/privacy"`
		Status  string `toml:"status" example:"https://status.your-company.com"`
	} `toml:"links"`

	// The log, on standard error. Lines wait 100 ms at most, so that several go out at once; warnings and errors
	// do not wait.
	Log struct {
		// json or text.
		Format string `toml:"format" node:"own"`
		// debug, info, warn or error: each includes those behind it.
		Level string `toml:"level" node:"own"`
	} `toml:"log"`

	// Health, metrics and profiles, for those who watch: docs/watch.md.
	Operations struct {
		// An address and a port of this machine, or "off".
		Listen string `toml:"listen" node:"own"`
		// Profiles show memory, with keys in it: "on" only where listen is a loopback address.
		Pprof string `toml:"pprof" node:"own"`
		// For how long requests are still taken after /readyz says that the server stops, up to 5 minutes.
		Drain string `toml:"drain" example:"5s" node:"own"`
	} `toml:"operations"`

	// Print the audit log on standard output, an event a line, as JSON: "installation" for what concerns no
	// organization, "all" for the organizations' events too. Only ids and the names of fields, as a webhook sends
	// them (docs/webhooks.md).
	Audit struct {
		Print string `toml:"print" example:"installation" node:"own"`
	} `toml:"audit"`

	// How long things are kept, in days.
	Retention struct {
		// For how long an organization may have its audit log kept at most (90 to 3653; it is 400 days unless the
		// organization says otherwise).
		Audit string `toml:"audit"`
		// For how long letters are kept once they have ended, without their content (31 to 3653).
		Letters string `toml:"letters"`
	} `toml:"retention"`

	// Shorter lifetimes, for trying things out: only where public_address is localhost, from 2 seconds up.
	Lifetimes lifetime.Each[string] `toml:"lifetimes"`

	// All regions, this one included, the same list in each: an id, the public address, and what people call it
	// in English and, if you like, in other languages. Each needs a name of its own, another port is not enough.
	Regions []regionTable `toml:"regions" example:"[{\"id\": \"eu\", \"address\": \"https://sign-in.your-company.com\", \"name\": {\"en\": \"Europe\", \"fr\": \"Europe\"}}, {\"id\": \"us\", \"address\": \"https://sign-in.us.your-company.com\", \"name\": {\"en\": \"Americas\", \"fr\": \"Amériques\"}}]"`
}
