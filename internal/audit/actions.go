package audit

import (
	"maps"
	"slices"
	"strings"
)

// Object is the kind of thing that an action is done to, whose id is the event's target.
type Object string

// The kinds of things. A target without a kind is none, or only a name.
const (
	Nothing      Object = ""
	User         Object = "user"
	Invitation   Object = "invitation"
	Group        Object = "group"
	Organization Object = "organization"
	Domain       Object = "domain"
	Session      Object = "session"
	Device       Object = "device" // a remembered browser, an authenticator app or a passkey
	Connection   Object = "connection"
	Application  Object = "application"
	Key          Object = "key"
	Token        Object = "token" // with which a person calls the API
	Webhook      Object = "webhook"
	Source       Object = "source" // a customer's directory
)

// Objects are the kinds in the order in which people are asked about them.
var Objects = []Object{User, Invitation, Group, Session, Device, Organization, Domain, Connection, Application, Source, Token, Webhook, Key, Nothing}

// Class is the class of events that an action is in the Open Cybersecurity Schema Framework,
// category 3, Identity & Access Management.
type Class int

// The classes.
const (
	AccountChange    Class = 3001
	Authentication   Class = 3002
	EntityManagement Class = 3004
	GroupManagement  Class = 3006
)

// Meaning is what the log keeps of an action: what it is done to, and which fields its
// events may have. Personal fields hold what is known of a person; the names of actors and
// targets, networks and user agents are personal in every event.
type Meaning struct {
	Object   Object
	Fields   string // separated by spaces
	Personal string // of the same
	Class    Class
}

// What connections and applications record of themselves.
const (
	connectionFields = "allow_cbc attributes certificates client_id client_method clock_tolerance context creates endpoints entity_id groups issuer " +
		"metadata_address name name_id_format scopes secret shown sign_requests tenant unsolicited vouches want_signed"
	webhookFields     = "address form headers kind name subscribed values"
	applicationFields = "access_for address algorithm asks audience auth back_channel bound_only claims code_protection descriptions devices front_channel " +
		"id_token_for in_id_token initiate_uri keys keys_url logo name opaque own_behalf pairwise post_logout_uris pushed_only redirect_uris refresh_for " +
		"refreshes roles scopes signs_info titles"
)

