// Package veraison asks a remote Veraison to appraise Evidence, by version 1 of its
// challenge-response API.
//
// Call [New] with the address of a verifier and its key, give the [Client] to an
// evidence.Router as one of its routes, and [Client.Close] it in the end.
//
// What the verifier answers is worth nothing until the EAR in it has been verified: by a
// key that was configured or whose thumbprint was, over the nonce of this very session.
// The claims of a result come from exactly the bytes that were sent, and only where the
// EAR affirms who made them and says that it is about these very bytes.
//
// A verifier that is down, slow or broken costs the sessions that need it an error with a
// reason, soon: tries are few and inside a time limit, so many appraisals run at once and
// so many wait, and after some faults in a row nobody asks for a while.
//
// Out of scope: bound bundles, which the Router opens, and what to do about errors.
package veraison
