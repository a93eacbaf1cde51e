// Package audit is the append-only record of what was changed and refused.
package audit
