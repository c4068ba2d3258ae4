package page

import (
	"io"
	"net/http"
)

// Download answers with a file that the browser saves under a name of ours, written as it is made.
// If that fails in the middle the connection breaks, so that the browser says so: half a file would
// look like a whole one.
func (v *Visitor) Download(name, media string, write func(io.Writer) error) error {
	h := v.W.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	v.W.WriteHeader(http.StatusOK)
	if err := v.Stream(write); err != nil {
		if v.R.Context().Err() == nil {
			v.Answer(err) // which logs it, unless the browser has gone
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}
