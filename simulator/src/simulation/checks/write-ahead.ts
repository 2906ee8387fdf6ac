/** The rule that makes a session survive: no packet goes before what it depends on lies in flash (docs/journal.md). */

import type { ClientPacket } from "../client-packets.ts";
import { SimulationFailure } from "../failure.ts";
import type { Flash } from "../flash.ts";
import { clientPacketWords } from "../packet-words.ts";
import { JournalModel } from "./journal-model.ts";

/** Compares each packet that goes with what the flash holds at that moment. */
export class WriteAhead {
  readonly #deviceIndex: number;
  readonly #journal: JournalModel;

  constructor(deviceIndex: number, flash: Flash) {
    this.#deviceIndex = deviceIndex;
    this.#journal = new JournalModel(flash);
  }

  sending(packet: ClientPacket): void {
    if (!("packetId" in packet) || packet.packetId === 0 || packet.type === "PUBACK") return;
    this.#journal.catchUp();
    if (this.#isInFlash(packet.type, packet.packetId)) return;
    const problem = `${clientPacketWords(packet)} goes, and the flash does not know of it`;
    throw new SimulationFailure("write-ahead", this.#deviceIndex, problem);
  }

  #isInFlash(type: ClientPacket["type"], packetId: number): boolean {
    const { outgoing, incoming } = this.#journal;
    switch (type) {
      case "PUBLISH":
        return outgoing.get(packetId) === "offered";
      case "PUBREL":
        return outgoing.get(packetId) === "released";
      case "PUBREC":
        return incoming.has(packetId);
      case "PUBCOMP":
        return !incoming.has(packetId);
      default:
        return outgoing.get(packetId) === "request";
    }
  }
}
