package credential

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// webAuthnMembers are the names that the browser's JSON may use (WebAuthn L3 §5.1.8, §5.8.1).
// The library reads them in any case, as encoding/json does.
var webAuthnMembers = strings.Fields(`id rawId type response authenticatorAttachment clientExtensionResults clientDataJSON
	attestationObject authenticatorData signature userHandle transports publicKey publicKeyAlgorithm
	challenge origin crossOrigin topOrigin tokenBinding status`)

// readable refuses an answer that no browser sends, before it is parsed: one that is too long,
// or has a member twice or in another case, because one reader takes the first and another the
// last. The same is demanded of what the browser had signed.
func readable(response []byte) error {
	if len(response) > LongestResponse {
		return refusedPasskey(fmt.Errorf("an answer of %d bytes", len(response)))
	}
	if err := unambiguous(response); err != nil {
		return refusedPasskey(err)
	}
	var inner struct {
		Response struct {
			ClientData string `json:"clientDataJSON"`
		} `json:"response"`
	}
	if json.Unmarshal(response, &inner) != nil {
		return nil //nolint:nilerr // The library says what is wrong.
	}
	// The library takes padding too.
	if signed, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(inner.Response.ClientData, "=")); err == nil && len(signed) > 0 {
		if err := unambiguous(signed); err != nil {
			return refusedPasskey(fmt.Errorf("client data: %w", err))
		}
	}
	return nil
}

// unambiguous reads one JSON value to its end.
func unambiguous(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if err := unambiguousValue(d); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one JSON value")
	}
	return nil
}

func unambiguousValue(d *json.Decoder) error {
	begins, err := d.Token()
	if err != nil {
		return err
	}
	delimiter, nested := begins.(json.Delim)
	if !nested {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if delimiter == '{' {
			name, err := d.Token()
			if err != nil {
				return err
			}
			if err := memberOnce(seen, name.(string)); err != nil { //nolint:forcetypeassert // A member's name is a string.
				return err
			}
		}
		if err := unambiguousValue(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// memberOnce folds as encoding/json does when it looks for a member.
func memberOnce(seen map[string]bool, name string) error {
	for _, known := range webAuthnMembers {
		if name != known && strings.EqualFold(name, known) {
			return fmt.Errorf("the member %.40q is written in another case", name)
		}
	}
	if seen[name] {
		return fmt.Errorf("the member %.40q comes twice", name)
	}
	seen[name] = true
	return nil
}
