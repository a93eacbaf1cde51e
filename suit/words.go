package suit

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxWords bounds in bytes what is written of one value.
const maxWords = 200

// Format writes the value of a parameter for people, in one line without control
// characters; "" where it is unset. Long values are cut.
func (p *Parameters) Format(code ParameterCode) string {
	if !p.Has(code) {
		return ""
	}
	switch code {
	case ParameterVendorID:
		if p.VendorID == nil {
			return fmt.Sprintf("PEN %s", hexWords(p.VendorPEN))
		}
		return p.VendorID.String()
	case ParameterClassID:
		return p.ClassID.String()
	case ParameterDeviceID:
		return p.DeviceID.String()
	case ParameterImageDigest:
		return cut(p.ImageDigest.String())
	case ParameterURI:
		return quote(*p.URI)
	case ParameterContent:
		return hexWords(p.Content)
	case ParameterInvokeArgs:
		return hexWords(p.InvokeArgs)
	case ParameterFetchArguments:
		return hexWords(p.FetchArguments)
	case ParameterEncryptionInfo:
		return fmt.Sprintf("%d bytes", len(p.EncryptionInfo))
	case ParameterUseBefore:
		if *p.UseBefore > maxSeconds {
			return fmt.Sprintf("second %d", *p.UseBefore)
		}
		return time.Unix(int64(*p.UseBefore), 0).UTC().Format(time.RFC3339)
	case ParameterMinimumBattery:
		return fmt.Sprintf("%d mWh", *p.MinimumBattery)
	case ParameterVersion:
		return p.Version.String()
	case ParameterWaitInfo:
		return p.WaitInfo.String()
	case ParameterComponentMetadata:
		return p.Metadata.String()
	}
	return plain(p, code)
}

// plain writes a number, a boolean, or what is not known here.
func plain(p *Parameters, code ParameterCode) string {
	if f, known := parameterFields[code]; known {
		return fmt.Sprint(f.value(p))
	}
	return "CBOR " + hexWords(p.Other[code])
}

// list writes all parameters with their names.
func (p *Parameters) list() string {
	var parts []string
	for _, code := range p.Codes() {
		parts = append(parts, code.String()+" "+p.Format(code))
	}
	return strings.Join(parts, ", ")
}

// String writes the events that are waited for.
func (w *WaitInfo) String() string {
	var parts []string
	note := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if w.Authorization != nil {
		note("authorization of priority %d", *w.Authorization)
	}
	if w.Power != nil {
		note("power %d", *w.Power)
	}
	if w.Network != nil {
		note("network %d", *w.Network)
	}
	if o := w.OtherDevice; o != nil {
		versions := make([]string, len(o.Matches))
		for i, m := range o.Matches {
			versions[i] = m.String()
		}
		note("device %s at version %s", hexWords(o.Device), strings.Join(versions, " and "))
	}
	if w.Time != nil {
		note("time %s", w.Time.UTC().Format(time.RFC3339))
	}
	for _, clock := range []struct {
		day, second *uint64
		zone        string
	}{{w.DayOfWeek, w.TimeOfDay, "local time"}, {w.DayOfWeekUTC, w.TimeOfDayUTC, "UTC"}} {
		if clock.day != nil {
			note("%s %s", time.Weekday(*clock.day%daysOfWeek), clock.zone)
		}
		if s := clock.second; s != nil {
			note("%02d:%02d:%02d %s", *s/3600, *s/60%60, *s%60, clock.zone)
		}
	}
	if n := len(w.Other); n > 0 {
		note("%d unknown events", n)
	}
	return cut(strings.Join(parts, " and "))
}

// String writes what the metadata sets.
func (c *ComponentMetadata) String() string {
	var parts []string
	note := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if c.FileType != nil {
		note("%s", c.FileType)
	}
	if c.Permissions != nil {
		note("permissions %#x", uint16(*c.Permissions))
	}
	for _, of := range []struct {
		kind string
		list []ActorPermissions
	}{{"user", c.Users}, {"group", c.Groups}, {"role", c.Roles}} {
		for _, one := range of.list {
			note("%s %s %#x", of.kind, one.Actor, uint16(one.Permissions))
		}
	}
	if c.Modified != nil {
		note("modified %s", c.Modified.UTC().Format(time.RFC3339))
	}
	if c.Created != nil {
		note("created %s", c.Created.UTC().Format(time.RFC3339))
	}
	if c.Creator != nil {
		note("by %s", c.Creator)
	}
	if n := len(c.Other); n > 0 {
		note("%d unknown elements", n)
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return cut(strings.Join(parts, ", "))
}

func quote(s string) string {
	if len(s) > maxWords {
		return strconv.QuoteToASCII(cut(s))
	}
	return strconv.QuoteToASCII(s)
}

// hexWords writes short bytes whole, long ones by their beginning and length.
func hexWords(b []byte) string {
	const most = 32
	if len(b) > most {
		return fmt.Sprintf("0x%x… (%d bytes)", b[:most], len(b))
	}
	return fmt.Sprintf("0x%x", b)
}

// cut shortens s to maxWords, at the end of a character.
func cut(s string) string {
	if len(s) <= maxWords {
		return s
	}
	end := maxWords
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
