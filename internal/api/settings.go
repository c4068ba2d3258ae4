package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"time"

	"parvis/internal/api/form"
	"parvis/internal/application"
	"parvis/internal/fault"
)

// What can be wrong with settings besides what registration says of them.
var (
	errNotOfKind  = fault.Field("", "api.not_of_kind")
	errKeysUnused = fault.Field("keys", "api.keys_unused")
)

// sentAs returns the name under which a setting is sent. Settings are sent as they are stored, except
// for times, which are seconds, and for what has no value, which is null.
func sentAs(t application.Setting) string {
	if t.Type == application.Time {
		return t.Name + "_seconds"
	}
	return t.Name
}

// ofSettings returns the settings that applications of a kind have, as they are sent.
func ofSettings(k application.Kind, s application.Settings) (out form.ApplicationSettings) {
	all := object{}
	for _, t := range application.Table {
		all[sentAs(t)] = nil
		if t.Fits(k) {
			all[sentAs(t)] = sentValue(t.Now(s))
		}
	}
	value, _ := decodeJSON(written(all)) // what was stored is shown as it is
	if err := errors.Join(fill(reflect.ValueOf(&out).Elem(), value, "")...); err != nil {
		panic(fmt.Sprintf("the form of settings is not made from their table: %v", err))
	}
	return out
}

// sentValue returns a value as it is sent. Lists and languages may be empty, and a text without a
// letter is null.
func sentValue(value any) any {
	v := reflect.ValueOf(value)
	switch lasts, ok := value.(time.Duration); {
	case ok:
		return whole(lasts)
	case v.Kind() == reflect.Map && v.IsNil():
		return object{}
	case v.Kind() == reflect.Slice && v.IsNil() && v.Type() != reflect.TypeFor[json.RawMessage]():
		return []any{}
	case v.Kind() == reflect.String && v.Len() == 0:
		return nil
	}
	return value
}

// settingsOf returns the settings that were sent for an application of a kind.
func settingsOf(k application.Kind, sent form.ApplicationSettings) (s application.Settings, err error) {
	from, known := plain(sent).(object)
	usual, as := plain(application.Defaults(k)).(object)
	if !known || !as {
		return s, errNotJSON
	}
	all := object{}
	for _, t := range application.Table {
		value := from[sentAs(t)]
		switch {
		case value == nil:
			value = usual[t.Name]
		case !t.Fits(k):
			err = errors.Join(err, wrong{pointer: "/" + sentAs(t), why: errNotOfKind})
		case t.Type == application.Time:
			value = seconds(wholeNumber(value))
		}
		if value != nil {
			all[t.Name] = value
		}
	}
	if err := json.Unmarshal(written(all), &s); err != nil {
		return s, err
	}
	if s.Auth != "" && s.Auth != application.PrivateKey && (len(s.Keys) > 0 || s.KeysURL != "") {
		err = errors.Join(err, errKeysUnused)
	}
	return s, err
}

// wholeNumber returns a number that fill took for a whole one.
func wholeNumber(value any) int64 {
	text, _ := value.(json.Number)
	n, _ := text.Int64()
	return n
}
