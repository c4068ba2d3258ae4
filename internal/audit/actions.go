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
	Token        Object = "token"  // with which a person calls the API
	Source       Object = "source" // a customer's directory
)

// Objects are the kinds in the order in which people are asked about them.
var Objects = []Object{User, Invitation, Group, Session, Device, Organization, Domain, Connection, Application, Source, Token, Key, Nothing}

// Meaning is what the log keeps of an action: what it is done to, and which fields its
// events may have. Personal fields hold what is known of a person; the names of actors and
// targets, networks and user agents are personal in every event.
type Meaning struct {
	Object   Object
	Fields   string // separated by spaces
	Personal string // of the same
}

// What connections and applications record of themselves.
const (
	connectionFields = "allow_cbc attributes certificates client_id client_method clock_tolerance context creates endpoints entity_id groups issuer " +
		"metadata_address name name_id_format scopes secret shown sign_requests tenant unsolicited vouches want_signed"
	applicationFields = "access_for address algorithm asks audience auth back_channel bound_only claims code_protection descriptions devices front_channel " +
		"id_token_for in_id_token initiate_uri keys keys_url logo name opaque own_behalf pairwise post_logout_uris pushed_only redirect_uris refresh_for " +
		"refreshes roles scopes signs_info titles"
)

// Actions are all that the log knows. The catalogue has a sentence for each under
// "audit.action.", and for each field under "audit.field.".
var Actions = map[Action]Meaning{
	"access_rules.changed":        {Organization, "devices", ""},
	"application.changed":         {Application, applicationFields, ""},
	"application.opened":          {Application, "acr scope", ""},
	"application.placed":          {Application, "audience groups standing", ""},
	"application.registered":      {Application, applicationFields, ""},
	"application.removed":         {Application, applicationFields, ""},
	"application.secret_added":    {Application, "", ""},
	"application.secret_removed":  {Application, "secret", ""},
	"audit.chain_ended":           {Nothing, "reason seals", ""},
	"audit.erased":                {User, "events kept_actor", ""},
	"audit.removed":               {Organization, "before events", ""},
	"audit.keeping_changed":       {Organization, "days held", ""},
	"audit.exported":              {Organization, "filter format search", "search"},
	"bootstrap.created":           {Nothing, "", ""},
	"client.refused":              {Application, "method", ""},
	"connection.change_discarded": {Connection, "", ""},
	"connection.change_entered":   {Connection, connectionFields, ""},
	"connection.change_taken":     {Connection, connectionFields, ""},
	"connection.changed":          {Connection, connectionFields, ""},
	"connection.confirmed":        {Connection, connectionFields, ""},
	"connection.created":          {Connection, "name protocol provider", ""},
	"connection.link_opened":      {Connection, "email", "email"},
	"connection.link_sent":        {Connection, "email", "email"},
	"connection.link_withdrawn":   {Connection, "email", "email"},
	"connection.logo_changed":     {Connection, "logo", ""},
	"connection.moved":            {Connection, "position", ""},
	"connection.removed":          {Connection, connectionFields, ""},
	"connection.renewed":          {Connection, "certificates endpoints", ""},
	"connection.turned_off":       {Connection, "state", ""},
	"connection.turned_on":        {Connection, "state", ""},
	"consent.given":               {Application, "scope", ""},
	"consent.withdrawn":           {Application, "ended", ""},
	"device.added":                {Device, "kind", ""},
	"device.answered":             {Application, "allowed scope", ""},
	"device.removed":              {Device, "by recovery_codes", ""},
	"device.renamed":              {Device, "name", ""},
	"domain.added":                {Domain, "", ""},
	"domain.found":                {Domain, "", ""},
	"domain.lapsed":               {Domain, "", ""},
	"domain.missing":              {Domain, "", ""},
	"domain.proven":               {Domain, "", ""},
	"domain.removed":              {Domain, "", ""},
	"email_change.requested":      {User, "email", "email"},
	"email_change.withdrawn":      {User, "email", "email"},
	"grant.ended":                 {User, "application grant reason", ""},
	"group.created":               {Group, "name", ""},
	"group.deleted":               {Group, "members name", ""},
	"group.member_added":          {User, "group group_id", ""},
	"group.member_removed":        {User, "group group_id", ""},
	"group.renamed":               {Group, "name", ""},
	"group.source_changed":        {Group, "source", ""},
	"identity.approved":           {Connection, "email user", "email"},
	"identity.linked":             {Connection, "email user", "email"},
	"identity.unlinked":           {Connection, "email user", "email"},
	"invitation.accepted":         {Invitation, "name role user", "name"},
	"invitation.refused":          {Invitation, "state", ""},
	"invitation.resent":           {Invitation, "email language name role", "email name"},
	"invitation.sent":             {Invitation, "email language name role", "email name"},
	"invitation.withdrawn":        {Invitation, "email language name role", "email name"},
	"key.created":                 {Key, "algorithm signs_at why", ""},
	"machine.confirmed":           {Application, "ends_at role scopes", ""},
	"machine.ended":               {Application, "ends_at role scopes", ""},
	"machine.granted":             {Application, "ends_at role scopes", ""},
	"machine.rests":               {Application, "", ""},
	"operator.called":             {Organization, "operation path reason", "reason"},
	"operator.ended":              {Application, "ends_at role scopes", ""},
	"operator.granted":            {Application, "ends_at role scopes", ""},
	"organization.changed":        {Organization, "contact invitation_lifetime language name short_name", "contact"},
	"organization.created":        {Organization, "language name short_name", ""},
	"organization.logo_changed":   {Organization, "logo", ""},
	"organization.resumed":        {Organization, "", ""},
	"organization.suspended":      {Organization, "", ""},
	"password.change_demanded":    {User, "", ""},
	"password.changed":            {User, "by", ""},
	"password.removed":            {User, "", ""},
	"password_rules.changed":      {Organization, "digit history lower_case maximum_length minimum_length preset reset_lifetime special upper_case", ""},
	"people.exported":             {Organization, "filter rows search", "search"},
	"recovery_code.used":          {User, "left", ""},
	"recovery_codes.made":         {User, "kind", ""},
	"request.refused":             {Nothing, "", ""},
	"reset.sent":                  {User, "", ""},
	"second_step.help_asked":      {User, "", ""},
	"second_step.reset":           {User, "apps passkeys reason recovery_codes", "reason"},
	"second_step_rules.changed":   {Organization, "passwordless privileged required_from tolerance", ""},
	"session.all_ended":           {User, "reason sessions", ""},
	"session.ended":               {Session, "reason session sessions", ""},
	"session_rules.changed":       {Organization, "absolute idle", ""},
	"signin.done":                 {Session, "break_glass method methods new_device", ""},
	"signin.proved_again":         {Nothing, "methods new_device", ""},
	"signin.refused":              {Nothing, "check method password reason reference slowed", ""},
	"single_logout.refused":       {Connection, "check reference", ""},
	"single_sign_on.not_only":     {Organization, "why", ""},
	"single_sign_on.only":         {Organization, "break_glass", ""},
	"token.issued":                {Token, "ends_at scopes", ""},
	"token.revoked":               {Token, "user", ""},
	"source.changed":              {Source, "invites name provider", ""},
	"source.created":              {Source, "brake invites name provider", ""},
	"source.deleted":              {Source, "people", ""},
	"source.settled":              {Source, "agreed kind subject", ""},
	"source.token_issued":         {Source, "ends_at token", ""},
	"source.token_revoked":        {Source, "token", ""},
	"source.turned":               {Source, "state", ""},
	"user.created":                {User, "connection email role source", "email"},
	"user.deactivated":            {User, "state", ""},
	"user.deleted":                {User, "state", ""},
	"user.disowned":               {User, "", ""},
	"user.email_changed":          {User, "email requested_by", "email"},
	"user.erased":                 {User, "", ""},
	"user.picture_changed":        {User, "picture", ""},
	"user.profile_changed":        {User, "family_name given_name language name time_zone", "family_name given_name name time_zone"},
	"user.reactivated":            {User, "state", ""},
	"user.restored":               {User, "state", ""},
	"user.role_changed":           {User, "connection role", ""},
	"user.source_changed":         {User, "source", ""},
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
