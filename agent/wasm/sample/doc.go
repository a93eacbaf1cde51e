// Package sample is the trusted application that the demo delivers and the tests run:
// a WebAssembly module of some hundred bytes, written by hand in sample.wat.
//
// [Application] makes it; [Assemble] is the assembler behind it, for the part of the
// text format (WebAssembly 2.0 chapter 6) that such modules need: instructions one after
// the other, not folded, on 32-bit integers; one memory; names for everything.
package sample
