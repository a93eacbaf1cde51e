package teephttp_test

import (
	"bytes"
	"slices"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/teep"
)

// malformed has what is not strict CBOR, COSE or TEEP, message by message. What is
// wrong in a signed part is signed by the right key, so only decoding can refuse it.
func malformed(s *stage) (table []trial) {
	for _, m := range s.messages() {
		rows := slices.Concat(brokenBytes(m), brokenPayloads(s, m), brokenHeaders(m), brokenFrames(m))
		table = append(table, stillGood(m, rows)...)
	}
	return append(table, bombs()...)
}

// stillGood has the message sent after the rows.
func stillGood(m *message, rows []trial) []trial {
	for i := range rows {
		if rows[i].changes == "" {
			rows[i].still = m
		}
	}
	return rows
}

// bad is a row for bodies that the TAM cannot read.
func bad(m *message, name string, bodies ...[]byte) trial {
	return trial{name: m.name + ", " + name, send: to(m.path, bodies...), want: "204 malformed"}
}

// framed makes a frame of the message with something wrong in it.
func (m *message) framed(change func(*frame)) []byte {
	f := newFrame(m.by.key, m.payload)
	change(&f)
	return f.encode()
}

func (m *message) carrying(payload []byte) []byte { return newFrame(m.by.key, payload).encode() }

func brokenBytes(m *message) []trial {
	var prefixes [][]byte
	for i := 1; i < len(m.wire); i++ {
		prefixes = append(prefixes, m.wire[:i])
	}
	untagged := m.wire[1:]
	return []trial{
		bad(m, "truncated at every byte", prefixes...),
		bad(m, "with a byte behind it", append(bytes.Clone(m.wire), 0)),
		bad(m, "twice in one", append(bytes.Clone(m.wire), m.wire...)),
		bad(m, "of indefinite length", slices.Concat([]byte{tagSign1, 0x9f}, untagged[1:], []byte{0xff})),
		bad(m, "of five elements", slices.Concat([]byte{tagSign1, 0x85}, untagged[1:], []byte{0xf6})),
		bad(m, "with a length in more bytes than it needs", slices.Concat([]byte{tagSign1, 0x9b, 0, 0, 0, 0, 0, 0, 0, 5}, untagged[1:])),
		bad(m, "in an array", append([]byte{0x81}, m.wire...)),
		bad(m, "in a byte string", cosekit.MustMarshal(m.wire)),
		bad(m, "unsigned", m.payload),
		bad(m, "under the tag of a COSE_Sign", append([]byte{0xd8, 98}, untagged...)),
		bad(m, "under the tag of a COSE_Mac0", append([]byte{tagMAC0}, untagged...)),
		bad(m, "under the tag of a CWT", append([]byte{0xd8, 61}, m.wire...)),
		bad(m, "under the tag of self-described CBOR", append([]byte{0xd9, 0xd9, 0xf7}, m.wire...)),
	}
}

func brokenPayloads(s *stage, m *message) []trial {
	var prefixes [][]byte
	for i := range m.payload {
		prefixes = append(prefixes, m.carrying(m.payload[:i]))
	}
	options := func(change func(n int, content []byte) []byte) []byte {
		return m.carrying(withOptions(m.payload, change))
	}
	option := func(value ...byte) []byte { return m.carrying(withOption(m.payload, value)) }
	return []trial{
		bad(m, "signed, its content truncated at every byte", prefixes...),
		bad(m, "a byte behind its content", m.carrying(append(bytes.Clone(m.payload), 0))),
		bad(m, "content in the other numbering", m.carrying(must(teep.Encode(s.other(), m.m)))),
		bad(m, "every option twice", options(func(n int, content []byte) []byte {
			return slices.Concat([]byte{0xa0 | byte(2*n)}, content, content)
		})),
		bad(m, "options of indefinite length", options(func(_ int, content []byte) []byte {
			return slices.Concat([]byte{0xbf}, content, []byte{0xff})
		})),
		bad(m, "an array for options", options(func(n int, content []byte) []byte {
			return append([]byte{0x80 | byte(2*n)}, content...)
		})),
		bad(m, "content of indefinite length", m.carrying(slices.Concat([]byte{0x9f}, m.payload[1:], []byte{0xff}))),
		bad(m, "a duplicate key deep in an option", option(0x81, 0xa2, 0x01, 0x01, 0x01, 0x02)),
		bad(m, "a duplicate key in two encodings", option(0xa2, 0x01, 0x01, 0x18, 0x01, 0x02)),
		bad(m, "an option of indefinite length", option(0x5f, 0x41, 0x00, 0xff)),
		bad(m, "text that is not UTF-8", option(0x61, 0xff)),
		bad(m, "an option nested a thousand deep", option(append(bytes.Repeat([]byte{0x81}, 1000), 0)...)),
		bad(m, "an option of 2^40 elements", option(0x9b, 0, 0, 1, 0, 0, 0, 0, 0)),
		bad(m, "an option of 2^63 bytes", option(0x5b, 0x80, 0, 0, 0, 0, 0, 0, 0)),
		bad(m, "an option of 4097 elements", option(append([]byte{0x99, 0x10, 0x01}, make([]byte, 4097)...)...)),
		bad(m, "an option label that is text", options(func(n int, content []byte) []byte {
			return slices.Concat([]byte{0xa0 | byte(n+1)}, content, []byte{0x61, 'x', 0})
		})),
		bad(m, "a token of 7 bytes", m.carrying(withToken(s, m, make([]byte, 7)))),
		bad(m, "a token of 65 bytes", m.carrying(withToken(s, m, make([]byte, 65)))),
	}
}

