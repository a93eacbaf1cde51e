// Package storetest is what every tam.Store must pass: call [Run] in the tests of
// a backend. [Dump] shows what a store holds, for tests of other packages that
// must see that nothing was changed.
package storetest
