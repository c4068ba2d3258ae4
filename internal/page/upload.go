package page

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"parvis/internal/edge"
	"parvis/internal/fault"
	"parvis/internal/picture"
)

// What a form with a file may have. A file that is too long is read to its end, so that its
// sender can be told on the page; one that is far too long is cut off.
const (
	maxFile   = 1 << 20
	maxUpload = 16 << 20
)

// fileMark begins the name of a field for a file; no name on a form begins with it.
const fileMark = "file:"

// File names the field of a form that takes a file. A form has at most one.
func File(name string) string { return fileMark + name }

// file returns the name of the field that takes a file, or empty.
func (f Fields) file() string {
	for _, name := range f {
		if name, ok := strings.CutPrefix(name, fileMark); ok {
			return name
		}
	}
	return ""
}

// upload is a file that came with a form. It is never shown again, kept or logged, and neither is
// its name; keepText says what becomes of text.
type upload struct {
	field   string
	content []byte // cut off at one byte more than maxFile
}

// readUpload reads a form that came with a file, as strictly as any other: one part per field,
// and a file only where one belongs.
func (v *Visitor) readUpload(fields Fields) error {
	v.R.Body = http.MaxBytesReader(v.W, v.R.Body, maxUpload)
	parts, err := v.R.MultipartReader()
	if err != nil {
		return errMalformed
	}
	form, room := &Form{values: url.Values{}, file: upload{field: fields.file()}}, maxForm
	for {
		part, err := parts.NextRawPart() // NextPart would decode an encoding that browsers do not use
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return unread(err)
		}
		name, isFile := partName(part)
		if isFile != (name == form.file.field) || isFile && form.file.content != nil {
			return errMalformed.With("Field", name)
		}
		// Text that is pasted in place of a file may be as long as the file.
		most, pasted := room, name+"_file" == form.file.field
		if isFile || pasted {
			most = maxFile
		}
		content, err := io.ReadAll(io.LimitReader(part, int64(most)+1))
		switch {
		case err != nil:
			return unread(err)
		case isFile:
			form.file.content = content
		case !pasted && len(content) > room:
			return errTooLarge
		default:
			if !pasted {
				room -= len(content)
			}
			form.values.Add(name, string(content))
			if err := fields.check(name, form.values[name]); err != nil {
				return err
			}
		}
	}
	form.keepText()
	v.Form = form
	return nil
}

// keepText puts a file that is text into the field for the same text pasted, if the form has one:
// there it is shown again, can be corrected, and is kept while the person proves who they are. A
// file never is.
func (f *Form) keepText() {
	pasted, ok := strings.CutSuffix(f.file.field, "_file")
	content := bytes.TrimPrefix(f.file.content, []byte("\uFEFF"))
	if ok && len(content) > 0 && len(content) <= maxFile && utf8.Valid(content) && bytes.IndexByte(content, 0) < 0 {
		f.values.Set(pasted, string(content))
	}
}

// File returns the file that came with the form. One that is too long is cut off at one byte
// more than the limit.
func (f *Form) File() []byte { return f.file.content }

// partName returns the field that a part belongs to, and whether it is a file.
func partName(part *multipart.Part) (name string, isFile bool) {
	disposition := part.Header.Values("Content-Disposition")
	if len(disposition) != 1 {
		return "", false
	}
	kind, parameters, err := mime.ParseMediaType(disposition[0])
	if err != nil || kind != "form-data" {
		return "", false
	}
	_, isFile = parameters["filename"]
	return parameters["name"], isFile
}

// unread says why a body could not be read.
func unread(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return errTooLarge
	}
	return errMalformed
}

// PictureOrNone returns the picture that came with the form, or none if its button removes the
// one that is there.
func (v *Visitor) PictureOrNone(into picture.Box) (picture.PNG, error) {
	if v.Form.Do() == "remove" {
		return picture.PNG{}, nil
	}
	return v.Picture(into)
}

// Picture draws the picture that came with the form so that it fits into a box, or says in a
// fault of its field why it cannot.
func (v *Visitor) Picture(into picture.Box) (picture.PNG, error) {
	return v.site.Draw(v.R.Context(), v.Form.file.field, v.Form.file.content, into)
}

// Draw draws a picture that somebody sent so that it fits into a box, or says in a fault of a
// field why it cannot. A node draws one at a time: that takes half a second and a hundred
// megabytes at worst.
func (s *Site) Draw(ctx context.Context, field string, content []byte, into picture.Box) (picture.PNG, error) {
	switch {
	case len(content) == 0:
		return picture.PNG{}, fault.Field(field, "page.picture_missing")
	case len(content) > maxFile:
		return picture.PNG{}, fault.Field(field, "page.picture_large")
	}
	select {
	case s.drawing <- struct{}{}:
		defer func() { <-s.drawing }()
	case <-ctx.Done():
		return picture.PNG{}, context.Cause(ctx)
	}
	drawn, err := picture.Draw(content, into)
	switch {
	case errors.Is(err, picture.ErrTooLarge):
		err = fault.Field(field, "page.picture_pixels")
	case errors.Is(err, picture.ErrUnreadable):
		err = fault.Field(field, "page.picture_unreadable")
	}
	return drawn, err
}

// Kept is how long a browser may keep a picture.
type Kept string

// For ever is for pictures that anybody may see and whose address changes with them.
const (
	KeptForEver Kept = "private, max-age=31536000, immutable"
	KeptNowhere Kept = "no-store"
)

// ShowPicture answers with a PNG that we drew. Opened by itself it stands in a sandbox in which
// nothing runs.
func (v *Visitor) ShowPicture(png []byte, kept Kept) error {
	h := v.W.Header()
	h.Set("Content-Type", "image/png")
	h.Set("Cache-Control", string(kept))
	h.Set("Content-Security-Policy", edge.Policy+"; sandbox")
	return v.write(png)
}
