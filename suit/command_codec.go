package suit

import (
	"bytes"
	"fmt"

	"github.com/tamarack-tam/tamarack/internal/cosekit"
)

var cborNull = []byte{0xf6}

// position is where an encoded item stands in its section.
type position struct {
	depth  int // of sequences around it
	offset int // from the beginning of the section's content, in bytes
}

// inside is the position of the content of the byte string that begins here.
func (p position) inside(raw, content []byte) position {
	return position{p.depth, p.offset + len(raw) - len(content)}
}

// firstOf is the position of the first element of the array that begins here.
func (p position) firstOf(raw []byte, items []cosekit.RawMessage) position {
	p.offset += len(raw)
	for _, item := range items {
		p.offset -= len(item)
	}
	return p
}

// decodeSection reads the command sequence of a section.
func decodeSection(content []byte) (Sequence, error) { return decodeSequence(content, position{}) }

// decodeSequence reads a sequence that cosekit.Validate has seen.
func decodeSequence(raw []byte, here position) (Sequence, error) {
	if here.depth > MaxSequenceDepth {
		return Sequence{}, overLimit("sequences nested deeper than %d", MaxSequenceDepth)
	}
	items, err := cosekit.Elements(raw)
	if err != nil {
		return Sequence{}, err
	}
	switch {
	case len(items) == 0:
		return Sequence{}, malformed("empty command sequence")
	case len(items)%2 != 0:
		return Sequence{}, malformed("the last command has no argument")
	case len(items) > 2*MaxCommands:
		return Sequence{}, overLimit("%d commands, at most %d", len(items)/2, MaxCommands)
	}
	here = here.firstOf(raw, items)
	seq := Sequence{Commands: make([]Command, 0, len(items)/2)}
	for i := 0; i < len(items); i += 2 {
		cmd, err := decodeCommand(items[i], items[i+1], here)
		if err != nil {
			return Sequence{}, at(fmt.Sprintf("[%d]", i/2), err)
		}
		here.offset += len(items[i]) + len(items[i+1])
		seq.Commands = append(seq.Commands, cmd)
	}
	return seq, nil
}

func decodeCommand(code, argument []byte, here position) (Command, error) {
	n, err := cosekit.Int(code)
	if err != nil {
		return Command{}, err
	}
	if n == 0 {
		return Command{}, malformed("command 0 is reserved")
	}
	cmd := Command{Code: CommandCode(n), Offset: here.offset}
	decode := decodeRaw
	if info, known := commands[cmd.Code]; known {
		decode = info.decode
	}
	here.offset += len(code)
	cmd.Argument, err = decode(argument, here)
	return cmd, at(cmd.Code.String(), err)
}

// decodeWrappedSequence reads a bstr .cbor SUIT_Command_Sequence.
func decodeWrappedSequence(raw []byte, here position) (Sequence, error) {
	inner, err := decodeWrapped(raw)
	if err != nil {
		return Sequence{}, err
	}
	return decodeSequence(inner, here.inside(raw, inner))
}

func decodePolicy(raw []byte, _ position) (Argument, error) {
	bits, err := cosekit.Uint(raw)
	return Policy(bits), err
}

func decodeRaw(raw []byte, _ position) (Argument, error) { return Raw(bytes.Clone(raw)), nil }

func decodeParametersArgument(raw []byte, _ position) (Argument, error) {
	p, err := decodeParameters(raw, true)
	if err == nil && p.empty() {
		err = malformed("no parameters")
	}
	return &p, err
}

func decodeNested(raw []byte, here position) (Argument, error) {
	here.depth++
	seq, err := decodeWrappedSequence(raw, here)
	return &seq, err
}

func decodeIndex(raw []byte, _ position) (Argument, error) {
	if cosekit.Major(raw) == cosekit.MajorArray {
		items, err := cosekit.Elements(raw)
		if err != nil {
			return nil, err
		}
		return decodeIndexList(items)
	}
	if all, err := cosekit.Bool(raw); err == nil && all {
		return AllComponents{}, nil
	}
	i, err := cosekit.Uint(raw)
	if err != nil {
		return nil, malformed("want an index, a list of them or true")
	}
	return Index(i), nil
}

