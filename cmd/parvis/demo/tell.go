package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Addresses is what a browser test needs to know; --json prints it.
type Addresses struct {
	Address string            `json:"address"`
	Other   string            `json:"other"` // of the other region
	Mailbox string            `json:"mailbox"`
	Links   map[string]string `json:"links"` // short name → the owner's set-up link
	// Applications are the origins of the sample applications, by kind.
	Applications map[string]string `json:"applications"`
	// Company is the origin of the company's sign-in server.
	Company string `json:"company"`
	// Directory is the origin of Meridian's staff directory.
	Directory string `json:"directory"`
}

// firstLetters is how long the first letters may take, on a slow machine.
const firstLetters = 30 * time.Second

// tell waits for the owners' letters and prints what to do.
func (s *show) tell(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, firstLetters)
	defer cancel()
	told := Addresses{
		Address: s.installations[0].address, Other: s.installations[1].address,
		Mailbox: "http://" + s.mailbox, Company: s.employer.address(), Directory: s.staff.address(), Links: map[string]string{}, Applications: map[string]string{},
	}
	for _, a := range s.applications {
		told.Applications[a.kind] = a.address()
	}
	for _, sample := range customers() {
		link, err := s.linkTo(waiting, sample)
		if err != nil {
			return err
		}
		told.Links[sample.ShortName] = link
	}
	if s.o.JSON {
		return json.NewEncoder(s.o.Out).Encode(told)
	}
	_, err := fmt.Fprintf(s.o.Out, script, told.Links["meridian"], told.Mailbox, told.Links["lumen"],
		told.Links["cobalt"], told.Address, told.Applications["collaborate"],
		told.Links[employerOrganization], told.Address, told.Company+"/saml/metadata", told.Address, told.Directory, told.Address)
	return err
}

const script = `Parvis is running, on this machine only. Try this:

 1  You are Ana, who owns Meridian Freight. Open your invitation and create a password:
    %s

 2  Under Administration, invite somebody: any address will do, such as bo@meridian.example.

 3  Open the letter in the mailbox, where all mail of this demo arrives, and join as Bo.
    Use a private window or another browser, if you want to stay signed in as Ana too:
    %s
    Meridian Freight leaves the second step to each of its people.

 4  Lumen Health has modern rules: one long password, no required kinds of characters, and
    a second step for everybody: an authenticator app or a passkey. You are Lin, its owner:
    %s

 5  All this is in the region Europe. Cobalt Air is in the region Americas, an installation
    with its own database and address. You are Noor, its owner:
    %s

    Sign out there. Then name Cobalt Air and choose Americas here, and you are led back:
    %s/organization

 6  Open an application from a tile on Meridian's home page: you are signed in. This page of
    an application signs you in too, asks you only if it must, and leads back to itself:
    %s/documents/7

    Ledger is another company's, so it asks first. Sign out, and all of them sign you out.

 7  Halden Rail has a sign-in server of its own, where its people choose who they are: no
    password is asked for. You are Ingrid, its owner, who is invited:
    %s

    Sign out, or use a private window, and enter jonas@halden.example here: you are led to
    the company, and a person who signs in for the first time becomes a member.
    %s/sign-in

    As Ingrid, see what the company said of each under Administration, Single sign-on,
    Attempts. The same server speaks SAML: add a connection there with this metadata address,
    and say that it vouches for its addresses, which SAML itself does not.
    %s

 8  As Ana, at a command line (the page asks first what it may do):
    parvis admin login %s --organization meridian
    parvis admin people

 9  Meridian Freight has a staff directory too, which tells Parvis by SCIM who works there.
    Turn a switch on, and that person is in Parvis, with a letter in the mailbox; join with
    it, turn the switch off, and they are out at once. Rename and move people, and see what
    was sent and answered; as Ana, see it under Administration, Provisioning:
    %s

Close the browser and come back: you are still signed in. This is the front page:
    %s

Ctrl-C ends the demo and removes everything.
`

// linkTo returns the link from the letter that arrived.
func (s *show) linkTo(ctx context.Context, to customer) (string, error) {
	letters, err := s.box.Wait(ctx, to.email, 1)
	if err != nil {
		return "", err
	}
	for _, i := range s.installations {
		for _, link := range letters[0].Links {
			if i.region == to.region && strings.HasPrefix(link, i.address+"/invitation/") {
				return link, nil
			}
		}
	}
	return "", fmt.Errorf("the letter to %s has no link into its region", to.email)
}
