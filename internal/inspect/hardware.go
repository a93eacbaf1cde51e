package inspect

import (
	"bytes"
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

const secHardware = "docs/attestation.md, formats"

// Evidence of hardware in its own structures, which is CBOR only around them. Labels and
// sizes are those of package attest/evidence.

// quoteHead begins each TPMS_ATTEST of a quote: TPM_GENERATED_VALUE and TPM_ST_ATTEST_QUOTE
// (TPM 2.0 Library part 2, sections 10.12.8 and 6.9).
var quoteHead = []byte{0xff, 'T', 'C', 'G', 0x80, 0x18}

// looksTPM tells a quote, whose labels are those of a SUIT envelope too.
func looksTPM(it item) bool {
	return it.has(1, func(quoted item) bool { return bytes.HasPrefix(quoted.content, quoteHead) }) && it.has(4, item.isMap)
}

func tpmQuote(r *reader, it item) Node {
	return mapOf(labels{
		1: {"quoted (TPMS_ATTEST)", hexBytes}, 2: {"signature (TPMT_SIGNATURE)", hexBytes}, 3: {"attestation-key (TPMT_PUBLIC)", hexBytes},
		4: {"pcrs", mapBy(func(pcr item) field { return field{"PCR " + integerText(pcr), hexBytes} })},
		5: {"certificates", arrayOf(hexBytes)}, 6: {"event-log", hexBytes},
	})(r, it)
}

// looksSNP tells a report of SEV-SNP, which has one size, and its certificate table.
func looksSNP(it item) bool {
	const reportSize = 0x4a0
	return len(it.items) == 2 && it.all(item.isBytes) && len(it.items[0].content) == reportSize
}

func snpReport(r *reader, it item) Node {
	return tuple(2, field{"report (ATTESTATION_REPORT)", hexBytes}, field{"certificates (GUID table)", hexBytes})(r, it)
}

// tdxHead are version 4, a key on P-256 and the type of TDX: how a quote begins (Intel TDX
// DCAP Quoting Library API, appendix 3.1).
var tdxHead = []byte{4, 0, 2, 0, 0x81, 0, 0, 0}

func looksTDX(it item) bool {
	return len(it.items) == 1 && it.all(item.isBytes) && bytes.HasPrefix(it.items[0].content, tdxHead)
}

func tdxQuote(r *reader, it item) Node {
	return tuple(1, field{"quote", hexBytes})(r, it)
}

// hexBytes shows a byte string that is not CBOR, whatever it looks like.
func hexBytes(r *reader, it item) Node {
	if !it.isBytes() {
		return r.unfit(it, "a byte string")
	}
	return hexNode(it)
}

func integerText(it item) string {
	if it.major > cosekit.MajorNegative {
		return "?"
	}
	return fmt.Sprint(integerValue(it))
}
