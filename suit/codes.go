package suit

import "fmt"

// CommandCode is a condition or a directive (draft-ietf-suit-manifest-37 sections
// 8.4.9 and 8.4.10, draft-ietf-suit-trust-domains,
// draft-ietf-suit-update-management).
type CommandCode int64

// The commands of the SUIT family.
const (
	ConditionVendorIdentifier    CommandCode = 1
	ConditionClassIdentifier     CommandCode = 2
	ConditionImageMatch          CommandCode = 3
	ConditionUseBefore           CommandCode = 4
	ConditionComponentSlot       CommandCode = 5
	ConditionCheckContent        CommandCode = 6
	ConditionDependencyIntegrity CommandCode = 7
	ConditionIsDependency        CommandCode = 8
	DirectiveProcessDependency   CommandCode = 11
	DirectiveSetComponentIndex   CommandCode = 12
	ConditionAbort               CommandCode = 14
	DirectiveTryEach             CommandCode = 15
	DirectiveWrite               CommandCode = 18
	DirectiveSetParameters       CommandCode = 19
	DirectiveOverrideParameters  CommandCode = 20
	DirectiveFetch               CommandCode = 21
	DirectiveCopy                CommandCode = 22
	DirectiveInvoke              CommandCode = 23
	ConditionDeviceIdentifier    CommandCode = 24
	ConditionImageNotMatch       CommandCode = 25
	ConditionMinimumBattery      CommandCode = 26
	ConditionUpdateAuthorized    CommandCode = 27
	ConditionVersion             CommandCode = 28
	DirectiveWait                CommandCode = 29
	DirectiveSwap                CommandCode = 31
	DirectiveRunSequence         CommandCode = 32
	DirectiveUnlink              CommandCode = 33
	DirectiveOverrideMultiple    CommandCode = 34
	DirectiveCopyParams          CommandCode = 35
)

// lastCustom is the highest code of the private range. The IANA text starts it at
// -256, the prose below it; -256 itself is used by nobody who reads both.
const lastCustom = -257

// IsCustom reports whether the code is in the private range.
func (c CommandCode) IsCustom() bool { return c <= lastCustom }

// IsCondition reports whether the code is a registered condition. The failure of a
// condition ends its sequence, that of a directive aborts the procedure.
func (c CommandCode) IsCondition() bool { return commands[c].condition }

// String returns the registered name without its prefix, "image-match", or "command 99".
func (c CommandCode) String() string {
	if info, ok := commands[c]; ok {
		return info.name
	}
	return fmt.Sprintf("command %d", int64(c))
}

// CommandNames are the names, for people, of commands of the private range; nil for none.
type CommandNames map[CommandCode]string

// Of returns the name of a command, as it is registered or as it is in n.
func (n CommandNames) Of(c CommandCode) string {
	if name := n[c]; name != "" && c.IsCustom() {
		return name
	}
	return c.String()
}

// commandInfo is one row of the registry.
type commandInfo struct {
	name      string
	condition bool
	decode    func(raw []byte, here position) (Argument, error)
}

func condition(name string) commandInfo { return commandInfo{name, true, decodePolicy} }

func directive(name string, decode func([]byte, position) (Argument, error)) commandInfo {
	return commandInfo{name, false, decode}
}

// commands is filled in init because the arguments of try-each and run-sequence
// hold commands again.
var commands map[CommandCode]commandInfo

func init() {
	commands = map[CommandCode]commandInfo{
		ConditionVendorIdentifier:    condition("vendor-identifier"),
		ConditionClassIdentifier:     condition("class-identifier"),
		ConditionImageMatch:          condition("image-match"),
		ConditionUseBefore:           condition("use-before"),
		ConditionComponentSlot:       condition("component-slot"),
		ConditionCheckContent:        condition("check-content"),
		ConditionDependencyIntegrity: condition("dependency-integrity"),
		ConditionIsDependency:        condition("is-dependency"),
		ConditionAbort:               condition("abort"),
		ConditionDeviceIdentifier:    condition("device-identifier"),
		ConditionImageNotMatch:       condition("image-not-match"),
		ConditionMinimumBattery:      condition("minimum-battery"),
		ConditionUpdateAuthorized:    condition("update-authorized"),
		ConditionVersion:             condition("version"),
		DirectiveProcessDependency:   directive("process-dependency", decodePolicy),
		DirectiveSetComponentIndex:   directive("set-component-index", decodeIndex),
		DirectiveTryEach:             directive("try-each", decodeAlternatives),
		DirectiveWrite:               directive("write", decodePolicy),
		DirectiveSetParameters:       directive("set-parameters", decodeParametersArgument),
		DirectiveOverrideParameters:  directive("override-parameters", decodeParametersArgument),
		DirectiveFetch:               directive("fetch", decodePolicy),
		DirectiveCopy:                directive("copy", decodePolicy),
		DirectiveInvoke:              directive("invoke", decodePolicy),
		DirectiveWait:                directive("wait", decodePolicy),
		DirectiveSwap:                directive("swap", decodePolicy),
		DirectiveRunSequence:         directive("run-sequence", decodeNested),
		DirectiveUnlink:              directive("unlink", decodePolicy),
		DirectiveOverrideMultiple:    directive("override-multiple", decodeParameterSets),
		DirectiveCopyParams:          directive("copy-params", decodeParameterCopies),
	}
}

