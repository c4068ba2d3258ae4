// Package form holds what the API sends and takes, as Go types. The server judges and writes
// them, the reference and the OpenAPI document are made from them, and the command reads them.
//
// A field without a value is null. In what is sent to the API a field that may be left out has the
// tag "optional"; enum lists the values that a field takes, and says names a sentence about it.
package form

import "time"

// Page is one page of a list.
type Page[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next"`  // the cursor of the next page; null on the last
	Count *int    `json:"count"` // of all pages, up to 10,001 for more than 10,000; null unless asked for
}

// Me is who calls, and what the call may do.
type Me struct {
	Kind         string     `json:"kind" enum:"user token machine operator"`
	ID           string     `json:"id"`
	Name         string     `json:"name"`
	UserID       *string    `json:"user_id"`
	Role         *string    `json:"role" enum:"owner administrator helpdesk auditor member"` // null outside organizations
	Scopes       []string   `json:"scopes"`
	EndsAt       *time.Time `json:"ends_at"`
	ProvedAt     *time.Time `json:"proved_at"`
	Organization *Home      `json:"organization"` // null for an operator's machine outside organizations
}

// Tenant is an organization as the operator sees it: nothing that is inside.
type Tenant struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	ShortName   string     `json:"short_name"`
	Language    string     `json:"language"`
	CreatedAt   time.Time  `json:"created_at"`
	SuspendedAt *time.Time `json:"suspended_at"`
	DeletedAt   *time.Time `json:"deleted_at"` // everything of it is removed 30 days later
}

// NewTenant is an organization to be made, with the owner who is invited.
type NewTenant struct {
	Name       string `json:"name"`
	ShortName  string `json:"short_name"`
	OwnerEmail string `json:"owner_email"`
	Language   string `json:"language" optional:"true"` // en unless given

	Unreachable []string `json:"unreachable" optional:"true"` // ids of regions that are not asked for the names now
}

// Named is a thing by its id and name.
type Named struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Home is the organization of a caller.
type Home struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	ShortName string `json:"short_name"`
}

// OrganizationSettings is what an organization says about itself.
type OrganizationSettings struct {
	Name                      string `json:"name"`
	ShortName                 string `json:"short_name"`
	Language                  string `json:"language"`
	Contact                   string `json:"contact"`
	InvitationLifetimeSeconds int64  `json:"invitation_lifetime_seconds"`
}

// Organization is an organization as it is.
type Organization struct {
	ID string `json:"id"`
	OrganizationSettings
	SingleSignOnOnly bool      `json:"single_sign_on_only"`
	HasLogo          bool      `json:"has_logo"`
	CreatedAt        time.Time `json:"created_at"`
}

// UserProfile is what can be changed of a user without a deed of its own.
type UserProfile struct {
	Name       string `json:"name"`
	GivenName  string `json:"given_name"`
	FamilyName string `json:"family_name"`
	Language   string `json:"language"`
	TimeZone   string `json:"time_zone"`
}

// User is a person of an organization.
type User struct {
	ID    string `json:"id"`
	Email string `json:"email"`
	UserProfile
	Role          string     `json:"role" enum:"owner administrator helpdesk auditor member"`
	State         string     `json:"state" enum:"active deactivated deleted"`
	SecondStep    string     `json:"second_step" enum:"none app passkey both"`
	HasPassword   bool       `json:"has_password"`
	Linked        bool       `json:"linked"`
	CreatedAt     time.Time  `json:"created_at"`
	ChangedAt     time.Time  `json:"changed_at"`
	LastSignInAt  *time.Time `json:"last_sign_in_at"`
	DeactivatedAt *time.Time `json:"deactivated_at"`
	DeletedAt     *time.Time `json:"deleted_at"`
	SourceID      *string    `json:"source_id"`   // of the directory that keeps the user here
	ExternalID    *string    `json:"external_id"` // by which that directory knows the user
}

// Session is a browser in which a user is signed in.
type Session struct {
	ID           string    `json:"id"`
	StartedAt    time.Time `json:"started_at"`
	SeenAt       time.Time `json:"seen_at"`
	Methods      []string  `json:"methods"`       // how the user signed in (RFC 8176)
	ConnectionID *string   `json:"connection_id"` // of the provider that vouched for the user
	Agent        string    `json:"agent"`         // what the browser calls itself
}

