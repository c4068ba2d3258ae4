package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// profiles are the organizations that somebody signed in to, as they are kept in a file that only
// its owner reads, because tokens stand in it.
type profiles struct {
	Current string              `json:"current"`
	All     map[string]*profile `json:"profiles"`

	path string
}

// profile is one of them.
type profile struct {
	Address        string `json:"address"`
	Organization   string `json:"organization"` // its short name
	OrganizationID string `json:"organization_id"`
	UserID         string `json:"user_id"`
	ReadOnly       bool   `json:"read_only,omitempty"`
	Token          string `json:"token"`
	Refresh        string `json:"refresh,omitempty"` // empty with an API token
}

var errNotSignedIn = exit{exitSignIn, errors.New("sign in first: parvis admin login ADDRESS --organization NAME")}

// loadProfiles reads the file, which need not be there.
func loadProfiles() (*profiles, error) {
	folder, err := os.UserConfigDir()
	if err != nil {
		return nil, fmt.Errorf("no place for what is kept of a sign-in: %w", err)
	}
	p := &profiles{All: map[string]*profile{}, path: filepath.Join(folder, "parvis", "admin.json")}
	about, err := os.Stat(p.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, nil
	case err != nil:
		return nil, err
	case runtime.GOOS != "windows" && about.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("others on this machine can read your tokens: chmod 600 %s", p.path)
	}
	text, err := os.ReadFile(p.path)
	if err == nil {
		err = json.Unmarshal(text, p)
	}
	if err != nil || p.All == nil {
		return nil, fmt.Errorf("%s cannot be read. Remove it, and sign in again (%w)", p.path, err)
	}
	return p, nil
}

// save replaces the file as a whole, so that nobody reads half of it.
func (p *profiles) save() error {
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(p.path), "admin-*") // its mode is 0600
	if err != nil {
		return err
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), p.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// keep stores one profile, and leaves the others as they are in the file now: another command may
// have changed them meanwhile.
func (p *profiles) keep(name string, one *profile, current bool) error {
	now, err := loadProfiles()
	if err != nil {
		return err
	}
	now.All[name] = one
	if current {
		now.Current = name
	}
	return now.save()
}

// named returns a profile by its name, or the current one.
func (p *profiles) named(name string) (string, *profile, error) {
	if name == "" {
		name = p.Current
	}
	one := p.All[name]
	switch {
	case one != nil:
		return name, one, nil
	case name == "":
		return "", nil, errNotSignedIn
	}
	return "", nil, exit{exitSignIn, fmt.Errorf("you are not signed in to %s. 'parvis admin profiles' lists where you are", name)}
}

// parseAddress reads the address of an installation. Tokens travel only encrypted, or inside this
// machine.
func parseAddress(typed string) (string, error) {
	u, err := url.Parse(strings.TrimSuffix(typed, "/"))
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", fmt.Errorf("%q is no address of an installation: write it as in https://sign-in.your-company.com", typed)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return "", fmt.Errorf("%s is not encrypted: write https:// instead of http://", typed)
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

// loopback reports whether a name means this machine.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

type profilesCommand struct{}

// Run lists where somebody is signed in. The last sign-in is marked.
func (*profilesCommand) Run(t *Terminal) error {
	p, err := loadProfiles()
	if err != nil {
		return err
	}
	if len(p.All) == 0 {
		return errNotSignedIn
	}
	rows := newTable(t.Out, "", "NAME", "ORGANIZATION", "ADDRESS", "BY")
	for _, name := range slices.Sorted(maps.Keys(p.All)) {
		one, mark, by := p.All[name], "", "sign-in"
		if name == p.Current {
			mark = "*"
		}
		if one.Refresh == "" {
			by = "API token"
		}
		rows.row(mark, name, one.Organization, one.Address, by)
	}
	return rows.end()
}
