package form

import "time"

// SourceSettings are what may be chosen of a directory that keeps people here.
type SourceSettings struct {
	Name     string `json:"name"`
	Provider string `json:"provider" enum:"entra okta onelogin jumpcloud google ping other"`
	// ConnectionID is the connection that its people come in by; null for any.
	ConnectionID *string `json:"connection_id"`

	Invites bool `json:"invites"` // who cannot come in by single sign-on gets an invitation
}

// NewSource is a source to be made. It only watches until it is turned on.
type NewSource struct {
	Name         string  `json:"name"`
	Provider     string  `json:"provider" enum:"entra okta onelogin jumpcloud google ping other"`
	ConnectionID *string `json:"connection_id" optional:"true"` // that its people come in by; any unless sent
	Invites      bool    `json:"invites" optional:"true"`
}

// Source is a directory of the customer's that keeps people and groups here by SCIM.
type Source struct {
	ID string `json:"id"`
	SourceSettings
	State     string     `json:"state" enum:"watching on stopped"`
	Address   string     `json:"address"` // which the directory calls
	Brake     bool       `json:"brake"`
	Waiting   int        `json:"waiting"` // how much waits for an administrator
	CreatedAt time.Time  `json:"created_at"`
	UsedAt    *time.Time `json:"used_at"` // when it last called, to the minute
	Network   *string    `json:"network"` // from where
}

// SourceToken is a token of a source, whose text is shown in the console once.
type SourceToken struct {
	ID        string     `json:"id"`
	CreatedAt time.Time  `json:"created_at"`
	EndsAt    time.Time  `json:"ends_at"`
	UsedAt    *time.Time `json:"used_at"`
}

// SourceCall is a call of a source, in words.
type SourceCall struct {
	ID      string    `json:"id"`
	At      time.Time `json:"at"`
	Method  string    `json:"method"`
	Path    string    `json:"path"`
	Outcome string    `json:"outcome" enum:"read done watched held refused failed"`
	Did     []string  `json:"did"`   // what was done, or would be
	Notes   []string  `json:"notes"` // what was wrong, or left aside
}

// SentCall is a call of a source that is only to be checked.
type SentCall struct {
	Method string `json:"method" enum:"POST PUT PATCH DELETE"`
	Path   string `json:"path"`                 // below the source's address, or all of it
	Body   string `json:"body" optional:"true"` // JSON, as a text
}

// CheckedCall says what a call would do.
type CheckedCall struct {
	Method  string   `json:"method"`
	Path    string   `json:"path"`
	Outcome string   `json:"outcome" enum:"done held refused"`
	Did     []string `json:"did"`   // what would be done
	Notes   []string `json:"notes"` // what is wrong, or would be left aside
}

// SourceConflict is what a source asked for and an administrator decides.
type SourceConflict struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind" enum:"adopt_person adopt_group change_address let_in_again delete_person remove_members delete_group shut_out_owner whole_batch"`
	Subject string    `json:"subject"` // id of the user or the group; of a batch, the source's
	Name    string    `json:"name"`
	Email   *string   `json:"email"`
	Asked   string    `json:"asked"` // as a sentence
	AskedAt time.Time `json:"asked_at"`
	LastAt  time.Time `json:"last_at"`
	Times   int       `json:"times"`
}
