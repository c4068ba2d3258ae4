package webhook

import (
	"fmt"

	"parvis/internal/audit"
)

// ocsfVersion is the version of the Open Cybersecurity Schema Framework that events are written in.
const ocsfVersion = "1.3.0"

// ocsfEvent is an event of category 3, Identity & Access Management. It has what its class requires
// and what the log knows; what the framework has no place for stands in unmapped.
type ocsfEvent struct {
	CategoryUID  int            `json:"category_uid"`
	CategoryName string         `json:"category_name"`
	ClassUID     int            `json:"class_uid"`
	ClassName    string         `json:"class_name"`
	ActivityID   int            `json:"activity_id"`
	ActivityName string         `json:"activity_name"`
	TypeUID      int            `json:"type_uid"`
	TypeName     string         `json:"type_name"`
	Time         int64          `json:"time"` // milliseconds
	SeverityID   int            `json:"severity_id"`
	Severity     string         `json:"severity"`
	StatusID     int            `json:"status_id"`
	Status       string         `json:"status"`
	Message      string         `json:"message"`
	Metadata     ocsfMetadata   `json:"metadata"`
	Actor        ocsfActor      `json:"actor"`
	User         *ocsfUser      `json:"user,omitempty"`
	Group        *ocsfGroup     `json:"group,omitempty"`
	Entity       *ocsfEntity    `json:"entity,omitempty"`
	Service      *ocsfNamed     `json:"service,omitempty"`
	Source       *ocsfEndpoint  `json:"src_endpoint,omitempty"`
	HTTP         *ocsfHTTP      `json:"http_request,omitempty"`
	Unmapped     map[string]any `json:"unmapped"`
}

type ocsfMetadata struct {
	Version     string      `json:"version"`
	Product     ocsfProduct `json:"product"`
	UID         string      `json:"uid"`
	EventCode   string      `json:"event_code"`
	Sequence    *int64      `json:"sequence,omitempty"`
	Correlation string      `json:"correlation_uid,omitempty"`
	Tenant      string      `json:"tenant_uid,omitempty"`
}

type ocsfProduct struct {
	Name   string `json:"name"`
	Vendor string `json:"vendor_name"`
}

type ocsfActor struct {
	User    *ocsfUser    `json:"user,omitempty"`
	App     string       `json:"app_uid,omitempty"`
	Session *ocsfSession `json:"session,omitempty"`
}

type ocsfSession struct {
	UID string `json:"uid"`
}

type ocsfUser struct {
	UID    string `json:"uid"`
	Name   string `json:"name,omitempty"`
	TypeID int    `json:"type_id"`
	Type   string `json:"type"`
}

type ocsfGroup struct {
	UID  string `json:"uid"`
	Name string `json:"name,omitempty"`
}

type ocsfEntity struct {
	UID  string `json:"uid"`
	Name string `json:"name,omitempty"`
	Type string `json:"type"`
}

type ocsfNamed struct {
	Name string `json:"name"`
}

type ocsfEndpoint struct {
	IP string `json:"ip"`
}

type ocsfHTTP struct {
	Agent string `json:"user_agent"`
}

// activity is what was done, within a class.
type activity struct {
	id   int
	name string
}

var other = activity{99, "Other"}

// activities are what actions are called within their class, by the whole action, or what it does.
var activities = map[audit.Class]map[string]activity{
	audit.AccountChange: {
		"user.created": {1, "Create"}, "user.reactivated": {2, "Enable"}, "user.restored": {2, "Enable"},
		"password.changed": {3, "Password Change"}, "reset.sent": {4, "Password Reset"}, "password.change_demanded": {4, "Password Reset"},
		"user.deactivated": {5, "Disable"}, "user.deleted": {6, "Delete"}, "user.erased": {6, "Delete"},
		"device.added": {10, "MFA Factor Enable"}, "device.removed": {11, "MFA Factor Disable"}, "second_step.reset": {11, "MFA Factor Disable"},
	},
	audit.Authentication: {
		"signin.done": {1, "Logon"}, "signin.refused": {1, "Logon"}, "session.ended": {2, "Logoff"}, "session.all_ended": {2, "Logoff"}, "application.logout_failed": {2, "Logoff"},
		"application.opened": {4, "Service Ticket Request"}, "client.refused": {4, "Service Ticket Request"},
	},
	audit.EntityManagement: {
		"created": {1, "Create"}, "registered": {1, "Create"}, "added": {1, "Create"}, "sent": {1, "Create"}, "issued": {1, "Create"},
		"link_sent": {1, "Create"}, "secret_added": {1, "Create"}, "granted": {1, "Create"},
		"exported": {2, "Read"}, "link_opened": {2, "Read"},
		"removed": {4, "Delete"}, "deleted": {4, "Delete"}, "withdrawn": {4, "Delete"}, "revoked": {4, "Delete"}, "link_withdrawn": {4, "Delete"},
		"secret_removed": {4, "Delete"}, "ended": {4, "Delete"},
	},
	audit.GroupManagement: {
		"group.member_added": {3, "Add User"}, "group.member_removed": {4, "Remove User"}, "group.deleted": {5, "Delete"}, "group.created": {6, "Create"},
	},
}

var classNames = map[audit.Class]string{
	audit.AccountChange: "Account Change", audit.Authentication: "Authentication", audit.EntityManagement: "Entity Management", audit.GroupManagement: "Group Management",
}

