package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/tamarack-tam/tamarack/tam/api/client"
)

const defaultServer = "http://127.0.0.1:8778"

// app is what the commands share: the global flags and the environment.
type app struct {
	env               []string
	stderr            io.Writer
	server, tokenFile string
	format            string
}

// setting is the flag's value, or else the environment's.
func (a *app) setting(flag, variable string) string {
	if flag != "" {
		return flag
	}
	for _, line := range a.env {
		if name, value, _ := strings.Cut(line, "="); name == variable {
			return value
		}
	}
	return ""
}

// connect returns a client of the server, with the token.
func (a *app) connect() (*client.ClientWithResponses, error) {
	server, err := a.serverURL()
	if err != nil {
		return nil, err
	}
	token, err := a.token()
	if err != nil {
		return nil, err
	}
	authorize := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+token)
		return nil
	}
	// A redirect is an answer: the token goes to the server that was named, no other.
	plain := &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			TLSHandshakeTimeout: 10 * time.Second,
			// How long an upload waits for a word of the server before it begins.
			ExpectContinueTimeout: 5 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return client.NewClientWithResponses(server, client.WithHTTPClient(plain), client.WithRequestEditorFn(authorize))
}

func (a *app) serverURL() (string, error) {
	server := a.setting(a.server, "TAMCTL_SERVER")
	if server == "" {
		server = defaultServer
	}
	u, err := url.Parse(server)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return "", usage("server %q is not a URL such as %s; mend --server or TAMCTL_SERVER", server, defaultServer)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return "", usage("server %s: the token would travel readably; use https, or a tunnel to a loopback address", server)
	}
	return server, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (a *app) token() (string, error) {
	path := a.setting(a.tokenFile, "TAMCTL_TOKEN_FILE")
	if path == "" {
		return "", usage("no token file: name it with --token-file or TAMCTL_TOKEN_FILE; 'tamarack serve' wrote it at its first start and logged the path")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", advise(fmt.Errorf("token file: %w", err), "name the file that 'tamarack serve' wrote at its first start, with --token-file or TAMCTL_TOKEN_FILE")
	}
	token := strings.TrimSpace(string(data))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("token file %s does not hold a token", path)
	}
	return token, nil
}

// refusedError is a problem that the server answered with (RFC 9457).
type refusedError struct{ client.Problem }

// Error is of several lines where the server points into an expression.
func (e *refusedError) Error() string {
	text := strings.Split(e.Detail, "\n")
	for i := range text {
		text[i] = "  " + printable(text[i])
	}
	text[0] = strings.TrimSpace(text[0]) + printable(fmt.Sprintf(" (%s)", e.Code))
	return strings.Join(text, "\n")
}

func (e *refusedError) Hint() string { return printable(e.Problem.Hint) }

// unreachableError: there was no answer, or none of use.
type unreachableError struct {
	reason string
	hint   string
}

func (e *unreachableError) Error() string { return e.reason }
func (e *unreachableError) Hint() string  { return e.hint }

// answer is what every generated response offers.
type answer interface {
	StatusCode() int
	GetBody() []byte
	ContentType() string
}

// result takes the value out of a response, or the reason why there is none.
func result[T any](value *T, response answer) (T, error) {
	var none T
	if value != nil {
		return *value, nil
	}
	mediaType, _, _ := mime.ParseMediaType(response.ContentType())
	var p client.Problem
	if mediaType != "application/problem+json" || json.Unmarshal(response.GetBody(), &p) != nil {
		return none, notUnderstood(fmt.Sprintf("status %d, %q", response.StatusCode(), mediaType))
	}
	if p.Status >= http.StatusInternalServerError {
		return none, &unreachableError{(&refusedError{p}).Error(), printable(p.Hint)}
	}
	return none, &refusedError{p}
}

// transportFault is what to say when a request brought no response that could be read.
func transportFault(err error) error {
	var network *url.Error
	switch {
	case errors.Is(err, context.Canceled), errors.As(err, new(*fs.PathError)):
		return err
	case errors.As(err, &network):
		return &unreachableError{
			fmt.Sprintf("the server was not reached: %v", err),
			"check --server and that 'tamarack serve' runs there",
		}
	}
	return notUnderstood(err.Error())
}

func notUnderstood(what string) error {
	return &unreachableError{
		"the server's answer is not one that this program knows: " + printable(what),
		"check that --server is the URL of the API, without a path",
	}
}
