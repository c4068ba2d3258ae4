package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"parvis/internal/administration/sheet"
	"parvis/internal/api/form"
)

type inviteCommand struct {
	tried
	Address  string `arg:"" optional:"" help:"Whom to invite."`
	CSV      string `name:"csv" placeholder:"FILE" help:"Invite everybody in a file, or from standard input if it is -: the first line names its columns email, name, role and language, of which all but the first may be missing."`
	Role     string `placeholder:"ROLE" help:"administrator, helpdesk, auditor, owner or, unless set, member."`
	Name     string `placeholder:"NAME" help:"The person's name, as far as you know it."`
	Language string `placeholder:"TAG" help:"Language of the letter, such as fr. Without it, the organization's."`
}

// Validate wants one of the two ways to invite.
func (i *inviteCommand) Validate() error {
	switch {
	case (i.Address == "") == (i.CSV == ""):
		return errors.New("name one address, or a file with --csv")
	case i.CSV != "" && i.Role+i.Name+i.Language != "":
		return errors.New("--role, --name and --language are columns of a file")
	}
	return nil
}

// Run invites.
func (i *inviteCommand) Run(t *Terminal) error {
	c, err := i.open(t)
	if err != nil {
		return err
	}
	if i.CSV != "" {
		return i.file(c)
	}
	var sent form.Invitation
	r, err := c.into(writes(http.MethodPost, "/invitations", invitationOf(sheet.Line{Email: i.Address, Name: i.Name, Role: i.Role, Language: i.Language}), i.DryRun), &sent)
	if err != nil {
		return err
	}
	if err := i.print(c, r, func() error { return showInvitation(t.Out, sent) }); err != nil {
		return err
	}
	i.changed(c)
	return nil
}

// invitationOf returns what is sent of an invitation: the address, and what else is known.
func invitationOf(l sheet.Line) map[string]string {
	sent := map[string]string{"email": l.Email}
	for name, value := range map[string]string{"name": l.Name, "role": l.Role, "language": l.Language} {
		if value != "" {
			sent[name] = value
		}
	}
	return sent
}

func showInvitation(w io.Writer, i form.Invitation) error {
	return facts(w, "ID", i.ID, "E-mail", i.Email, "Name", i.Name, "Role", i.Role, "Language", i.Language, "State", i.State, "Ends", moment(&i.ExpiresAt))
}

// columns are other names of them. Roles and languages are the API's to judge.
var columns = sheet.Words{"e-mail": "email", "mail": "email", "e-mail address": "email", "address": "email"}

const mostFile = 2 << 20 // more than is accepted, so that sheet says so

// file invites everybody in a file, one call for each line. Each call has a key of its own, by
// which the API knows the lines that are done: so the same command goes on where it was stopped.
func (i *inviteCommand) file(c *client) error {
	content, err := readFile(c.t.In, i.CSV)
	if err != nil {
		return err
	}
	f, err := sheet.Read(content, columns)
	if err != nil {
		return err
	}
	if len(f.Ignored) > 0 {
		fmt.Fprintf(c.t.Err, "These columns are not read: %s.\n", printable(strings.Join(f.Ignored, ", ")))
	}
	done, repeated := 0, 0
	twice := map[string]int{}
	for n, l := range f.Lines {
		fate, err := i.line(c, l, twice)
		if err != nil {
			fmt.Fprintf(c.t.Err, "Stopped at line %d, after %d of %d. The same command goes on there.\n", l.Number, n, len(f.Lines))
			return err
		}
		if fate.Problem == nil {
			done++
		}
		if fate.Repeated {
			repeated++
		}
		if err := i.tell(c, l, fate); err != nil {
			return err
		}
	}
	if !i.JSON {
		fmt.Fprintln(c.t.Out, i.summary(done, repeated, len(f.Lines)))
	}
	i.changed(c)
	return partly(done, len(f.Lines))
}

// readFile reads a file, or standard input.
func readFile(in io.Reader, name string) ([]byte, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close() //nolint:errcheck // Closing what was only read loses nothing.
		in = f
	}
	return io.ReadAll(io.LimitReader(in, mostFile))
}

// lineFate is what became of a line, as --json prints it.
type lineFate struct {
	Line       int             `json:"line"`
	Repeated   bool            `json:"repeated"`   // by an earlier command
	Invitation json.RawMessage `json:"invitation"` // as the API sent it
	Problem    json.RawMessage `json:"problem"`    // the same

	why string
}

