package demo

import (
	"context"
	"net"

	"parvis/cmd/parvis/demo/staff"
	"parvis/cmd/parvis/serving"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/provisioning"
)

// staffOrganization is whose staff directory the demo runs.
const staffOrganization = "meridian"

// staffPeople are the people whom the directory knows. Parvis has not heard of them.
func staffPeople() (all []staff.Person) {
	for _, p := range [][5]string{
		{"m-2001", "Bea", "Lindqvist", "Drivers", "bea@meridian.example"},
		{"m-2002", "Carlos", "Mendes", "Drivers", "carlos@meridian.example"},
		{"m-2003", "Dara", "Okoye", "Dispatch", "dara@meridian.example"},
		{"m-2004", "Elif", "Demir", "Dispatch", "elif@meridian.example"},
		{"m-2005", "Farid", "Nasser", "Accounts", "farid@meridian.example"},
		{"m-2006", "Greta", "Vogel", "Accounts", "greta@meridian.example"},
		{"m-2007", "Hugo", "Marchand", "Drivers", "hugo@meridian.example"},
		{"m-2008", "Inês", "Ferreira", "Dispatch", "ines@meridian.example"},
		{"m-2009", "Jin", "Park", "Drivers", "jin@meridian.example"},
		{"m-2010", "Kofi", "Mensah", "Accounts", "kofi@meridian.example"},
	} {
		all = append(all, staff.Person{ID: p[0], Given: p[1], Family: p[2], Department: p[3], Email: p[4]})
	}
	return all
}

// staffDirectory is Meridian's staff directory.
type staffDirectory struct {
	listener net.Listener
}

func (d staffDirectory) address() string { return "http://directory.localhost:" + port(d.listener) }

// serveStaff makes a source for the directory, as an administrator does, and turns it on: what the
// directory says is done at once, which is what there is to watch. Nobody in Meridian has single
// sign-on, so whom it names is invited. The directory is told the source's address and token and
// no more.
func (s *show) serveStaff(ctx context.Context, i *installation) error {
	var source provisioning.Source
	var token string
	err := i.db.Update(ctx, func(tx *db.Tx) error {
		operator := directory.Operator()
		org, err := directory.OrganizationByName(ctx, tx, staffOrganization)
		if err != nil {
			return err
		}
		if source, err = i.Sources.Create(ctx, tx, operator, org.ID, provisioning.Settings{Name: "Staff directory", Provider: "other", Invites: true}, true); err != nil {
			return err
		}
		if err := i.Sources.Turn(ctx, tx, operator, org.ID, source.ID, provisioning.On); err != nil {
			return err
		}
		_, token, err = i.Sources.Issue(ctx, tx, operator, org.ID, source.ID)
		return err
	})
	if err != nil {
		return err
	}
	h, err := staff.New(staff.Options{
		Company: "Meridian Freight", Address: s.staff.address(), People: staffPeople(), Departments: []string{"Drivers", "Dispatch", "Accounts"},
		SCIM: i.address + "/scim/v2/" + source.ID, Token: token,
		Guide:  i.address + "/o/" + staffOrganization + "/admin/provisioning/" + source.ID,
		Client: newClient(), Log: s.o.Log,
	})
	if err != nil {
		return err
	}
	s.servers = append(s.servers, serving.Server{Listener: s.staff.listener, Handler: h})
	return nil
}
