// Package processor executes SUIT manifests: it checks what a manifest asks for,
// fetches and verifies images, and switches the device to them in one step
// (draft-ietf-suit-manifest-37 section 6).
//
// Implement [Host] for the device, make a [Processor] with [New] and call
// [Processor.Update] with a manifest that package suit has authenticated;
// [Processor.Validate] examines what it installed and [Processor.Uninstall] takes it
// off the device again. Payloads come through a [Fetcher]; [HTTPFetcher] is the one
// for networks. The answer is an [Outcome] with a SUIT_Report for the sender, and a
// [*Failure] where the procedure did not succeed. A failed procedure leaves the device
// as it was.
//
// Out of scope: authentication (package suit), signing reports, and for now
// dependencies, more than one sequence level (try-each, run-sequence), copy, swap and
// invoke. A manifest that needs one of them is refused before anything runs.
//
// A component belongs to the manifests that list it, by their manifest-component-ids.
// While another manifest does, nothing may alter the component, and at no time may a
// manifest whose sequence number is below those that the component came with before: so
// none can roll back what came with a newer one of another name (docs/decisions/0006).
package processor
