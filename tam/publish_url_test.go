package tam

import "testing"

func TestHosting(t *testing.T) {
	for _, c := range []struct {
		base, uri string
		want      string
	}{
		{"http://127.0.0.1:8777/payloads/", "http://127.0.0.1:8777/payloads/00", "served"},
		{"http://127.0.0.1:8777/payloads/", "http://127.0.0.1:8777/other", "ours"},
		{"http://127.0.0.1:8777/payloads/", "http://localhost:8777/payloads/00", "served"},
		{"http://127.0.0.1:8777/payloads/", "http://LOCALHOST.:8777", "ours"},
		{"http://127.0.0.1:8777/payloads/", "http://127.1.2.3:8777/payloads/00", "served"},
		{"http://127.0.0.1:8777/payloads/", "http://[::1]:8777/payloads/00", "served"},
		{"http://127.0.0.1:8777/payloads/", "http://[0:0:0:0:0:0:0:1]:8777/payloads/00", "served"},
		{"http://127.0.0.1:8777/payloads/", "https://localhost:8777/payloads/00", "ours"},
		{"http://127.0.0.1:8777/payloads/", "http://user@localhost:8777/payloads/00?x#y", "served"},
		{"http://localhost:80/payloads/", "http://127.0.0.1/payloads/00", "served"},
		{"https://tam.example/payloads/", "https://TAM.example:443/payloads/00", "served"},
		{"https://tam.example/payloads/", "https://tam.example./a", "ours"},
		{"http://[2001:db8::1]:80/payloads/", "http://[2001:0db8::0001]/payloads/00", "served"},

		{"http://127.0.0.1:8777/payloads/", "http://127.0.0.1:8778/payloads/00", "foreign"},
		{"http://127.0.0.1:8777/payloads/", "http://127.0.0.1/payloads/00", "foreign"},
		{"http://127.0.0.1:8777/payloads/", "http://127.0.0.1:87771/payloads/00", "foreign"},
		{"https://tam.example/payloads/", "http://tam.example/payloads/00", "foreign"},
		{"https://tam.example/payloads/", "https://tam.example.com/payloads/00", "foreign"},
		{"https://tam.example/payloads/", "https://localhost/payloads/00", "foreign"},
		{"https://tam.example/payloads/", "coap://tam.example/payloads/00", "foreign"},
		{"https://tam.example/payloads/", "/payloads/00", "foreign"},
		{"https://tam.example/payloads/", "https://%zz/", "foreign"},
		{"", "https://tam.example/payloads/00", "foreign"},
		{"", "", "foreign"},

		{"https://example.com/tam/payloads/", "https://example.com/tam/payloads/00", "served"},
		{"https://example.com/tam/payloads/", "https://example.com/tam/payloads/../payloads/00", "ours"},
		{"https://example.com/tam/payloads/", "https://example.com/tam/payloads/0A", "ours"},
		{"https://example.com/tam/payloads/", "https://example.com/tam/00", "ours"},
		{"https://example.com/tam/payloads/", "https://example.com/tam", "ours"},
		{"https://example.com/tam/payloads/", "https://example.com/tamtam/00", "foreign"},
		{"https://example.com/tam/payloads/", "https://example.com/downloads/00", "foreign"},
	} {
		got := "foreign"
		switch ours, served := hosting(c.base, c.uri); {
		case served:
			got = "served"
		case ours:
			got = "ours"
		}
		if got != c.want {
			t.Errorf("hosting(%q, %q): %s, want %s", c.base, c.uri, got, c.want)
		}
	}
}
