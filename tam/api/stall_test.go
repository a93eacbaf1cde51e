package api

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// A sender without a token that announces a body and never sends it gets its
// answer, and is hung up on. The hard limit of the test is ten times the deadline.
func TestStrangerCannotHoldAConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := Server("", New(nil, Options{Token: "0123456789abcdef0123456789abcdef"}))
	go server.Serve(l) // ends with Close
	defer server.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "POST /api/v1/manifests HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
	r := bufio.NewReader(c)
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %s", response.Status)
	}
	if _, err := r.WriteTo(io.Discard); err != nil {
		t.Errorf("the connection was not closed: %v", err)
	}
}
