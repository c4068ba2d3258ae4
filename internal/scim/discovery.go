package scim

import (
	"context"
	"maps"
	"net/http"
	"strings"

	"parvis/internal/scim/document"
	"parvis/internal/secret"
)

// at returns an address under the source's.
func (x *call) at(path string) string { return x.server.Base + Root + x.id + path }

// settled refuses addresses that no source can have. Whether there is one is not asked: discovery
// says the same for all.
func (x *call) settled() error {
	if !strings.HasPrefix(x.id, "src_") || !secret.IsID(x.id) {
		return errNowhere
	}
	return nil
}

// described returns one of the documents of discovery, with its own address.
func (x *call) described(o document.Object, kind, path string) document.Object {
	o = maps.Clone(o)
	o["meta"] = document.Object{"resourceType": kind, "location": x.at(path)}
	return o
}

func (s *Server) config(_ context.Context, x *call) (answer, error) {
	o := x.described(s.about.Config, "ServiceProviderConfig", "/ServiceProviderConfig")
	return answer{status: http.StatusOK, body: o}, x.settled()
}

func (s *Server) resourceTypes(_ context.Context, x *call) (answer, error) {
	return x.describe(s.about.ResourceTypes, "ResourceType", "/ResourceTypes/")
}

func (s *Server) schemas(_ context.Context, x *call) (answer, error) {
	return x.describe(s.about.Schemas, "Schema", "/Schemas/")
}

// describe answers with one document or, without an id, with all of them.
func (x *call) describe(all []document.Object, kind, path string) (answer, error) {
	if err := x.settled(); err != nil {
		return answer{}, err
	}
	id := x.R.PathValue("id")
	shown := make([]any, 0, len(all))
	for _, o := range all {
		name, _ := o["id"].(string)
		described := x.described(o, kind, path+name)
		if strings.EqualFold(name, id) {
			return answer{status: http.StatusOK, body: described}, nil
		}
		shown = append(shown, described)
	}
	if id != "" {
		return answer{}, errNowhere
	}
	return answer{status: http.StatusOK, body: document.Object{
		"schemas": []any{document.ListURI}, "totalResults": len(shown), "startIndex": 1, "itemsPerPage": len(shown), "Resources": shown,
	}}, nil
}
