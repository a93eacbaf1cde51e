// Package tam is the Trusted Application Manager: the session machine and the ports it needs.
package tam
