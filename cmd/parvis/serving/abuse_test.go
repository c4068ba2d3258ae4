package serving

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// pipes is a listener whose connections are pipes, which know the time of a bubble.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p pipes) dial() net.Conn {
	near, far := net.Pipe()
	p <- far
	return near
}

// DOS-2: a client that is slow is let go when the time of docs/limits.md is over, and others are served.
func TestDOS2SlowClientsAreLetGoInTime(t *testing.T) {
	for _, one := range []struct {
		name, begins string
		drips        bool // goes on, a byte each second
		reads        bool
		after        time.Duration
	}{
		{"sends nothing", "", false, true, headerTimeout},
		{"sends a head byte by byte", "GET / HTTP/1.1\r\nX: ", true, true, headerTimeout},
		{"stops within a head", "GET / HTTP/1.1\r\nX: ", false, true, headerTimeout},
		{"sends a body byte by byte", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", true, true, readTimeout},
		{"stops within a body", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", false, true, readTimeout},
		{"sends a chunk byte by byte", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n", true, true, readTimeout},
		{"reads nothing", "GET /large HTTP/1.1\r\nHost: x\r\n\r\n", false, false, writeTimeout},
		{"rests", plain, false, true, idleTimeout},
	} {
		t.Run(one.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan time.Duration, 1)
				l, begun := make(pipes, 1), time.Now()
				go func() {
					_ = Run(ctx, discard(), Server{Listener: l, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if _, err := io.Copy(io.Discard, r.Body); err != nil {
							return
						}
						if r.URL.Path == "/large" {
							_, err := w.Write(make([]byte, 1<<20))
							if err != nil {
								ended <- time.Since(begun)
							}
						}
					})})
				}()
				slow := l.dial()
				defer slow.Close()
				_, _ = io.WriteString(slow, one.begins)
				if one.drips {
					go func() {
						for err := error(nil); err == nil; time.Sleep(time.Second) {
							_, err = slow.Write([]byte{'x'})
						}
					}()
				}
				if one.reads {
					go func() {
						_, _ = io.Copy(io.Discard, slow)
						ended <- time.Since(begun)
					}()
				}
				synctest.Wait()
				if got := ask(l.dial(), plain); got != "HTTP/1.1 200 OK" {
					t.Errorf("another is answered %s", got)
				}
				if got := <-ended; got < one.after || got > one.after+time.Second {
					t.Errorf("let go after %s, want %s", got, one.after)
				}
				cancel()
				time.Sleep(idleTimeout + goodbye)
			})
		})
	}
}

// secured runs a server that speaks TLS, and returns what connects to it by a protocol.
func secured(t *testing.T, h http.HandlerFunc) (dial func(protocol string) net.Conn) {
	t.Helper()
	lender := httptest.NewTLSServer(nil)
	defer lender.Close()
	l := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() {
		_ = Run(ctx, discard(), Server{Listener: l, Handler: h, TLS: &tls.Config{Certificates: lender.TLS.Certificates}})
	}()
	return func(protocol string) net.Conn {
		t.Helper()
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}}) //nolint:gosec // The certificate is httptest's.
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		return c
	}
}

// frames begins to speak HTTP/2.
func frames(t *testing.T, c net.Conn) *http2.Framer {
	t.Helper()
	f := http2.NewFramer(c, bufio.NewReader(c))
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return f
}

// R-API-04: inside TLS a length beside chunks is not seen, so no request comes after chunks in a connection.
func TestNothingFollowsChunksInsideTLS(t *testing.T) {
	var asked atomic.Int64
	dial := secured(t, func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
	})
	for i, length := range []string{"", "Content-Length: 50\r\n"} {
		c := dial("http/1.1")
		_, _ = io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\n"+length+"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+plain)
		answers, _ := io.ReadAll(c)
		if n := strings.Count(string(answers), "HTTP/1.1 "); n != 1 || asked.Load() != int64(i+1) {
			t.Errorf("answered %q; %d requests were seen", answers, asked.Load())
		}
	}
}

// fields writes a block of header fields: names and values in turn.
func fields(of ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(of); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: of[i], Value: of[i+1]})
	}
	return b.Bytes()
}

var request2 = []string{":method", "POST", ":scheme", "https", ":authority", "x", ":path", "/"}

// fate reads until a stream or its connection is over: a status, the error that reset the stream, or
// the one that ended the connection.
func fate(f *http2.Framer) string {
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return err.Error()
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return frame.ErrCode.String()
		case *http2.GoAwayFrame:
			if frame.ErrCode != http2.ErrCodeNo { // else what was begun is answered still
				return frame.ErrCode.String()
			}
		}
	}
}

