package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"parvis/internal/api/form"
)

type loginCommand struct {
	Address      string `arg:"" help:"Address of the installation, such as https://sign-in.your-company.com."`
	Organization string `required:"" placeholder:"NAME" help:"Short name of the organization, such as meridian."`
	TokenFile    string `placeholder:"FILE" help:"Use an API token (pak_…) from a file, or from standard input if it is -, and no browser."`
	Device       bool   `help:"Sign in with the browser of another machine, by a code, only to read. An owner has to allow it in the console, under API access."`
	ReadOnly     bool   `help:"Ask only for what reads."`
	Profile      string `placeholder:"NAME" help:"What to call this sign-in. Without it, the organization's short name."`
}

// Validate refuses two ways to sign in at once.
func (l *loginCommand) Validate() error {
	if l.Device && l.TokenFile != "" {
		return errors.New("--device and --token-file are two ways to sign in: use one")
	}
	return nil
}

// Run signs in, and keeps what that gives.
func (l *loginCommand) Run(t *Terminal) error {
	address, err := parseAddress(l.Address)
	if err != nil {
		return err
	}
	kept, err := loadProfiles()
	if err != nil {
		return err
	}
	name := cmp.Or(l.Profile, strings.ToLower(l.Organization))
	if there := kept.All[name]; there != nil && there.Address != address {
		return fmt.Errorf("%s is the name of a sign-in at %s. Give this one another: --profile NAME", name, there.Address)
	}
	c := &client{profile: &profile{Address: address, Organization: l.Organization, ReadOnly: l.ReadOnly}, t: t, kept: kept, http: newHTTP()}
	switch {
	case l.Device:
		c.ReadOnly = true
		err = c.device()
	case l.TokenFile == "":
		err = c.browse()
	default:
		c.Token, err = readToken(t.In, l.TokenFile)
	}
	if err != nil {
		return err
	}
	me, err := c.meant()
	if err != nil {
		return errors.Join(err, c.revoke())
	}
	c.Organization, c.OrganizationID, c.UserID = me.Organization.ShortName, me.Organization.ID, *cmp.Or(me.UserID, new(string))
	if err := kept.keep(name, c.profile, true); err != nil {
		return err
	}
	fmt.Fprintf(t.Out, "You are signed in to %s as %s (%s). Commands act there; 'parvis admin me' shows what you may do.\n",
		printable(me.Organization.Name), printable(me.Name), *me.Role)
	return nil
}

// readToken reads an API token. It is never an argument, which others on the machine can see.
func readToken(in io.Reader, file string) (string, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close() //nolint:errcheck // Closing what was only read loses nothing.
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 1<<10))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if !strings.HasPrefix(token, "pak_") || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("this is no API token: one begins with pak_, and is shown once where it is made")
	}
	return token, nil
}

// meant asks who calls, and returns an error unless that is in the organization that is meant and,
// of a sign-in that is kept, the same person.
func (c *client) meant() (form.Me, error) {
	var me form.Me
	_, err := c.into(reads("/me"), &me)
	switch {
	case err != nil:
		return me, err
	case me.Organization == nil || me.Role == nil:
		return me, errors.New("this signs in to no organization. Nothing was kept")
	case !strings.EqualFold(me.Organization.ShortName, c.Organization):
		return me, fmt.Errorf("this signs in to %s, not to %s. Nothing was kept", printable(me.Organization.ShortName), c.Organization)
	case c.UserID != "" && (me.UserID == nil || *me.UserID != c.UserID || me.Organization.ID != c.OrganizationID):
		return me, fmt.Errorf("somebody else signed in in the browser: %s. Nothing was changed", printable(me.Name))
	}
	return me, nil
}

// metadata is what the installation says of itself (RFC 8414 §3).
type metadata struct {
	Issuer    string `json:"issuer"`
	Authorize string `json:"authorization_endpoint"`
	Token     string `json:"token_endpoint"`
	Revoke    string `json:"revocation_endpoint"`
	Device    string `json:"device_authorization_endpoint"`
}

