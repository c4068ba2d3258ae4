package trace

import (
	"encoding/binary"
	"maps"
	"slices"
)

// A message of Protocol Buffers is a list of fields, each a number with how it is written and then
// its value. OTLP needs three ways.
const (
	varint  = 0
	fixed64 = 1
	counted = 2
)

func tag(b []byte, field, way int) []byte { return binary.AppendUvarint(b, uint64(field<<3|way)) }

func number(b []byte, field int, v uint64) []byte {
	return binary.AppendUvarint(tag(b, field, varint), v)
}

func nanoseconds(b []byte, field int, v int64) []byte {
	return binary.LittleEndian.AppendUint64(tag(b, field, fixed64), uint64(v))
}

func text[T ~string | ~[]byte](b []byte, field int, v T) []byte {
	return append(binary.AppendUvarint(tag(b, field, counted), uint64(len(v))), v...)
}

// encode writes opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest.
func encode(resource map[string]string, spans []*Span) []byte {
	var about, scope []byte
	for _, key := range slices.Sorted(maps.Keys(resource)) {
		about = text(about, 1, attribute{key: key, text: resource[key]}.encode())
	}
	scope = text(scope, 1, text(nil, 1, "parvis"))
	for _, s := range spans {
		scope = text(scope, 2, s.encode())
	}
	return text(nil, 1, text(text(nil, 1, about), 2, scope))
}

func (a attribute) encode() []byte {
	value := text(nil, 1, a.text)
	if a.isNumber {
		value = number(nil, 3, uint64(a.number))
	}
	return text(text(nil, 1, a.key), 2, value)
}

func (s *Span) encode() []byte {
	b := text(nil, 1, s.in.id[:])
	b = text(b, 2, s.id[:])
	if s.parent != [8]byte{} {
		b = text(b, 4, s.parent[:])
	}
	b = text(b, 5, s.name)
	b = number(b, 6, uint64(s.kind))
	b = nanoseconds(b, 7, s.began.UnixNano())
	b = nanoseconds(b, 8, s.ended.UnixNano())
	for _, a := range s.attributes {
		b = text(b, 9, a.encode())
	}
	if s.failed != "" {
		b = text(b, 9, attribute{key: "error.type", text: s.failed}.encode())
		b = text(b, 15, number(nil, 3, 2)) // STATUS_CODE_ERROR
	}
	return b
}
