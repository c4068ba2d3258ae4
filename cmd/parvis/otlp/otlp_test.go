package otlp

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"parvis/internal/expect"
	"parvis/internal/trace"
)

func env(pairs ...string) map[string]string {
	all := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		all["OTEL_"+pairs[i]] = pairs[i+1]
	}
	return all
}

func TestTheVariablesSayWhereTracesGo(t *testing.T) {
	for name, one := range map[string]struct {
		env  map[string]string
		want string // the endpoint; empty for no traces
	}{
		"nothing":                        {env(), ""},
		"an address":                     {env("EXPORTER_OTLP_ENDPOINT", "https://collector.test:4318"), "https://collector.test:4318/v1/traces"},
		"an address with a path":         {env("EXPORTER_OTLP_ENDPOINT", "https://collector.test/otlp/"), "https://collector.test/otlp/v1/traces"},
		"an address of traces":           {env("EXPORTER_OTLP_ENDPOINT", "http://a:1", "EXPORTER_OTLP_TRACES_ENDPOINT", "http://b:2"), "http://b:2/"},
		"an address of traces, as it is": {env("EXPORTER_OTLP_TRACES_ENDPOINT", "http://b:2/in"), "http://b:2/in"},
		"the usual one":                  {env("TRACES_EXPORTER", "otlp"), "http://localhost:4318/v1/traces"},
		"none":                           {env("TRACES_EXPORTER", "none", "EXPORTER_OTLP_ENDPOINT", "http://a:1"), ""},
		"turned off":                     {env("SDK_DISABLED", "TRUE", "EXPORTER_OTLP_ENDPOINT", "http://a:1"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, problems := Read(one.env)
			expect.Equal(t, "problems", strings.Join(problems, " "), "")
			got := ""
			if s != nil {
				got = s.Endpoint
			}
			expect.Equal(t, "endpoint", got, one.want)
		})
	}
}

func TestVariablesThatCannotBeFollowedAreNamed(t *testing.T) {
	for name, bad := range map[string][]string{
		"EXPORTER_OTLP_ENDPOINT":           {"localhost:4318", "ftp://a", "http://", "http://u:secret@a"},
		"EXPORTER_OTLP_PROTOCOL":           {"grpc", "http/json"},
		"EXPORTER_OTLP_TRACES_PROTOCOL":    {"grpc"},
		"EXPORTER_OTLP_HEADERS":            {"secret", "=secret", "a=%zz"},
		"EXPORTER_OTLP_TIMEOUT":            {"5s", "0", "-1"},
		"EXPORTER_OTLP_COMPRESSION":        {"zstd"},
		"EXPORTER_OTLP_CERTIFICATE":        {"/does/not/exist", "otlp_test.go"},
		"EXPORTER_OTLP_CLIENT_CERTIFICATE": {"/some"},
		"TRACES_SAMPLER":                   {"jaeger_remote", "parentbased_"},
		"TRACES_EXPORTER":                  {"zipkin"},
		"RESOURCE_ATTRIBUTES":              {"a"},
	} {
		for _, value := range bad {
			all := env("EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
			all["OTEL_"+name] = value
			s, problems := Read(all)
			said := strings.Join(problems, " ")
			if s != nil || !strings.Contains(said, "OTEL_"+name) || strings.Contains(said, "secret") {
				t.Errorf("%s=%s is answered %q", name, value, said)
			}
		}
	}
	for _, ratio := range []string{"2", "-0.1", "NaN", "half"} {
		if _, problems := Read(env("EXPORTER_OTLP_ENDPOINT", "http://a:1", "TRACES_SAMPLER", "traceidratio", "TRACES_SAMPLER_ARG", ratio)); len(problems) != 1 {
			t.Errorf("a ratio of %s is answered %q", ratio, problems)
		}
	}
}

func TestSamplersAreThoseOfTheStandard(t *testing.T) {
	for name, want := range map[string]Settings{
		"":                         {Ratio: 1, ByParent: true},
		"always_on":                {Ratio: 1},
		"always_off":               {},
		"parentbased_always_off":   {ByParent: true},
		"traceidratio":             {Ratio: 0.25},
		"parentbased_traceidratio": {Ratio: 0.25, ByParent: true},
	} {
		s, problems := Read(env("EXPORTER_OTLP_ENDPOINT", "http://a:1", "TRACES_SAMPLER", name, "TRACES_SAMPLER_ARG", "0.25"))
		if s == nil {
			t.Errorf("%s is answered %q", name, problems)
			continue
		}
		expect.Equal(t, "ratio of "+name, s.Ratio, want.Ratio)
		expect.Equal(t, "whether a parent decides by "+name, s.ByParent, want.ByParent)
	}
}

func TestTheReceiverGetsWhatTheVariablesSay(t *testing.T) {
	status, seen, body := http.StatusOK, http.Header{}, ""
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		z, err := gzip.NewReader(r.Body)
		if err == nil {
			var b []byte
			b, err = io.ReadAll(z)
			body = string(b)
		}
		if err != nil {
			t.Error(err)
		}
		seen = r.Header
		w.WriteHeader(status)
	}))
	s, problems := Read(env("EXPORTER_OTLP_ENDPOINT", at.URL, "EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20key,X-Other=a",
		"EXPORTER_OTLP_TRACES_HEADERS", "Authorization=Bearer%20other", "EXPORTER_OTLP_COMPRESSION", "gzip", "RESOURCE_ATTRIBUTES", "deployment.environment=test,service.name=x", "SERVICE_NAME", "door"))
	if s == nil {
		t.Fatal(problems)
	}
	expect.Equal(t, "service", s.Resource["service.name"], "door")
	expect.Equal(t, "environment", s.Resource["deployment.environment"], "test")
	send := s.Sender()
	if err := send(t.Context(), []byte("spans")); err != nil {
		t.Fatal(err)
	}
	expect.Equal(t, "body", body, "spans")
	expect.Equal(t, "type", seen.Get("Content-Type"), "application/x-protobuf")
	expect.Equal(t, "key", seen.Get("Authorization"), "Bearer other")
	for code, later := range map[int]bool{http.StatusServiceUnavailable: true, http.StatusTooManyRequests: true, http.StatusBadRequest: false, http.StatusUnauthorized: false} {
		status = code
		err := send(t.Context(), []byte("spans"))
		if err == nil || errors.Is(err, trace.ErrLater) != later {
			t.Errorf("after %d: %v", code, err)
		}
	}
	at.Close()
	if err := send(context.Background(), []byte("spans")); !errors.Is(err, trace.ErrLater) {
		t.Errorf("of a receiver that is gone: %v", err)
	}
}

// The log names the receiver, and not the key that some want in the address.
func TestAReceiverIsNamedWithoutItsKey(t *testing.T) {
	s := &Settings{Endpoint: "https://collector.example:4318/k-1234/v1/traces?key=k-5678"}
	expect.Equal(t, "receiver", s.Receiver(), "https://collector.example:4318")
}

func TestWhatLeavesWithoutEncryptionIsKnown(t *testing.T) {
	for endpoint, want := range map[string]bool{"http://collector:4318": true, "https://collector:4318": false, "http://localhost:4318": false, "http://[::1]:4318": false} {
		expect.Equal(t, "open to "+endpoint, (&Settings{Endpoint: endpoint}).Open(), want)
	}
}
