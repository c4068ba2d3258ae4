// Package intake moves people in from another system: the operator's command hands it a file, and it
// judges each line, makes the people a hundred at a time, and can undo what it did for as long as
// nobody has signed in.
//
// It owns imports, the organizations that they made and whom they brought. It makes people and
// credentials by the functions of the packages that own these (decision 0082).
package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"parvis/internal/credential"
	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/intake/dump"
	"parvis/internal/secret"
)

// MostBytes is how large a file may be, and MostPeople how many people may be in it.
const (
	MostBytes  = 1 << 30
	MostPeople = 1_000_000
)

// AtOnce is how many people a transaction makes at least, and mostAtOnce at most: the more, the fewer
// pages are written for each. SQLite has one writer, so that sign-ins wait for it meanwhile, and above
// AtOnce a transaction is to take less than shortly.
const (
	AtOnce     = 100
	mostAtOnce = 500
	shortly    = 100 * time.Millisecond
)

// An import gathers so many people, or so many bytes of them, and then makes them by their addresses and
// not in the order of the file: the people of a transaction are neighbours in the indexes, which are
// most of what is written, and share their pages.
const (
	gathers      = 5000
	gathersBytes = 2 << 20
)

// rests is how long an import lets others have SQLite's writer after each transaction. A server that
// waits for it asks every 2 ms.
const rests = 3 * time.Millisecond

// LettersPerMinute is how fast letters leave unless somebody says otherwise.
const LettersPerMinute = 60

// The faults of imports.
var (
	ErrLarge     = fault.New(fault.TooLarge, "intake.file_large")
	ErrMany      = fault.New(fault.TooLarge, "intake.file_many")
	ErrRuns      = fault.New(fault.Conflict, "intake.runs")
	ErrUndone    = fault.New(fault.Gone, "intake.undone")
	ErrNotKnown  = fault.New(fault.NotFound, "intake.not_known")
	ErrNoAddress = fault.Field("email", "intake.no_address")

	ErrAddressTwice   = fault.Field("email", "intake.address_twice")
	ErrAddressTaken   = fault.Field("email", "intake.address_taken")
	ErrAddressShutOut = fault.Field("email", "intake.address_shut_out")

	ErrRole       = fault.Field("role", "intake.role")
	ErrOwner      = fault.Field("role", "intake.owner")
	ErrPrivileged = fault.Field("role", "intake.privileged")

	ErrNoOrganization     = fault.Field("organization", "intake.organization_missing")
	ErrOrganization       = fault.Field("organization", "intake.organization_unknown")
	ErrOrganizationExists = fault.Field("organization", "intake.organization_exists")

	ErrUnverified = fault.New(fault.Invalid, "intake.unverified")
	ErrStepLost   = fault.New(fault.Invalid, "intake.step_lost")
	ErrFederated  = fault.New(fault.Invalid, "intake.federated")
	ErrNoHash     = fault.New(fault.Invalid, "intake.no_hash")
)

// Service moves people in.
type Service struct {
	DB             *db.DB
	Passwords      *credential.Store
	Authenticators *credential.Authenticators
	Invitations    *directory.Invitations

	// Free returns an error unless no other region has an organization of these names.
	Free func(ctx context.Context, name, shortName string) error
}

// Options are what the operator says besides the file.
type Options struct {
	Organization string            // the short name of the one that everybody comes into; empty where the file says
	Existing     bool              // people may come into an organization that the file did not make
	Owners       []string          // the addresses of those who become owners
	Roles        map[string]string // ours, by what the other system calls them
	Trusted      bool              // every address of the file was proved there
	NoLetters    bool              // nobody is written to
	PerMinute    int               // letters
	Language     i18n.Tag          // of organizations that the file brings
}

// Outcome is what becomes of one line.
type Outcome string

// The outcomes.
const (
	Admitted    Outcome = "admitted"    // with their password
	Written     Outcome = "written"     // without, and a letter leads to one
	Waiting     Outcome = "waiting"     // without, and nobody is written to
	Invited     Outcome = "invited"     // an administrator without a password: nobody before they accept
	Deactivated Outcome = "deactivated" // as they were there
	Before      Outcome = "before"      // this import brought them already
	Refused     Outcome = "refused"
)

// Outcomes are all, in the order of a summary.
var Outcomes = []Outcome{Admitted, Written, Waiting, Invited, Deactivated, Before, Refused}

// Fate is what becomes of a person of the file in one organization.
type Fate struct {
	Line         int
	Email        string
	Organization string // its short name; empty where none is known
	Role         directory.Role
	Outcome      Outcome
	App          bool // an authenticator came along
	Reasons      []*fault.Error
}

// Import is a file that was moved in.
type Import struct {
	ID         string
	Format     dump.Format
	BegunAt    time.Time
	FinishedAt time.Time // zero if it was interrupted
	UndoneAt   time.Time // zero if it was not
	People     int       // whom it brought and who are still here
}

// Source is a file that was opened for an import.
type Source struct {
	*dump.File
	digest string
}

// Open opens a file: it reads all of it once, so that the same file is known again.
func Open(f dump.Format, r io.ReadSeeker) (*Source, error) {
	size, err := r.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, err
	}
	if size > MostBytes {
		return nil, ErrLarge.With("Most", MostBytes>>30)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return nil, fmt.Errorf("reading the file: %w", err)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	file, err := dump.Open(f, r)
	if err != nil {
		return nil, err
	}
	return &Source{file, hex.EncodeToString(sum.Sum(nil))}, nil
}

// List lists all imports, the newest first.
func (s *Service) List(ctx context.Context) ([]Import, error) {
	return db.List(ctx, s.DB, func(i *Import) []any {
		return db.Into(&i.ID, &i.Format, (*db.Time)(&i.BegunAt), (*db.Time)(&i.FinishedAt), (*db.Time)(&i.UndoneAt), &i.People)
	}, `
		select i.id, i.format, i.begun_at, i.finished_at, i.undone_at, (select count(*) from imported p where p.import_id = i.id)
		from imports i
		order by i.begun_at desc, i.id`)
}

// begin returns the id of the import of a file, and whether it is a new one or goes on with another.
func begin(ctx context.Context, tx *db.Tx, src *Source) (id string, fresh bool, err error) {
	found, err := tx.One(ctx, db.Into(&id), `select id from imports where digest = $1 and undone_at is null`, src.digest)
	if err != nil || found {
		return id, false, err
	}
	id = secret.NewID("imp")
	_, err = tx.Exec(ctx, `insert into imports (id, digest, format, begun_at) values ($1, $2, $3, $4)`,
		id, src.digest, string(src.Format), db.Time(tx.Now()))
	return id, true, err
}
