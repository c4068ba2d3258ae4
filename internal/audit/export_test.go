package audit

import (
	"testing"

	"parvis/internal/db"
	"parvis/internal/secret"
)

// SealAsBefore seals every event as versions before the trees did, so many under a seal.
func SealAsBefore(t *testing.T, d *db.DB, keys *secret.Ring, each int) {
	t.Helper()
	err := d.Update(t.Context(), func(tx *db.Tx) error {
		previous := ""
		for seq := int64(1); ; seq++ {
			n, err := tx.Exec(t.Context(), `update audit_events set seal = $1 where id in (select id from audit_events where seal is null order by at, id limit $2)`, seq, each)
			if err != nil || n == 0 {
				return err
			}
			events, err := underSeal(t.Context(), tx, seq)
			if err != nil {
				return err
			}
			hash := seal(seq, keys.For("audit seals").Current(), previous, events)
			if _, err := tx.Exec(t.Context(), `insert into audit_seals (seq, first, last, events, hash, previous_hash, sealed_at) values ($1, '', '', $2, $3, $4, 0)`,
				seq, n, hash, previous); err != nil {
				return err
			}
			previous = hash
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
