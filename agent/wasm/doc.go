// Package wasm runs trusted applications that are WebAssembly modules: commands of
// WASI preview 1, which begin at their exported function _start and end with an exit
// code. It is what suit-directive-invoke transfers control to
// (draft-ietf-suit-manifest-37 section 8.4.10.7).
//
// Call [Run]. A module gets its arguments, randomness, a coarse clock and a way to
// print; no files, no network, no environment, and nothing to import beyond WASI. What
// it may take is in [Limits]. The stack of its calls comes on top of the memory that it
// asks for. The runtime bounds that, at 400 MB where it compiles and at 2000 calls where
// it interprets; a module that recurses deeper ends with [ErrTrap].
//
// Out of scope: modules without _start (reactors), components of the component
// model, and modules that stay in memory between two runs.
package wasm
