package expr

import (
	"fmt"
	"reflect"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// decision is a Decision among the values of CEL.
type decision struct{ Decision }

// ConvertToNative implements ref.Val.
func (d decision) ConvertToNative(to reflect.Type) (any, error) {
	if reflect.TypeFor[Decision]() == to {
		return d.Decision, nil
	}
	return nil, fmt.Errorf("a decision is not a %s", to)
}

// ConvertToType implements ref.Val.
func (d decision) ConvertToType(to ref.Type) ref.Val {
	switch to {
	case decisionType:
		return d
	case types.TypeType:
		return decisionType
	}
	return types.NewErr("a decision is not a %s", to.TypeName())
}

// Equal implements ref.Val.
func (d decision) Equal(other ref.Val) ref.Val { return types.Bool(d == other) }

// Type implements ref.Val.
func (d decision) Type() ref.Type { return decisionType }

// Value implements ref.Val.
func (d decision) Value() any { return d.Decision }
