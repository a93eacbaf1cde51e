// Package policy decides what an Attestation Result is worth to a TAM, by rules that
// operators write in CEL.
//
// [Compile] a [Policy] once, put the compiled ones into a [Set], and call [Set.Appraise]
// or [Set.Admit] with a [Subject]. [Preview] says what another set would decide, and
// [Set.Explain] how a decision came about. Without any policy, what is affirming is
// accepted and a new device is pending.
//
// A policy may accept what is not affirming, but never a result without verified claims.
// One that cannot be evaluated for a device, its selector included, rejects: what it
// would have said is not known; nor is it where the policies that are asked, together, go
// over the budget of one appraisal. The language is that of internal/expr.
//
// Out of scope: whether the result is genuine and about the sender (attest.Bind), the
// exceptions of single devices (devices.Exception), and what follows from a decision
// (tam).
package policy
