package expr

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Entry is a variable, field or function of the language, for people.
type Entry struct {
	Name string // "device.labels", "accept_until()"
	Type string // of the variable or field; the parameters of a function
	In   string // the texts that know it: "selectors and policies", "policies", "admission policies"
}

// Reference lists what there is beside CEL's own operators and functions.
func Reference() []Entry { return reference(admission) }

const (
	everywhere  = "selectors and policies"
	inPolicies  = "policies"
	inAdmission = "admission policies"
)

func reference(k kind) []Entry {
	list := append([]Entry{{"device", "object", everywhere}}, members("device", reflect.TypeFor[Device](), everywhere)...)
	list = append(list, Entry{"group()", "(name)", everywhere})
	for _, m := range []string{"has", "all", "exists", "exists_one", "filter"} {
		list = append(list, Entry{m + "()", "macro of CEL", everywhere})
	}
	if k == selection {
		return list
	}
	list = append(list, Entry{"result", "object", inPolicies})
	list = append(list, members("result", reflect.TypeFor[Result](), inPolicies)...)
	list = append(list,
		Entry{"claims", "map of anything", inPolicies},
		Entry{"now", "timestamp", inPolicies},
		Entry{"accept()", "()", inPolicies},
		Entry{"accept_until()", "(timestamp, reason)", inPolicies},
		Entry{"quarantine()", "(reason)", inPolicies},
		Entry{"reject()", "(reason)", inPolicies})
	if k == admission {
		list = append(list, Entry{"pending()", "(reason)", inAdmission})
	}
	return list
}

// members lists the fields of a type, and those of the objects in them.
func members(owner string, t reflect.Type, in string) []Entry {
	var list []Entry
	for f := range t.Fields() {
		name := owner + "." + f.Tag.Get("json")
		list = append(list, Entry{name, typeName(f.Type), in})
		switch {
		case isObject(f.Type):
			list = append(list, members(name, f.Type, in)...)
		case f.Type.Kind() == reflect.Slice && isObject(f.Type.Elem()):
			list = append(list, members(name+"[]", f.Type.Elem(), in)...)
		}
	}
	return list
}

func isObject(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]()
}

func typeName(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "timestamp"
	case t.Kind() == reflect.Int64:
		return "int"
	case t.Kind() == reflect.Slice:
		return "list of " + typeName(t.Elem())
	case t.Kind() == reflect.Map:
		return fmt.Sprintf("map of %s by %s", typeName(t.Elem()), typeName(t.Key()))
	case isObject(t):
		return "object"
	}
	return strings.ToLower(t.Kind().String())
}
