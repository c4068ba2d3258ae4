package region

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"parvis/internal/edge"
)

// Path is where regions ask.
const Path = "/regions/question"

// Mount answers the questions of peers.
func (s *Service) Mount(e *edge.Edge) {
	s.taking.Refused, s.asking.Refused = e.Refusals(edge.OfRegion), e.Refusals(edge.OfAsking)
	e.HandleForeign("POST "+Path, http.HandlerFunc(s.serve))
}

// statuses are those of refused questions. Nothing here is worth hiding: regions and their addresses
// stand on the sign-in page.
var statuses = map[reason]int{
	"": http.StatusOK, unreadable: http.StatusBadRequest, stranger: http.StatusForbidden, sameRegion: http.StatusConflict,
	wrongRegion: http.StatusMisdirectedRequest, wrongKey: http.StatusUnauthorized, wrongClock: http.StatusForbidden,
	replayed: http.StatusConflict, tooOften: http.StatusTooManyRequests, notReady: http.StatusServiceUnavailable,
}

func (s *Service) serve(w http.ResponseWriter, r *http.Request) {
	var a answer
	var q question
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBytes))
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	if err != nil {
		a.Refused = unreadable
	} else {
		a = s.judge(r.Context(), q)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(statuses[a.Refused])
	json.NewEncoder(w).Encode(a) //nolint:errcheck // The caller has gone.
}

// judge answers a question. What is signed by nobody costs one hash and learns only who is here; the
// time is judged behind the signature, and the nonce last, so that strangers can use none up.
func (s *Service) judge(ctx context.Context, q question) answer {
	now := s.DB.Now()
	p := s.peer(q.From)
	switch {
	case q.From == s.Here:
		return answer{Refused: sameRegion, Region: s.Here}
	case p == nil:
		return answer{Refused: stranger}
	case q.To != s.Here:
		return answer{Refused: wrongRegion, Region: s.Here}
	case !same(q.MAC, q.sign(p)):
		return answer{Refused: wrongKey}
	}
	a := s.weigh(ctx, p, q, now)
	a.Time = now.Unix()
	a.MAC = a.sign(p, q)
	return a
}

// weigh answers a question that a peer signed.
func (s *Service) weigh(ctx context.Context, p *peer, q question, now time.Time) answer {
	var hashes []hashed
	for _, text := range q.Hashes {
		h, ok := parseHashed(text)
		if !ok {
			return answer{Refused: unreadable}
		}
		hashes = append(hashes, h)
	}
	switch off := now.Sub(time.Unix(q.Time, 0)); {
	case off > Tolerance || off < -Tolerance:
		return answer{Refused: wrongClock}
	case len(hashes) > mostHashes, len(q.Nonce) > mostNonce:
		return answer{Refused: unreadable}
	case s.taking.Take(p.ID, now) > 0:
		return answer{Refused: tooOften}
	case !s.nonces.fresh(q.From+" "+q.Nonce, now):
		return answer{Refused: replayed}
	}
	l, org, err := s.find(ctx, p, hashes)
	if err == nil && q.Claim && l != unknown {
		err = s.claimed(ctx, p, org)
	}
	if err != nil {
		return answer{Refused: notReady}
	}
	return answer{Level: l}
}
