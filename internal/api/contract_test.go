package api_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// contract is the document as kin-openapi reads it, which we did not write.
var contract = sync.OnceValues(func() (routers.Router, error) {
	document, err := openapi3.NewLoader().LoadFromFile("../../docs/openapi.json")
	if err != nil {
		return nil, err
	}
	if err := document.Validate(context.Background(), openapi3.IsOpenAPI31OrLater()); err != nil {
		return nil, err
	}
	openapi3filter.RegisterBodyDecoder("application/jsonl", openapi3filter.FileBodyDecoder)
	openapi3filter.RegisterBodyDecoder("image/png", openapi3filter.FileBodyDecoder)
	document.Servers = nil // tests call another host
	return gorillamux.NewRouter(document)
})

func TestTheDocumentIsOpenAPI(t *testing.T) {
	t.Parallel()
	if _, err := contract(); err != nil {
		t.Error(err)
	}
}

// fitting are answers that were found to be as the document says, without their references: kin-openapi
// compiles the schema again for each that it judges, which takes a third of a test that makes many.
var fitting sync.Map

var referenceInAnswer = regexp.MustCompile(`req_[a-z2-7]+`)

// fits fails the test unless an answer is as the document says. call asks it of every answer.
func (g answer) fits(t *testing.T) {
	t.Helper()
	router, err := contract()
	if err != nil {
		t.Fatal(err)
	}
	route, parameters, err := router.FindRoute(g.Request)
	if err != nil {
		return // a path or a method that does not exist, on purpose
	}
	judged := fmt.Sprintf("%s %s %d %q %s", route.Method, route.Path, g.StatusCode, g.Header["Content-Type"], referenceInAnswer.ReplaceAllLiteral(g.text, nil))
	if _, fits := fitting.Load(judged); fits {
		return
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: g.Request, PathParams: parameters, Route: route},
		Status:                 g.StatusCode, Header: http.Header{"Content-Type": g.Header["Content-Type"]},
		Body: io.NopCloser(bytes.NewReader(g.text)), Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	if err := openapi3filter.ValidateResponse(t.Context(), input); err != nil {
		t.Errorf("%s %s: the answer is not as the document says: %v", g.Request.Method, g.Request.URL.Path, err)
		return
	}
	fitting.Store(judged, true)
}
