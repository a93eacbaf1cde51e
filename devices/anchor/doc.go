// Package anchor is the trust anchor store of an agent, and of the TAM itself: which
// key is trusted for what, how far, and how long.
//
// Build a [Store] with [NewStore] or [DecodeStore] and ask [Store.Lookup] for the key
// that a message names. A Store is a value that does not change; [Store.With] and
// [Store.Without] return another one. The TAM, which keeps its anchors as rows, asks
// [Anchor.Allows] and [Anchor.MayPublish] of each.
//
// Not here yet: the apex, sequence numbers and the eleven messages that change a
// store from afar. They will stand in this package beside Store (the apex as element
// 2 of its encoding), and change it through With and Without. The package does no I/O.
package anchor