// withToken gives a message a token, whatever it has.
func withToken(s *stage, m *message, token []byte) []byte {
	content := m.payload
	return withOptions(content, func(n int, content []byte) []byte {
		kept := []byte{0xa0}
		for _, p := range must(cosekit.Pairs(append([]byte{0xa0 | byte(n)}, content...))) {
			if !bytes.Equal(p.Key, cosekit.MustMarshal(tokenLabel(s.numbering))) {
				kept[0]++
				kept = append(append(kept, p.Key...), p.Value...)
			}
		}
		kept[0]++
		return slices.Concat(kept, cosekit.MustMarshal(tokenLabel(s.numbering)), cosekit.MustMarshal(token))
	})
}

func brokenHeaders(m *message) []trial {
	alg, own := m.by.key.Algorithm(), kid(m.by.key)
	protected := func(content []byte) []byte { return m.framed(func(f *frame) { f.protected = content }) }
	unprotected := func(content []byte) []byte { return m.framed(func(f *frame) { f.unprotected = content }) }
	return []trial{
		bad(m, "alg twice", protected(pairs(labelAlg, alg, labelAlg, alg))),
		bad(m, "a protected header of indefinite length", protected(slices.Concat([]byte{0xbf}, pairs(labelAlg, alg)[1:], []byte{0xff}))),
		bad(m, "a byte behind the protected header", protected(append(pairs(labelAlg, alg), 0))),
		bad(m, "a protected header that is no map", protected(array(labelAlg, alg))),
		bad(m, "a protected header of more than 64 KiB", protected(pairs(labelAlg, alg, 99, make([]byte, 64<<10)))),
		bad(m, "a protected header of 4097 parameters", protected(crowded(alg))),
		bad(m, "kid twice", unprotected(pairs(labelKid, own, labelKid, own))),
		bad(m, "kid in both headers", protected(pairs(labelAlg, alg, labelKid, own))),
		bad(m, "alg in both headers", unprotected(pairs(labelAlg, alg, labelKid, own))),
		bad(m, "kid that is text", unprotected(pairs(labelKid, string(bytes.Repeat([]byte{'k'}, 32))))),
		bad(m, "an unprotected header of indefinite length", unprotected(slices.Concat([]byte{0xbf}, pairs(labelKid, own)[1:], []byte{0xff}))),
		bad(m, "crit without any label", protected(pairs(labelAlg, alg, labelCrit, []int{}))),
		bad(m, "crit of a parameter that is not there", protected(pairs(labelAlg, alg, labelCrit, []int{-70000}))),
		bad(m, "crit in the unprotected header", unprotected(pairs(labelCrit, []int{labelKid}, labelKid, own))),
	}
}

// crowded is a header with more parameters than there may be.
func crowded(alg cosekit.Algorithm) []byte {
	header := append([]byte{0xb9, 0x10, 0x01}, pairs(labelAlg, alg)[1:]...)
	for i := range 4096 {
		header = append(header, cosekit.MustMarshal(1000+i)...)
		header = append(header, 0)
	}
	return header
}

func brokenFrames(m *message) []trial {
	signature := func(of func([]byte) any) []byte { return m.framed(func(f *frame) { f.signature = of }) }
	carried := func(item ...byte) []byte { return m.framed(func(f *frame) { f.carried = item }) }
	return []trial{
		bad(m, "its content in pieces", carried(slices.Concat([]byte{0x5f}, cosekit.MustMarshal(m.payload), []byte{0xff})...)),
		bad(m, "its content not in a byte string", carried(m.payload...)),
		bad(m, "its content in text", carried(0x60)),
		bad(m, "a signature of no bytes", signature(func([]byte) any { return []byte{} })),
		bad(m, "null for a signature", signature(func([]byte) any { return nil })),
		bad(m, "a COSE_Sign without any signature", coseSign(m.payload)),
		bad(m, "a COSE_Sign with 17 signatures", coseSign(m.payload, slices.Repeat([]any{newFrame(m.by.key, m.payload).part()}, 17)...)),
		bad(m, "a COSE_Sign under the tag of a COSE_Sign1", append([]byte{tagSign1}, coseSign(m.payload, newFrame(m.by.key, m.payload).part())[2:]...)),
	}
}

// bombs are small and stand for much.
func bombs() []trial {
	one := func(name string, body ...byte) trial {
		return trial{name: name, send: to(atTAM, body), want: "204 malformed"}
	}
	return []trial{
		one("an array of 2^64-1 elements", 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		one("a map of 2^64-1 pairs", 0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		one("a string of 2^64-1 bytes", 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		one("a million arrays, each in the one before", bytes.Repeat([]byte{0x81}, 1<<20)...),
		one("a million tags", bytes.Repeat([]byte{0xd2}, 1<<20)...),
		one("a million empty maps", append([]byte{0x9a, 0, 0x0f, 0xff, 0xfb}, bytes.Repeat([]byte{0xa0}, 1<<20-5)...)...),
		one("a million times the break of nothing", bytes.Repeat([]byte{0xff}, 1<<20)...),
		one("text", []byte("GET / HTTP/1.1\r\n\r\n")...),
		one("JSON", []byte(`{"type":2}`)...),
		one("one byte", 0),
	}
}
