/** One device of an application module, with its clock, its server and its log in the hands of the test. */

import { expect } from "vitest";
import { Event, Status } from "../../firmware/core/abi.ts";
import { type Core, loadCore, type ReporterExports, readModule } from "../../host/src/core/core.ts";
import { type Capacities, Session } from "../../host/src/core/session.ts";
import { type Profile, type ProfileName, profileOf } from "../../simulator/src/profiles/profile.ts";
import { type ClientPacket, ClientStream } from "./client-stream.ts";
import {
  connack,
  puback,
  pubcomp,
  publish,
  pubrec,
  type ServerMessage,
  suback,
} from "./server-packets.ts";

const CAPACITIES: Capacities = { receive: 256, transmit: 2048, identity: 256, incomingCount: 4 };

/** An instance of a module with a profile's block in its memory, for any number of rigs. */
export interface Application {
  core: Core<ReporterExports>;
  profile: Profile;
  /** 0 if the module needs no block. */
  blockAt: number;
}

export async function loadApplication(name: ProfileName): Promise<Application> {
  const profile = profileOf(name);
  const core = await loadCore<ReporterExports>(await readModule(profile.module));
  return { core, profile, blockAt: lendBlock(core, profile.block) };
}

/** Puts a block into the memory for good. */
export function lendBlock(core: Core<ReporterExports>, block: Uint8Array | undefined): number {
  if (block === undefined) return 0;
  const at = core.arena.take(block.length);
  core.memory.write(at, block);
  return at;
}

interface RigOptions {
  clientId?: string;
  intervalMs?: number;
  deadBandMilliCelsius?: number;
  flags?: number;
  capacities?: Partial<Capacities>;
}

export class ApplicationRig {
  readonly session: Session<ReporterExports>;
  readonly exports: ReporterExports;
  readonly at: number;
  nowMs = 0;
  #stream = new ClientStream();

  constructor({ core, profile, blockAt }: Application, options: RigOptions = {}) {
    const {
      clientId = "mote-1",
      intervalMs = 10_000,
      deadBandMilliCelsius = 0,
      flags = 1,
    } = options;
    this.session = new Session(core, { ...CAPACITIES, ...options.capacities });
    this.exports = core.exports;
    this.at = this.session.at;
    this.session.setClientId(clientId);
    if (profile.block !== undefined) {
      const status = this.exports.setProfile(this.at, blockAt, profile.block.length);
      expect(status).toBe(Status.Ok);
    }
    const status = this.exports.configure(this.at, intervalMs, deadBandMilliCelsius, flags);
    expect(status).toBe(Status.Ok);
  }

  /** Wall time now. */
  setClock(unixMs: number): this {
    const status = this.exports.setClock(this.at, unixMs / 1000, unixMs % 1000, this.nowMs);
    expect(status).toBe(Status.Ok);
    return this;
  }

  /** Sends CONNECT; returns it. */
  open({ cleanSession = true } = {}): ClientPacket[] {
    this.#stream = new ClientStream();
    const options = { cleanSession, keepAliveSeconds: 0, responseTimeoutMs: 5_000 };
    this.session.connect(options, this.nowMs);
    return this.sent();
  }

  /** CONNECT and CONNACK; what the device says then is left to `sent`. Returns the events. */
  connect({ sessionPresent = false, cleanSession = true } = {}): string[] {
    expect(this.open({ cleanSession })).toMatchObject([{ type: "CONNECT" }]);
    return this.receive(connack(sessionPresent));
  }

  /** Everything that may go now. */
  sent(): ClientPacket[] {
    const bytes = this.session.toTransmit().slice();
    this.session.transmitted(bytes.length, this.nowMs);
    return this.#stream.read(bytes);
  }

  /** Feeds the packets; returns the events. */
  receive(...packets: Uint8Array[]): string[] {
    const events: string[] = [];
    for (const packet of packets) {
      expect(this.session.receive(packet, 0)).toBe(packet.length);
      for (let event = this.session.poll(this.nowMs); event !== Event.None; ) {
        events.push(nameOf(event));
        event = this.session.poll(this.nowMs);
      }
    }
    return events;
  }

  message(message: ServerMessage): string[] {
    return this.receive(publish(message));
  }

  /** Acknowledges all that is sent, until there is no more; returns what that was, without PUBREL. */
  answerAll(): ClientPacket[] {
    const all: ClientPacket[] = [];
    for (let packets = this.sent(); packets.length > 0; packets = this.sent()) {
      for (const packet of packets) this.#answer(packet);
      all.push(...packets.filter(({ type }) => type !== "PUBREL"));
    }
    return all;
  }

  wait(durationMs: number): string {
    this.nowMs = (this.nowMs + durationMs) % 2 ** 32;
    return this.tick();
  }

  tick(): string {
    return nameOf(this.session.tick(this.nowMs));
  }

  reading(milliCelsius: number): number {
    return this.exports.reading(this.at, milliCelsius, this.nowMs);
  }

  #answer(packet: ClientPacket): void {
    if (packet.type === "SUBSCRIBE") {
      this.receive(suback(packet.packetId, ...packet.filters.map(({ qos }) => qos)));
    } else if (packet.type === "PUBREL") this.receive(pubcomp(packet.packetId));
    else if (packet.type === "PUBLISH" && packet.qos === 1) this.receive(puback(packet.packetId));
    else if (packet.type === "PUBLISH" && packet.qos === 2) this.receive(pubrec(packet.packetId));
  }
}

function nameOf(answer: number): string {
  return Event[answer] ?? Status[answer] ?? "?";
}
