package main

import (
	"fmt"
	"io"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"parvis/internal/db"
)

const redacted = "[secret]"

// show prints the configuration as a file that says where each value came from.
// Secrets are left out.
func (c *configuration) show(w io.Writer) {
	fmt.Fprintf(w, "# The configuration in force, without secrets. File: %s\n", orNone(c.path))
	section := ""
	for _, s := range c.settings {
		if s.section != section {
			section = s.section
			fmt.Fprintf(w, "\n[%s]\n", section)
		}
		if s.empty() {
			fmt.Fprintf(w, "# %s is not set\n", s.name)
			continue
		}
		fmt.Fprintf(w, "%s = %s  # %s\n", s.name, s.shown(), s.from)
	}
}

func orNone(path string) string {
	if path == "" {
		return "none"
	}
	return path
}

// shown returns a value as TOML writes it, as far as it may be seen.
func (s *setting) shown() string {
	if regions, ok := s.value.Interface().([]regionTable); ok {
		return shownRegions(regions)
	}
	if s.value.Kind() == reflect.Slice {
		var quoted []string
		for i := range s.value.Len() {
			quoted = append(quoted, strconv.Quote(s.value.Index(i).String()))
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	switch s.secret {
	case "":
		return strconv.Quote(s.value.String())
	case "address":
		return strconv.Quote(withoutPassword(s.value.String()))
	}
	return strconv.Quote(redacted)
}

// shownRegions writes the tables in one line, as TOML also allows.
func shownRegions(regions []regionTable) string {
	var tables []string
	for _, r := range regions {
		var names []string
		for _, language := range slices.Sorted(maps.Keys(r.Name)) {
			names = append(names, fmt.Sprintf("%s = %q", language, r.Name[language]))
		}
		tables = append(tables, fmt.Sprintf("{ id = %q, address = %q, name = { %s } }", r.ID, r.Address, strings.Join(names, ", ")))
	}
	return "[" + strings.Join(tables, ", ") + "]"
}

// withoutPassword returns the parts of a database's address that are not secret: who, where and
// which one. Parameters may contain passwords too, so only the names of harmless ones are kept.
func withoutPassword(address string) string {
	u, err := url.Parse(address)
	if err != nil || !db.IsPostgres(address) {
		return redacted
	}
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if u.User != nil {
		shown.User = url.User(u.User.Username())
	}
	query := url.Values{}
	for _, name := range []string{"host", "port", "sslmode", "sslrootcert"} {
		if v := u.Query().Get(name); v != "" {
			query.Set(name, v)
		}
	}
	shown.RawQuery = query.Encode()
	return shown.String()
}
