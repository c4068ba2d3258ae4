package webhook

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"parvis/internal/audit"
)

// bodyVersion is the newest shape of bodies, which new webhooks get. A shape only grows; another one
// would be another version, and who has a webhook by then keeps theirs.
const bodyVersion = 1

// timeFormat is RFC 3339 in UTC with microseconds.
const timeFormat = "2006-01-02T15:04:05.000000Z"

// Test is the type of what is sent to try an address. It is in no log.
const Test = ours + "test"

// ours is the area of what happens to webhooks.
const ours = "webhook."

// body is an event as it is sent: ids and the names of fields. What is known of people is in values
// alone.
type body struct {
	Type         string   `json:"type"`
	ID           string   `json:"id"`
	Timestamp    string   `json:"timestamp"`
	Version      int      `json:"version"`
	Sequence     *int64   `json:"sequence"`     // place in the log; null for a test
	Organization *string  `json:"organization"` // null for the installation
	Actor        actor    `json:"actor"`
	Object       *object  `json:"object"`
	Changed      []string `json:"changed"`
	Result       string   `json:"result"`
	Reference    *string  `json:"reference"` // of the request
	Session      *string  `json:"session"`   // of the actor
	Method       *string  `json:"method"`    // by which the actor proved who they are
	Region       *string  `json:"region"`
	Values       *values  `json:"values,omitempty"`

	Checkpoint *checkpoint `json:"checkpoint,omitempty"`
}

type actor struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

type object struct {
	Type string `json:"type"`
	ID   string `json:"id"`
}

// values is what somebody asked for after a fresh proof.
type values struct {
	ActorName  string       `json:"actor_name"`
	ObjectName string       `json:"object_name"`
	Network    string       `json:"network"`
	Agent      string       `json:"agent"`
	Before     audit.Fields `json:"before"`
	After      audit.Fields `json:"after"`
}

// bodyOf returns an event as a webhook is sent it.
func bodyOf(e audit.Stored, w Webhook) body {
	b := body{
		Type: string(e.Action), ID: e.ID, Timestamp: e.At.UTC().Format(timeFormat), Version: w.Version,
		Organization: orNull(e.OrgID), Actor: actor{audit.KindOf(e.Actor), e.Actor}, Changed: changedBy(e), Result: string(e.Result),
		Reference: orNull(e.Origin.Request), Session: orNull(e.Session), Method: orNull(e.Method), Region: orNull(e.Region), Checkpoint: checkpointOf(e),
	}
	if e.Sealed {
		b.Sequence = &e.Sequence
	}
	// A target of no kind may be a text that somebody typed.
	if kind := audit.Actions[e.Action].Object; kind != audit.Nothing && e.Target != "" {
		b.Object = &object{string(kind), e.Target}
	}
	if w.Values {
		b.Values = &values{e.ActorName, e.TargetName, e.Origin.Network, e.Origin.Agent, orEmpty(e.Before), orEmpty(e.After)}
	}
	return b
}

// changedBy lists the names of the fields that an event has.
func changedBy(e audit.Stored) []string {
	names := maps.Clone(orEmpty(e.Before))
	maps.Copy(names, e.After)
	return slices.AppendSeq(make([]string, 0, len(names)), slices.Values(slices.Sorted(maps.Keys(names))))
}

func orEmpty(f audit.Fields) audit.Fields {
	if f == nil {
		return audit.Fields{}
	}
	return f
}

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// line returns an event in the form of a webhook, without a line break. A webhook that a newer release
// made may have a version that this one does not know: its own nodes send that.
func (w Webhook) line(e audit.Stored) ([]byte, error) {
	if w.Version > bodyVersion {
		return nil, fmt.Errorf("webhook %s is sent version %d of bodies, and this release knows %d", w.ID, w.Version, bodyVersion)
	}
	var what any = bodyOf(e, w)
	if w.Form == OCSF {
		what = ocsf(e, w.Values)
	}
	text, err := json.Marshal(what)
	if err != nil {
		return nil, fmt.Errorf("writing event %s: %w", e.ID, err)
	}
	return text, nil
}

// Lines returns what writes events as a log without values has them, a line for each.
func Lines(into io.Writer) func([]audit.Stored) error {
	w := Webhook{Settings: Settings{Form: Own}, Version: bodyVersion}
	return func(events []audit.Stored) error {
		var all []byte
		for _, e := range events {
			text, err := w.line(e)
			if err != nil {
				return err
			}
			all = append(append(all, text...), '\n')
		}
		if _, err := into.Write(all); err != nil {
			return fmt.Errorf("printing %d events of the audit log: %w", len(events), err)
		}
		return nil
	}
}

// testOf is what tries an address.
func testOf(w Webhook, id string, at time.Time, by audit.Event) audit.Stored {
	e := audit.Stored{Event: by, ID: id, At: at}
	e.OrgID, e.Action, e.Result, e.Target, e.TargetName = string(w.OrgID), Test, audit.Done, w.ID, w.Name
	return e
}

// verbOf returns what an action does in its area.
func verbOf(a audit.Action) string {
	_, verb, _ := strings.Cut(string(a), ".")
	return verb
}
