package form

import "time"

// NewApplication is an application to be registered. What is left out is as usual for its kind.
type NewApplication struct {
	Kind                string `json:"kind" enum:"web single_page native machine link"`
	ApplicationSettings `optional:"true"`
}

// Application is an application as an organization has it.
type Application struct {
	ID   string `json:"id"`
	Kind string `json:"kind" enum:"web single_page native machine link"`
	Own  bool   `json:"own"` // the organization registered it; false: the installation did, for all
	ApplicationSettings
	Placement   Placement  `json:"placement"`
	HasLogo     bool       `json:"has_logo"`
	Users       int        `json:"users"` // who ever opened it
	LastUsedAt  *time.Time `json:"last_used_at"`
	CreatedAt   time.Time  `json:"created_at"`
	ChangedAt   time.Time  `json:"changed_at"`
	FailedSince *time.Time `json:"failed_since"` // since when the address of its tile does not answer
}

// RegisteredApplication is an application that was just registered.
type RegisteredApplication struct {
	Application
	ClientSecret *string `json:"client_secret"` // shown this once; null of an application that has none, and in a dry run
}

// Placement is what an organization decides about an application.
type Placement struct {
	Standing string   `json:"standing" enum:"as_registered approved forbidden"`
	Audience string   `json:"audience" enum:"everyone groups nobody"` // who sees its tile; of groups: who may sign in
	Groups   []string `json:"groups"`                                 // ids, of the audience groups
}

// ClientSecret is a secret of an application.
type ClientSecret struct {
	ID        string     `json:"id"`
	CreatedAt time.Time  `json:"created_at"`
	UsedAt    *time.Time `json:"used_at"` // to the hour
}

// NewClientSecret is a secret that was just made.
type NewClientSecret struct {
	ClientSecret
	Secret *string `json:"secret"` // shown this once; null in a dry run
}
