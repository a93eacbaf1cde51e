// Package expr is the one CEL environment of Tamarack: selectors over devices, policies
// over attestation results, searches.
//
// [Selector] and [Policy] compile a text once, with a bound on what an evaluation may
// cost; faults point at the line and the column. What is compiled may be used by many
// goroutines.
package expr
