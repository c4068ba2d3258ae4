package dump

import (
	"encoding/json"
	"errors"
	"io"

	"parvis/internal/fault"
)

// bounded reads so many bytes and then refuses to go on, so that one value of a JSON document
// cannot take all memory.
type bounded struct {
	r    io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, ErrLong.With("Most", MostPerson>>10)
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// document walks through a JSON document.
type document struct {
	*json.Decoder
	in *bounded
}

func newDocument(r io.Reader) document {
	in := &bounded{r: r}
	return document{json.NewDecoder(in), in}
}

// token reads the next token, for which MostPerson bytes may be read.
func (d document) token() (json.Token, error) {
	d.in.left = MostPerson
	t, err := d.Token()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return t, err
}

// mostDepth is how many lists and objects deep a value may be that is passed over: the decoder notes each
// one around the place where it reads.
const mostDepth = 1000

// skip passes over the next value.
func (d document) skip() error {
	for depth := 0; ; {
		t, err := d.token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > mostDepth {
				return ErrDocument.With("Byte", d.InputOffset())
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// members reads an object, and calls member before the value of each of its members, which member
// reads or skips.
func (d document) members(member func(name string) error) error {
	if t, err := d.token(); err != nil || t != json.Delim('{') {
		return errors.Join(ErrFile.With("Person", 1), err)
	}
	for d.more() {
		name, err := d.token()
		if err != nil {
			return err
		}
		text, _ := name.(string)
		if err := member(text); err != nil {
			return err
		}
	}
	return d.closes('}')
}

// more reports whether another value follows in an object or a list. It is false, too, where none is
// found within MostPerson bytes: closes tells the two apart.
func (d document) more() bool {
	d.in.left = MostPerson
	return d.More()
}

// closes reads the end of an object or a list. Anything else there would be lost without a word.
func (d document) closes(end json.Delim) error {
	t, err := d.token()
	if err == nil && t != end {
		err = ErrLong.With("Most", MostPerson>>10)
	}
	return err
}

// list reads an array, and calls each with every value in it.
func (d document) list(each func(number int, value json.RawMessage) error) error {
	if t, err := d.token(); err != nil || t != json.Delim('[') {
		return errors.Join(ErrFile.With("Person", 1), err)
	}
	n := 1
	for ; d.more(); n++ {
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return brokenAt(n, err)
		}
		if err := each(n, value); err != nil {
			return err
		}
	}
	return brokenAt(n, d.closes(']'))
}

// brokenAt says at which person a document cannot be read any further.
func brokenAt(n int, err error) error {
	if err == nil {
		return nil
	}
	if why, ok := errors.AsType[*fault.Error](err); ok && errors.Is(why, ErrLong) {
		return ErrFile.With("Person", n)
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return ErrFile.With("Person", n)
	}
	return err
}

// people reads an array of people.
func (d document) people(each func(Person) error, read func([]byte) (Person, error)) error {
	return d.list(func(n int, value json.RawMessage) error {
		p, err := read(value)
		if err != nil && !errors.As(err, &p.Broken) {
			return err
		}
		p.Line = n
		return each(p)
	})
}
