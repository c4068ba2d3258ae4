package db

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Time stores a time as microseconds since 1970 in UTC, in a bigint. This is the only form
// that both databases return unchanged. The zero time is NULL.
//
// Convert in place: db.Time(t) as an argument, (*db.Time)(&t) as a target.
type Time time.Time

// Value implements driver.Valuer.
func (t Time) Value() (driver.Value, error) {
	if time.Time(t).IsZero() {
		return nil, nil
	}
	return time.Time(t).UnixMicro(), nil
}

// Scan implements sql.Scanner.
func (t *Time) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*t = Time{}
	case int64:
		*t = Time(time.UnixMicro(v).UTC())
	default:
		return fmt.Errorf("a time is stored as microseconds, not as %T", v)
	}
	return nil
}

// Text stores an optional text, such as a reference to a row that need not exist. An empty
// text is NULL.
type Text string

// Value implements driver.Valuer.
func (t Text) Value() (driver.Value, error) {
	if t == "" {
		return nil, nil
	}
	return string(t), nil
}

// Scan implements sql.Scanner.
func (t *Text) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*t = ""
	case string:
		*t = Text(v)
	case []byte:
		*t = Text(v)
	default:
		return fmt.Errorf("a text is not stored as %T", v)
	}
	return nil
}

// Words is the target of a column with words between spaces.
func Words[T ~string](into *[]T) any {
	return target(func(text string) error {
		*into = nil
		for word := range strings.FieldsSeq(text) {
			*into = append(*into, T(word))
		}
		return nil
	})
}

// JSON is the target of a column with JSON. Nothing stays of what into held before, which a
// transaction that runs again may have scanned there.
func JSON[T any](into *T) any {
	return target(func(text string) error {
		var fresh T
		err := json.Unmarshal([]byte(text), &fresh)
		*into = fresh
		return err
	})
}

// target reads a text; NULL is the empty one.
type target func(string) error

// Scan implements sql.Scanner.
func (t target) Scan(v any) error {
	var text Text
	if err := text.Scan(v); err != nil {
		return err
	}
	return t(string(text))
}

// Day returns the beginning of the day of t in UTC.
func Day(t time.Time) time.Time { return t.UTC().Truncate(24 * time.Hour) }
