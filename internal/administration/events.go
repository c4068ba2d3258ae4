package administration

import (
	"context"
	"io"
	"strconv"

	"parvis/internal/administration/sheet"
	"parvis/internal/audit"
	"parvis/internal/db"
	"parvis/internal/directory"
)

// EventExport is an export of an audit log: as JSON Lines, which cmd/auditverify checks, or as a
// table.
type EventExport struct {
	Query audit.Query
	Lines io.Writer // nil for a table
	Table *sheet.Table
}

// eventColumns are the same in every language, as those of people.
var eventColumns = []string{"sequence", "time_utc", "id", "actor", "actor_name", "action", "result", "target", "target_name", "before", "after", "network", "agent", "request", "erased",
	"session", "method", "region"}

// ExportEvents writes the sealed events of an organization, after it recorded that the actor has
// them. The actor's right is read again for each 1,000.
func (s *Service) ExportEvents(ctx context.Context, actor directory.Actor, org directory.OrgID, x EventExport) error {
	x.Query.OrgID = string(org)
	may := func(ctx context.Context, r db.Reader) error { return actor.MayReadAudit(ctx, r, org) }
	err := s.DB.Update(ctx, func(tx *db.Tx) error {
		if err := may(ctx, tx); err != nil {
			return err
		}
		e := actor.Event(org, "audit.exported")
		e.Target = string(org)
		e.After = audit.Fields{"filter": x.Query.Text(), "format": map[bool]string{true: "jsonl", false: "csv"}[x.Lines != nil], "search": x.Query.Search}
		return audit.Record(ctx, tx, e)
	})
	if err != nil {
		return err
	}
	if x.Lines != nil {
		return s.Audit.Export(ctx, s.DB, audit.Export{Query: x.Query, Into: x.Lines, Again: may})
	}
	return s.eventTable(ctx, x, may)
}

func (s *Service) eventTable(ctx context.Context, x EventExport, may func(context.Context, db.Reader) error) error {
	selection, err := audit.Select(ctx, s.DB, x.Query)
	if err == nil {
		err = x.Table.Rows(eventColumns)
	}
	for err == nil {
		if err = may(ctx, s.DB); err != nil {
			break
		}
		var events []audit.Stored
		if events, err = selection.Next(ctx, s.DB); err != nil || len(events) == 0 {
			break
		}
		cells := make([][]string, 0, len(events))
		for i := range events {
			cells = append(cells, eventCells(&events[i]))
		}
		err = x.Table.Rows(cells...)
	}
	return err
}

// eventCells returns what a table has of an event.
func eventCells(e *audit.Stored) []string {
	before, after := e.Texts()
	erased := ""
	switch {
	case e.ErasedBy && e.ErasedOf:
		erased = "actor and target"
	case e.ErasedBy:
		erased = "actor"
	case e.ErasedOf:
		erased = "target"
	}
	return []string{
		strconv.FormatInt(e.Leaf, 10), e.At.UTC().Format("2006-01-02 15:04:05.000000"), e.ID, e.Actor, e.ActorName, string(e.Action), string(e.Result),
		e.Target, e.TargetName, before, after, e.Origin.Network, e.Origin.Agent, e.Origin.Request, erased,
		e.Session, e.Method, e.Region,
	}
}
