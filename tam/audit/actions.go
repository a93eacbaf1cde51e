package audit

// What the session machine writes down. Polls that change nothing are not events,
// and nothing that a sender without a registered key does is one.
const (
	DeviceCreated         Action = "device.created"         // first affirmed and bound attestation of a ueid
	AgentAdded            Action = "agent.added"            // a TEEP key was enrolled for a device
	AgentReplaced         Action = "agent.replaced"         // an enrolled key gave way to a new one
	EnrolmentRefused      Action = "enrolment.refused"      // affirmed and bound, but policy says no
	AttestationAccepted   Action = "attestation.accepted"   // evidence affirmed and bound
	AttestationFailed     Action = "attestation.failed"     // evidence of a registered key found wanting
	SessionRefused        Action = "session.refused"        // a registered agent was sent away, see Reason
	UpdateOffered         Action = "update.offered"         // an Update went out
	UpdateClaimed         Action = "update.claimed"         // the agent says that it is installed
	UpdateFailed          Action = "update.failed"          // the agent says that it is not
	ComponentConfirmed    Action = "component.confirmed"    // the attester measured it
	ComponentContradicted Action = "component.contradicted" // the attester measured something else, or it no longer
	RemovalOffered        Action = "removal.offered"        // an Update with the order to unlink went out
	RemovalClaimed        Action = "removal.claimed"        // the agent says that it is unlinked
	RemovalFailed         Action = "removal.failed"         // the agent says that it is not
	RemovalConfirmed      Action = "removal.confirmed"      // the attester measures it no longer
	AgentError            Action = "agent.error"            // an Error of a registered agent
	ReportKeyPinned       Action = "agent.report-key"       // the key of its SUIT reports was seen first
	AttestationKeyPinned  Action = "device.attestation-key" // the key that vouches for a known device was seen first, or replaced
	DeviceQuarantined     Action = "device.quarantined"     // by a policy, or by an operator
	DeviceReleased        Action = "device.released"        // from quarantine, likewise
	RemediationMissing    Action = "remediation.missing"    // there is none to offer: not published, or not now
	RemediationOffered    Action = "remediation.offered"    // an Update with the manifest that a policy names went out
	LogShortened          Action = "audit-log.shortened"    // its oldest events went, up to the one that "through" names
	TokenKeyCreated       Action = "token-key.created"
	TokenKeyDeleted       Action = "token-key.deleted"
)

// What operators do.
const (
	DeviceAccepted         Action = "device.accepted"
	DeviceRejected         Action = "device.rejected"
	ComponentRequired      Action = "component.required"
	ComponentUnrequired    Action = "component.unrequired"
	RemovalOrdered         Action = "removal.ordered"
	RemovalWithdrawn       Action = "removal.withdrawn"
	ManifestPublished      Action = "manifest.published"
	ManifestRefused        Action = "manifest.refused"
	PayloadUploaded        Action = "payload.uploaded"
	PublisherAdded         Action = "publisher.added"
	AttestationAnchorAdded Action = "attestation-anchor.added"

	DeviceLabelled       Action = "device.labelled"
	ExceptionGranted     Action = "device.exception-granted"
	ExceptionEnded       Action = "device.exception-ended"
	PolicyAdded          Action = "policy.added"
	PolicyRetired        Action = "policy.retired"
	GroupPut             Action = "group.put"
	GroupDeleted         Action = "group.deleted"
	ReferencesImported   Action = "reference-values.imported"
	ReferencesDeleted    Action = "reference-values.deleted"
	ReferenceSignerAdded Action = "reference-signer.added"
	DeviceCAAdded        Action = "device-ca.added"
	DeviceCADeleted      Action = "device-ca.deleted"
	VerifierAdded        Action = "verifier.added"
	AnchorRemoved        Action = "anchor.removed"
)
