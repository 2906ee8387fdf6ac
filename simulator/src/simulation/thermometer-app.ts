/** The thermometer as its board runs it: the module has the policy, the board has a sensor. */

import { Event } from "../../../firmware/core/abi.ts";
import type { ThermometerExports } from "../../../host/src/core/core.ts";
import { check, type Session } from "../../../host/src/core/session.ts";
import type { RandomStream } from "../random.ts";
import { SEQUENCE_SPAN, type Streams } from "./checks/streams.ts";
import type { WillMessage } from "./client-packets.ts";
import type { Device, DeviceApp } from "./device.ts";
import { randomStream } from "./streams.ts";

const INTERVAL_MS = 20_000;
const TELEMETRY_QOS = 1;
const PACKET_ID_MAX = 65_535;

export class ThermometerApp implements DeviceApp {
  readonly wantsCleanSession = false;
  readonly nextWorkMs = Number.POSITIVE_INFINITY;
  readonly #device: Device;
  readonly #streams: Streams;
  readonly #random: RandomStream;

  constructor(device: Device, streams: Streams, seed: number) {
    this.#device = device;
    this.#streams = streams;
    this.#random = randomStream(seed, device.index, "stream0");
  }

  begin(session: Session, lifeNumber: number): void {
    const exports = exportsOf(session);
    const { at } = session;
    session.setLimits(this.#device.plan.inflightMax);
    check("configure", exports.configure(at, INTERVAL_MS, 0, TELEMETRY_QOS));
    check("setClock", exports.setClock(at, 1_795_388_880, 0, this.#device.nowMs));
    if (this.#device.plan.isDurable) return; // its journal knows
    check("setSequence", exports.setSequence(at, lifeNumber * SEQUENCE_SPAN + 1));
    session.setNextPacketId(this.#random.integer(1, PACKET_ID_MAX));
  }

  restored(): void {}

  /** The module has set it with the client id. */
  prepareWill(): WillMessage {
    const topic = `motes/${this.#device.clientId}/status`;
    return { topic, payload: "offline", qos: 1, retain: true };
  }

  event(event: number, session: Session): void {
    if (event === Event.ReadingDue) {
      const milliCelsius = this.#random.integer(-40_000, 80_000);
      exportsOf(session).reading(session.at, milliCelsius, this.#device.nowMs);
    } else if (event === Event.CommandDone) {
      const payload = new TextDecoder().decode(session.payload());
      this.#streams.taken(this.#device.index, session.topic(), payload);
    }
  }

  work(): boolean {
    return false;
  }

  /** Telemetry that was published so far, as numbers of its stream. */
  nextNumbers(session: Session): number[] {
    const next = exportsOf(session).sequence(session.at);
    return [1, next % SEQUENCE_SPAN, 1];
  }
}

function exportsOf(session: Session): ThermometerExports {
  return session.core.exports as ThermometerExports;
}
