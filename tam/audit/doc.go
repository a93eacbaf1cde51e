// Package audit is the append-only record of what was changed and refused.
//
// Call [Log.AppendEvent] inside the transaction of the change, with one of the
// [Action] constants, and [Reader.Events] to read on from a known place. Storing
// is the store's matter. The hash chain over the rows, checkpoints and their
// verification belong here and come with their own issue.
//
// What a sender without a registered key does is logged, never audited: an
// unauthenticated sender must not be able to make the record grow. What a registered
// agent can repeat is audited once in an hour for each reason, and first after every
// change of its device by an operator.
package audit
