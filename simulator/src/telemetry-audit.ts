/** Proves per device what became of its telemetry: what was acknowledged must arrive, at QoS 2 exactly once. */

import type { RunResult } from "./result.ts";
import type { Qos } from "./scenario.ts";
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
    this.#device(device).acknowledged.add(seq);
  }

  /** The audit's own subscriber has received it. */
  delivered(device: number, seq: number): void {
    const audit = this.#device(device);
    if (!audit.accepted.has(seq)) this.#unknown++;
    else audit.deliver(seq);
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
      doubledAtQos1: sum((audit) => (audit.qos === 1 ? audit.doubled : 0)),
      doubledAtQos2: sum((audit) => (audit.qos === 2 ? audit.doubled : 0)),
      outOfOrder: sum((audit) => audit.outOfOrder),
      unknown: this.#unknown,
      inDoubt: sum((audit) => audit.inDoubt),
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
  doubled = 0;
  outOfOrder = 0;

  constructor(qos: Qos) {
    this.qos = qos;
  }

  deliver(seq: number): void {
    const largest = this.delivered.largest;
    if (!this.delivered.add(seq)) this.doubled++;
    else if (largest !== undefined && seq < largest) this.outOfOrder++; // [MQTT-4.6.0-6]
  }

  get owedCount(): number {
    return this.acknowledged.size - this.acknowledged.countCommon(this.delivered);
  }

  /** At QoS 0 nothing is acknowledged, so nothing can be in doubt. */
  get inDoubt(): number {
    return this.qos === 0 ? 0 : this.accepted.size - this.acknowledged.size;
  }

  get inDoubtDelivered(): number {
    return this.qos === 0 ? 0 : this.delivered.size - this.acknowledged.countCommon(this.delivered);
  }
}
