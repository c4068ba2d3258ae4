package page

import (
	"bytes"
	"errors"
	"mime/multipart"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"parvis/internal/directory"
	"parvis/internal/edge"
	"parvis/internal/fault"
	"parvis/internal/i18n"
	"parvis/internal/picture"
)

const boundary = "----boundary"

// part returns one part of a form with a file, as its sender writes it.
func part(disposition, content string) string {
	return "--" + boundary + "\r\nContent-Disposition: " + disposition + "\r\n\r\n" + content + "\r\n"
}

const end = "--" + boundary + "--\r\n"

// read reads a body as a form.
func read(media, body string, fields Fields) (*Form, error) {
	r := httptest.NewRequest("POST", "/upload", strings.NewReader(body))
	r.Header.Set("Content-Type", media)
	v := &Visitor{Request: &edge.Request{W: httptest.NewRecorder(), R: r}, site: &Site{drawing: make(chan struct{}, 1)}, Form: &Form{}}
	err := v.readForm(fields)
	return v.Form, err
}

var takesPicture = Fields{"name", File("picture")}

func TestWEB6AFormWithAFileIsReadAsStrictlyAsAnyOther(t *testing.T) {
	const media = "multipart/form-data; boundary=" + boundary
	name, file := part(`form-data; name="name"`, "Ana"), part(`form-data; name="picture"; filename="../../etc/x.png"`, "PNG")
	for what, tt := range map[string]struct {
		media, body string
		want        error
	}{
		"a field and a file":               {media, name + file + end, nil},
		"a file alone":                     {media, file + end, nil},
		"no file chosen":                   {media, part(`form-data; name="picture"; filename=""`, "") + end, nil},
		"no file at all":                   {media, name + end, nil},
		"a button":                         {media, part(`form-data; name="do"`, "remove") + end, nil},
		"as any other form":                {"application/x-www-form-urlencoded", "name=Ana&do=remove", nil},
		"the name with its mark, as text":  {"application/x-www-form-urlencoded", "file%3Apicture=x", errMalformed},
		"a file as text":                   {"application/x-www-form-urlencoded", "picture=PNG", errMalformed},
		"a file as a field":                {media, part(`form-data; name="picture"`, "PNG") + end, errMalformed},
		"a field as a file":                {media, part(`form-data; name="name"; filename="x"`, "Ana") + end, errMalformed},
		"the name with its mark":           {media, part(`form-data; name="file:picture"`, "PNG") + end, errMalformed},
		"two files":                        {media, file + file + end, errMalformed},
		"an empty file and another":        {media, part(`form-data; name="picture"; filename=""`, "") + file + end, errMalformed},
		"two fields of a name":             {media, name + name + end, errMalformed},
		"another field":                    {media, part(`form-data; name="role"`, "owner") + end, errMalformed},
		"another file":                     {media, part(`form-data; name="logo"; filename="x"`, "PNG") + end, errMalformed},
		"a zero byte":                      {media, part(`form-data; name="name"`, "A\x00") + end, errMalformed},
		"not UTF-8":                        {media, part(`form-data; name="name"`, "\xff") + end, errMalformed},
		"no name":                          {media, part(`form-data`, "x") + end, errMalformed},
		"no disposition":                   {media, "--" + boundary + "\r\n\r\nx\r\n" + end, errMalformed},
		"another disposition":              {media, part(`attachment; name="name"`, "x") + end, errMalformed},
		"two dispositions":                 {media, part("form-data; name=\"name\"\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"x\"", "x") + end, errMalformed},
		"a field of 64 KiB and a byte":     {media, part(`form-data; name="name"`, strings.Repeat("x", maxForm+1)) + end, errTooLarge},
		"nothing behind the last boundary": {media, name + file, errMalformed},
		"nothing":                          {media, "", nil},
		"no boundary":                      {"multipart/form-data", name + file + end, errMalformed},
		"mixed":                            {"multipart/mixed; boundary=" + boundary, name + file + end, errMalformed},
		"17 MiB":                           {media, part(`form-data; name="picture"; filename="x"`, strings.Repeat("x", maxUpload+1)) + end, errTooLarge},
	} {
		t.Run(what, func(t *testing.T) {
			form, err := read(tt.media, tt.body, takesPicture)
			if !errors.Is(err, tt.want) {
				t.Fatalf("%v, want %v", err, tt.want)
			}
			if err == nil && strings.Contains(tt.body, "PNG") && string(form.file.content) != "PNG" {
				t.Errorf("the file is %q", form.file.content)
			}
			if kept := form.withoutSecrets(); kept.Has("picture") || kept.Has("file:picture") {
				t.Errorf("of the file is kept: %v", kept)
			}
		})
	}
	if _, err := read(media, name+end, Fields{"name"}); !errors.Is(err, errMalformed) {
		t.Errorf("a form that takes no file takes one: %v", err)
	}
}

