// Package devices holds the nouns of a fleet: Device, Agent, inventory and component
// state. They are values; tam decides what happens to them and tam/store keeps them.
// Ask [State.CanBecome] before a device changes its state.
package devices