// discover reads the metadata of the address, and refuses those of another one.
func (c *client) discover() (metadata, error) {
	var m metadata
	q, err := http.NewRequestWithContext(c.t.Context, http.MethodGet, c.Address+"/.well-known/oauth-authorization-server", nil)
	if err != nil {
		return m, err
	}
	r, err := fetch(c.t.Context, c.http, q)
	if err != nil {
		return m, err
	}
	if r.status != http.StatusOK || json.Unmarshal(r.body, &m) != nil {
		return m, fmt.Errorf("nothing of Parvis answers at %s", c.Address)
	}
	if m.Issuer != c.Address {
		return m, fmt.Errorf("the installation at %s calls itself %s: sign in with that address", c.Address, printable(m.Issuer))
	}
	return m, nil
}

// clientID is that of the command line at every installation.
const clientID = "parvis-cli"

// The parts of the administration, and the audit log, which is only read.
var parts = []string{"people", "groups", "settings", "connections", "applications", "webhooks", "access"}

// Scopes lists what is asked for. The server takes out what the person's role cannot do.
func Scopes(readOnly bool) []string {
	var all []string
	for _, part := range parts {
		all = append(all, "parvis."+part+".read")
		if !readOnly {
			all = append(all, "parvis."+part+".write")
		}
	}
	return append(all, "parvis.audit.read")
}

func (c *client) oauth(m metadata, back string) *oauth2.Config {
	return &oauth2.Config{
		ClientID: clientID, RedirectURL: back, Scopes: Scopes(c.ReadOnly),
		Endpoint: oauth2.Endpoint{AuthURL: m.Authorize, TokenURL: m.Token, DeviceAuthURL: m.Device, AuthStyle: oauth2.AuthStyleInParams},
	}
}

// withHTTP makes x/oauth2 use our client.
func (c *client) withHTTP() context.Context {
	return context.WithValue(c.t.Context, oauth2.HTTPClient, c.http)
}

// browserIn is how long somebody may take in the browser.
const browserIn = 10 * time.Minute