// A part in an encoding of letters is not decoded.
func TestWEB6AnEncodedPartIsTakenAsItIs(t *testing.T) {
	body := part("form-data; name=\"name\"\r\nContent-Transfer-Encoding: quoted-printable", "=41na") + end
	form, err := read("multipart/form-data; boundary="+boundary, body, takesPicture)
	if err != nil || form.Get("name") != "=41na" {
		t.Errorf("%v: %q", err, form.Get("name"))
	}
}

func TestAFileThatIsTooLongIsToldAndNotKept(t *testing.T) {
	for size, want := range map[int]string{0: "page.picture_missing", 7: "page.picture_unreadable", maxFile: "page.picture_unreadable", maxFile + 1: "page.picture_large", 3 * maxFile: "page.picture_large"} {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		f, err := w.CreateFormFile("picture", "x")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(make([]byte, size)); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "/upload", &body)
		r.Header.Set("Content-Type", w.FormDataContentType())
		v := &Visitor{Request: &edge.Request{W: httptest.NewRecorder(), R: r}, site: &Site{drawing: make(chan struct{}, 1)}, Form: &Form{}}
		if err := v.readForm(takesPicture); err != nil {
			t.Fatal(err)
		}
		if len(v.Form.file.content) > maxFile+1 {
			t.Errorf("%d bytes are kept", len(v.Form.file.content))
		}
		_, err = v.Picture(picture.Portrait)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Key != want || f.Field != "picture" {
			t.Errorf("%d bytes: %v, want %s", size, err, want)
		}
	}
}

func FuzzUpload(f *testing.F) {
	f.Add(part(`form-data; name="name"`, "Ana") + part(`form-data; name="picture"; filename="x"`, "PNG") + end)
	f.Add(part(`form-data; name="picture"; filename*=utf-8''x`, "") + end)
	f.Add(part(`form-data; name="do"`, "language") + part(`form-data; name="name"`, "\x00") + end)
	f.Fuzz(func(t *testing.T, body string) {
		form, err := read("multipart/form-data; boundary="+boundary, body, takesPicture)
		if err != nil {
			return
		}
		for name, values := range form.values {
			if len(values) != 1 || strings.ContainsRune(values[0], 0) || !slices.Contains([]string{"name", "do", "language"}, name) {
				t.Errorf("field %q came as %q", name, values)
			}
		}
	})
}

func TestOnlyPlainAddressesAndLinksOfAContactLeadSomewhere(t *testing.T) {
	catalogue, err := i18n.Load()
	if err != nil {
		t.Fatal(err)
	}
	for contact, want := range map[string][]string{
		"Service desk, help@meridian.example, ext. 4711": {"mailto:help@meridian.example"},
		"help@meridian.example":                          {"mailto:help@meridian.example"},
		"<help@meridian.example>.":                       {"mailto:help@meridian.example"},
		"See https://help.example/a?b=c#d (or ask Lin).": {"https://help.example/a?b=c#d"},
		"(https://help.example/), it@a.example":          {"https://help.example/", "mailto:it@a.example"},
		"http://help.example":                            nil,
		"javascript:alert(1)":                            nil,
		"https://help.example@evil.example/":             nil,
		"https://hеlp.example":                           nil, // a Cyrillic letter
		"https://help.example/\"onclick=alert(1)":        nil,
		"https://help":                                   nil,
		"a?cc=b@evil.example":                            nil,
		"help@meridian.example?subject=x":                nil,
		"data:text/html,<script>alert(1)</script>":       nil,
		"https://help.example/<script>alert(1)</script>": nil,
		"Extension 4711":                                 nil,
	} {
		frame := Frame{v: &Visitor{lang: catalogue.In("en")}}
		var got []string
		var all strings.Builder
		for _, p := range frame.Help(directory.Organization{Contact: contact}).Parts {
			all.WriteString(p.Text)
			if p.Link != "" {
				got = append(got, p.Link)
				if _, err := url.Parse(p.Link); err != nil || !strings.HasSuffix(p.Link, p.Text) {
					t.Errorf("%q shows %q and leads to %q", contact, p.Text, p.Link)
				}
			}
		}
		if !slices.Equal(got, want) || all.String() != contact {
			t.Errorf("%q leads to %v and reads %q", contact, got, all.String())
		}
	}
}
