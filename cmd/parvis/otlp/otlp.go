// Package otlp reads OpenTelemetry's standard variables, and hands traces to the receiver that they
// name, by OTLP over HTTP in its binary form.
package otlp

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"parvis/internal/outbound"
	"parvis/internal/trace"
)

// Settings are what the variables say.
type Settings struct {
	Endpoint string
	Resource map[string]string
	Ratio    float64
	ByParent bool

	headers  map[string]string // which may hold a key
	timeout  time.Duration
	compress bool
	roots    *x509.CertPool // nil for those of this machine
}

// mostTimeout is how long a call may take, whatever is asked for: outbound waits no longer.
const mostTimeout = outbound.Patience

// reader collects what is wrong with the variables.
type reader struct {
	env      map[string]string
	problems []string
}

func (r *reader) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// first returns the variable of traces alone, or else the one of all signals, and its name.
func (r *reader) first(suffix string) (name, value string) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_" + suffix, "OTEL_EXPORTER_OTLP_" + suffix} {
		if v := strings.TrimSpace(r.env[name]); v != "" {
			return name, v
		}
	}
	return "", ""
}

// Read returns what the variables say, nil if nothing is to be traced, and what is wrong with them.
func Read(env map[string]string) (*Settings, []string) {
	r := &reader{env: env}
	exporter := env["OTEL_TRACES_EXPORTER"]
	_, endpoint := r.first("ENDPOINT")
	switch {
	case strings.EqualFold(env["OTEL_SDK_DISABLED"], "true") || exporter == "none" || exporter == "" && endpoint == "":
		return nil, nil
	case exporter != "" && exporter != "otlp":
		r.problem(`OTEL_TRACES_EXPORTER is %q: Parvis sends traces by "otlp", or with "none" not at all.`, exporter)
	}
	s := &Settings{Resource: map[string]string{}, timeout: mostTimeout}
	r.endpoint(s)
	r.protocol(s)
	r.sampler(s)
	s.headers = r.pairs("OTEL_EXPORTER_OTLP_HEADERS")
	if name, _ := r.first("HEADERS"); name != "" {
		s.headers = r.pairs(name)
	}
	s.Resource = r.pairs("OTEL_RESOURCE_ATTRIBUTES")
	s.Resource["service.name"] = cmp.Or(env["OTEL_SERVICE_NAME"], s.Resource["service.name"], "parvis")
	if host, err := os.Hostname(); err == nil {
		s.Resource["host.name"] = cmp.Or(s.Resource["host.name"], host)
	}
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return s, nil
}

func (r *reader) endpoint(s *Settings) {
	name, address := r.first("ENDPOINT")
	if name == "" {
		address = "http://localhost:4318"
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		r.problem("%s is the address of a receiver of OTLP over HTTP, such as http://localhost:4318.", name)
		return
	}
	if name != "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" {
		u = u.JoinPath("v1", "traces")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	s.Endpoint = u.String()
}

func (r *reader) protocol(s *Settings) {
	if name, protocol := r.first("PROTOCOL"); name != "" && protocol != "http/protobuf" {
		r.problem("%s is %q: Parvis speaks http/protobuf. Set it so, and the endpoint to the receiver's port for HTTP, usually 4318.", name, protocol)
	}
	name, compression := r.first("COMPRESSION")
	if s.compress = compression == "gzip"; compression != "" && compression != "gzip" && compression != "none" {
		r.problem("%s is gzip or none.", name)
	}
	if name, text := r.first("TIMEOUT"); name != "" {
		ms, err := strconv.Atoi(text)
		if err != nil || ms <= 0 {
			r.problem("%s is a number of milliseconds.", name)
		}
		s.timeout = min(time.Duration(ms)*time.Millisecond, mostTimeout)
	}
	if name, _ := r.first("CLIENT_CERTIFICATE"); name != "" {
		r.problem("%s is not supported: let the receiver take a header with a key (OTEL_EXPORTER_OTLP_HEADERS).", name)
	}
	if name, path := r.first("CERTIFICATE"); name != "" {
		s.roots = x509.NewCertPool()
		if text, err := os.ReadFile(path); err != nil || !s.roots.AppendCertsFromPEM(text) {
			r.problem("%s names %s, which is no file with certificates in PEM.", name, path)
		}
	}
}

// sampler reads which traces are recorded.
func (r *reader) sampler(s *Settings) {
	name, by := strings.CutPrefix(cmp.Or(r.env["OTEL_TRACES_SAMPLER"], "parentbased_always_on"), "parentbased_")
	s.ByParent = by
	switch name {
	case "always_on":
		s.Ratio = 1
	case "always_off":
	case "traceidratio":
		ratio, err := strconv.ParseFloat(cmp.Or(r.env["OTEL_TRACES_SAMPLER_ARG"], "1"), 64)
		if err != nil || !(ratio >= 0 && ratio <= 1) {
			r.problem("OTEL_TRACES_SAMPLER_ARG is the part of the traces that is recorded, from 0 to 1.")
		}
		s.Ratio = ratio
	default:
		r.problem("OTEL_TRACES_SAMPLER is always_on, always_off or traceidratio, or one of these after parentbased_.")
	}
}

// pairs reads a list of key=value, in which bytes may be written as in an address.
func (r *reader) pairs(name string) map[string]string {
	all := map[string]string{}
	for pair := range strings.SplitSeq(r.env[name], ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, text, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(text))
		if key = strings.TrimSpace(key); !ok || key == "" || err != nil {
			r.problem("%s is a list such as key=value,other=value.", name) // without the value, which may be a secret
			continue
		}
		all[key] = value
	}
	return all
}

// Receiver returns the receiver without path and query, in which some want a key.
func (s *Settings) Receiver() string {
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// Open reports whether traces leave this machine without encryption.
func (s *Settings) Open() bool {
	u, err := url.Parse(s.Endpoint)
	return err == nil && u.Scheme == "http" && !slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
}

// Sender returns what hands requests to the receiver.
func (s *Settings) Sender() func(context.Context, []byte) error {
	client := outbound.New(nil)
	if s.roots != nil {
		client = client.Trusting(s.roots)
	}
	client = client.Peer(s.Endpoint)
	return func(ctx context.Context, request []byte) error {
		ctx, cancel := context.WithTimeout(ctx, s.timeout)
		defer cancel()
		return s.send(ctx, client, request)
	}
}

// mostRead is how much is read of a receiver's answer, which says nothing that is used.
const mostRead = 64 << 10

func (s *Settings) send(ctx context.Context, client *outbound.Client, request []byte) error {
	if s.compress {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(request); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		request = b.Bytes()
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Endpoint, bytes.NewReader(request))
	if err != nil {
		return errors.New("the address of the receiver cannot be used")
	}
	for key, value := range s.headers {
		r.Header.Set(key, value)
	}
	r.Header.Set("Content-Type", "application/x-protobuf")
	if s.compress {
		r.Header.Set("Content-Encoding", "gzip")
	}
	w, err := client.Tell(r, mostRead)
	switch why, refused := errors.AsType[outbound.Refused](err); {
	case refused && (why == outbound.Unreachable || why == outbound.Timeout):
		return errors.Join(trace.ErrLater, err)
	case err != nil:
		return err
	case w.Status/100 == 2:
		return nil
	case slices.Contains([]int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, w.Status):
		return fmt.Errorf("%w: %s", trace.ErrLater, w.StatusText())
	}
	return fmt.Errorf("the receiver answered %s", w.StatusText())
}
