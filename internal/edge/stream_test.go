package edge_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parvis/internal/edge"
	"parvis/internal/expect"
)

// pipes is a listener whose connections hold nothing on their way: what is written waits until it
// is read.
type pipes struct {
	waiting chan net.Conn
	ended   context.Context
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.waiting:
		return c, nil
	case <-p.ended.Done():
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// exporting serves a long answer as serve does, and returns the reader of its connection and what
// its writing came to.
func exporting(t *testing.T, pieces int) (*bufio.Reader, <-chan error) {
	t.Helper()
	ended, end := context.WithCancel(t.Context())
	p := pipes{make(chan net.Conn), ended}
	came := make(chan error, 1)
	e := edge.New(edge.Settings{})
	server := &http.Server{WriteTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		came <- e.Request(w, r).Stream(func(w io.Writer) error {
			for range pieces {
				if _, err := io.WriteString(w, strings.Repeat("x", 16<<10)); err != nil {
					return err
				}
			}
			return nil
		})
	})}
	go server.Serve(p) //nolint:errcheck // It ends with the test.
	ours, theirs := net.Pipe()
	p.waiting <- theirs
	t.Cleanup(func() {
		end()
		_ = ours.Close()
		_ = server.Close()
	})
	if _, err := fmt.Fprint(ours, "GET / HTTP/1.1\r\nHost: id.example.com\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReaderSize(ours, 16), came
}

// A reader that is slow but reads gets a long answer whole, however long that takes.
func TestALongAnswerGoesOnWhileItIsRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from, came := exporting(t, 20)
		began := time.Now()
		answer, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		all, piece := 0, make([]byte, 16<<10)
		for err == nil {
			time.Sleep(10 * time.Second)
			var n int
			n, err = io.ReadFull(answer.Body, piece)
			all += n
		}
		if !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		expect.Equal(t, "what arrived", all, 20*16<<10)
		expect.Equal(t, "it took longer than any other answer may", time.Since(began) > 2*time.Minute, true)
		if err := <-came; err != nil {
			t.Error(err)
		}
	})
}

// A reader that stops reading is let go, so that nobody holds a connection and a statement for
// nothing.
func TestAReaderWhoStopsIsLetGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		from, came := exporting(t, 20)
		answer, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		began := time.Now()
		err = <-came
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the writing came to %v", err)
		}
		expect.Equal(t, "how long it waited", time.Since(began), time.Minute)
	})
}
