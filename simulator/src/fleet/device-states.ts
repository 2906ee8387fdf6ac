/** What each device of a fleet is doing, a byte each, and how many do what. */

/** See `Sensor` for what leads from one to another. */
export enum DeviceState {
  /** No connection, and the clock stands: not yet started, without power, hung, or asleep after a goodbye. */
  Off = 0,
  /** No connection; readings wait in the outbox. */
  Waiting = 1,
  Connecting = 2,
  Connected = 3,
  /** This side is about to end the connection, for a fault. */
  Leaving = 4,
  /** It has sent garbage: the broker is about to end the connection. */
  Condemned = 5,
  /** The goodbye is under way. */
  Parting = 6,
  /** The broker has taken the goodbye; DISCONNECT follows it. */
  Parted = 7,
}

const STATE_COUNT = 8;

/** Devices are numbered from 0, and off in the beginning. */
export class DeviceStates {
  /** A DeviceState for each device. */
  readonly bytes: Uint8Array;
  readonly #counts = new Uint32Array(STATE_COUNT);

  /** `bytes` are zero, one for each device; they may be shared with another thread, which only reads. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#counts[DeviceState.Off] = bytes.length;
  }

  get(device: number): DeviceState {
    return this.bytes[device] as DeviceState;
  }

  set(device: number, state: DeviceState): void {
    const before = this.bytes[device] as DeviceState;
    this.bytes[device] = state;
    this.#counts[before] = this.count(before) - 1;
    this.#counts[state] = this.count(state) + 1;
  }

  /** How many devices are in this state. */
  count(state: DeviceState): number {
    return this.#counts[state] as number;
  }
}
