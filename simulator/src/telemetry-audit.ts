/** Proves per device what became of its telemetry: what was acknowledged must arrive, at QoS 2 exactly once. */

import type { Qos } from "../../host/src/core/session.ts";
import type { RunResult } from "./result.ts";
import { SequenceSet } from "./sequence-set.ts";

export type AuditResult = NonNullable<RunResult["audit"]>;

/** Devices are numbered from 0; `seq` is the number in the telemetry, never used twice by a device. */
export class TelemetryAudit {
  readonly #devices: DeviceAudit[];
  #unknown = 0;

  /** `qosOfDevice` has the QoS of each device's telemetry. */
  constructor(qosOfDevice: readonly Qos[]) {
    this.#devices = qosOfDevice.map((qos) => new DeviceAudit(qos));
  }

  /** The device's outbox has taken the message. */
  accepted(device: number, seq: number): void {
    this.#device(device).accepted.add(seq);
  }

  /** The broker has taken it over: PUBACK or PUBCOMP. */
  acknowledged(device: number, seq: number): void {
    this.#device(device).acknowledge(seq);
  }

  /** The audit's own subscriber has received it. */
  delivered(device: number, seq: number): void {
    const audit = this.#device(device);
    if (!audit.accepted.has(seq)) this.#unknown++;
    else audit.deliver(seq);
  }

  /** The subscriber was away: whether it has missed what was accepted until now, nobody can judge. */
  excuse(): void {
    for (const audit of this.#devices) audit.excuse();
  }

  /** Messages that were acknowledged and have not arrived yet. */
  get owedCount(): number {
    return this.#devices.reduce((sum, audit) => sum + audit.owedCount, 0);
  }

  result(): AuditResult {
    const sum = (count: (audit: DeviceAudit) => number) =>
      this.#devices.reduce((total, audit) => total + count(audit), 0);
    return {
      devices: this.#devices.length,
      accepted: sum((audit) => audit.accepted.size),
      acknowledged: sum((audit) => audit.acknowledged.size),
      delivered: sum((audit) => audit.delivered.size),
      lost: sum((audit) => audit.owedCount),
      unjudged: sum((audit) => audit.unjudgedCount),
      doubledAtQos1: sum((audit) => (audit.qos === 1 ? audit.doubled : 0)),
      doubledAtQos2: sum((audit) => (audit.qos === 2 ? audit.doubled : 0)),
      outOfOrder: sum((audit) => audit.outOfOrder),
      unknown: this.#unknown,
      inDoubtDelivered: sum((audit) => audit.inDoubtDelivered),
    };
  }

  #device(device: number): DeviceAudit {
    const audit = this.#devices[device];
    if (audit === undefined) throw new RangeError(`There is no device ${device}`);
    return audit;
  }
}

class DeviceAudit {
  readonly qos: Qos;
  readonly accepted = new SequenceSet();
  readonly acknowledged = new SequenceSet();
  readonly delivered = new SequenceSet();
  /** Acknowledged and not delivered. */
  owedCount = 0;
  /** The same, but accepted before the last excuse. */
  unjudgedCount = 0;
  doubled = 0;
  outOfOrder = 0;
  /** What has a number below this is excused. */
  #judgedFrom = 0;

  constructor(qos: Qos) {
    this.qos = qos;
  }

  acknowledge(seq: number): void {
    if (this.acknowledged.add(seq) && !this.delivered.has(seq)) this.#owe(seq, 1);
  }

  deliver(seq: number): void {
    const largest = this.delivered.largest;
    if (!this.delivered.add(seq)) {
      this.doubled++;
      return;
    }
    if (largest !== undefined && seq < largest) this.outOfOrder++; // [MQTT-4.6.0-6]
    if (this.acknowledged.has(seq)) this.#owe(seq, -1);
  }

  excuse(): void {
    this.#judgedFrom = (this.accepted.largest ?? -1) + 1;
    this.unjudgedCount += this.owedCount;
    this.owedCount = 0;
  }

  /** At QoS 0 nothing is acknowledged, so nothing can be in doubt. */
  get inDoubtDelivered(): number {
    return this.qos === 0 ? 0 : this.delivered.size - this.acknowledged.countCommon(this.delivered);
  }

  #owe(seq: number, change: 1 | -1): void {
    if (seq < this.#judgedFrom) this.unjudgedCount += change;
    else this.owedCount += change;
  }
}
