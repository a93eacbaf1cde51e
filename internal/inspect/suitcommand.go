package inspect

import (
	"strconv"
	"strings"

	"github.com/tamarack-tam/tamarack/suit"
)

// commandArguments are the shapes of arguments that are not a reporting policy.
var commandArguments map[suit.CommandCode]shape

func init() {
	commandArguments = map[suit.CommandCode]shape{
		suit.DirectiveSetComponentIndex:  componentIndex,
		suit.DirectiveTryEach:            arrayOf(either(item.isNull, plain, wrapped(sequence))),
		suit.DirectiveRunSequence:        wrapped(sequence),
		suit.DirectiveSetParameters:      parameters,
		suit.DirectiveOverrideParameters: parameters,
		suit.DirectiveOverrideMultiple:   perComponent(parameters),
		suit.DirectiveCopyParams:         perComponent(arrayOf(names(parameterName))),
	}
}

// sequence shows a SUIT_Command_Sequence: code and argument in turn.
func sequence(r *reader, it item) Node {
	if !it.isArray() {
		return r.unfit(it, "a command sequence, an array")
	}
	if len(it.items)%2 != 0 {
		r.lint(SeverityError, secSUITSections, "the last command has no argument")
	}
	n := Node{Type: "array"}
	for i := 0; i+1 < len(it.items); i += 2 {
		n.Items = append(n.Items, r.command(i/2, it.items[i], it.items[i+1]))
	}
	return n
}

func (r *reader) command(position int, key, argument item) Node {
	number, ok := key.integer()
	if !ok {
		r.lint(SeverityError, secSUITSections, "command %d has no integer for its code", position)
		return r.member(field{}, key, argument)
	}
	code := suit.CommandCode(number)
	name := commandName(number)
	show, ok := commandArguments[code]
	switch {
	case code.IsCondition():
		name, show = "condition "+name, policy
	case code.IsCustom():
		show = plain
		name += " " + keyText(key)
		r.lint(SeverityNote, secSUITSections, "%s: only the publisher and the device know what it does", name)
	case !strings.HasPrefix(name, "command "):
		name = "directive " + name
		if !ok {
			show = policy
		}
	default:
		show = plain
		r.lint(SeverityNote, secSUITSections, "%s is not registered", name)
	}
	n := r.at(strconv.Itoa(position), show, argument)
	n.Name, n.Key = name, keyText(key)
	return n
}

var policyBits = []string{"record-success", "record-failure", "sysinfo-success", "sysinfo-failure"}

// policy shows a SUIT_Rep_Policy (section 8.4.7).
func policy(r *reader, it item) Node {
	return names(func(n int64) string {
		switch suit.Policy(n) {
		case 0:
			return "report nothing"
		case suit.ReportAll:
			return "report all"
		}
		return "report " + strings.Join(bits(n, policyBits), ", ")
	})(r, it)
}

// componentIndex shows what is selected: one, several, or all.
func componentIndex(r *reader, it item) Node {
	if it.isArray() {
		return arrayOf(names(r.componentAt))(r, it)
	}
	n := plain(r, it)
	switch v := n.Value.(type) {
	case int64:
		n.Text = r.componentAt(v)
	case bool:
		n.Text = "all components"
	}
	return n
}

// perComponent shows a map from component index to something.
func perComponent(show shape) shape {
	return func(r *reader, it item) Node {
		return mapBy(func(key item) field {
			if index, ok := key.integer(); ok {
				return field{r.componentAt(index), show}
			}
			return field{}
		})(r, it)
	}
}

// parameters shows SUIT_Parameters.
func parameters(r *reader, it item) Node { return mapBy(parameter)(r, it) }

func parameter(key item) field {
	label, ok := key.integer()
	if !ok {
		return field{}
	}
	code, name := suit.ParameterCode(label), parameterName(label)
	switch {
	case code.IsCustom():
		name += " " + keyText(key)
	case strings.HasPrefix(name, "parameter "):
		return field{}
	}
	return field{name, parameterShape(code)}
}

func parameterShape(code suit.ParameterCode) shape {
	switch code {
	case suit.ParameterVendorID, suit.ParameterClassID, suit.ParameterDeviceID:
		return identifier
	case suit.ParameterImageDigest:
		return wrapped(digest)
	case suit.ParameterUseBefore:
		return epoch
	case suit.ParameterStrictOrder, suit.ParameterSoftFailure:
		return boolean
	case suit.ParameterContent, suit.ParameterInvokeArgs, suit.ParameterFetchArguments:
		return readablePayload
	case suit.ParameterEncryptionInfo:
		return wrapped(as(KindEncrypt))
	case suit.ParameterURI:
		return text
	case suit.ParameterSourceComponent:
		return func(r *reader, it item) Node { return names(r.componentAt)(r, it) }
	case suit.ParameterVersion:
		return maybeWrapped(either(looksVersionMatch, matched, version)) // asked for, or measured
	case suit.ParameterWaitInfo:
		return maybeWrapped(waitInfo)
	case suit.ParameterComponentMetadata:
		return maybeWrapped(metadata)
	case suit.ParameterImageSize, suit.ParameterComponentSlot, suit.ParameterMinimumBattery:
		return uinteg
	case suit.ParameterUpdatePriority:
		return number
	}
	return plain
}

// readablePayload is a byte string that may be an object or a text.
func readablePayload(r *reader, it item) Node {
	if n := payload(r, it); n.Type != "bytes" || n.Encoded {
		return n
	}
	return words(r, it)
}
