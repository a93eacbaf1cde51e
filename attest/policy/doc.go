// Package policy decides what an Attestation Result is worth to a TAM, by rules that
// operators write in CEL.
//
// [Compile] a [Policy] once, put the compiled ones into a [Set], and call [Set.Appraise]
// or [Set.Admit] with a [Subject]. Without any policy, what is affirming is accepted and a
// new device is pending.
//
// Out of scope: whether the result is genuine and about the sender (attest.Bind), and
// what follows from a decision (tam).
package policy