// R-API-04: what HTTP/1.1 refuses does not come in by HTTP/2.
func TestRequestsOfHTTP2AreFramedAsStrictly(t *testing.T) {
	var read atomic.Int64
	dial := secured(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest) // as edge answers
			return
		}
		read.Add(1)
	})
	with := func(more ...string) []string { return append(request2[:len(request2):len(request2)], more...) }
	for _, one := range []struct {
		name   string
		fields []string
		body   string
		want   string
	}{
		{"a length that is less than the body", with("content-length", "4"), "abcde", "PROTOCOL_ERROR"},
		{"a length that is more than the body", with("content-length", "6"), "abcde", "400"},
		{"a length that is none", with("content-length", "+5"), "abcde", "PROTOCOL_ERROR"},
		{"two lengths", with("content-length", "5", "content-length", "6"), "abcde", "400"},
		{"an encoding", with("transfer-encoding", "chunked"), "5\r\nabcde\r\n0\r\n\r\n", "400"},
		{"what belongs to a connection", with("connection", "close"), "abcde", "400"},
		{"a line end in a value", with("x", "a\r\ntransfer-encoding: chunked"), "abcde", "PROTOCOL_ERROR"},
		{"half a line end in a value", with("x", "a\nb"), "abcde", "PROTOCOL_ERROR"},
		{"NUL in a value", with("x", "a\x00b"), "abcde", "PROTOCOL_ERROR"},
		{"a colon in a name", with("x: y", "z"), "abcde", "PROTOCOL_ERROR"},
		{"large letters in a name", with("X", "y"), "abcde", "PROTOCOL_ERROR"},
		{"a path after other fields", append([]string{"x", "y"}, request2...), "abcde", "PROTOCOL_ERROR"},
		{"two paths", with(":path", "/other"), "abcde", "PROTOCOL_ERROR"},
		{"no path", request2[:6], "abcde", "PROTOCOL_ERROR"},
		{"a line end in a path", append(request2[:6:6], ":path", "/ HTTP/1.1\r\nx: y"), "abcde", "PROTOCOL_ERROR"},
	} {
		c := dial("h2")
		f := frames(t, c)
		block := fields(one.fields...)
		if err := errors.Join(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true}), f.WriteData(1, true, []byte(one.body))); err != nil {
			t.Fatal(err)
		}
		if got := fate(f); got != one.want {
			t.Errorf("%s: %s, want %s", one.name, got, one.want)
		}
		c.Close()
	}
	if n := read.Load(); n > 0 {
		t.Errorf("%d were read as a whole", n)
	}
	f := frames(t, dial("h2"))
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: fields(request2...), EndHeaders: true, EndStream: true})
	if got := fate(f); got != "200" {
		t.Errorf("an ordinary one: %s", got)
	}
}

// DOS-2: floods of HTTP/2 end their connection.
func TestDOS2FloodsOfHTTP2EndTheirConnection(t *testing.T) {
	var at, most atomic.Int64
	release := make(chan struct{})
	dial := secured(t, func(w http.ResponseWriter, r *http.Request) {
		for n := at.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer at.Add(-1)
		<-release
	})
	for _, one := range []struct {
		name  string
		flood func(f *http2.Framer, block []byte, i int) error
		want  string
	}{
		{"requests that are taken back", func(f *http2.Framer, block []byte, i int) error {
			id := uint32(1 + 2*i)
			return errors.Join(f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: true}), f.WriteRSTStream(id, http2.ErrCodeCancel))
		}, "ENHANCE_YOUR_CALM"},
		{"a head without end", func(f *http2.Framer, block []byte, i int) error {
			if i == 0 {
				return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block})
			}
			return f.WriteContinuation(1, false, fields("x", strings.Repeat("y", 10_000)))
		}, "PROTOCOL_ERROR"},
	} {
		c := dial("h2")
		f := frames(t, c)
		told := make(chan string, 1)
		go func() { told <- fate(f) }()
		block := fields(request2...)
		for i := 0; i < 100_000 && len(told) == 0; i++ {
			if one.flood(f, block, i) != nil {
				break
			}
		}
		if got := <-told; got != one.want {
			t.Errorf("%s: %s, want %s", one.name, got, one.want)
		}
		c.Close()
	}
	if n := most.Load(); n > maxStreams {
		t.Errorf("%d handlers ran at once, want at most %d", n, maxStreams)
	}
	close(release)
}
