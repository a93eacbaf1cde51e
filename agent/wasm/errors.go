package wasm

import "errors"

// Why a module did not run to its end; test with errors.Is. One that ended with an exit
// code other than zero is no error of Run.
var (
	// ErrModule: not a WebAssembly module, or one that asks for what there is not.
	ErrModule = errors.New("not a WebAssembly module that this device can run")
	// ErrTrap: the module did what WebAssembly forbids.
	ErrTrap = errors.New("the application trapped")
	// ErrTime: it did not end in its time.
	ErrTime = errors.New("the application did not end in time")
	// ErrOutput: it printed too much.
	ErrOutput = errors.New("the application printed too much")
	// ErrArguments: invoke-args are something else.
	ErrArguments = errors.New("invoke-args are no CBOR array of text strings for an application")
	// ErrExit: the application ended with an exit code other than zero.
	ErrExit = errors.New("the application failed")
)
