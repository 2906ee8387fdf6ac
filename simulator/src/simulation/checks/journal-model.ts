/** What a flash says about a session, read independently of host and core: docs/journal.md, and nothing else. */

import type { Flash } from "../flash.ts";

type Step = "waiting" | "offered" | "released" | "request";

const HEADER_LENGTH = 8;
const ERASED = 0xffffffff;
const FNV_BASIS = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
const GENERATION_AT = 14;

export class JournalModel {
  /** Outgoing packets by identifier. */
  readonly outgoing = new Map<number, Step>();
  /** Identifiers of unfinished incoming QoS 2 messages. */
  readonly incoming = new Set<number>();
  readonly #flash: Flash;
  #version = -1;
  #blockIndex = -1;
  #generation = -1;
  #at = 0;
  #checksum = 0;

  constructor(flash: Flash) {
    this.#flash = flash;
  }

  /** Reads what was written since the last time. */
  catchUp(): void {
    if (this.#version === this.#flash.version) return;
    this.#version = this.#flash.version;
    for (let index = 0; index < this.#flash.blockCount; index++) this.#lookForImage(index);
    if (this.#blockIndex >= 0) this.#readBatches();
  }

  /** The block with the highest generation in a whole image counts. */
  #lookForImage(blockIndex: number): void {
    const view = viewOf(this.#flash.look(blockIndex));
    const length = view.getUint32(0, true);
    if (length > view.byteLength - HEADER_LENGTH || view.getUint8(HEADER_LENGTH) !== 0x10) return;
    const generation = view.getUint32(GENERATION_AT, true);
    if (generation <= this.#generation) return;
    if (checksumOf(view, 0, length, FNV_BASIS) !== view.getUint32(4, true)) return;
    this.#generation = generation;
    this.#blockIndex = blockIndex;
    this.#at = 0;
    this.#checksum = FNV_BASIS;
  }

  #readBatches(): void {
    const { wordLength } = this.#flash;
    const view = viewOf(this.#flash.look(this.#blockIndex));
    while (this.#at + HEADER_LENGTH <= view.byteLength) {
      const length = view.getUint32(this.#at, true);
      if (length === ERASED || length > view.byteLength - this.#at - HEADER_LENGTH) return;
      const checksum = checksumOf(view, this.#at, length, this.#checksum);
      if (checksum !== view.getUint32(this.#at + 4, true)) return;
      this.#apply(view, this.#at + HEADER_LENGTH, length);
      this.#checksum = checksum;
      this.#at = Math.ceil((this.#at + HEADER_LENGTH + length) / wordLength) * wordLength;
    }
  }

  #apply(view: DataView, recordsAt: number, recordsLength: number): void {
    let at = recordsAt;
    while (at < recordsAt + recordsLength) {
      const firstByte = view.getUint8(at);
      let bodyLength = 0;
      let bodyAt = at + 1;
      for (let shift = 0; ; shift += 7) {
        const byte = view.getUint8(bodyAt++);
        bodyLength += (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
      this.#applyRecord(firstByte, view, bodyAt);
      at = bodyAt + bodyLength;
    }
  }

  #applyRecord(firstByte: number, view: DataView, bodyAt: number): void {
    if (firstByte >> 4 === 3) {
      const packetId = view.getUint16(bodyAt + 2 + view.getUint16(bodyAt));
      this.outgoing.set(packetId, (firstByte & 8) !== 0 ? "offered" : "waiting");
      return;
    }
    if (firstByte === 0xf0) return;
    const packetId = view.getUint16(bodyAt);
    switch (firstByte) {
      case 0x10:
        this.outgoing.clear();
        this.incoming.clear();
        break;
      case 0x20:
        this.#beginSession(view.getUint8(bodyAt + 1) === 1);
        break;
      case 0xb0:
        this.outgoing.set(packetId, "offered");
        break;
      case 0x62:
        this.outgoing.set(packetId, "released");
        break;
      case 0x40:
        this.outgoing.delete(packetId);
        break;
      case 0x50:
        this.incoming.add(packetId);
        break;
      case 0x70:
        this.incoming.delete(packetId);
        break;
      case 0x82:
      case 0xa2:
        this.outgoing.set(packetId, "request");
        break;
    }
  }

  #beginSession(hasBegun: boolean): void {
    if (!hasBegun) {
      this.incoming.clear();
      return;
    }
    for (const [packetId, step] of this.outgoing) {
      if (step === "offered") this.outgoing.set(packetId, "waiting");
    }
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** FNV-1a over the length and the records, begun with the checksum before. */
function checksumOf(view: DataView, at: number, length: number, before: number): number {
  let sum = before;
  for (let index = at; index < at + 4; index++) {
    sum = Math.imul(sum ^ view.getUint8(index), FNV_PRIME);
  }
  for (let index = at + HEADER_LENGTH; index < at + HEADER_LENGTH + length; index++) {
    sum = Math.imul(sum ^ view.getUint8(index), FNV_PRIME);
  }
  return sum >>> 0;
}
