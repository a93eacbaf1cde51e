// Package tee is a software TEE: a directory that keeps trusted components, their
// manifests and the agent's own memory, and an Attester over it.
//
// Call [Open] with a directory, which takes its lock, and hand the [Store] to
// agent.New. A tree of manifests is installed through a [Store.Begin] transaction:
// everything written there is invisible until one rename of the index makes all of it
// count. Whatever kills the process or cuts the power, the directory holds the state
// before or after a change in full, and what it reports as installed is measured from the
// files at that moment. What no root needs any more goes with the change that makes it so.
//
// A payload that arrives through Resume outlives its transaction, and the process: in a
// file of its own, which is no image until a change makes it one.
//
// Running components and slots are out of scope.
package tee
