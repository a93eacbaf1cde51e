// Package store keeps the state of a TAM: [OpenSQLite] for its database,
// [OpenPayloads] for the files that it delivers. It is the only package with SQL.
//
// Every failure is one of the faults of package tam, a cancelled context, or a
// fault of the program. A statement that the database refuses ends its
// transaction: further calls return the same error and nothing is kept. What a
// method answers without such a refusal (ErrNotFound of a lookup, ErrExists of
// an Add, ErrSpent) leaves the transaction usable.
//
// The audit log only grows, and triggers see to that. DeleteEvents of a
// transaction is the one way to shorten it: from the start, up to a mark (table
// audit_floor) that can only rise.
//
// Times are kept to the microsecond and come back in UTC. An empty byte string
// comes back as nil. Conventions of the columns stand in the first migration.
//
// What the rows mean, and who may change them, is decided above, in package tam.
package store
