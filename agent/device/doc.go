// Package device is a whole TEEP device in a directory: agent, broker and software
// TEE, with their keys, trust anchors and settings.
//
// [Create] makes the directory, [Open] takes it, [Device.Poll] holds one session with
// the TAM and [Device.Run] one after the other. [Read] looks at a directory that
// another process may be using.
//
//	config.yaml          settings, see [Settings]
//	anchors.cbor         which keys the device trusts for what
//	attestation.pub.pem  the public device attestation key, to register with the TAM
//	decryption.pub.pem   the public key that publishers encrypt payloads to
//	keys/                message, report, attestation and decryption key, PKCS#8, for the owner only;
//	                     tpm/ below it where a TPM has the attestation key
//	runs.json            how applications ended when they were last invoked
//	store/               components and state, see package agent/tee
package device
