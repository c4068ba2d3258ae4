package edge

import (
	"io"
	"net/http"
	"time"

	"parvis/internal/db"
)

// streamWait is how long one piece of a long answer waits for its reader: as long as any other
// answer may take as a whole.
const streamWait = 60 * time.Second

// Stream writes an answer that may take longer than others, such as an export. It goes on for as
// long as its reader takes pieces of it.
func (q *Request) Stream(write func(io.Writer) error) error {
	db.Streaming(q.R.Context())
	s := stream{q.W, http.NewResponseController(q.W)}
	s.wait(0) // while rows are read, nobody keeps us waiting
	defer s.wait(streamWait)
	return write(s)
}

// stream gives each piece a time of its own.
type stream struct {
	io.Writer
	control *http.ResponseController
}

// Write waits for the reader no longer than streamWait.
func (s stream) Write(piece []byte) (int, error) {
	s.wait(streamWait)
	defer s.wait(0)
	return s.Writer.Write(piece)
}

// wait sets how long a reader may keep us waiting from now on; 0 sets no end.
func (s stream) wait(d time.Duration) {
	var end time.Time
	if d > 0 {
		end = time.Now().Add(d) //nolint:forbidigo // The deadline is the connection's, which knows no other clock.
	}
	// Where it cannot be set, the server's own limit stays.
	_ = s.control.SetWriteDeadline(end)
}
