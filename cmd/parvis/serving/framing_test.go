package serving

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// R-API-04: a request whose end two readers could see in two places is refused, and what comes after
// it in the connection is never taken for a request.
func TestARequestThatTwoReadersReadInTwoWaysIsRefused(t *testing.T) {
	var smuggled atomic.Int64
	address, _ := run(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/smuggled" {
			smuggled.Add(1)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest) // as edge answers
		}
	}))
	const post, chunked, next = "POST / HTTP/1.1\r\nHost: x\r\n", "Transfer-Encoding: chunked\r\n", "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, one := range []struct{ name, request, want string }{
		{"a length and chunks", post + "Content-Length: 5\r\n" + chunked + "\r\n0\r\n\r\n", "400"},
		{"the same of HTTP/1.0", "POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: 5\r\n" + chunked + "\r\n0\r\n\r\n", "400"},
		{"chunks of HTTP/1.0", "POST / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n" + chunked + "\r\n", "400"},
		{"two lengths", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcde", "400"},
		{"a list of lengths", post + "Content-Length: 5, 6\r\n\r\nabcde", "400"},
		{"a length with a sign", post + "Content-Length: +5\r\n\r\nabcde", "400"},
		{"a length below nothing", post + "Content-Length: -5\r\n\r\n", "400"},
		{"a length in hexadecimal", post + "Content-Length: 0x5\r\n\r\nabcde", "400"},
		{"a length of nothing", post + "Content-Length:\r\n\r\n", "400"},
		{"a length that overflows", post + "Content-Length: 18446744073709551616\r\n\r\n", "400"},
		{"a space before the colon", post + "Content-Length : 5\r\n\r\nabcde", "400"},
		{"a space before the first name", "POST / HTTP/1.1\r\n Host: x\r\n\r\n", "400"},
		{"a line that goes on", post + "X: a\r\n Content-Length: 5\r\n\r\n", "400"},
		{"a length on the next line", post + "Content-Length:\r\n\t5\r\n\r\nabcde", "400"},
		{"an encoding that nobody knows", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501"},
		{"an encoding too many", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "501"},
		{"two encodings", post + chunked + "Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", "501"},
		{"an encoding after a control", post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "400"},
		{"a chunk of no size", post + chunked + "\r\n\r\nabcde\r\n0\r\n\r\n", "400"},
		{"a chunk with a prefix", post + chunked + "\r\n0x5\r\nabcde\r\n0\r\n\r\n", "400"},
		{"a chunk with a sign", post + chunked + "\r\n-5\r\nabcde\r\n0\r\n\r\n", "400"},
		{"a chunk that overflows", post + chunked + "\r\n10000000000000005\r\nabcde\r\n0\r\n\r\n", "400"},
		{"a chunk that is longer than its size", post + chunked + "\r\n4\r\nabcde\r\n0\r\n\r\n", "400"},
		{"a chunk whose size ends in half a line end", post + chunked + "\r\n5\nabcde\r\n0\r\n\r\n", "400"},
		{"an extension that ends in half a line end", post + chunked + "\r\n5;a\nabcde\r\n0\r\n\r\n", "400"},
		{"NUL in a value", post + "X: a\x00b\r\n\r\n", "400"},
		{"NUL in a name", post + "X\x00: a\r\n\r\n", "400"},
		{"half a line end in a value", post + "X: a\rContent-Length: 5\r\n\r\n", "400"},
		{"the other half", post + "X: a\nContent-Length: 5\r\n\r\n", "400"},
		{"a head of other line ends", "GET / HTTP/1.1\nHost: x\n\n", "400"},
		{"a line without a colon", post + "Content-Length 5\r\n\r\n", "400"},
		{"a name of nothing", post + ": 5\r\n\r\n", "400"},
		{"no host", "GET / HTTP/1.1\r\n\r\n", "400"},
		{"two hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "400"},
		{"a space in the target", "GET / x HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
		{"a control in the target", "GET /\x01 HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
		{"no version", "GET /\r\nHost: x\r\n\r\n", "400"},
		{"another version", "GET / HTTP/3.0\r\nHost: x\r\n\r\n", "505"},
		{"a method that is no word", "G(T / HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
		{"an expectation", post + "Expect: more\r\nContent-Length: 0\r\n\r\n", "417"},
	} {
		c := from(t, "127.0.0.1", address)
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(c, one.request+next)
		r := bufio.NewReader(c)
		w, err := http.ReadResponse(r, nil) //nolint:bodyclose // Its connection is closed below.
		if err != nil || !strings.HasPrefix(w.Status, one.want) {
			t.Errorf("%s: %v, %v; want %s", one.name, w, err, one.want)
			c.Close()
			continue
		}
		_, _ = io.Copy(io.Discard, w.Body)
		if _, err := r.ReadByte(); err != io.EOF {
			t.Errorf("%s: the connection goes on (%v)", one.name, err)
		}
		c.Close()
	}
	if n := smuggled.Load(); n > 0 {
		t.Errorf("%d requests came inside of others", n)
	}
}
