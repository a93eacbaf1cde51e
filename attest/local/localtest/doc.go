// Package localtest makes evidence for tests: devices of software whose tokens, quotes and
// reports package local takes for real ones, once their keys are trusted.
package localtest
