// Package devices holds the nouns of a fleet: Device, Agent, inventory and component state.
package devices
