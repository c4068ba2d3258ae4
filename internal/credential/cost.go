package credential

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"parvis/internal/credential/foreign"
	"parvis/internal/db"
	"parvis/internal/secret"
)

// Cost is what it costs to compute one hash: Argon2id, unless an import brought it.
type Cost struct {
	Memory uint32 // in KiB
	Passes uint32
	Lanes  uint8

	imported foreign.Cost // of a hash that another system made; zero for ours
}

// DefaultCost is the least that R-PWD-11 allows, 22 ms of one core here. When it is raised,
// each password gets the new cost at its next sign-in.
var DefaultCost = Cost{Memory: 19 * 1024, Passes: 2, Lanes: 1}

// String returns the cost as a hash writes it.
func (c Cost) String() string {
	if c.imported != (foreign.Cost{}) {
		return c.imported.String()
	}
	return fmt.Sprintf("m=%d,t=%d,p=%d", c.Memory, c.Passes, c.Lanes)
}

// parseCost reads what String writes, within bounds, so that an altered row cannot take all
// memory.
func parseCost(text string) (c Cost, ok bool) {
	if c.imported, ok = foreign.ParseCost(text); ok {
		return c, true
	}
	c.imported = foreign.Cost{}
	_, err := fmt.Sscanf(strings.ReplaceAll(text, ",", " "), "m=%d t=%d p=%d", &c.Memory, &c.Passes, &c.Lanes)
	return c, err == nil && c.String() == text && c.Memory <= 1<<18 && c.Passes-1 <= 15 && c.Lanes-1 <= 15
}

// costsFor is how long a snapshot of the costs in use is valid.
const costsFor = 24 * time.Hour

// inUse is a cost of stored passwords, and how many have it.
type inUse struct {
	Cost
	passwords uint64
}

// costsInUse reads the snapshot, imported costs first and then the lowest: an address whose draw is
// near the border of two costs then changes to the later one once, as a person does who signs in.
func costsInUse(ctx context.Context, r db.Reader) ([]inUse, error) {
	var all []inUse
	err := r.Rows(ctx, func(scan func(...any) error) error {
		var text string
		var n uint64
		err := scan(&text, &n)
		if c, ok := parseCost(text); ok {
			all = append(all, inUse{c, n})
		}
		return err
	}, `select cost, passwords from password_costs`)
	slices.SortFunc(all, func(a, b inUse) int {
		return cmp.Or(cmp.Compare(a.Memory, b.Memory), cmp.Compare(a.Passes, b.Passes), cmp.Compare(a.Lanes, b.Lanes),
			cmp.Compare(a.imported.String(), b.imported.String())) // an imported one has none of ours
	})
	return all, err
}

// drawn returns the cost of a hash for an address that has none: one of those in use, each as
// likely as it is frequent, and always the same for one address (decision 0039). If none is in
// use, it is the cost of a new hash.
//
// The key is the oldest of its ring, so that no new one changes which addresses are costly; nobody
// outside knows it. When it is taken out, no password is left that was hashed before the next one, so
// that mostly one cost is in use, and the draw changes little.
func (s *Store) drawn(address string, all []inUse) Cost {
	var total uint64
	for _, c := range all {
		total += c.passwords
	}
	place, _ := bits.Mul64(binary.BigEndian.Uint64(secret.MAC(s.pepper.Oldest().Bytes, "cost of nobody", address)), total)
	for _, c := range all {
		if place < c.passwords {
			return c.Cost
		}
		place -= c.passwords
	}
	return s.cost
}

// AsCostly makes comparing with no password cost what it costs for people who have one, drawn
// by the address that somebody gave. If stored is a password, the same is read and computed.
func (s *Store) AsCostly(ctx context.Context, r db.Reader, stored Stored, address string) (Stored, error) {
	all, err := costsInUse(ctx, r)
	if err != nil {
		return Stored{}, err
	}
	stored.nobody = s.drawn(address, all)
	return stored, nil
}

// costEnds is how much of a hash always contains its whole cost, however long, and none of its
// salt or of what is sealed, however short the cost.
const costEnds = len(importedPrefix + "pbkdf2-sha512/1000000")

// SweepCosts takes a new snapshot of the costs in use if the last is a day old.
func SweepCosts(ctx context.Context, d *db.DB) error {
	var taken db.Time
	if _, err := d.One(ctx, db.Into(&taken), `select max(taken_at) from password_costs`); err != nil {
		return err
	}
	if d.Now().Before(time.Time(taken).Add(costsFor)) {
		return nil
	}
	return TakeCosts(ctx, d)
}

// TakeCosts takes a new snapshot of the costs in use. An import calls it, because it adds many
// passwords of another cost at once.
func TakeCosts(ctx context.Context, d *db.DB) error {
	// Outside a transaction: it reads every password, and must not block any.
	counts := map[string]int64{}
	if err := d.Rows(ctx, func(scan func(...any) error) error {
		var text string
		var n int64
		err := scan(&text, &n)
		if parts := strings.Split(text, "$"); len(parts) > 3 {
			text, _, _ = strings.Cut(parts[3], ",f") // the rest is ",form=…", cut off anywhere
			counts[strings.TrimSuffix(text, ",")] += n
		}
		return err
	}, `
		select substr(p.hash, 1, $1), count(*)
		from passwords p
		join organizations o on o.id = p.org_id and o.federated_since is null
		group by 1`, costEnds); err != nil {
		return fmt.Errorf("counting what passwords cost: %w", err)
	}
	return d.Update(ctx, func(tx *db.Tx) error {
		if _, err := tx.Exec(ctx, `delete from password_costs`); err != nil {
			return err
		}
		for text, n := range counts {
			if _, ok := parseCost(text); !ok {
				continue // of an unreadable hash, with which nobody signs in
			}
			if _, err := tx.Exec(ctx, `insert into password_costs (cost, passwords, taken_at) values ($1, $2, $3)`, text, n, db.Time(tx.Now())); err != nil {
				return err
			}
		}
		return nil
	})
}