// browse sends the person's browser to the installation, waits on a port of this machine until it
// comes back with a code (RFC 8252 §7.3), and takes the tokens for it (RFC 7636).
func (c *client) browse(more ...oauth2.AuthCodeOption) error {
	m, err := c.discover()
	if err != nil {
		return err
	}
	l, err := new(net.ListenConfig).Listen(c.t.Context, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("no port of this machine is free for the browser to come back to: %w", err)
	}
	config := c.oauth(m, "http://"+l.Addr().String()+backPath)
	state, verifier := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	address := config.AuthCodeURL(state, append(more, oauth2.S256ChallengeOption(verifier),
		oauth2.SetAuthURLParam("organization", c.Organization))...)
	back := &landing{state: state, issuer: m.Issuer, came: make(chan url.Values, 1)}
	server := &http.Server{Handler: back, ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(l) //nolint:errcheck // It ends with Shutdown.
	defer func() {
		// The browser is still to get its last page.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context), time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
	}()
	fmt.Fprintf(c.t.Err, "Go on in the browser. If it does not open by itself, go to\n\n  %s\n\n", address)
	openBrowser(c.t.Context, address)
	var came url.Values
	select {
	case came = <-back.came:
	case <-c.t.Context.Done():
		return errStopped
	case <-time.After(browserIn):
		return exit{exitSignIn, errors.New("nobody came back from the browser")}
	}
	if code := came.Get("error"); code != "" {
		return exit{exitSignIn, fmt.Errorf("the sign-in was refused: %s", printable(cmp.Or(came.Get("error_description"), code)))}
	}
	got, err := config.Exchange(c.withHTTP(), came.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		return fmt.Errorf("the code of the browser was refused: %w", err)
	}
	c.Token, c.Refresh = got.AccessToken, got.RefreshToken
	return nil
}

const backPath = "/callback"

// landing waits for the browser to come back.
type landing struct {
	state, issuer string
	came          chan url.Values
}

// ServeHTTP takes the one answer that belongs to our question (RFC 6749 §10.12, RFC 9207 §2.4).
func (l *landing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet || r.URL.Path != backPath || q.Get("state") != l.state || q.Get("iss") != l.issuer {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintln(w, "Nothing is here.")
		return
	}
	select {
	case l.came <- q:
	default: // it came back already
	}
	fmt.Fprintln(w, "Done here. Go back to the terminal.")
}

// openBrowser opens an address in the person's browser. That it did not is no error: the address
// was printed.
func openBrowser(ctx context.Context, address string) {
	program, args := "xdg-open", []string{address}
	switch {
	case os.Getenv("BROWSER") != "":
		program = os.Getenv("BROWSER")
	case runtime.GOOS == "darwin":
		program = "open"
	case runtime.GOOS == "windows":
		program, args = "rundll32", []string{"url.dll,FileProtocolHandler", address}
	}
	//nolint:gosec // The person's own program, with an address that we made.
	if cmd := exec.CommandContext(context.WithoutCancel(ctx), program, args...); cmd.Start() == nil {
		go cmd.Wait() //nolint:errcheck // How it ends says nothing.
	}
}

// prove has the person prove again who they are, at most so many seconds ago (RFC 9470).
func (c *client) prove(age string) error {
	fmt.Fprintln(c.t.Err, "This needs a fresh proof of who you are.")
	before := *c.profile
	err := c.browse(oauth2.SetAuthURLParam("max_age", age))
	if err == nil {
		_, err = c.meant()
	}
	if err != nil {
		if c.Refresh != before.Refresh {
			_ = c.revoke() // what somebody else gave
		}
		*c.profile = before
		return err
	}
	after := *c.profile
	*c.profile = before
	_ = c.revoke() // which ends with its session in any case
	*c.profile = after
	return c.kept.keep(c.name, c.profile, false)
}

// renew takes the next tokens of this sign-in.
func (c *client) renew() error {
	m, err := c.discover()
	if err != nil {
		return err
	}
	got, err := c.oauth(m, "").TokenSource(c.withHTTP(), &oauth2.Token{RefreshToken: c.Refresh}).Token()
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.ErrorCode == "invalid_grant" {
		return exit{exitSignIn, fmt.Errorf("your sign-in has ended. Sign in again: parvis admin login %s --organization %s", c.Address, c.Organization)}
	}
	if err != nil {
		return fmt.Errorf("renewing the sign-in: %w", err)
	}
	c.Token, c.Refresh = got.AccessToken, cmp.Or(got.RefreshToken, c.Refresh)
	return c.kept.keep(c.name, c.profile, false)
}

type logoutCommand struct{ where }

// Run ends a sign-in. An API token is only forgotten: its maker revokes it in the console.
func (l *logoutCommand) Run(t *Terminal) error {
	c, err := l.open(t)
	if err != nil {
		return err
	}
	ended := c.revoke()
	now, err := loadProfiles()
	if err != nil {
		return err
	}
	delete(now.All, c.name)
	if now.Current == c.name {
		now.Current = ""
	}
	if err := now.save(); err != nil {
		return err
	}
	if ended != nil {
		return fmt.Errorf("the sign-in is forgotten here, but goes on at %s: %w", c.Address, ended)
	}
	fmt.Fprintf(t.Out, "Signed out of %s.\n", c.Organization)
	return nil
}

// revoke ends what the browser gave (RFC 7009).
func (c *client) revoke() error {
	if c.Refresh == "" {
		return nil
	}
	m, err := c.discover()
	if err != nil {
		return err
	}
	form := url.Values{"client_id": {clientID}, "token": {c.Refresh}}
	q, err := http.NewRequestWithContext(c.t.Context, http.MethodPost, m.Revoke, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w, err := c.http.Do(q)
	if err != nil {
		return err
	}
	defer w.Body.Close()
	if w.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", w.StatusCode)
	}
	return nil
}
