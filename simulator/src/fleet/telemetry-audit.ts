/** Proves per device what became of its telemetry: what was acknowledged must arrive, at QoS 2 exactly once. */

import type { Qos } from "../../../host/src/core/session.ts";
import type { RunResult } from "../run/result.ts";
import { SequenceSets } from "./sequence-sets.ts";

export type AuditResult = NonNullable<RunResult["audit"]>;

/** Devices are numbered from 0; `seq` is the number in the telemetry, never used twice by a device. */
export class TelemetryAudit {
  readonly #qosOfDevice: Uint8Array;
  readonly #accepted: SequenceSets;
  readonly #acknowledged: SequenceSets;
  readonly #delivered: SequenceSets;
  /** What has a number below this is excused. */
  readonly #judgedFrom: Float64Array;
  #acceptedCount = 0;
  #acknowledgedCount = 0;
  #deliveredCount = 0;
  #owedCount = 0;
  /** Acknowledged and not delivered, but accepted before the last excuse. */
  #unjudgedCount = 0;
  readonly #doubled: [number, number, number] = [0, 0, 0];
  #outOfOrder = 0;
  #unknown = 0;

  /** `qosOfDevice` has the QoS of each device's telemetry. */
  constructor(qosOfDevice: ArrayLike<Qos>) {
    const { length } = qosOfDevice;
    this.#qosOfDevice = Uint8Array.from(qosOfDevice);
    this.#accepted = new SequenceSets(length);
    this.#acknowledged = new SequenceSets(length);
    this.#delivered = new SequenceSets(length);
    this.#judgedFrom = new Float64Array(length);
  }

  /** The device's outbox has taken the message. */
  accepted(device: number, seq: number): void {
    this.#check(device);
    if (this.#accepted.add(device, seq)) this.#acceptedCount++;
  }

  /** The broker has taken it over: PUBACK or PUBCOMP. */
  acknowledged(device: number, seq: number): void {
    this.#check(device);
    if (!this.#acknowledged.add(device, seq)) return;
    this.#acknowledgedCount++;
    if (!this.#delivered.has(device, seq)) this.#owe(device, seq, 1);
  }

  /** The audit's own subscriber has received it. */
  delivered(device: number, seq: number): void {
    this.#check(device);
    if (!this.#accepted.has(device, seq)) {
      this.#unknown++;
      return;
    }
    const largest = this.#delivered.largest(device) ?? -1;
    if (!this.#delivered.add(device, seq)) {
      this.#doubled[this.#qosOf(device)]++;
      return;
    }
    this.#deliveredCount++;
    if (seq < largest) this.#outOfOrder++; // [MQTT-4.6.0-6]
    if (this.#acknowledged.has(device, seq)) this.#owe(device, seq, -1);
  }

  /** The subscriber was away: whether it has missed what was accepted until now, nobody can judge. */
  excuse(): void {
    for (let device = 0; device < this.#judgedFrom.length; device++) {
      this.#judgedFrom[device] = (this.#accepted.largest(device) ?? -1) + 1;
    }
    this.#unjudgedCount += this.#owedCount;
    this.#owedCount = 0;
  }

  /** Messages that were acknowledged and have not arrived yet. */
  get owedCount(): number {
    return this.#owedCount;
  }

  result(): AuditResult {
    return {
      devices: this.#qosOfDevice.length,
      accepted: this.#acceptedCount,
      acknowledged: this.#acknowledgedCount,
      delivered: this.#deliveredCount,
      lost: this.#owedCount,
      unjudged: this.#unjudgedCount,
      doubledAtQos1: this.#doubled[1],
      doubledAtQos2: this.#doubled[2],
      outOfOrder: this.#outOfOrder,
      unknown: this.#unknown,
      inDoubtDelivered: this.#inDoubtDelivered(),
    };
  }

  /** At QoS 0 nothing is acknowledged, so nothing can be in doubt. */
  #inDoubtDelivered(): number {
    let count = 0;
    for (let device = 0; device < this.#qosOfDevice.length; device++) {
      if (this.#qosOf(device) === 0) continue;
      count += this.#delivered.size(device);
      count -= this.#acknowledged.countCommon(device, this.#delivered);
    }
    return count;
  }

  #owe(device: number, seq: number, change: 1 | -1): void {
    if (seq < (this.#judgedFrom[device] as number)) this.#unjudgedCount += change;
    else this.#owedCount += change;
  }

  #qosOf(device: number): Qos {
    return this.#qosOfDevice[device] as Qos;
  }

  #check(device: number): void {
    if (device >= this.#qosOfDevice.length) throw new RangeError(`There is no device ${device}`);
  }
}
