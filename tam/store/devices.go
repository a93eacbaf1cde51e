package store

import (
	"errors"
	"time"

	"github.com/tamarack-tam/tamarack/devices"
	"github.com/tamarack-tam/tamarack/internal/cosekit"
	"github.com/tamarack-tam/tamarack/tam"
	"github.com/tamarack-tam/tamarack/teep"
)

const deviceColumns = `id, ueid, name, state, state_reason, oemid, hwmodel, hwversion, attestation_key, evidence_at, created_at, updated_at,
	labels, quarantined_by, exception, attestations_accepted, attestations_failed`

var (
	selectDevice         = prepare(`SELECT ` + deviceColumns + ` FROM devices WHERE id = ?`)
	selectDeviceByUEID   = prepare(`SELECT ` + deviceColumns + ` FROM devices WHERE ueid = ?`)
	selectDeviceAttested = prepare(`SELECT ` + deviceColumns + ` FROM devices WHERE attestation_key = ? ORDER BY id LIMIT 1`)
	selectDevices        = prepare(`SELECT ` + deviceColumns + ` FROM devices WHERE id > ? ORDER BY id LIMIT ?`)
	selectDevicesByState = prepare(`SELECT ` + deviceColumns + ` FROM devices WHERE state = ? AND id > ? ORDER BY id LIMIT ?`)
	upsertDevice         = prepare(`INSERT INTO devices (` + deviceColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET ueid = excluded.ueid, name = excluded.name, state = excluded.state,
			state_reason = excluded.state_reason, oemid = excluded.oemid, hwmodel = excluded.hwmodel,
			hwversion = excluded.hwversion, attestation_key = excluded.attestation_key,
			evidence_at = excluded.evidence_at, created_at = excluded.created_at, updated_at = excluded.updated_at,
			labels = excluded.labels, quarantined_by = excluded.quarantined_by, exception = excluded.exception,
			attestations_accepted = excluded.attestations_accepted, attestations_failed = excluded.attestations_failed`)
	// A session that attests writes its device back: the indexes over ueid, state and key
	// are left alone then.
	updateDevice = prepare(`UPDATE devices SET name = ?, state_reason = ?, oemid = ?, hwmodel = ?, hwversion = ?,
		evidence_at = ?, created_at = ?, updated_at = ?, labels = ?, quarantined_by = ?, exception = ?,
		attestations_accepted = ?, attestations_failed = ? WHERE id = ? AND +ueid = ? AND state = ? AND attestation_key IS ?`)
)

func scanDevice(r *row) (devices.Device, error) {
	d := devices.Device{
		ID: devices.ID(r.text()), UEID: r.bytes(), Name: r.text(), State: devices.State(r.text()), StateReason: r.text(),
		OEMID: r.bytes(), HWModel: r.bytes(), HWVersion: r.text(),
	}
	if key := r.bytes(); key != nil {
		var err error
		if d.AttestationKey, err = thumbprintOf("attestation key", key); err != nil {
			return d, err
		}
	}
	d.EvidenceAt, d.CreatedAt, d.UpdatedAt = timeOf(r.int()), timeOf(r.int()), timeOf(r.int())
	err := decode("labels", r.bytes(), &d.Labels)
	d.QuarantinedBy = r.text()
	if err == nil {
		d.Exception, err = exceptionOf(r.bytes())
	}
	d.Attestations.Accepted = uint64(r.int())
	if err == nil {
		err = decode("failed attestations", r.bytes(), &d.Attestations.Failed)
	}
	return d, err
}

func (s snapshot) Device(id devices.ID) (devices.Device, error) {
	d, err := one(s.transaction, selectDevice, scanDevice, string(id))
	return d, about(err, "device %s", id)
}

func (s snapshot) DeviceByUEID(ueid []byte) (devices.Device, error) {
	d, err := one(s.transaction, selectDeviceByUEID, scanDevice, ueid)
	return d, about(err, "device with ueid %x", ueid)
}

func (s snapshot) DeviceAttestedBy(key cosekit.Thumbprint) (devices.Device, error) {
	d, err := one(s.transaction, selectDeviceAttested, scanDevice, key[:])
	return d, about(err, "device with attestation key %s", key)
}

func (s snapshot) Devices(state devices.State, page tam.Page) ([]devices.Device, error) {
	if err := checkLimit(page.Limit); err != nil {
		return nil, about(err, "devices")
	}
	if state == "" {
		all, err := list(s.transaction, selectDevices, scanDevice, page.After, page.Limit)
		return all, about(err, "devices")
	}
	some, err := list(s.transaction, selectDevicesByState, scanDevice, string(state), page.After, page.Limit)
	return some, about(err, "devices that are %s", state)
}

func (u update) PutDevice(d devices.Device) error {
	return about(u.putDevice(d), "device %s", d.ID)
}

func (u update) putDevice(d devices.Device) error {
	var attestationKey []byte // NULL where none is known
	if d.AttestationKey != (cosekit.Thumbprint{}) {
		attestationKey = d.AttestationKey[:]
	}
	labels, err := mapOrNull(d.Labels)
	if err != nil {
		return about(err, "labels")
	}
	accepts, err := exceptionOrNull(d.Exception)
	if err != nil {
		return about(err, "exception")
	}
	failed, err := mapOrNull(d.Attestations.Failed)
	if err != nil {
		return about(err, "failed attestations")
	}
	accepted := int64(d.Attestations.Accepted)
	known, err := u.exec(updateDevice, d.Name, d.StateReason, d.OEMID, d.HWModel, d.HWVersion,
		micros(d.EvidenceAt), micros(d.CreatedAt), micros(d.UpdatedAt), labels, d.QuarantinedBy, accepts, accepted, failed,
		string(d.ID), d.UEID, string(d.State), attestationKey)
	if err == nil && known == 0 {
		_, err = u.exec(upsertDevice, string(d.ID), d.UEID, d.Name, string(d.State), d.StateReason,
			d.OEMID, d.HWModel, d.HWVersion, attestationKey, micros(d.EvidenceAt), micros(d.CreatedAt), micros(d.UpdatedAt),
			labels, d.QuarantinedBy, accepts, accepted, failed)
	}
	return err
}

const agentColumns = `device, cose_key, numbering, algorithm, report_key, extensions, created_at, last_seen, attested_at, evidence_at,
	repeats, hold_until, hold_reason, noted, accepted_under`

var (
	selectAgent   = prepare(`SELECT ` + agentColumns + ` FROM agents WHERE key = ?`)
	selectAgentOf = prepare(`SELECT ` + agentColumns + ` FROM agents WHERE device = ? ORDER BY key`)
	upsertAgent   = prepare(`INSERT INTO agents (key, ` + agentColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (key) DO UPDATE SET device = excluded.device, cose_key = excluded.cose_key,
			numbering = excluded.numbering, algorithm = excluded.algorithm, report_key = excluded.report_key, extensions = excluded.extensions,
			created_at = excluded.created_at, last_seen = excluded.last_seen, attested_at = excluded.attested_at,
			evidence_at = excluded.evidence_at, repeats = excluded.repeats,
			hold_until = excluded.hold_until, hold_reason = excluded.hold_reason, noted = excluded.noted,
			accepted_under = excluded.accepted_under`)
	// A session writes its agent back: the index over device is left alone then.
	updateAgent = prepare(`UPDATE agents SET numbering = ?, algorithm = ?, report_key = ?, extensions = ?, created_at = ?, last_seen = ?,
		attested_at = ?, evidence_at = ?, repeats = ?, hold_until = ?, hold_reason = ?, noted = ?, accepted_under = ? WHERE key = ? AND device = ?`)
	deleteAgent = prepare(`DELETE FROM agents WHERE key = ?`)
)

func scanAgent(r *row) (devices.Agent, error) {
	a := devices.Agent{Device: devices.ID(r.text())}
	var err error
	if a.Key, err = teepKeyOf("agent key", r.bytes()); err != nil {
		return a, err
	}
	a.Numbering, a.Algorithm = teep.Numbering(r.int()), cosekit.Algorithm(r.int())
	if a.ReportKey, err = teepKeyOf("report key", r.bytes()); err != nil {
		return a, err
	}
	if err := decode("extensions", r.bytes(), &a.Extensions); err != nil {
		return a, err
	}
	a.CreatedAt, a.LastSeen, a.AttestedAt, a.EvidenceAt = timeOf(r.int()), timeOf(r.int()), timeOf(r.int()), timeOf(r.int())
	a.Repeats, a.HoldUntil, a.HoldReason = int(r.int()), timeOf(r.int()), r.text()
	var noted map[string]int64
	if err := decode("noted", r.bytes(), &noted); err != nil {
		return a, err
	}
	if noted != nil {
		a.Noted = make(map[string]time.Time, len(noted))
	}
	for reason, at := range noted {
		a.Noted[reason] = timeOf(at)
	}
	a.AcceptedUnder = r.int()
	return a, nil
}

func (s snapshot) Agent(key cosekit.Thumbprint) (devices.Agent, error) {
	a, err := one(s.transaction, selectAgent, scanAgent, key[:])
	return a, about(err, "agent %s", key)
}

func (s snapshot) AgentsOf(id devices.ID) ([]devices.Agent, error) {
	agents, err := list(s.transaction, selectAgentOf, scanAgent, string(id))
	return agents, about(err, "agents of device %s", id)
}

func (u update) PutAgent(a devices.Agent) error {
	if a.Key == nil {
		return errors.New("agent without a key")
	}
	key := a.Key.Thumbprint()
	if err := errors.Join(checkTEEPKey(a.Key), checkTEEPKey(a.ReportKey)); err != nil {
		return about(err, "agent %s", key)
	}
	extensions, err := encode(a.Extensions)
	if err != nil {
		return about(err, "extensions of agent %s", key)
	}
	noted, err := notedOrNull(a.Noted)
	if err != nil {
		return about(err, "what is noted of agent %s", key)
	}
	known, err := u.exec(updateAgent, int64(a.Numbering), int64(a.Algorithm), keyOrNull(a.ReportKey), extensions,
		micros(a.CreatedAt), micros(a.LastSeen), micros(a.AttestedAt), micros(a.EvidenceAt),
		a.Repeats, micros(a.HoldUntil), a.HoldReason, noted, a.AcceptedUnder, key[:], string(a.Device))
	if err == nil && known == 0 {
		_, err = u.exec(upsertAgent, key[:], string(a.Device), a.Key.COSEKey(), int64(a.Numbering), int64(a.Algorithm), keyOrNull(a.ReportKey), extensions,
			micros(a.CreatedAt), micros(a.LastSeen), micros(a.AttestedAt), micros(a.EvidenceAt), a.Repeats, micros(a.HoldUntil), a.HoldReason, noted, a.AcceptedUnder)
	}
	return about(err, "agent %s of device %s", key, a.Device)
}

func notedOrNull(noted map[string]time.Time) ([]byte, error) {
	at := make(map[string]int64, len(noted))
	for reason, t := range noted {
		at[reason] = micros(t)
	}
	return mapOrNull(at)
}

func (u update) DeleteAgent(key cosekit.Thumbprint) error {
	_, err := u.exec(deleteOutstandingOf, key[:])
	if err == nil {
		err = u.remove(deleteAgent, key[:])
	}
	return about(err, "agent %s", key)
}