// ParameterCode is the label of a parameter (draft-ietf-suit-manifest-37 section
// 8.4.8 and its sister drafts).
type ParameterCode int64

// The parameters of the SUIT family.
const (
	ParameterVendorID          ParameterCode = 1
	ParameterClassID           ParameterCode = 2
	ParameterImageDigest       ParameterCode = 3
	ParameterUseBefore         ParameterCode = 4
	ParameterComponentSlot     ParameterCode = 5
	ParameterStrictOrder       ParameterCode = 12
	ParameterSoftFailure       ParameterCode = 13
	ParameterImageSize         ParameterCode = 14
	ParameterContent           ParameterCode = 18
	ParameterEncryptionInfo    ParameterCode = 19
	ParameterURI               ParameterCode = 21
	ParameterSourceComponent   ParameterCode = 22
	ParameterInvokeArgs        ParameterCode = 23
	ParameterDeviceID          ParameterCode = 24
	ParameterFetchArguments    ParameterCode = 25
	ParameterMinimumBattery    ParameterCode = 26
	ParameterUpdatePriority    ParameterCode = 27
	ParameterVersion           ParameterCode = 28
	ParameterWaitInfo          ParameterCode = 29
	ParameterComponentMetadata ParameterCode = 30
)

// IsCustom reports whether the code is in the private range.
func (c ParameterCode) IsCustom() bool { return c <= lastCustom }

var parameterNames = map[ParameterCode]string{
	ParameterVendorID:          "vendor-id",
	ParameterClassID:           "class-id",
	ParameterImageDigest:       "image-digest",
	ParameterUseBefore:         "use-before",
	ParameterComponentSlot:     "component-slot",
	ParameterStrictOrder:       "strict-order",
	ParameterSoftFailure:       "soft-failure",
	ParameterImageSize:         "image-size",
	ParameterContent:           "content",
	ParameterEncryptionInfo:    "encryption-info",
	ParameterURI:               "uri",
	ParameterSourceComponent:   "source-component",
	ParameterInvokeArgs:        "invoke-args",
	ParameterDeviceID:          "device-id",
	ParameterFetchArguments:    "fetch-arguments",
	ParameterMinimumBattery:    "minimum-battery",
	ParameterUpdatePriority:    "update-priority",
	ParameterVersion:           "version",
	ParameterWaitInfo:          "wait-info",
	ParameterComponentMetadata: "component-metadata",
}

// String returns the registered name without its prefix, "image-digest", or "parameter 99".
func (c ParameterCode) String() string {
	if name, ok := parameterNames[c]; ok {
		return name
	}
	return fmt.Sprintf("parameter %d", int64(c))
}

// Section is the manifest key of a command sequence
// (draft-ietf-suit-manifest-37 section 8.4.6, draft-ietf-suit-trust-domains).
type Section int64

// The command sequences of a manifest. SectionAuthentication and SectionShared are
// the keys of what holds them, in the envelope and in the manifest; a SUIT_Record
// names them for a fault in a signature and in the shared sequence.
const (
	SectionAuthentication        Section = 2
	SectionShared                Section = 3
	SectionValidate              Section = 7
	SectionLoad                  Section = 8
	SectionInvoke                Section = 9
	SectionDependencyResolution  Section = 15
	SectionPayloadFetch          Section = 16
	SectionCandidateVerification Section = 18
	SectionInstall               Section = 20
	SectionUninstall             Section = 24
)

// The other elements that can be severed.
const (
	SectionCoSWID Section = 14
	SectionText   Section = 23
)

// sections are the command sequences that a manifest holds under keys of their own.
var sections = map[Section]string{
	SectionValidate:              "validate",
	SectionLoad:                  "load",
	SectionInvoke:                "invoke",
	SectionDependencyResolution:  "dependency-resolution",
	SectionPayloadFetch:          "payload-fetch",
	SectionCandidateVerification: "candidate-verification",
	SectionInstall:               "install",
	SectionUninstall:             "uninstall",
}

// String returns the registered name without its prefix, "install", or "section 99".
func (s Section) String() string {
	switch s {
	case SectionShared:
		return "shared-sequence"
	case SectionAuthentication:
		return "authentication-wrapper"
	case SectionCoSWID:
		return "coswid"
	case SectionText:
		return "text"
	}
	if name, ok := sections[s]; ok {
		return name
	}
	return fmt.Sprintf("section %d", int64(s))
}