// line invites the person of a line. An error stops the file; a refusal of the line is its fate.
func (i *inviteCommand) line(c *client, l sheet.Line, twice map[string]int) (lineFate, error) {
	fate := lineFate{Line: l.Number}
	key := strings.ToLower(l.Email)
	switch before := twice[key]; {
	case l.Wide:
		return fate.refused("the line has more values than there are columns"), nil
	case before != 0:
		return fate.refused(fmt.Sprintf("line %d has this address already", before)), nil
	}
	twice[key] = l.Number
	q := writes(http.MethodPost, "/invitations", invitationOf(l), i.DryRun)
	q.header = map[string]string{"Idempotency-Key": keyOf(c.OrganizationID, string(q.body))}
	r, err := c.call(q)
	if p, ok := errors.AsType[*problem](err); ok && refused(err) {
		fate.Problem, fate.why = p.raw, strings.ReplaceAll(p.sentences(), "\n", " ")
		return fate, nil
	}
	fate.Invitation, fate.Repeated = r.body, r.header.Get("Idempotent-Replayed") == "true"
	return fate, err
}

// keyOf returns the Idempotency-Key of a line: the same for the same person with the same role,
// wherever in a file that was corrected meanwhile.
func keyOf(organization, line string) string {
	sum := sha256.Sum256([]byte(organization + "\n" + line))
	return "line-" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// refused is the fate of a line that need not be sent.
func (f lineFate) refused(why string) lineFate {
	f.why = why
	f.Problem, _ = json.Marshal(map[string]string{"detail": why}) // a text always encodes
	return f
}

// tell prints the fate of a line as soon as it is known.
func (i *inviteCommand) tell(c *client, l sheet.Line, fate lineFate) error {
	if i.JSON {
		return json.NewEncoder(c.t.Out).Encode(fate)
	}
	word := "invited"
	switch {
	case fate.Problem != nil:
		word = "refused"
	case fate.Repeated:
		word = "invited before"
	case i.DryRun:
		word = "would be invited"
	}
	_, err := fmt.Fprintf(c.t.Out, "line %d: %s: %s  %s\n", l.Number, word, printable(l.Email), printable(fate.why))
	return err
}

func (i *inviteCommand) summary(done, repeated, all int) string {
	if i.DryRun {
		return fmt.Sprintf("%d of %d would be invited.", done, all)
	}
	text := fmt.Sprintf("%d of %d are invited", done, all)
	if repeated > 0 {
		text += fmt.Sprintf(", %d of them since an earlier command", repeated)
	}
	return text + "."
}

type invitationsCommands struct {
	List     listInvitationsCommand `cmd:"" help:"List open invitations."`
	Resend   resendCommand          `cmd:"" help:"Send an invitation again; the link before ends."`
	Withdraw withdrawCommand        `cmd:"" help:"Withdraw an invitation."`
}

type listInvitationsCommand struct{ shown }

// Run lists open invitations.
func (l *listInvitationsCommand) Run(t *Terminal) error {
	c, err := l.open(t)
	if err != nil {
		return err
	}
	q := reads("/invitations")
	q.query.Set("limit", mostOfPage)
	return list[form.Invitation]{
		names: []string{"ID", "E-MAIL", "NAME", "ROLE", "STATE", "ENDS"},
		row: func(i form.Invitation) []string {
			return []string{i.ID, i.Email, i.Name, i.Role, i.State, moment(&i.ExpiresAt)}
		},
		none: "No open invitation.",
	}.show(c, q, l.JSON)
}

type resendCommand struct {
	tried
	ID string `arg:"" help:"ID of the invitation."`
}

// Run sends an invitation again.
func (r *resendCommand) Run(t *Terminal) error {
	c, err := r.open(t)
	if err != nil {
		return err
	}
	var sent form.Invitation
	got, err := c.into(writes(http.MethodPost, "/invitations/"+url.PathEscape(r.ID)+"/resend", nil, r.DryRun), &sent)
	if err != nil {
		return err
	}
	r.changed(c)
	return r.print(c, got, func() error { return showInvitation(t.Out, sent) })
}

type withdrawCommand struct {
	tried
	ID string `arg:"" help:"ID of the invitation."`
}

// Run withdraws an invitation.
func (w *withdrawCommand) Run(t *Terminal) error {
	return w.silently(t, writes(http.MethodDelete, "/invitations/"+url.PathEscape(w.ID), nil, w.DryRun), "Withdrawn.")
}

// silently calls an operation that answers nothing, and says once it is done.
func (t tried) silently(terminal *Terminal, q request, done string) error {
	c, err := t.open(terminal)
	if err != nil {
		return err
	}
	if _, err := c.call(q); err != nil {
		return err
	}
	if !t.DryRun && !t.JSON {
		fmt.Fprintln(terminal.Out, done)
	}
	t.changed(c)
	return nil
}
