// Package expr is the one CEL environment of Tamarack: selectors over devices, policies
// over attestation results, searches.
//
// [NewSelector], [NewAppraisal] and [NewAdmission] compile a text once; a fault is an
// [*Error], which points at the line and the column. What is compiled may be used by many
// goroutines.
//
// # Language
//
// It is CEL (https://cel.dev) with its operators, its functions, and of its macros has(),
// all(), exists(), exists_one() and filter(). Selectors know one variable and one function:
//
//	device                 object, see below
//	group("edge")          the selector of a group, put in its place
//
// Policies know these besides:
//
//	result                 object, see below
//	claims                 map: the verified claims by name, empty where there are none
//	now                    timestamp
//	accept()               the device is trusted
//	accept_until(t, why)   the same, until a timestamp; one that has passed rejects
//	quarantine(why)        the device gets nothing but its remediation
//	reject(why)            the evidence counts as not accepted
//	pending(why)           an operator decides; in admission policies only
//
// A policy returns one of the last five, or a bool: true accepts, false rejects.
//
// The fields of device:
//
//	device.id device.ueid device.name device.labels
//	device.state           pending, accepted, quarantined, rejected or retired
//	device.state_reason device.quarantined_by
//	device.oem_id device.hw_model device.hw_model_text device.hw_version
//	device.created_at device.last_seen device.evidence_at
//	device.attested.accepted device.attested.failed device.attested.failed_by
//	device.agents          list of objects: key, last_seen, attested_at
//
// The fields of result:
//
//	result.status          affirming, warning, contraindicated or none
//	result.reason result.verifier result.format
//	result.tiers           by element of the trust vector: the same words as status
//	result.vector          by element of the trust vector: its AR4SI value
//	result.differences     list of objects: element, submod, name, measured, expected
//
// [Reference] lists them with their types. A field that is not there is a fault of the
// text. A label that a device does not have is the empty text; a claim that is not there
// ends the evaluation with an error, which callers take for a refusal: ask has(claims.name)
// first. Byte strings are texts of lower-case hexadecimal digits.
//
// # Bounds
//
// The text and its groups are bounded by size, nesting and what an evaluation may cost at
// most over documents of expected size. Each evaluation is at the expense of a [Budget],
// which several share: a call costs what it goes over, a match of a regular expression its
// instructions times the bytes, each round of a loop something. There is no map macro,
// regular expressions, time zones and names of groups are literals, and what is matched is
// short.
package expr
