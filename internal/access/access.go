// Package access decides who may call the administration's API, and how far: the tokens that
// people make for themselves, and the rights that administrators give to machines.
//
// It owns api_tokens, machine_rights, operator_rights and access_rules.
package access

import (
	"slices"
	"time"

	"parvis/internal/directory"
	"parvis/internal/fault"
)

// Scope names a part of the administration that a token reaches. How far it reaches there is
// decided by the role of its caller.
type Scope string

// The scopes. Writing does not include reading.
const (
	ReadPeople        Scope = "parvis.people.read"
	WritePeople       Scope = "parvis.people.write"
	ReadGroups        Scope = "parvis.groups.read"
	WriteGroups       Scope = "parvis.groups.write"
	ReadSettings      Scope = "parvis.settings.read"
	WriteSettings     Scope = "parvis.settings.write"
	ReadConnections   Scope = "parvis.connections.read"
	WriteConnections  Scope = "parvis.connections.write"
	ReadApplications  Scope = "parvis.applications.read"
	WriteApplications Scope = "parvis.applications.write"
	ReadWebhooks      Scope = "parvis.webhooks.read"
	WriteWebhooks     Scope = "parvis.webhooks.write"
	ReadAccess        Scope = "parvis.access.read"
	WriteAccess       Scope = "parvis.access.write"
	ReadAudit         Scope = "parvis.audit.read"
)

// Scopes lists every scope, in the order in which people are asked about them.
var Scopes = []Scope{
	ReadPeople, WritePeople, ReadGroups, WriteGroups, ReadSettings, WriteSettings, ReadConnections, WriteConnections,
	ReadApplications, WriteApplications, ReadWebhooks, WriteWebhooks, ReadAccess, WriteAccess, ReadAudit,
}

// The faults of callers and their rights. A token that is unknown, has ended or was revoked is
// one fault, so that nobody learns which it was.
var (
	ErrUnknown     = fault.New(fault.Denied, "access.unknown")
	ErrScopes      = fault.Field("scopes", "access.scopes_missing")
	ErrScope       = fault.Field("scopes", "access.scope_unknown")
	ErrScopeBeyond = fault.Field("scopes", "access.scope_beyond")
	ErrLasts       = fault.Field("lasts", "access.lasts")
	ErrTooMany     = fault.Field("name", "access.too_many_tokens")
	ErrMachineRole = fault.Field("role", "access.machine_role")
	ErrNoMachine   = fault.Field("client", "access.no_machine")

	ErrNotInstallations = fault.Field("client", "access.not_installations")
	ErrNotByKey         = fault.Field("client", "access.not_by_key")
)

// Caller is who calls the API, and what the call may do.
type Caller struct {
	Actor    directory.Actor // its Again reads the right again inside a transaction
	Key      string          // of the token, the machine or the person: limits and idempotency keys are counted by it
	Scopes   []Scope
	ProvedAt time.Time // when the person last proved who they are; zero for tokens and machines
	Until    time.Time // when the token ends
	Operator bool      // an operator's machine in an organization: each of its calls says why (R-TEN-11)

	usedAt time.Time // of a token or a machine: when its use was last stored
}

// May reports whether the call may use a scope.
func (c Caller) May(s Scope) bool { return slices.Contains(c.Scopes, s) }

// Writes reports whether a scope changes something.
func (s Scope) Writes() bool { return slices.Contains(writing, s) }

var writing = []Scope{WritePeople, WriteGroups, WriteSettings, WriteConnections, WriteApplications, WriteWebhooks, WriteAccess}

// Reach lists the scopes in which a role can do something at all. Each deed asks for the role
// again.
func Reach(role directory.Role) []Scope {
	var within []Scope
	for _, s := range Scopes {
		can := role.ReadsConsole()
		switch s {
		case WritePeople:
			can = role.LooksAfterPeople()
		case WriteGroups, WriteSettings, WriteConnections, WriteApplications, WriteWebhooks:
			can = role.SetsRules()
		case ReadAudit:
			can = role.ReadsAudit()
		case ReadPeople, ReadGroups, ReadSettings, ReadConnections, ReadApplications, ReadWebhooks, ReadAccess, WriteAccess:
			// Everybody who sees the administration reads it, and has tokens of their own.
		case ReadInstallation, WriteInstallation: // not among Scopes
		}
		if can {
			within = append(within, s)
		}
	}
	return within
}

// Within returns those of some scopes in which a role can do something.
func Within(role directory.Role, asked []Scope) []Scope {
	reach := Reach(role)
	return slices.DeleteFunc(slices.Clone(asked), func(s Scope) bool { return !slices.Contains(reach, s) })
}

// checked returns scopes that somebody with a role may give away, in the order of Scopes, each
// once.
func checked(role directory.Role, asked []Scope) ([]Scope, error) {
	reach := Reach(role)
	switch {
	case len(asked) == 0:
		return nil, ErrScopes
	case slices.ContainsFunc(asked, func(s Scope) bool { return !slices.Contains(Scopes, s) }):
		return nil, ErrScope
	case slices.ContainsFunc(asked, func(s Scope) bool { return !slices.Contains(reach, s) }):
		return nil, ErrScopeBeyond
	}
	return slices.DeleteFunc(slices.Clone(Scopes), func(s Scope) bool { return !slices.Contains(asked, s) }), nil
}