// activityOf returns what an action is called in its class.
func activityOf(a audit.Action, class audit.Class) activity {
	if known, ok := activities[class][string(a)]; ok {
		return known
	}
	if class == audit.EntityManagement {
		if known, ok := activities[class][verbOf(a)]; ok {
			return known
		}
		return activity{3, "Update"}
	}
	return other
}

// ocsf returns an event as the framework has it. It is a function of the event alone.
func ocsf(e audit.Stored, withValues bool) ocsfEvent {
	meaning, known := audit.Actions[e.Action]
	class := meaning.Class
	if !known {
		class, meaning.Object = audit.EntityManagement, audit.Webhook // a test
	}
	did := activityOf(e.Action, class)
	o := ocsfEvent{
		CategoryUID: 3, CategoryName: "Identity & Access Management", ClassUID: int(class), ClassName: classNames[class],
		ActivityID: did.id, ActivityName: did.name, TypeUID: int(class)*100 + did.id, TypeName: classNames[class] + ": " + did.name,
		Time: e.At.UnixMilli(), SeverityID: 1, Severity: "Informational", StatusID: 1, Status: "Success", Message: string(e.Action),
		Metadata: ocsfMetadata{
			Version: ocsfVersion, Product: ocsfProduct{"Parvis", "Parvis"}, UID: e.ID, EventCode: string(e.Action), Correlation: e.Origin.Request, Tenant: e.OrgID,
		},
		Unmapped: map[string]any{"changed": changedBy(e)},
	}
	if e.Sealed {
		o.Metadata.Sequence = &e.Sequence
	}
	if c := checkpointOf(e); c != nil {
		o.Unmapped["checkpoint"] = c
	}
	if e.Result == audit.Refused {
		o.StatusID, o.Status, o.SeverityID, o.Severity = 2, "Failure", 2, "Low"
	}
	if !withValues {
		e.ActorName, e.TargetName = "", ""
	}
	o.Actor = actorOf(e)
	if e.Session != "" {
		o.Actor.Session = &ocsfSession{e.Session}
	}
	for name, value := range map[string]string{"method": e.Method, "region": e.Region} {
		if value != "" {
			o.Unmapped[name] = value
		}
	}
	o.about(e, class, meaning.Object)
	if withValues {
		o.Unmapped["before"], o.Unmapped["after"] = orEmpty(e.Before), orEmpty(e.After)
		if e.Origin.Network != "" {
			o.Source = &ocsfEndpoint{e.Origin.Network}
		}
		if e.Origin.Agent != "" {
			o.HTTP = &ocsfHTTP{e.Origin.Agent}
		}
	}
	return o
}

// actorOf says who did it: a user, or something that acts by itself.
func actorOf(e audit.Stored) ocsfActor {
	switch kind := audit.KindOf(e.Actor); kind {
	case "user":
		return ocsfActor{User: &ocsfUser{UID: e.Actor, Name: e.ActorName, TypeID: 1, Type: "User"}}
	case audit.Operator:
		return ocsfActor{User: &ocsfUser{UID: e.Actor, TypeID: 2, Type: "Admin"}}
	case audit.System:
		return ocsfActor{User: &ocsfUser{UID: e.Actor, TypeID: 3, Type: "System"}}
	case audit.Anonymous, "":
		return ocsfActor{User: &ocsfUser{UID: audit.Anonymous, TypeID: 0, Type: "Unknown"}}
	}
	return ocsfActor{App: e.Actor}
}

// about says what it was done to, as the class requires it.
func (o *ocsfEvent) about(e audit.Stored, class audit.Class, kind audit.Object) {
	target := &ocsfUser{UID: e.Target, Name: e.TargetName, TypeID: 1, Type: "User"}
	switch class {
	case audit.AccountChange:
		o.User = target
		if kind != audit.User { // what a person has: it is theirs who did it
			o.User = &ocsfUser{UID: e.Actor, Name: e.ActorName, TypeID: 1, Type: "User"}
			o.Entity = &ocsfEntity{UID: e.Target, Name: e.TargetName, Type: string(kind)}
		}
	case audit.Authentication:
		o.Service = &ocsfNamed{"Parvis"}
		if o.User = o.Actor.User; kind == audit.User {
			o.User = target
		}
		if o.User == nil {
			o.User = &ocsfUser{UID: e.Actor, Name: e.ActorName, TypeID: 99, Type: "Other"}
		}
		if kind == audit.Application || kind == audit.Connection {
			o.Entity = &ocsfEntity{UID: e.Target, Name: e.TargetName, Type: string(kind)}
		}
	case audit.GroupManagement:
		o.Group = &ocsfGroup{UID: e.Target, Name: e.TargetName}
		if kind == audit.User {
			o.User, o.Group = target, &ocsfGroup{UID: fmt.Sprint(field(e, "group_id"))}
			if e.TargetName != "" {
				o.Group.Name = fmt.Sprint(field(e, "group"))
			}
		}
	case audit.EntityManagement:
		o.Entity = &ocsfEntity{UID: e.Target, Name: e.TargetName, Type: string(kind)}
		if kind == audit.Nothing {
			o.Entity = &ocsfEntity{UID: e.OrgID, Type: string(audit.Organization)}
		}
	}
}

// field returns the value that a field has or had.
func field(e audit.Stored, name string) any {
	if v, ok := e.After[name]; ok {
		return v
	}
	if v, ok := e.Before[name]; ok {
		return v
	}
	return ""
}
