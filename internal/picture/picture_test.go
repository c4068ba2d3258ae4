package picture

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// striped is red above and blue below, so that a test sees whether it was turned.
func striped(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{200, 0, 0, 255}
			if y >= h/2 {
				c = color.RGBA{0, 0, 200, 255}
			}
			m.SetRGBA(x, y, c)
		}
	}
	return m
}

func encoded(t testing.TB, m image.Image, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	var err error
	switch format {
	case "png":
		err = png.Encode(&b, m)
	case "jpeg":
		err = jpeg.Encode(&b, m, nil)
	case "gif":
		err = gif.Encode(&b, m, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A WebP of 1×1 pixels, as encoders write it.
var smallestWebP, _ = base64.StdEncoding.DecodeString("UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoBAAEAAgA0JaQAA3AA/vuUAAA=")

// chunks are the kinds of chunks of a PNG.
func chunks(t *testing.T, file []byte) (kinds []string) {
	t.Helper()
	for at := 8; at < len(file); {
		n := int(binary.BigEndian.Uint32(file[at:]))
		kinds = append(kinds, string(file[at+4:at+8]))
		at += 12 + n
	}
	return kinds
}

func drawn(t *testing.T, file []byte, into Box) image.Image {
	t.Helper()
	p, err := Draw(file, into)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range chunks(t, p.Bytes()) {
		if !slices.Contains([]string{"IHDR", "IDAT", "IEND"}, kind) {
			t.Errorf("the PNG has a chunk %s", kind)
		}
	}
	m, err := png.Decode(bytes.NewReader(p.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEveryFormatBecomesASmallPNG(t *testing.T) {
	tests := map[string]struct {
		file []byte
		into Box
		want image.Point
	}{
		"a PNG that fits":           {encoded(t, striped(100, 40), "png"), Logo, image.Pt(100, 40)},
		"a wide PNG":                {encoded(t, striped(2048, 512), "png"), Logo, image.Pt(512, 128)},
		"a high JPEG":               {encoded(t, striped(300, 900), "jpeg"), Portrait, image.Pt(42, 128)},
		"a GIF":                     {encoded(t, striped(256, 256), "gif"), Portrait, image.Pt(128, 128)},
		"a WebP":                    {smallestWebP, Portrait, image.Pt(1, 1)},
		"a line":                    {encoded(t, striped(9000, 1), "png"), Logo, image.Pt(512, 1)},
		"a line that stands":        {encoded(t, striped(1, 9000), "png"), Logo, image.Pt(1, 256)},
		"as many pixels as allowed": {encoded(t, image.NewGray(image.Rect(0, 0, 4096, 2048)), "png"), Portrait, image.Pt(128, 64)},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := drawn(t, tt.file, tt.into).Bounds().Size(); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}

func TestOfAMovingPictureTheFirstIsTaken(t *testing.T) {
	moving := &gif.GIF{}
	for _, c := range []color.Color{color.RGBA{255, 0, 0, 255}, color.RGBA{0, 255, 0, 255}} {
		m := image.NewPaletted(image.Rect(0, 0, 4, 4), palette.Plan9)
		for i := range m.Pix {
			m.Pix[i] = uint8(m.Palette.Index(c))
		}
		moving.Image, moving.Delay = append(moving.Image, m), append(moving.Delay, 10)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, moving); err != nil {
		t.Fatal(err)
	}
	if r, g, _, _ := drawn(t, b.Bytes(), Portrait).At(1, 1).RGBA(); r < 0xf000 || g > 0x1000 {
		t.Errorf("red %x, green %x", r, g)
	}
}

// turnedJPEG is a JPEG whose Exif part says how the camera was held.
func turnedJPEG(file []byte, turn int, order binary.AppendByteOrder) []byte {
	tiff := []byte("II*\x00")
	if order.String() == "BigEndian" {
		tiff = []byte("MM\x00*")
	}
	tiff = order.AppendUint32(tiff, 8)
	tiff = order.AppendUint16(tiff, 1)
	tiff = order.AppendUint16(tiff, 0x0112)
	tiff = order.AppendUint16(tiff, 3)
	tiff = order.AppendUint32(tiff, 1)
	tiff = order.AppendUint16(tiff, uint16(turn))
	tiff = append(tiff, 0, 0, 0, 0, 0, 0)
	part := append([]byte("Exif\x00\x00"), tiff...)
	head := binary.BigEndian.AppendUint16([]byte{0xff, 0xd8, 0xff, 0xe1}, uint16(len(part)+2))
	return slices.Concat(head, part, file[2:])
}

// The corners of a picture, in the order of reading, for every way to hold a camera.
func TestPhotographsStandUpright(t *testing.T) {
	m := image.NewRGBA(image.Rect(0, 0, 64, 32))
	corners := map[image.Point]color.RGBA{
		image.Pt(0, 0): {255, 0, 0, 255}, image.Pt(1, 0): {0, 255, 0, 255}, image.Pt(0, 1): {0, 0, 255, 255}, image.Pt(1, 1): {255, 255, 255, 255},
	}
	for y := range 32 {
		for x := range 64 {
			m.SetRGBA(x, y, corners[image.Pt(x/32, y/16)])
		}
	}
	plain := encoded(t, m, "jpeg")
	name := func(c color.Color) string {
		r, g, b, _ := c.RGBA()
		switch {
		case r > 0x8000 && g > 0x8000:
			return "w"
		case r > 0x8000:
			return "r"
		case g > 0x8000:
			return "g"
		case b > 0x8000:
			return "b"
		}
		return "?"
	}
	for turn, want := range map[int]string{0: "rgbw", 1: "rgbw", 2: "grwb", 3: "wbgr", 4: "bwrg", 5: "rbgw", 6: "brwg", 7: "wgbr", 8: "gwrb", 9: "rgbw"} {
		for _, order := range []binary.AppendByteOrder{binary.BigEndian, binary.LittleEndian} {
			seen := drawn(t, turnedJPEG(plain, turn, order), Portrait)
			w, h := seen.Bounds().Dx(), seen.Bounds().Dy()
			got := name(seen.At(w/4, h/4)) + name(seen.At(3*w/4, h/4)) + name(seen.At(w/4, 3*h/4)) + name(seen.At(3*w/4, 3*h/4))
			if got != want || (w < h) != (turn >= 5 && turn <= 8) {
				t.Errorf("turn %d %v: %s at %d×%d, want %s", turn, order, got, w, h, want)
			}
		}
	}
}

// giantPNG is a PNG that declares a size and has no pixels.
func giantPNG(t testing.TB, w, h uint32) []byte {
	t.Helper()
	file := encoded(t, striped(1, 1), "png")
	binary.BigEndian.PutUint32(file[16:], w)
	binary.BigEndian.PutUint32(file[20:], h)
	binary.BigEndian.PutUint32(file[29:], crc32.ChecksumIEEE(file[12:29]))
	return file
}

func TestWEB6FilesThatAreNoPicturesAreRefused(t *testing.T) {
	whole := encoded(t, striped(64, 64), "png")
	bigGIF := encoded(t, striped(1, 1), "gif")
	binary.LittleEndian.PutUint16(bigGIF[6:], 65535)
	binary.LittleEndian.PutUint16(bigGIF[8:], 65535)
	bigJPEG := encoded(t, striped(8, 8), "jpeg")
	at := bytes.Index(bigJPEG, []byte{0xff, 0xc0})
	binary.BigEndian.PutUint16(bigJPEG[at+5:], 30000)
	binary.BigEndian.PutUint16(bigJPEG[at+7:], 30000)
	for name, tt := range map[string]struct {
		file []byte
		want error
	}{
		"nothing":                   {nil, ErrUnreadable},
		"SVG":                       {[]byte(`<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`), ErrUnreadable},
		"HTML":                      {[]byte(`<!doctype html><script>alert(1)</script>`), ErrUnreadable},
		"HTML that begins as PNG":   {[]byte("\x89PNG\r\n\x1a\n<script>alert(1)</script>"), ErrUnreadable},
		"HTML that begins as GIF":   {[]byte("GIF89a/*<script>alert(1)</script>"), ErrTooLarge},
		"a bitmap":                  {[]byte("BM\x00\x00\x00\x00\x00\x00"), ErrUnreadable},
		"a truncated PNG":           {whole[:len(whole)/2], ErrUnreadable},
		"a PNG without its pixels":  {whole[:33], ErrUnreadable},
		"a truncated WebP":          {smallestWebP[:30], ErrUnreadable},
		"30,000×30,000 as PNG":      {giantPNG(t, 30000, 30000), ErrTooLarge},
		"one pixel too many":        {giantPNG(t, 4096, 2049), ErrTooLarge},
		"a line too long to shrink": {giantPNG(t, 16<<10+1, 1), ErrTooLarge},
		"the same, standing":        {giantPNG(t, 1, 16<<10+1), ErrTooLarge},
		"as wide as can be":         {giantPNG(t, 1<<31-1, 1), ErrTooLarge},
		"65,535×65,535 as GIF":      {bigGIF, ErrTooLarge},
		"30,000×30,000 as JPEG":     {bigJPEG, ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			p, err := Draw(tt.file, Logo)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, tt.want) || !p.IsZero() {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
				t.Errorf("refusing it took %d bytes", used)
			}
		})
	}
}

func TestWEB6NothingOfAFileIsKeptButWhatIsSeen(t *testing.T) {
	const payload = `<script>alert("polyglot")</script>`
	file := encoded(t, striped(64, 64), "png")
	text := append([]byte("tEXtComment\x00"), payload...)
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(text)-4))
	chunk = append(chunk, text...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(text))
	photograph := encoded(t, striped(64, 64), "jpeg")
	comment := binary.BigEndian.AppendUint16([]byte{0xff, 0xd8, 0xff, 0xfe}, uint16(len(payload)+2))
	for name, polyglot := range map[string][]byte{
		"after its end": append(slices.Clone(file), payload...),
		"in a chunk":    slices.Concat(file[:33], chunk, file[33:]),
		"in a comment":  slices.Concat(comment, []byte(payload), photograph[2:]),
	} {
		if !strings.Contains(string(polyglot), payload) {
			t.Fatalf("%s: the sample is none", name)
		}
		p, err := Draw(polyglot, Logo)
		if err != nil || bytes.Contains(p.Bytes(), []byte("script")) {
			t.Errorf("%s: %v, or the payload is kept", name, err)
		}
		drawn(t, polyglot, Logo)
	}
}

func FuzzDraw(f *testing.F) {
	for _, format := range []string{"png", "jpeg", "gif"} {
		f.Add(encoded(f, striped(8, 8), format))
	}
	f.Add(smallestWebP)
	f.Add(giantPNG(f, 3, 3))
	f.Add(turnedJPEG(encoded(f, striped(8, 8), "jpeg"), 6, binary.LittleEndian))
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := Draw(file, Portrait)
		if err != nil {
			if !errors.Is(err, ErrUnreadable) && !errors.Is(err, ErrTooLarge) {
				t.Error(err)
			}
			return
		}
		m, err := png.Decode(bytes.NewReader(p.Bytes()))
		if err != nil || m.Bounds().Dx() > Portrait.Width || m.Bounds().Dy() > Portrait.Height {
			t.Errorf("%v: %v", err, m.Bounds())
		}
	})
}

// How long it takes to decode the most expensive files.
func BenchmarkDraw(b *testing.B) {
	for name, file := range map[string][]byte{
		"16-bit PNG": encoded(b, image.NewNRGBA64(image.Rect(0, 0, 4096, 2048)), "png"),
		"GIF":        encoded(b, image.NewPaletted(image.Rect(0, 0, 4096, 2048), palette.Plan9), "gif"),
		"JPEG":       encoded(b, striped(4096, 2048), "jpeg"),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Draw(file, Logo); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestALogoOnPaperIsSeenOnAnyColour(t *testing.T) {
	seen := image.NewNRGBA(image.Rect(0, 0, 1000, 100)) // all of it is transparent but one half
	for x := range 500 {
		for y := range 100 {
			seen.SetNRGBA(x, y, color.NRGBA{A: 255})
		}
	}
	paper, err := OnPaper(encoded(t, seen, "png"), Letterhead)
	if err != nil {
		t.Fatal(err)
	}
	if w, h := paper.Size(); w != Letterhead.Width+2*margin || h != 40+2*margin {
		t.Errorf("it is %d×%d", w, h)
	}
	got, err := png.Decode(bytes.NewReader(paper.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[image.Point]color.Gray{{0, 0}: {255}, {100, 28}: {0}, {300, 28}: {255}} {
		if c := got.At(at.X, at.Y); color.RGBAModel.Convert(c) != color.RGBAModel.Convert(want) {
			t.Errorf("at %v it is %v", at, c)
		}
	}
	if _, err := OnPaper([]byte("no picture"), Letterhead); !errors.Is(err, ErrUnreadable) {
		t.Errorf("no picture is answered with %v", err)
	}
}
