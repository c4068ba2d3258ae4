// A web application whose people sign in at Parvis. Sessions are in memory: after a
// restart people are led to Parvis and back, mostly without seeing a page.
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"html/template"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// session is one browser in which somebody is signed in.
type session struct {
	IDToken string
	SID     string // Parvis's name of its session, which logout tokens have
	Claims  map[string]any
}

var (
	address  = os.Getenv("ADDRESS") // of this application, such as https://books.example
	config   oauth2.Config
	verifier *oidc.IDTokenVerifier
	leaving  string   // Parvis's end_session_endpoint
	sessions sync.Map // random text in a cookie: session
)

func main() {
	provider, err := oidc.NewProvider(context.Background(), os.Getenv("ISSUER"))
	if err != nil {
		log.Fatal(err)
	}
	var more struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := provider.Claims(&more); err != nil {
		log.Fatal(err)
	}
	leaving, verifier = more.EndSession, provider.Verifier(&oidc.Config{ClientID: os.Getenv("CLIENT_ID")})
	endpoint := provider.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader // client_secret_basic
	config = oauth2.Config{
		ClientID: os.Getenv("CLIENT_ID"), ClientSecret: os.Getenv("CLIENT_SECRET"), Endpoint: endpoint,
		RedirectURL: address + "/callback", Scopes: []string{oidc.ScopeOpenID, "profile", "email"},
	}

	http.HandleFunc("GET /{$}", home)
	http.HandleFunc("GET /login", login)
	http.HandleFunc("GET /callback", callback)
	http.HandleFunc("POST /sign-out", signOut)
	http.HandleFunc("POST /back-channel-logout", backChannelLogout)
	guard := http.NewCrossOriginProtection() // against forms of other sites
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), guard.Handler(http.DefaultServeMux)))
}

func home(w http.ResponseWriter, r *http.Request) {
	s, ok := sessionOf(r)
	if !ok {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	claims, _ := json.MarshalIndent(s.Claims, "", "  ")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	page.Execute(w, string(claims))
}

var page = template.Must(template.New("").Parse(`<!doctype html><title>Books</title><h1>Signed in</h1><pre>{{.}}</pre>
<form method="post" action="/sign-out"><button>Sign out</button></form>`))

// login leads to Parvis. It is also where Parvis's own home page sends people, with the
// organization that they are to come in for.
func login(w http.ResponseWriter, r *http.Request) {
	state, nonce, proof := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	setCookie(w, "state_"+state, nonce+"."+proof, 600)
	options := []oauth2.AuthCodeOption{oidc.Nonce(nonce), oauth2.S256ChallengeOption(proof)}
	if organization := r.FormValue("organization"); organization != "" {
		options = append(options, oauth2.SetAuthURLParam("organization", organization))
	}
	http.Redirect(w, r, config.AuthCodeURL(state, options...), http.StatusSeeOther)
}

func callback(w http.ResponseWriter, r *http.Request) {
	state := r.FormValue("state")
	cookie, err := r.Cookie("state_" + state)
	if err != nil || r.FormValue("iss") != os.Getenv("ISSUER") {
		http.Error(w, "This browser did not ask to sign in, or too long ago.", http.StatusBadRequest)
		return
	}
	setCookie(w, "state_"+state, "", -1)
	if code := r.FormValue("error"); code != "" {
		http.Error(w, "Nobody signed in: "+code+": "+r.FormValue("error_description"), http.StatusForbidden)
		return
	}
	nonce, proof, _ := strings.Cut(cookie.Value, ".")
	tokens, err := config.Exchange(r.Context(), r.FormValue("code"), oauth2.VerifierOption(proof))
	if err != nil {
		log.Print(err)
		http.Error(w, "Parvis did not confirm the sign-in.", http.StatusBadGateway)
		return
	}
	var s session
	s.IDToken, _ = tokens.Extra("id_token").(string)
	id, err := verifier.Verify(r.Context(), s.IDToken)
	if err != nil || id.Nonce != nonce || id.Claims(&s.Claims) != nil {
		http.Error(w, "The ID token does not hold.", http.StatusBadRequest)
		return
	}
	s.SID, _ = s.Claims["sid"].(string)
	name := rand.Text()
	sessions.Store(name, s)
	setCookie(w, "session", name, 0)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// signOut ends the session here, then the one at Parvis, which tells the other
// applications and sends the person back.
func signOut(w http.ResponseWriter, r *http.Request) {
	s, _ := sessionOf(r)
	forget(s.SID)
	http.Redirect(w, r, leaving+"?"+url.Values{
		"client_id": {config.ClientID}, "id_token_hint": {s.IDToken}, "post_logout_redirect_uri": {address + "/"},
	}.Encode(), http.StatusSeeOther)
}

// backChannelLogout is told by Parvis, without a browser, that a session has ended.
func backChannelLogout(w http.ResponseWriter, r *http.Request) {
	token, err := verifier.VerifyLogout(r.Context(), r.FormValue("logout_token"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	forget(token.SessionID)
}

func forget(sid string) {
	sessions.Range(func(name, s any) bool {
		if s.(session).SID == sid {
			sessions.Delete(name)
		}
		return true
	})
}

func sessionOf(r *http.Request) (session, bool) {
	cookie, err := r.Cookie("session")
	if err != nil {
		return session{}, false
	}
	s, ok := sessions.Load(cookie.Value)
	if !ok {
		return session{}, false
	}
	return s.(session), true
}

func setCookie(w http.ResponseWriter, name, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: seconds, HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(address, "https:"),
	})
}
