package saml_test

import (
	"crypto/x509"
	"encoding/base64"
	"testing"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"parvis/internal/federation/saml"
)

// BenchmarkJudge and BenchmarkBareSignature work on the same responses: the second is the floor, and
// the difference is the cost of our own judgement.
func BenchmarkJudge(b *testing.B) {
	responses, e := responsesToMeasure(b)
	for name, response := range responses {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := saml.Judge(response, e); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "responses/s")
		})
	}
}

func BenchmarkBareSignature(b *testing.B) {
	responses, e := responsesToMeasure(b)
	certificate, err := x509.ParseCertificate(e.Connection.Certificates[0])
	if err != nil {
		b.Fatal(err)
	}
	context := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{certificate}})
	context.Clock = dsig.NewFakeClockAt(now)
	for name, response := range responses {
		document, err := base64.StdEncoding.DecodeString(response)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				d := etree.NewDocument()
				if err := d.ReadFromBytes(document); err != nil {
					b.Fatal(err)
				}
				for _, el := range []*etree.Element{d.Root(), d.FindElement("//Assertion")} {
					if el.SelectElement("Signature") == nil {
						continue
					}
					if el != d.Root() {
						el = el.Copy()
						for _, a := range d.Root().Attr {
							if a.Space == "xmlns" {
								el.CreateAttr(a.FullKey(), a.Value)
							}
						}
					}
					if _, err := context.Validate(el); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "responses/s")
		})
	}
}

func responsesToMeasure(b *testing.B) (map[string]string, saml.Expectation) {
	b.Helper()
	idp, e := setting(b)
	both := answer(b, idp, e, ann)
	return map[string]string{
		"assertion": resigned(b, idp, both, func(*etree.Element) {}, "assertion"),
		"response":  resigned(b, idp, both, func(*etree.Element) {}, "response"),
		"both":      both,
	}, e
}
