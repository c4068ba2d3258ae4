package intake

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"math"
	"slices"
	"strings"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/intake/dump"
	"parvis/internal/naming"
)

// entry is a person of the file in one organization.
type entry struct {
	dump.Person
	place *place
	id    directory.UserID // of user
	user  directory.User
	fate  Fate
}

// refuse makes an entry one that brings nobody.
func (e *entry) refuse(reasons ...*fault.Error) {
	e.fate.Outcome, e.fate.Reasons = Refused, append(e.fate.Reasons, reasons...)
}

// entries returns the people of the batch, once for each of their organizations.
func (r *run) entries(ctx context.Context) ([]entry, error) {
	var all []entry
	for _, p := range r.batch {
		e := entry{Person: p, fate: Fate{Line: p.Line, Email: p.Email}}
		names := p.Organizations
		if r.Organization != "" {
			names = []string{r.Organization}
		}
		switch {
		case p.Broken != nil:
			e.refuse(p.Broken)
		case len(names) == 0:
			e.refuse(ErrNoOrganization)
		}
		if e.fate.Outcome == Refused {
			all = append(all, e)
			continue
		}
		for _, name := range names {
			var err error
			if e.place, err = r.place(ctx, name); err != nil {
				return nil, err
			}
			e.fate.Organization = cmp.Or(e.place.ShortName, name)
			all = append(all, e)
		}
	}
	return all, nil
}

// known is what an organization has of the people of a batch already.
type known struct {
	users map[string]directory.User // by the key of their address
	lines map[string]int            // the line of this import that brought an address
	done  map[int]bool              // the lines that it brought
}

// judge says what becomes of each entry.
func (r *run) judge(ctx context.Context, tx *db.Tx, entries []entry) ([]entry, error) {
	judged := slices.Clone(entries)
	all := map[*place]known{}
	for _, e := range judged {
		if e.place == nil || e.place.why != nil {
			continue
		}
		if _, read := all[e.place]; !read {
			k, err := r.known(ctx, tx, e.place, judged)
			if err != nil {
				return nil, err
			}
			all[e.place] = k
		}
	}
	ids := directory.NewUserIDs(len(judged))
	for i := range judged {
		e := &judged[i]
		e.id = ids[i]
		if e.fate.Outcome == Refused {
			continue
		}
		if e.place.why != nil {
			e.refuse(e.place.why)
			continue
		}
		r.decide(e, all[e.place])
		if e.fate.Outcome != Invited {
			continue
		}
		if err := r.mayInvite(ctx, tx, e); err != nil {
			return nil, err
		}
	}
	return judged, nil
}

// mayInvite refuses an entry who cannot be invited.
func (r *run) mayInvite(ctx context.Context, tx *db.Tx, e *entry) error {
	if e.place.fresh {
		return nil
	}
	err := directory.MayInvite(ctx, tx, directory.Operator(), e.place.ID, e.invitation())
	reasons := fault.All(err)
	if err != nil && reasons == nil {
		return err
	}
	if err != nil {
		e.refuse(reasons...)
	}
	return nil
}

func (e *entry) invitation() directory.NewInvitation {
	return directory.NewInvitation{Email: e.user.Email, Name: e.user.Name, Role: e.user.Role, Language: e.user.Language}
}

// known reads what an organization has of the people in some entries.
func (r *run) known(ctx context.Context, tx *db.Tx, p *place, entries []entry) (known, error) {
	k := known{map[string]directory.User{}, map[string]int{}, map[int]bool{}}
	if p.fresh {
		return k, nil
	}
	var emails, keys []string
	first, last := math.MaxInt, 0
	for _, e := range entries {
		if e.place != p {
			continue
		}
		first, last = min(first, e.Line), max(last, e.Line)
		if key := addressKey(e.Email); key != "" {
			emails, keys = append(emails, e.Email), append(keys, key)
		}
	}
	users, err := directory.Addressed(ctx, tx, p.ID, emails)
	if err != nil {
		return k, err
	}
	for _, u := range users {
		k.users[u.AddressKey()] = u
	}
	if len(keys) == 0 || r.id == "" {
		return k, nil
	}
	// SQLite would go through all lines of an import to find several addresses, because the index by
	// them is not unique; each is looked up where they are the rows that it begins with.
	places, args := db.AnyOf(5, keys)
	each := "(" + strings.ReplaceAll(places, ", ", "), (") + ")"
	err = tx.Rows(ctx, func(scan func(...any) error) error {
		var line int
		var key string
		err := scan(&line, &key)
		k.lines[key], k.done[line] = line, true
		return err
	}, `
		select i.line, i.email_key
		from (values `+each+`) k
		cross join imported i
		where i.org_id = $1 and i.import_id = $2 and i.email_key = k.column1
		union
		select line, email_key
		from imported
		where org_id = $1 and import_id = $2 and line between $3 and $4`, slices.Concat([]any{string(p.ID), r.id, first, last}, args)...)
	return k, err
}

