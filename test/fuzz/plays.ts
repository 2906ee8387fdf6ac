/** The steps of a program that are more than one call: what an embedder does, and what may happen to what it stored. */

import { ConnectionState, Status } from "../../firmware/core/abi.ts";
import { CHECKSUM_BASIS } from "../support/journal.ts";
import { connack } from "../support/server-packets.ts";
import { batch, checksumOf, mend } from "./journal-forge.ts";
import { Finding, lastChecksum, type Machine, SCRATCH_LENGTH, type Slot } from "./machine.ts";
import { CLIENT_ID, type Step } from "./program.ts";

export type Play = (machine: Machine, slot: Slot, step: Step) => void;

export const PLAYS: Readonly<Record<string, Play>> = {
  /** `init record receive transmit identity incoming journal`: a new client. */
  init: (machine, slot, step) => {
    if (!machine.init(slot, numbersOf(step))) return;
    slot.medium = [];
    slot.isMediumForged = false;
    setClientId(machine, slot);
  },
  /**
   * `feed record piece opens :bytes`: receives in pieces and polls after each, until the connection fails or takes no
   * more. `opens`: 1 and 2 connect first if the connection is not open, to a server with or without the session.
   */
  feed,
  /** `drain record piece`: stores, and transmits in pieces. */
  drain: (machine, slot, step) => machine.drain(slot, numbersOf(step)[0] ?? 0),
  /** `store record`: stores one batch. */
  store: (machine, slot) => machine.store(slot),
  /** `wait record ms`: the clock goes on. */
  wait: (machine, _slot, step) => {
    machine.nowMs = (machine.nowMs + (numbersOf(step)[0] ?? 0)) >>> 0;
  },
  /** `image record generation :note`: the medium becomes an image of the session. */
  image,
  /** `power record`: the RAM is lost; a new client is given all that the medium has. */
  power,
  /** `tamper record batch offset xor mends`: a byte of the medium changes, and its checksums with it or not. */
  tamper: (_machine, slot, step) => {
    const [index = 0, offset = 0, change = 0, mends = 0] = numbersOf(step);
    forge(slot, index, mends, (bytes) => {
      const at = offset % Math.max(1, bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ change;
      return bytes;
    });
  },
  /** `chop record batch length mends`: only the front of a batch is there, and its length says so or not. */
  chop: (_machine, slot, step) => {
    const [index = 0, length = 0, mends = 0] = numbersOf(step);
    forge(slot, index, mends, (bytes) => {
      const front = bytes.slice(0, length);
      if (mends === 2 && front.length >= 8)
        new DataView(front.buffer).setUint32(0, front.length - 8, true);
      return front;
    });
  },
  /** `batch record :records`: a batch that the core never made follows on the medium. */
  batch: (_machine, slot, step) => {
    slot.isMediumForged = true;
    slot.medium.push(batch(step.bytes, lastChecksum(slot)));
  },
};

const KEEP_ALIVE_SECONDS = 60;

/** The steps of this file know no addresses. */
function numbersOf({ args }: Step): number[] {
  return args.map(({ offset }) => offset >>> 0);
}

function setClientId(machine: Machine, slot: Slot): void {
  machine.put(machine.scratchAt, CLIENT_ID);
  machine.call("setClientId", slot, machine.scratchAt, CLIENT_ID.length);
  machine.giveProfile(slot);
  slot.isRenamed = false;
}

function feed(machine: Machine, slot: Slot, step: Step): void {
  const [piece = 0, opens = 0] = numbersOf(step);
  const pieceLength = Math.max(1, piece);
  if (opens !== 0 && machine.call("connectionState", slot) !== ConnectionState.Connected)
    open(machine, slot, opens === 1);
  let from = 0;
  while (from < step.bytes.length) {
    let taken = machine.receive(slot, step.bytes.subarray(from, from + pieceLength));
    if (machine.pollAll(slot) < 0) return;
    if (taken === 0) {
      // What was received waits for room in the outbox or in the journal.
      machine.drain(slot, 0);
      if (machine.pollAll(slot) < 0) return;
      taken = machine.receive(slot, step.bytes.subarray(from, from + pieceLength));
      if (taken === 0) return;
    }
    from += taken;
  }
  machine.pollAll(slot);
}

function open(machine: Machine, slot: Slot, sessionPresent: boolean): void {
  machine.call("connectionLost", slot);
  if (!machine.connect(slot, [0, KEEP_ALIVE_SECONDS, 0, machine.nowMs])) return;
  machine.drain(slot, 0);
  machine.receive(slot, connack(sessionPresent));
  machine.pollAll(slot);
  machine.drain(slot, 0);
}

function image(machine: Machine, slot: Slot, step: Step): void {
  const [, transmitCapacity = 0, , incomingCount = 0] = slot.sizes;
  const note = step.bytes.subarray(0, SCRATCH_LENGTH / 8);
  const toAt = machine.scratchAt + note.length;
  machine.put(machine.scratchAt, note);
  // docs/abi.md: so many bytes always suffice.
  const capacity = transmitCapacity + 4 * incomingCount + note.length + 32;
  const [generation = 0] = numbersOf(step);
  const args = [generation, toAt, capacity, machine.scratchAt, note.length];
  const length = machine.call("saveImage", slot, ...args);
  if (length === Status.NotAClient) return;
  if (length <= 0 || length > capacity) throw new Finding(`an image of ${length} in ${capacity}`);
  machine.accept(toAt, capacity);
  slot.medium = [machine.bytes(toAt, length)];
  slot.isMediumForged = slot.isRenamed;
  machine.call("stored", slot, toAt);
}

function power(machine: Machine, slot: Slot): void {
  if (slot.size === 0) return;
  machine.init(slot, slot.sizes);
  setClientId(machine, slot);
  for (const bytes of slot.medium) {
    const stored = bytes.subarray(0, SCRATCH_LENGTH);
    machine.put(machine.scratchAt, stored);
    const status = machine.call("restore", slot, machine.scratchAt, stored.length);
    if (status === Status.Ok) continue;
    if (!slot.isMediumForged) throw new Finding(`restore of what was stored: ${Status[status]}`);
    return;
  }
}

/** Changes one batch of the medium; mends its checksum and those behind it unless `mends` is 0. */
function forge(
  slot: Slot,
  index: number,
  mends: number,
  change: (bytes: Uint8Array) => Uint8Array,
): void {
  if (slot.medium.length === 0) return;
  const place = index % slot.medium.length;
  slot.isMediumForged = true;
  slot.medium[place] = change((slot.medium[place] ?? new Uint8Array(0)).slice());
  if (mends === 0) return;
  let previous = CHECKSUM_BASIS;
  slot.medium = slot.medium.map((bytes) => {
    const mended = mend(bytes, previous);
    previous = checksumOf(mended);
    return mended;
  });
}