// Link lets a user in by a connection.
type Link struct {
	ID         string     `json:"id"`
	Connection Named      `json:"connection"`
	Subject    string     `json:"subject"` // what the provider calls the user
	Email      string     `json:"email"`   // as the provider last said it
	LinkedAt   time.Time  `json:"linked_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
}

// Authenticators are the second steps that a user has, without names.
type Authenticators struct {
	Apps          Owned `json:"apps"`
	Passkeys      Owned `json:"passkeys"`
	RecoveryCodes int   `json:"recovery_codes"` // that still work
	Required      bool  `json:"required"`       // the user must have one
}

// Owned is how many authenticators of a kind there are.
type Owned struct {
	Count      int        `json:"count"`
	LastUsedAt *time.Time `json:"last_used_at"`
}

// Fate is what a deed of many came to for one of them.
type Fate struct {
	UserID string  `json:"user_id"`
	Name   string  `json:"name"`
	Done   bool    `json:"done"`
	Code   *string `json:"code"`   // why it was not done
	Detail *string `json:"detail"` // the same as a sentence
}

// Fates are what a deed of many came to.
type Fates struct {
	Items []Fate `json:"items"`
	Done  int    `json:"done"`
}

// Batch is a deed of many.
type Batch struct {
	Deed     string   `json:"deed" enum:"deactivate reactivate delete restore end_sessions send_reset demand_password"`
	UserIDs  []string `json:"user_ids" optional:"true"`
	Everyone bool     `json:"everyone" optional:"true"`
	Number   int      `json:"number" optional:"true"` // to how many of everyone, as the dry run counted
}

// RoleChange gives a user another role.
type RoleChange struct {
	Role string `json:"role" enum:"owner administrator helpdesk auditor member"`
}

// Reason is why something is done that is explained to the person.
type Reason struct {
	Reason string `json:"reason"`
}

// EmailChange asks for another address.
type EmailChange struct {
	Email string `json:"email"`
}

// NewInvitation invites somebody.
type NewInvitation struct {
	Email    string `json:"email"`
	Name     string `json:"name" optional:"true"`
	Role     string `json:"role" enum:"owner administrator helpdesk auditor member" optional:"true"`
	Language string `json:"language" optional:"true"`
}

// InvitationBatch invites several people at once.
type InvitationBatch struct {
	Invitations []NewInvitation `json:"invitations"`
}

// InvitationFate is what became of one of several invitations.
type InvitationFate struct {
	Pointer      string  `json:"pointer"` // to it in what was sent
	Done         bool    `json:"done"`
	InvitationID *string `json:"invitation_id"` // null if nobody was invited, and in a dry run
	Errors       []Wrong `json:"errors"`        // why nobody was
}

// InvitationFates are what became of several invitations.
type InvitationFates struct {
	Items []InvitationFate `json:"items"`
	Done  int              `json:"done"`
}

// Invitation is an offer to join.
type Invitation struct {
	ID        string     `json:"id"`
	Email     string     `json:"email"`
	Name      string     `json:"name"`
	Role      string     `json:"role" enum:"owner administrator helpdesk auditor member"`
	Language  string     `json:"language"`
	State     string     `json:"state" enum:"waiting sent opened expired bounced given_up lapsed taken accepted withdrawn replaced"`
	InvitedBy *string    `json:"invited_by"` // the id of a user
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	OpenedAt  *time.Time `json:"opened_at"`
}

// GroupSettings is what can be changed of a group.
type GroupSettings struct {
	Name string `json:"name"`
}

// Group is a named set of people.
type Group struct {
	ID string `json:"id"`
	GroupSettings
	Members   int       `json:"members"`
	CreatedAt time.Time `json:"created_at"`
}

// PasswordRules say which new passwords an organization accepts.
type PasswordRules struct {
	Preset               string `json:"preset" enum:"classic modern"`
	MinimumLength        int    `json:"minimum_length"`
	MaximumLength        int    `json:"maximum_length"`
	Digit                bool   `json:"digit"`
	UpperCase            bool   `json:"upper_case"`
	LowerCase            bool   `json:"lower_case"`
	Special              bool   `json:"special"`
	History              int    `json:"history"`
	ResetLifetimeSeconds int64  `json:"reset_lifetime_seconds"`
}

// SecondStepRules say who needs a second step.
type SecondStepRules struct {
	RequiredFrom *time.Time `json:"required_from"`
	Privileged   bool       `json:"privileged"`
	Tolerance    int        `json:"tolerance"`
	Passwordless bool       `json:"passwordless"`
}

// SessionRules say how long sessions last.
type SessionRules struct {
	IdleSeconds     int64 `json:"idle_seconds"`
	AbsoluteSeconds int64 `json:"absolute_seconds"`
}

// NewDomain is a domain to be proven.
type NewDomain struct {
	Name string `json:"name"`
}

// Domain is a mail domain of an organization.
type Domain struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	State       string     `json:"state"`
	Record      string     `json:"record"`       // the name of the DNS record that proves it
	RecordValue string     `json:"record_value"` // the text that the record has to have
	ProvenAt    *time.Time `json:"proven_at"`
}

// Token is a token that a person made.
type Token struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Owner     Named      `json:"owner"`
	Scopes    []string   `json:"scopes"`
	CreatedAt time.Time  `json:"created_at"`
	EndsAt    time.Time  `json:"ends_at"`
	UsedAt    *time.Time `json:"used_at"` // to the hour
	Network   string     `json:"network"` // from where it was last used
	Over      bool       `json:"over"`    // it no longer opens anything
}

// Right is what a machine is given.
type Right struct {
	Scopes       []string `json:"scopes"`
	Role         string   `json:"role" enum:"administrator helpdesk auditor"`
	LastsSeconds int64    `json:"lasts_seconds" optional:"true"` // 90 days unless sent
}

// Machine is an application with a right to act for itself.
type Machine struct {
	Application Named     `json:"application"`
	Scopes      []string  `json:"scopes"`
	Role        string    `json:"role" enum:"administrator helpdesk auditor"`
	GrantedBy   Named     `json:"granted_by"`
	GrantedAt   time.Time `json:"granted_at"`
	EndsAt      time.Time `json:"ends_at"`
	Rests       bool      `json:"rests"` // it only reads, until another administrator confirms the right
	Over        bool      `json:"over"`
}

// Event is an entry of the audit log.
type Event struct {
	ID        string            `json:"id"`
	Sequence  *int64            `json:"sequence"` // its place in the log, from 0; null for about a second
	At        time.Time         `json:"at"`
	Action    string            `json:"action"`
	Result    string            `json:"result" enum:"done refused"`
	Actor     Named             `json:"actor"`
	Object    Object            `json:"object"`
	Before    map[string]string `json:"before"` // JSON texts by the names of fields
	After     map[string]string `json:"after"`
	Network   string            `json:"network"`
	Agent     string            `json:"agent"`
	Reference string            `json:"reference"`
	Session   string            `json:"session"` // of the actor; the id opens nothing
	Method    string            `json:"method"`  // by which the actor proved who they are: amr values, or another one
	Region    string            `json:"region"`  // empty where the installation has one only
	Erased    bool              `json:"erased"`  // what was personal is gone
}

// Object is what an action was done to.
type Object struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Checkpoint is what was signed of a log (C2SP tlog-checkpoint).
type Checkpoint struct {
	Note string `json:"note"`
	Key  string `json:"key"`
	Size int64  `json:"size"`

	Sequence int64     `json:"sequence"` // of the last event in it; -1 for none
	At       time.Time `json:"at"`
}

// Proof shows that an event is in a log, or that a log only grew (RFC 6962 §2.1).
type Proof struct {
	Checkpoint Checkpoint `json:"checkpoint"`
	Hashes     []string   `json:"hashes"`
}

// Problem says why a call was refused (RFC 9457).
type Problem struct {
	Type      string  `json:"type"`
	Title     string  `json:"title"`
	Status    int     `json:"status"`
	Code      string  `json:"code"`
	Detail    string  `json:"detail"`
	Reference string  `json:"reference"`
	Object    *string `json:"object"` // the id of what was made already; null of other refusals
	Errors    []Wrong `json:"errors"`
}

// Wrong is one value that is wrong.
type Wrong struct {
	Pointer string `json:"pointer"` // into what was sent (RFC 6901); empty for a parameter
	Name    string `json:"name"`    // of the parameter; empty for what a pointer names
	Code    string `json:"code"`
	Detail  string `json:"detail"`
}
