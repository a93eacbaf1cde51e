// Package veraisontest is a Veraison for tests: it answers as services v0.0.2605 was seen
// to answer, over HTTP, and it really appraises PSA and CCA tokens, so that a test which
// sees an affirming result has sent good evidence.
//
// Call [Start] with the devices that it knows; [Server.Do] makes it misbehave, in ways
// that a real one, a broken one or an attacker in its place would.
//
// What is left out: provisioning over HTTP, schemes other than PSA and CCA, policies.
package veraisontest
