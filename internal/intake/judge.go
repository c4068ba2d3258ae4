package intake

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"strings"

	"parvis/internal/db"
	"parvis/internal/directory"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/intake/dump"
	"parvis/internal/naming"
)

// arrival is a person of the file in one organization, before it is known who is there.
type arrival struct {
	*dump.Person
	place *place
	key   string // of the address; empty where it is none
	fate  Fate
}

// entry is an arrival that is judged.
type entry struct {
	arrival
	id   directory.UserID // of user
	user directory.User
}

// refuse makes an arrival one that brings nobody.
func (a *arrival) refuse(reasons ...*fault.Error) {
	a.fate.Outcome, a.fate.Reasons = Refused, append(a.fate.Reasons, reasons...)
}

// arrivals returns the people who were read, once for each of their organizations.
func (r *run) arrivals(ctx context.Context) ([]arrival, error) {
	var all []arrival
	for i := range r.gathered {
		p := &r.gathered[i]
		a := arrival{Person: p, key: addressKey(p.Email), fate: Fate{Line: p.Line, Email: p.Email}}
		names := p.Organizations
		if r.Organization != "" {
			names = []string{r.Organization}
		}
		switch {
		case p.Broken != nil:
			a.refuse(p.Broken)
		case len(names) == 0:
			a.refuse(ErrNoOrganization)
		}
		if a.fate.Outcome == Refused {
			all = append(all, a)
			continue
		}
		for _, name := range names {
			var err error
			if a.place, err = r.place(ctx, name); err != nil {
				return nil, err
			}
			a.fate.Organization = cmp.Or(a.place.ShortName, name)
			all = append(all, a)
		}
	}
	return all, nil
}

// beNeighbours sorts arrivals so that those of one transaction are neighbours in the indexes by address,
// and mostly in those by name. Of one address the earlier line stays the first.
func beNeighbours(all []arrival) {
	slices.SortStableFunc(all, func(a, b arrival) int {
		return cmp.Or(strings.Compare(a.fate.Organization, b.fate.Organization), strings.Compare(a.key, b.key))
	})
}

// known is what an organization has of the people of a batch already.
type known struct {
	users map[string]directory.User // by the key of their address
	done  map[string]int            // the line that brought an address, by an earlier transaction of this import
	lines map[string]int            // the same, and by this one
}

// judge says what becomes of each arrival.
func (r *run) judge(ctx context.Context, tx *db.Tx, part []arrival) ([]entry, error) {
	judged := make([]entry, len(part))
	for i, a := range part {
		judged[i].arrival = a
	}
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
	k := known{map[string]directory.User{}, map[string]int{}, map[string]int{}}
	if p.fresh {
		return k, nil
	}
	var emails, keys []string
	for _, e := range entries {
		if e.place == p && e.key != "" {
			emails, keys = append(emails, e.Email), append(keys, e.key)
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
	places, args := db.AnyOf(3, keys)
	each := "(" + strings.ReplaceAll(places, ", ", "), (") + ")"
	err = tx.Rows(ctx, func(scan func(...any) error) error {
		var line int
		var key string
		err := scan(&line, &key)
		k.lines[key], k.done[key] = line, line
		return err
	}, `
		select i.line, i.email_key
		from (values `+each+`) k
		cross join imported i
		where i.org_id = $1 and i.import_id = $2 and i.email_key = k.column1`, slices.Concat([]any{string(p.ID), r.id}, args)...)
	return k, err
}

// decide says what becomes of one entry in an organization that takes people.
func (r *run) decide(e *entry, k known) {
	if line, done := k.done[e.key]; done && line == e.Line {
		e.fate.Outcome = Before
		return
	}
	role, why := r.role(*e.Person)
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
	line, twice := r.first(e, k)
	u, taken := k.users[e.key]
	switch {
	case e.key == "":
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
		r.remember(e, k)
	}
}

// first reports whether an earlier line of the file brought the address of e, and which.
func (r *run) first(e *entry, k known) (line int, twice bool) {
	if line, twice = k.lines[e.key]; !twice && r.dry {
		line, twice = r.seen[r.hash(e)]
	}
	return line, twice
}

// remember keeps that the line of e brings an address.
func (r *run) remember(e *entry, k known) {
	k.lines[e.key] = e.Line
	if r.dry {
		r.seen[r.hash(e)] = e.Line
	}
}

// hash stands for an address in an organization: a rehearsal has seen a million of them.
func (r *run) hash(e *entry) uint64 {
	return maphash.String(r.seed, e.fate.Organization+"\x00"+e.key)
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