func decodeIndexList(items []cosekit.RawMessage) (Argument, error) {
	if len(items) == 0 {
		return nil, malformed("empty list of component indices")
	}
	if len(items) > MaxComponents {
		return nil, overLimit("%d component indices, at most %d", len(items), MaxComponents)
	}
	list := make(IndexList, len(items))
	for i, item := range items {
		var err error
		if list[i], err = cosekit.Uint(item); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func decodeAlternatives(raw []byte, here position) (Argument, error) {
	items, err := cosekit.Elements(raw)
	if err != nil {
		return nil, err
	}
	here = here.firstOf(raw, items)
	here.depth++
	alt := &Alternatives{}
	if n := len(items); n > 0 && bytes.Equal(items[n-1], cborNull) {
		alt.Optional = true
		items = items[:n-1]
	}
	if len(items) < 2 {
		return nil, malformed("%d alternatives, want two or more", len(items))
	}
	for i, item := range items {
		seq, err := decodeWrappedSequence(item, here)
		if err != nil {
			return nil, at(fmt.Sprintf("[%d]", i), err)
		}
		here.offset += len(item)
		alt.Sequences = append(alt.Sequences, seq)
	}
	return alt, nil
}

// decodeByIndex reads a map whose keys are component indices, one at least.
func decodeByIndex(raw []byte, set func(index uint64, value []byte) error) error {
	n := 0
	name := func(key int64) string { return fmt.Sprintf("[%d]", key) }
	err := decodeIntMap(raw, true, name, func(key int64, value []byte) error {
		n++
		switch {
		case key < 0:
			return malformed("negative index")
		case n > MaxComponents:
			return overLimit("more than %d component indices", MaxComponents)
		}
		return set(uint64(key), value)
	})
	if err == nil && n == 0 {
		err = malformed("no component index in the map")
	}
	return err
}

func decodeParameterSets(raw []byte, _ position) (Argument, error) {
	sets := ParameterSets{}
	err := decodeByIndex(raw, func(index uint64, value []byte) error {
		p, err := decodeParameters(value, true)
		if err == nil && p.empty() {
			err = malformed("no parameters")
		}
		sets[index] = &p
		return err
	})
	return sets, err
}

func decodeParameterCopies(raw []byte, _ position) (Argument, error) {
	copies := ParameterCopies{}
	err := decodeByIndex(raw, func(index uint64, value []byte) error {
		codes, err := decodeInts[ParameterCode](value)
		copies[index] = codes
		return err
	})
	return copies, err
}

// encodeSequence returns the encoded array. It refuses what decodeSequence would.
func encodeSequence(seq *Sequence, depth int) ([]byte, error) {
	switch {
	case seq == nil:
		return nil, malformed("no sequence")
	case depth > MaxSequenceDepth:
		return nil, overLimit("sequences nested deeper than %d", MaxSequenceDepth)
	case len(seq.Commands) > MaxCommands:
		return nil, overLimit("%d commands, at most %d", len(seq.Commands), MaxCommands)
	}
	items := make([]any, 0, 2*len(seq.Commands))
	for i, cmd := range seq.Commands {
		if cmd.Argument == nil {
			return nil, at(fmt.Sprintf("[%d].%s", i, cmd.Code), malformed("no argument"))
		}
		argument, err := cmd.Argument.encode(depth)
		if err != nil {
			return nil, at(fmt.Sprintf("[%d]", i), at(cmd.Code.String(), err))
		}
		items = append(items, int64(cmd.Code), argument)
	}
	return cosekit.Marshal(items)
}

func (p Policy) encode(int) (any, error) { return uint64(p), nil }

func (i Index) encode(int) (any, error) { return uint64(i), nil }

func (l IndexList) encode(int) (any, error) { return []uint64(l), nil }

func (AllComponents) encode(int) (any, error) { return true, nil }

func (p *Parameters) encode(int) (any, error) { return encodeParameters(p) }

func (s ParameterSets) encode(int) (any, error) {
	out := make(map[uint64]any, len(s))
	for index, p := range s {
		set, err := encodeParameters(p)
		if err != nil {
			return nil, at(fmt.Sprintf("[%d]", index), err)
		}
		out[index] = set
	}
	return out, nil
}

func (c ParameterCopies) encode(int) (any, error) { return map[uint64][]ParameterCode(c), nil }

func (r Raw) encode(int) (any, error) { return cosekit.RawMessage(r), nil }

func (s *Sequence) encode(depth int) (any, error) {
	raw, err := encodeSequence(s, depth+1)
	return raw, err
}

func (a *Alternatives) encode(depth int) (any, error) {
	if a == nil {
		return nil, malformed("no alternatives")
	}
	list := make([]any, 0, len(a.Sequences)+1)
	for i := range a.Sequences {
		raw, err := encodeSequence(&a.Sequences[i], depth+1)
		if err != nil {
			return nil, at(fmt.Sprintf("[%d]", i), err)
		}
		list = append(list, raw)
	}
	if a.Optional {
		list = append(list, nil)
	}
	return list, nil
}