// Actions are all that the log knows. The catalogue has a sentence for each under
// "audit.action.", and for each field under "audit.field.".
var Actions = map[Action]Meaning{
	"access_rules.changed":        {Organization, "devices", "", EntityManagement},
	"application.changed":         {Application, applicationFields, "", EntityManagement},
	"application.logout_failed":   {Application, "session user", "", Authentication},
	"application.opened":          {Application, "acr scope", "", Authentication},
	"application.placed":          {Application, "audience groups standing", "", EntityManagement},
	"application.registered":      {Application, applicationFields, "", EntityManagement},
	"application.removed":         {Application, applicationFields, "", EntityManagement},
	"application.secret_added":    {Application, "", "", EntityManagement},
	"application.secret_removed":  {Application, "secret", "", EntityManagement},
	"audit.chain_ended":           {Nothing, "reason seals", "", EntityManagement},
	"audit.checkpoint":            {Organization, "note size", "", EntityManagement},
	"audit.erased":                {User, "events kept_actor", "", AccountChange},
	"audit.removed":               {Organization, "before events", "", EntityManagement},
	"audit.restored":              {Organization, "as_of_backup by done_again epoch known_size lost_root lost_size made_at root size voided", "by", EntityManagement},
	"audit.keeping_changed":       {Organization, "days held", "", EntityManagement},
	"audit.exported":              {Organization, "filter format search", "search", EntityManagement},
	"bootstrap.refused":           {Nothing, "state", "", EntityManagement},
	"bootstrap.created":           {Nothing, "", "", EntityManagement},
	"client.refused":              {Application, "method", "", Authentication},
	"connection.change_discarded": {Connection, "", "", EntityManagement},
	"connection.change_entered":   {Connection, connectionFields, "", EntityManagement},
	"connection.change_taken":     {Connection, connectionFields, "", EntityManagement},
	"connection.changed":          {Connection, connectionFields, "", EntityManagement},
	"connection.confirmed":        {Connection, connectionFields, "", EntityManagement},
	"connection.created":          {Connection, "name protocol provider", "", EntityManagement},
	"connection.link_refused":     {Connection, "email state", "email", EntityManagement},
	"connection.link_opened":      {Connection, "email", "email", EntityManagement},
	"connection.link_sent":        {Connection, "email", "email", EntityManagement},
	"connection.link_withdrawn":   {Connection, "email", "email", EntityManagement},
	"connection.logo_changed":     {Connection, "logo", "", EntityManagement},
	"connection.moved":            {Connection, "position", "", EntityManagement},
	"connection.removed":          {Connection, connectionFields, "", EntityManagement},
	"connection.renewed":          {Connection, "certificates endpoints", "", EntityManagement},
	"connection.turned_off":       {Connection, "state", "", EntityManagement},
	"connection.turned_on":        {Connection, "state", "", EntityManagement},
	"consent.given":               {Application, "scope", "", Authentication},
	"consent.withdrawn":           {Application, "ended", "", Authentication},
	"device.added":                {Device, "kind", "", AccountChange},
	"device.answered":             {Application, "allowed scope", "", Authentication},
	"device.removed":              {Device, "by recovery_codes", "", AccountChange},
	"device.renamed":              {Device, "name", "", AccountChange},
	"domain.added":                {Domain, "", "", EntityManagement},
	"domain.found":                {Domain, "", "", EntityManagement},
	"domain.lapsed":               {Domain, "", "", EntityManagement},
	"domain.missing":              {Domain, "", "", EntityManagement},
	"domain.proven":               {Domain, "", "", EntityManagement},
	"domain.removed":              {Domain, "", "", EntityManagement},
	"email_change.requested":      {User, "email", "email", AccountChange},
	"email_change.withdrawn":      {User, "email", "email", AccountChange},
	"grant.ended":                 {User, "application grant reason", "", Authentication},
	"group.created":               {Group, "name", "", GroupManagement},
	"group.deleted":               {Group, "members name", "", GroupManagement},
	"group.member_added":          {User, "group group_id", "", GroupManagement},
	"group.member_removed":        {User, "group group_id", "", GroupManagement},
	"group.renamed":               {Group, "name", "", GroupManagement},
	"identity.approved":           {Connection, "email user", "email", EntityManagement},
	"identity.linked":             {Connection, "email user", "email", EntityManagement},
	"identity.unlinked":           {Connection, "email user", "email", EntityManagement},
	"installation_key.retired":    {Key, "ring why", "", EntityManagement},
	"installation_key.used":       {Key, "ring", "", EntityManagement},
	"invitation.accepted":         {Invitation, "name role user", "name", EntityManagement},
	"invitation.refused":          {Invitation, "state", "", EntityManagement},
	"invitation.resent":           {Invitation, "email language name role", "email name", EntityManagement},
	"invitation.sent":             {Invitation, "email language name role", "email name", EntityManagement},
	"invitation.withdrawn":        {Invitation, "email language name role", "email name", EntityManagement},
	"key.created":                 {Key, "algorithm signs_at why", "", EntityManagement},
	"letter.refused":              {Nothing, "kind reason", "", EntityManagement},
	"machine.confirmed":           {Application, "ends_at role scopes", "", EntityManagement},
	"machine.ended":               {Application, "ends_at role scopes", "", EntityManagement},
	"machine.granted":             {Application, "ends_at role scopes", "", EntityManagement},
	"machine.rests":               {Application, "", "", EntityManagement},
	"operator.called":             {Organization, "operation path reason", "reason", EntityManagement},
	"operator.ended":              {Application, "ends_at role scopes", "", EntityManagement},
	"operator.granted":            {Application, "ends_at role scopes", "", EntityManagement},
	"organization.changed":        {Organization, "contact invitation_lifetime language name short_name", "contact", EntityManagement},
	"organization.created":        {Organization, "language name short_name", "", EntityManagement},
	"organization.deleted":        {Organization, "short_name", "", EntityManagement},
	"organization.logo_changed":   {Organization, "logo", "", EntityManagement},
	"organization.removed":        {Organization, "deleted_at short_name", "", EntityManagement},
	"organization.restored":       {Organization, "short_name", "", EntityManagement},
	"organization.resumed":        {Organization, "", "", EntityManagement},
	"organization.suspended":      {Organization, "", "", EntityManagement},
	"password.change_demanded":    {User, "", "", AccountChange},
	"password.changed":            {User, "by", "", AccountChange},
	"password.list_unreadable":    {Nothing, "reason", "", EntityManagement},
	"password.removed":            {User, "", "", AccountChange},
	"password_rules.changed":      {Organization, "digit history lower_case maximum_length minimum_length preset reset_lifetime special upper_case", "", EntityManagement},
	"people.exported":             {Organization, "filter rows search", "search", EntityManagement},
	"recovery_code.used":          {User, "left", "", Authentication},
	"recovery_codes.made":         {User, "kind", "", AccountChange},
	"request.refused":             {Nothing, "address check counter limiter wait", "", EntityManagement},
	"reset.sent":                  {User, "", "", AccountChange},
	"second_step.help_asked":      {User, "", "", Authentication},
	"second_step.reset":           {User, "apps passkeys reason recovery_codes", "reason", AccountChange},
	"second_step_rules.changed":   {Organization, "passwordless privileged required_from tolerance", "", EntityManagement},
	"session.all_ended":           {User, "reason sessions", "", Authentication},
	"session.ended":               {Session, "reason session sessions", "", Authentication},
	"session_rules.changed":       {Organization, "absolute idle", "", EntityManagement},
	"signin.done":                 {Session, "break_glass method methods new_device", "", Authentication},
	"signin.proved_again":         {Nothing, "methods new_device", "", Authentication},
	"signin.refused":              {Nothing, "check method password reason reference slowed", "", Authentication},
	"single_logout.refused":       {Connection, "check reference", "", Authentication},
	"single_sign_on.not_only":     {Organization, "why", "", EntityManagement},
	"single_sign_on.only":         {Organization, "break_glass", "", EntityManagement},
	"token.issued":                {Token, "ends_at scopes", "", EntityManagement},
	"token.revoked":               {Token, "user", "", EntityManagement},
	"user.created":                {User, "connection email import role source state", "email", AccountChange},
	"people.import_undone":        {Organization, "import people", "", EntityManagement},
	"people.imported":             {Organization, "format import invited people", "", EntityManagement},
	"user.deactivated":            {User, "source state", "", AccountChange},
	"user.deleted":                {User, "state", "", AccountChange},
	"user.disowned":               {User, "", "", AccountChange},
	"user.email_changed":          {User, "email requested_by", "email", AccountChange},
	"user.erased":                 {User, "", "", AccountChange},
	"user.exported":               {User, "", "", EntityManagement},
	"user.link_refused":           {User, "kind state", "", Authentication},
	"user.picture_changed":        {User, "picture", "", AccountChange},
	"user.profile_changed":        {User, "family_name given_name language name time_zone", "family_name given_name name time_zone", AccountChange},
	"user.reactivated":            {User, "state", "", AccountChange},
	"user.restored":               {User, "state", "", AccountChange},
	"user.role_changed":           {User, "connection role", "", AccountChange},
	"webhook.changed":             {Webhook, webhookFields, "", EntityManagement},
	"webhook.created":             {Webhook, webhookFields, "", EntityManagement},
	"webhook.parked":              {Webhook, "failures", "", EntityManagement},
	"webhook.removed":             {Webhook, webhookFields, "", EntityManagement},
	"webhook.replayed":            {Webhook, "sequence", "", EntityManagement},
	"webhook.resumed":             {Webhook, "", "", EntityManagement},
	"webhook.secret_rotated":      {Webhook, "scheme", "", EntityManagement},
	"webhook.turned_off":          {Webhook, "reason", "", EntityManagement},
	"webhook.turned_on":           {Webhook, "", "", EntityManagement},
	"group.source_changed":        {Group, "source", "", GroupManagement},
	"source.changed":              {Source, "connection invites name provider", "", EntityManagement},
	"source.created":              {Source, "brake connection invites name provider", "", EntityManagement},
	"source.deleted":              {Source, "people", "", EntityManagement},
	"source.settled":              {Source, "agreed kind subject", "", EntityManagement},
	"source.token_issued":         {Source, "ends_at token", "", EntityManagement},
	"source.token_revoked":        {Source, "token", "", EntityManagement},
	"source.turned":               {Source, "state", "", EntityManagement},
	"user.source_changed":         {User, "source", "", AccountChange},
}

// FieldNames lists the fields of all actions, each once.
func FieldNames() []string {
	all := map[string]bool{}
	for _, m := range Actions {
		for name := range strings.FieldsSeq(m.Fields) {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Has reports whether events of the action may have a field.
func (m Meaning) Has(field string) bool { return slices.Contains(strings.Fields(m.Fields), field) }