// decide says what becomes of one entry in an organization that takes people.
func (r *run) decide(e *entry, k known) {
	key := addressKey(e.Email)
	if k.done[e.Line] && k.lines[key] == e.Line {
		e.fate.Outcome = Before
		return
	}
	role, why := r.role(e.Person)
	if why != nil {
		e.refuse(why)
	}
	e.user = r.userOf(e, role)
	cleaned, err := directory.Imported(e.user)
	switch {
	case strings.TrimSpace(e.Email) == "":
		e.refuse(ErrNoAddress)
	case err != nil:
		e.refuse(fault.All(err)...)
	}
	e.user, e.fate.Role = cleaned, role
	line, twice := r.first(e, k, key)
	u, taken := k.users[key]
	switch {
	case key == "":
	case twice:
		e.refuse(ErrAddressTwice.With("Line", line))
	case taken && u.Closed() != nil:
		e.refuse(ErrAddressShutOut)
	case taken:
		e.refuse(ErrAddressTaken)
	}
	if e.fate.Outcome != Refused {
		r.equip(e)
	}
	if e.fate.Outcome != Refused {
		r.remember(e, k, key)
	}
}

// first reports whether an earlier line of the file brought the address of e, and which.
func (r *run) first(e *entry, k known, key string) (line int, twice bool) {
	if line, twice = k.lines[key]; !twice && r.dry {
		line, twice = r.seen[r.hash(e, key)]
	}
	return line, twice
}

// remember keeps that the line of e brings an address.
func (r *run) remember(e *entry, k known, key string) {
	k.lines[key] = e.Line
	if r.dry {
		r.seen[r.hash(e, key)] = e.Line
	}
}

// hash stands for an address in an organization: a rehearsal has seen a million of them.
func (r *run) hash(e *entry, key string) uint64 {
	return maphash.String(r.seed, e.fate.Organization+"\x00"+key)
}

// equip decides which credentials come along, and what an entry without a password gets.
func (r *run) equip(e *entry) {
	e.fate.Reasons = append(e.fate.Reasons, e.Lost...)
	usable := !e.Hash.IsZero()
	lose := func(why *fault.Error) { e.fate.Reasons, usable = append(e.fate.Reasons, why), false }
	switch {
	case e.place.FederatedOnly():
		lose(ErrFederated)
	case !usable && len(e.Lost) == 0:
		lose(ErrNoHash)
	case usable && !e.Verified && !r.Trusted:
		lose(ErrUnverified)
	case usable && e.Step:
		// With the password alone somebody would come in who needed more before.
		lose(ErrStepLost)
	}
	e.user.HasPassword, e.user.SecondStep = usable, directory.NoSecondStep
	if usable && len(e.Seeds) > 0 {
		e.user.SecondStep, e.fate.App = directory.StepByApp, true
	}
	privileged := e.user.Role == directory.Owner || e.user.Role == directory.Administrator
	switch {
	case privileged && !usable && (e.Disabled || r.NoLetters):
		e.refuse(ErrPrivileged)
	case privileged && !usable:
		e.fate.Outcome = Invited
	case e.Disabled:
		e.fate.Outcome = Deactivated
	case usable:
		e.fate.Outcome = Admitted
	case r.NoLetters || e.place.FederatedOnly():
		e.fate.Outcome = Waiting
	default:
		e.fate.Outcome = Written
	}
}

// role returns the role of a person: the highest of those that are theirs here. Nobody is an owner
// unless the operator names them.
func (r *run) role(p dump.Person) (directory.Role, *fault.Error) {
	if r.owners[addressKey(p.Email)] {
		return directory.Owner, nil
	}
	best := directory.Member
	for _, theirs := range p.Roles {
		ours, mapped := r.Roles[theirs]
		if !mapped && (r.format == dump.CSV || r.format == dump.Lines) {
			ours, mapped = strings.ToLower(theirs), true // they have our names
		}
		role := directory.Role(ours)
		switch {
		case !mapped:
		case !role.Valid():
			return best, ErrRole.With("Role", theirs)
		case role == directory.Owner:
			return best, ErrOwner
		case slices.Index(directory.Roles, role) < slices.Index(directory.Roles, best):
			best = role
		}
	}
	return best, nil
}

// userOf returns a person as a user. Who has no name is called by their address up to the @.
func (r *run) userOf(e *entry, role directory.Role) directory.User {
	local, _, _ := strings.Cut(strings.TrimSpace(e.Email), "@")
	primary, _, _ := strings.Cut(strings.ReplaceAll(e.Language, "_", "-"), "-")
	language := e.place.Language
	for _, tag := range []i18n.Tag{i18n.Tag(primary), i18n.Tag(e.Language)} {
		if i18n.Known(tag) {
			language = tag
		}
	}
	u := directory.User{
		OrgID: e.place.ID, ID: e.id, Email: e.Email, GivenName: e.GivenName, FamilyName: e.FamilyName,
		Name: cmp.Or(strings.TrimSpace(e.Name), strings.TrimSpace(e.GivenName+" "+e.FamilyName), local),
		Role: role, Language: language,
	}
	if e.Disabled {
		u.DeactivatedAt = r.DB.Now()
	}
	return u
}

// addressKey returns the key of an address; empty if it is none.
func addressKey(text string) string {
	address, err := naming.ParseAddress(text)
	var wrong *fault.Error
	if errors.As(err, &wrong) || err != nil {
		return ""
	}
	return address.Key
}
