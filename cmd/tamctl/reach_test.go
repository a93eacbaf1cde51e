package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/tamarack-tam/tamarack/tam/api/client"
)

// Whatever the API can do, tamctl does.
func TestEveryOperationIsReached(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(data)
	}
	methods := reflect.TypeFor[client.ClientWithResponsesInterface]()
	operations := map[string]bool{}
	for method := range methods.Methods() {
		operation := strings.TrimSuffix(strings.TrimSuffix(method.Name, "WithResponse"), "WithBody")
		operations[operation] = operations[operation] || strings.Contains(source.String(), "."+method.Name+"(")
	}
	if len(operations) < 40 {
		t.Errorf("%d operations are too few to be all", len(operations))
	}
	for operation, reached := range operations {
		// Whether the process lives is for its supervisor to ask.
		if !reached && operation != "Health" {
			t.Errorf("no command reaches %s", operation)
		}
	}
}
