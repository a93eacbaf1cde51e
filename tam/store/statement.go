package store

// statement is one SQL text of this package. Each connection prepares it once.
type statement struct {
	index int
	text  string
}

// statements holds all of them, in the order of their index.
var statements []*statement

// prepare registers a statement; called for package variables only.
func prepare(text string) *statement {
	s := &statement{index: len(statements), text: text}
	statements = append(statements, s)
	return s
}

var (
	beginRead      = prepare(`BEGIN`)
	beginWrite     = prepare(`BEGIN IMMEDIATE`)
	commit         = prepare(`COMMIT`)
	rollback       = prepare(`ROLLBACK`)
	savepoint      = prepare(`SAVEPOINT member`)
	releaseMember  = prepare(`RELEASE member`)
	rollbackMember = prepare(`ROLLBACK TO member`)
)
