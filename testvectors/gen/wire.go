package main

import (
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// wire writes TEEP messages by their numbers. It repeats what package teep knows, on
// purpose: a vector made by hand must not inherit a fault of the codec.
type wire teep.Numbering

// Message types of the IANA registry.
const (
	tQueryRequest  = 1
	tQueryResponse = 2
	tUpdate        = 3
	tSuccess       = 4
	tError         = 5
)

// Option labels of the IANA registry.
const (
	lChallenge  = 2
	lVersions   = 3
	lTCList     = 7
	lManifests  = 9
	lMsg        = 10
	lErrMsg     = 11
	lFormat     = 12
	lRequested  = 13
	lUnneeded   = 14
	lComponent  = 15
	lSequence   = 16
	lHaveBinary = 17
	lToken      = 19
	lFreshness  = 20
	lErrLang    = 21
	lErrCode    = 22
)

// kind returns a message type: the drafts left 4 out.
func (w wire) kind(registered int) int { return w.shift(registered, tSuccess) }

// label returns an option label: the drafts left 5 out.
func (w wire) label(registered int) int { return w.shift(registered, 5) }

func (w wire) shift(registered, from int) int {
	if teep.Numbering(w) == teep.PreIANA && registered >= from {
		return registered + 1
	}
	return registered
}

func (w wire) request(items int, options ...any) cosekit.RawMessage {
	return array(tQueryRequest, mapOf(options...), suites, profiles, items)
}

func (w wire) response(options ...any) cosekit.RawMessage {
	return array(tQueryResponse, mapOf(options...))
}

func (w wire) update(options ...any) cosekit.RawMessage { return array(tUpdate, mapOf(options...)) }

func (w wire) success(options ...any) cosekit.RawMessage {
	return array(w.kind(tSuccess), mapOf(options...))
}

func (w wire) failure(code any, options ...any) cosekit.RawMessage {
	return array(w.kind(tError), mapOf(options...), code)
}
