package federation_test

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"io"
	"net/url"
	"regexp"
	"testing"
)

var requestID = regexp.MustCompile(` ID="([^"]+)"`)

// inflate reads what the redirect binding carries.
func inflate(t *testing.T, message string) string {
	t.Helper()
	deflated, err := base64.StdEncoding.DecodeString(message)
	if err != nil {
		t.Fatal(err)
	}
	document, err := io.ReadAll(flate.NewReader(bytes.NewReader(deflated)))
	if err != nil {
		t.Fatal(err)
	}
	return string(document)
}

// asked is the AuthnRequest that an address carries.
func asked(t *testing.T, address string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return inflate(t, u.Query().Get("SAMLRequest"))
}
