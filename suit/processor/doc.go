// Package processor executes SUIT manifests: it checks what a manifest asks for,
// fetches and verifies images, and switches the device to them in one step
// (draft-ietf-suit-manifest-37 section 6, draft-ietf-suit-trust-domains,
// draft-ietf-suit-update-management, draft-ietf-suit-firmware-encryption).
//
// Implement [Host] for the device, or take agent/tee for one whose components are files in
// a directory; make a [Processor] with [New] and call
// [Processor.Update] with a manifest that package suit has authenticated;
// [Processor.Validate] examines what it installed, [Processor.Invoke] runs it and
// [Processor.Uninstall] takes it off the device again. Payloads and dependencies come
// through a [Fetcher]; [HTTPFetcher] is the one for networks. The answer is an [Outcome]
// with a SUIT_Report for the sender, and a [*Failure] where the procedure did not
// succeed. A failed procedure leaves the device as it was.
//
// A manifest is taken by the letter of the drafts. [Compat] bends the rules that their
// own examples break, each by its name (docs/decisions/0014).
//
// Out of scope: authentication (package suit, and an [Authority] for dependencies) and
// signing reports.
//
// A component belongs to the manifests that list it, by their ids. While a manifest
// outside the tree that is processed does, nothing may alter the component, and at no
// time may a manifest whose sequence number is below those that the component came with
// before: so none can roll back what came with a newer one of another name
// (docs/decisions/0006).
package processor
