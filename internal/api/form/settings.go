// Code generated from application.Table by TestTheSettingsAreThoseOfTheTable with -update. DO NOT EDIT.

package form

import "encoding/json"

// ApplicationSettings is what is registered for an application. Null is what is usual for its kind
// and, in answers, what its kind does not have.
type ApplicationSettings struct {
	Name              string             `json:"name" says:"console.setting.name"`
	Titles            *map[string]string `json:"titles" says:"console.setting.titles"`
	Descriptions      *map[string]string `json:"descriptions" says:"console.setting.descriptions"`
	Address           *string            `json:"address" says:"console.setting.address"`
	InitiateURI       *string            `json:"initiate_uri" says:"console.setting.initiate_uri"`
	RedirectURIs      *[]string          `json:"redirect_uris" says:"console.setting.redirect_uris"`
	Asks              *bool              `json:"asks" says:"console.setting.asks"`
	PostLogoutURIs    *[]string          `json:"post_logout_uris" says:"console.setting.post_logout_uris"`
	BackChannel       *string            `json:"back_channel" says:"console.setting.back_channel"`
	FrontChannel      *string            `json:"front_channel" says:"console.setting.front_channel"`
	Scopes            *[]string          `json:"scopes" says:"console.setting.scopes"`
	Auth              *string            `json:"auth" enum:"secret private_key_jwt none" says:"console.setting.auth"`
	Keys              *json.RawMessage   `json:"keys" says:"console.setting.keys"`
	KeysURL           *string            `json:"keys_url" says:"console.setting.keys_url"`
	CodeProtection    *string            `json:"code_protection" enum:"pkce pkce_or_nonce none" says:"console.setting.code_protection"`
	Claims            *[]Claim           `json:"claims" says:"console.setting.claims"`
	Roles             *[]RoleOf          `json:"roles" says:"console.setting.roles"`
	AccessForSeconds  *int64             `json:"access_for_seconds" says:"console.setting.access_for"`
	IDTokenForSeconds *int64             `json:"id_token_for_seconds" says:"console.setting.id_token_for"`
	RefreshForSeconds *int64             `json:"refresh_for_seconds" says:"console.setting.refresh_for"`
	Refreshes         *bool              `json:"refreshes" says:"console.setting.refreshes"`
	InIDToken         *bool              `json:"in_id_token" says:"console.setting.in_id_token"`
	Pairwise          *bool              `json:"pairwise" says:"console.setting.pairwise"`
	SignsInfo         *bool              `json:"signs_info" says:"console.setting.signs_info"`
	Devices           *bool              `json:"devices" says:"console.setting.devices"`
	OwnBehalf         *bool              `json:"own_behalf" says:"console.setting.own_behalf"`
	Opaque            *bool              `json:"opaque" says:"console.setting.opaque"`
	BoundOnly         *bool              `json:"bound_only" says:"console.setting.bound_only"`
	PushedOnly        *bool              `json:"pushed_only" says:"console.setting.pushed_only"`
	Algorithm         *string            `json:"algorithm" enum:"ES256 RS256" says:"console.setting.algorithm"`
	Audience          *string            `json:"audience" says:"console.setting.audience"`
}

// Claim is an entry of the setting claims.
type Claim struct {
	Name   string `json:"name"`
	Source string `json:"source" enum:"name email role language groups user_id organization fixed"`
	Value  string `json:"value" optional:"true"`
}

// RoleOf is an entry of the setting roles.
type RoleOf struct {
	Group string `json:"group"`
	Role  string `json:"role"`
}
