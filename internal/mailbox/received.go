package mailbox

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"regexp"
	"strings"
	"time"
)

// Received is a letter that came.
type Received struct {
	ID       int
	From, To string // of the envelope
	Subject  string // decoded
	Date     time.Time
	Header   netmail.Header    // as sent
	Text     string            // the text/plain part
	HTML     string            // the text/html part
	Links    []string          // web addresses in Text, in order
	Inside   map[string][]byte // pictures that come with HTML, by their Content-ID
	Raw      []byte
}

var (
	webAddress  = regexp.MustCompile(`https?://[^\s<>"]+`)
	wordDecoder mime.WordDecoder
)

func parse(raw []byte) (Received, error) {
	m, err := netmail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Received{}, err
	}
	r := Received{Header: m.Header, Raw: raw, Subject: m.Header.Get("Subject")}
	if s, err := wordDecoder.DecodeHeader(r.Subject); err == nil {
		r.Subject = s
	}
	if r.Date, err = m.Header.Date(); err != nil {
		return Received{}, err
	}
	if err := r.read(m.Header.Get, m.Body, 0); err != nil {
		return Received{}, err
	}
	for _, link := range webAddress.FindAllString(r.Text, -1) {
		r.Links = append(r.Links, strings.TrimRight(link, ".,;:!?)"))
	}
	return r, nil
}

// deepest is how many levels of parts within parts are read.
const deepest = 4

// read takes the first text and the first HTML out of a part and the parts in
// it. header gives the part's header fields.
func (r *Received) read(header func(string) string, body io.Reader, depth int) error {
	kind, parameters, err := mime.ParseMediaType(header("Content-Type"))
	if err != nil {
		kind = "text/plain" // RFC 2045 §5.2
	}
	if strings.HasPrefix(kind, "multipart/") {
		if depth == deepest {
			return errors.New("too many parts within parts")
		}
		parts := multipart.NewReader(body, parameters["boundary"])
		for {
			p, err := parts.NextRawPart()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := r.read(p.Header.Get, p, depth+1); err != nil {
				return err
			}
		}
	}
	switch strings.ToLower(header("Content-Transfer-Encoding")) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	content, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if id := strings.Trim(header("Content-Id"), "<>"); id != "" && kind == "image/png" {
		if r.Inside == nil {
			r.Inside = map[string][]byte{}
		}
		r.Inside[id] = content
	}
	text := strings.ReplaceAll(string(content), "\r\n", "\n")
	switch {
	case kind == "text/plain" && r.Text == "":
		r.Text = text
	case kind == "text/html" && r.HTML == "":
		r.HTML = text
	}
	return nil
}
