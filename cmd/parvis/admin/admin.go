// Package admin is 'parvis admin': what people who run an organization do at a command line. It
// speaks only to an address, through the administration's API, and knows nothing of a database.
package admin

import (
	"context"
	"errors"
	"io"
)

// Commands are what 'parvis admin' can be asked to do.
type Commands struct {
	Login    loginCommand    `cmd:"" help:"Sign in to an organization, in the browser or with an API token."`
	Logout   logoutCommand   `cmd:"" help:"Sign out: end what this program may do, and forget it."`
	Profiles profilesCommand `cmd:"" help:"List the organizations that you signed in to."`
	Me       meCommand       `cmd:"" help:"Show who you are here, and what you may do."`

	People          peopleCommand          `cmd:"" help:"List people."`
	Person          personCommand          `cmd:"" help:"Show one person."`
	Change          changeCommand          `cmd:"" help:"Change somebody's name, language or time zone."`
	Role            roleCommand            `cmd:"" help:"Give somebody another role."`
	Deactivate      deedCommand            `cmd:"" help:"Shut people out at once."`
	Reactivate      deedCommand            `cmd:"" help:"Let deactivated people in again."`
	Delete          deedCommand            `cmd:"" help:"Delete people; for 30 days they can be restored."`
	Restore         deedCommand            `cmd:"" help:"Restore deleted people, deactivated."`
	EndSessions     deedCommand            `cmd:"" help:"End all sessions of people."`
	SendReset       deedCommand            `cmd:"" help:"Send people a link for a new password."`
	DemandPassword  deedCommand            `cmd:"" help:"Demand a new password of people at their next sign-in."`
	ResetSecondStep resetSecondStepCommand `cmd:"" help:"Remove somebody's second step."`
	ChangeEmail     changeEmailCommand     `cmd:"" help:"Ask for another address; the person proves it by a letter."`

	Invite       inviteCommand        `cmd:"" help:"Invite somebody, or everybody in a file."`
	Invitations  invitationsCommands  `cmd:"" help:"List open invitations, send one again, withdraw one."`
	Groups       groupsCommands       `cmd:"" help:"List, create, rename and delete groups; add and remove people."`
	Rules        rulesCommands        `cmd:"" help:"Show and set the rules for passwords, second step and sessions."`
	Domains      domainsCommands      `cmd:"" help:"List, add, check and remove mail domains."`
	Applications applicationsCommands `cmd:"" help:"List, register, change and delete applications; make and revoke their secrets."`
	Connections  connectionsCommands  `cmd:"" help:"List, set up, turn on and off and delete identity providers."`
	Sources      sourcesCommands      `cmd:"" help:"List, watch and turn the directories that provision people, and decide what they asked for."`
	Webhooks     webhooksCommands     `cmd:"" help:"List, make, try and change the addresses to which events are sent."`
	Events       eventsCommand        `cmd:"" help:"Show what happened, as the audit log has it."`
	Export       exportCommand        `cmd:"" help:"Export the audit log into a file."`
	Show         showCommand          `cmd:"" help:"Show how the organization is set up, or write it as a file."`
	Apply        applyCommand         `cmd:"" help:"Make the organization what a file says."`
	API          apiCommand           `cmd:"" name:"api" help:"Call any operation of the API."`
}

// Help says what all of these commands have in common.
func (*Commands) Help() string {
	return "Begin with 'parvis admin login ADDRESS --organization NAME'. Results go to standard output, notes and refusals to standard error; " +
		"--json prints what the API sent, --dry-run changes nothing, and Ctrl-C stops.\n\n" +
		"It ends with 0 when all is done, 1 when it was refused or failed, 2 when it was typed wrongly, 3 when a plan has changes, 4 when you have to sign in, " +
		"5 when it was done for some and refused for others, and 130 when it was stopped."
}

// Terminal is what a command works with besides its own flags.
type Terminal struct {
	Context  context.Context // ends with SIGINT or SIGTERM
	In       io.Reader
	Out, Err io.Writer // the results; notes and questions
}

// The exit codes besides 0, 1 for what failed or was refused, and 2 for what was typed wrongly.
const (
	exitChanges     = 3   // of a plan: there are changes
	exitSignIn      = 4   // sign in, or sign in again
	exitPartly      = 5   // done for some, refused for others
	exitInterrupted = 130 // as shells report SIGINT
)

// exit is an error that ends the program with a code of its own.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string { return e.err.Error() }
func (e exit) Unwrap() error { return e.err }

// ExitCode returns the code.
func (e exit) ExitCode() int { return e.code }

var errStopped = exit{exitInterrupted, errors.New("stopped")}

// where is the flag of every command that calls the API.
type where struct {
	Profile string `placeholder:"NAME" help:"Act in this organization: one that 'parvis admin profiles' lists. Without it, the one that you signed in to last."`
}

// shown are the flags of every command that shows something.
type shown struct {
	where
	JSON bool `name:"json" help:"Print what the API sent."`
}

// tried are the flags of every command that changes something.
type tried struct {
	shown
	DryRun bool `help:"Say what would come of it, and change nothing."`
}
