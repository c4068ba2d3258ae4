// Package picture redraws uploaded pictures. The result is a small PNG that keeps only what
// can be seen of the picture, and nothing else of the file.
package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/draw"
	"golang.org/x/image/webp"
)

// The faults of an uploaded file.
var (
	ErrUnreadable = errors.New("no PNG, JPEG, GIF or WebP that can be read")
	ErrTooLarge   = errors.New("too many pixels")
)

// maxPixels bounds the memory for decoding, whatever the file declares: up to eight bytes
// for each pixel, and as much again in between.
const maxPixels = 8 << 20

// maxSide bounds the work of scaling: a picture of one line of a million pixels is cheap to
// decode and expensive to scale.
const maxSide = 16 << 10

// Box is the size that a picture is scaled down to. A smaller picture is not enlarged.
type Box struct{ Width, Height int }

// The boxes in use. They are twice the size that is shown, for dense screens.
var (
	Logo     = Box{512, 256}
	Portrait = Box{128, 128}
	// Letterhead is the size of a logo on top of a letter.
	Letterhead = Box{400, 80}
)

// PNG is a picture that Draw made. The zero PNG means no picture.
type PNG struct{ content []byte }

// Bytes returns the content of the file.
func (p PNG) Bytes() []byte { return p.content }

// IsZero reports whether there is no picture.
func (p PNG) IsZero() bool { return len(p.content) == 0 }

// Size returns how wide and how high a picture is.
func (p PNG) Size() (width, height int) {
	size, err := png.DecodeConfig(bytes.NewReader(p.content))
	if err != nil {
		return 0, 0 // the zero PNG
	}
	return size.Width, size.Height
}

// formats are recognized by the first bytes of a file. Its name and its declared type are
// ignored. Of an animation the first picture is used.
var formats = []struct {
	magic  string // ? stands for any byte
	config func(io.Reader) (image.Config, error)
	decode func(io.Reader) (image.Image, error)
}{
	{"\x89PNG\r\n\x1a\n", png.DecodeConfig, png.Decode},
	{"\xff\xd8\xff", jpeg.DecodeConfig, jpeg.Decode},
	{"GIF8?a", gif.DecodeConfig, gif.Decode},
	{"RIFF????WEBPVP8", webp.DecodeConfig, webp.Decode},
}

// Draw makes a PNG from the bytes of a file, upright and small enough for the box. It
// checks the declared size before it decodes anything, so that a picture of 30,000×30,000
// pixels is refused without any cost.
func Draw(file []byte, into Box) (PNG, error) {
	for _, f := range formats {
		if !begins(file, f.magic) {
			continue
		}
		size, err := f.config(bytes.NewReader(file))
		if err != nil || size.Width <= 0 || size.Height <= 0 {
			return PNG{}, ErrUnreadable
		}
		if size.Width > maxSide || size.Height > maxSide || size.Width*size.Height > maxPixels {
			return PNG{}, ErrTooLarge
		}
		seen, err := f.decode(bytes.NewReader(file))
		if err != nil || seen.Bounds().Empty() {
			return PNG{}, ErrUnreadable
		}
		var b bytes.Buffer
		if err := png.Encode(&b, scaled(seen, orientation(file), into)); err != nil {
			return PNG{}, err
		}
		return PNG{b.Bytes()}, nil
	}
	return PNG{}, ErrUnreadable
}

// margin is what OnPaper leaves around a picture.
const margin = 8

// OnPaper draws a PNG that Draw made on white paper with a narrow margin. So a logo that was
// drawn for paper can be seen on any colour that a mail program chooses.
func OnPaper(file []byte, into Box) (PNG, error) {
	seen, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		return PNG{}, ErrUnreadable
	}
	small := scaled(seen, upright, into)
	size := small.Bounds()
	paper := image.NewRGBA(image.Rect(0, 0, size.Dx()+2*margin, size.Dy()+2*margin))
	draw.Draw(paper, paper.Bounds(), image.White, image.Point{}, draw.Src)
	draw.Draw(paper, size.Add(image.Pt(margin, margin)), small, size.Min, draw.Over)
	var b bytes.Buffer
	if err := png.Encode(&b, paper); err != nil {
		return PNG{}, err
	}
	return PNG{b.Bytes()}, nil
}

func begins(file []byte, magic string) bool {
	if len(file) < len(magic) {
		return false
	}
	for i := range len(magic) {
		if magic[i] != '?' && magic[i] != file[i] {
			return false
		}
	}
	return true
}

// The orientations of a photograph, as its camera noted them (Exif 2.3 §4.6.4).
const (
	upright  = 1
	lying    = 5 // from here on width and height are swapped
	furthest = 8
)

// scaled makes a picture smaller and then turns it upright.
func scaled(from image.Image, turn int, into Box) image.Image {
	if turn >= lying {
		into.Width, into.Height = into.Height, into.Width
	}
	w, h := from.Bounds().Dx(), from.Bounds().Dy()
	if w > into.Width || h > into.Height {
		if w*into.Height > h*into.Width {
			w, h = into.Width, max(1, h*into.Width/w)
		} else {
			w, h = max(1, w*into.Height/h), into.Height
		}
	}
	small := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.CatmullRom.Scale(small, small.Bounds(), from, from.Bounds(), draw.Src, nil)
	if turn == upright {
		return small
	}
	if turn >= lying {
		w, h = h, w
	}
	turned := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			fromX, fromY := x, y
			if turn >= lying {
				fromX, fromY = y, x
			}
			switch turn {
			case 2, 3, 7, 8: // mirrored from left to right
				fromX = small.Rect.Dx() - 1 - fromX
			}
			switch turn {
			case 3, 4, 6, 7: // upside down
				fromY = small.Rect.Dy() - 1 - fromY
			}
			turned.SetRGBA(x, y, small.RGBAAt(fromX, fromY))
		}
	}
	return turned
}

// orientation reads from the Exif part of a JPEG how the camera was held. It returns
// upright if there is nothing that it can read.
func orientation(file []byte) int {
	const (
		startOfScan = 0xda
		application = 0xe1
		exif        = "Exif\x00\x00"
	)
	for at := 2; at+4 <= len(file) && file[at] == 0xff && file[at+1] != startOfScan; {
		end := at + 2 + int(binary.BigEndian.Uint16(file[at+2:]))
		if end > len(file) || end < at+4 {
			break
		}
		if part := file[at+4 : end]; file[at+1] == application && bytes.HasPrefix(part, []byte(exif)) {
			return orientationIn(part[len(exif):])
		}
		at = end
	}
	return upright
}

// orientationIn looks for the tag in the first directory of a TIFF file.
func orientationIn(tiff []byte) int {
	const tag, short = 0x0112, 3
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(tiff, []byte("II*\x00")):
		order = binary.LittleEndian
	case bytes.HasPrefix(tiff, []byte("MM\x00*")):
		order = binary.BigEndian
	}
	if order == nil || len(tiff) < 8 {
		return upright
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return upright
	}
	entries := int(order.Uint16(tiff[at:]))
	for i := range entries {
		entry := at + 2 + 12*uint64(i)
		if entry+12 > uint64(len(tiff)) {
			break
		}
		e := tiff[entry:]
		if order.Uint16(e) == tag && order.Uint16(e[2:]) == short {
			if turn := int(order.Uint16(e[8:])); turn >= upright && turn <= furthest {
				return turn
			}
		}
	}
	return upright
}
