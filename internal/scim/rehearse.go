package scim

import (
	"context"
	"net/http"
	"strings"

	"parvis/internal/provisioning"
	"parvis/internal/scim/document"
)

// Speak runs a call that somebody wrote down as the source's own, and undoes what it did. It says
// what the call would be kept as, and why it would be refused.
func (s *Server) Speak(ctx context.Context, source provisioning.Source, sent provisioning.Sent) (provisioning.Call, error) {
	sent.Method, sent.Path = strings.ToUpper(strings.TrimSpace(sent.Method)), below(source, sent.Path)
	deed, kind, id, err := s.deedAt(sent.Method, sent.Path)
	if err != nil {
		return provisioning.Call{}, err
	}
	x := &call{server: s, source: source, id: source.ID, rehearsed: &provisioning.Call{}}
	in := input{method: sent.Method, path: sent.Path, id: id}
	if in.show, err = kind.ParseShow([]string{"id"}, nil); err != nil {
		return provisioning.Call{}, err
	}
	if sent.Method != http.MethodDelete {
		in.sent, err = read(sent.Body)
	}
	if err == nil {
		_, err = deed(ctx, x, in)
	}
	if x.rehearsed.Method == "" { // it did not come as far as that
		*x.rehearsed = x.loggedAs(sent.Method, sent.Path)
	}
	return *x.rehearsed, err
}

// below returns the path of a call below its source's address. People copy whole addresses.
func below(source provisioning.Source, path string) string {
	path, _, _ = strings.Cut(strings.TrimSpace(path), "?")
	if _, rest, whole := strings.Cut(path, Root+source.ID); whole {
		path = rest
	}
	return "/" + strings.Trim(path, "/")
}

// read reads the body of a call.
func read(body []byte) (any, error) {
	if len(body) > document.MostBody {
		return nil, errLarge.With("Most", document.MostBody>>10)
	}
	return document.Read(body)
}
