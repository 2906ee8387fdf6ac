/** All devices of a run by name and number, and the part of the fleet that has each of them. */

import { RandomStream } from "../random.ts";
import type { Witness } from "../run/observer.ts";
import { fillPattern } from "../scenario/pattern.ts";
import type { Scenario } from "../scenario/scenario.ts";
import { DeviceState } from "./device-states.ts";
import type { FleetMember } from "./fleet-member.ts";
import { localIndex, partOf, placesOf, WHOLE_FLEET } from "./fleet-part.ts";
import { type Credentials, credentialsOf } from "./sensor-kind.ts";

/** What others are shown of each DeviceState: 0 off, 1 waiting, 2 connecting, 3 connected. */
const SHOWN_STATES = Uint8Array.of(0, 1, 2, 3, 1, 3, 3, 0);

/** Devices are numbered as in the whole fleet. */
export class DeviceDirectory implements Witness {
  readonly #scenario: Scenario;
  readonly #partCount: number;
  readonly #members: () => readonly FleetMember[];
  readonly #clientIds: string[] = [];
  readonly #numbers: number[] = [];
  readonly #devices = new Map<string, number>();
  readonly #targets: RandomStream;
  readonly #shown: Uint8Array;

  /** `members` are known when the first device connects. */
  constructor(scenario: Scenario, partCount: number, members: () => readonly FleetMember[]) {
    this.#scenario = scenario;
    this.#partCount = partCount;
    this.#members = members;
    for (const { number, group } of placesOf(scenario, WHOLE_FLEET)) {
      const clientId = fillPattern(group.id, { number });
      this.#devices.set(clientId, this.#clientIds.length);
      this.#clientIds.push(clientId);
      this.#numbers.push(number);
    }
    this.#targets = new RandomStream(scenario.seed, 0, "fault");
    this.#shown = new Uint8Array(this.#clientIds.length);
  }

  get deviceCount(): number {
    return this.#clientIds.length;
  }

  clientId(device: number): string {
    return this.#clientIds[device] ?? "";
  }

  credentials(device: number, filePassword: string | undefined): Credentials {
    const values = { number: this.#numbers[device] ?? 0, clientId: this.clientId(device) };
    return credentialsOf(this.#scenario, filePassword, values);
  }

  /**
   * All connected devices in a random order. The same seed draws the same, and a device that happens to be away changes
   * nobody's turn but its own.
   */
  draw(): number[] {
    const order = Uint32Array.from(this.#clientIds, (_, device) => device);
    for (let index = order.length - 1; index > 0; index--) {
      const other = this.#targets.integer(0, index);
      const device = order[index] as number;
      order[index] = order[other] as number;
      order[other] = device;
    }
    return Array.from(order.filter((device) => this.#stateOf(device) === DeviceState.Connected));
  }

  /** What others are shown. Valid until the next call. */
  deviceStates(): Uint8Array {
    for (let device = 0; device < this.#shown.length; device++) {
      this.#shown[device] = SHOWN_STATES[this.#stateOf(device)] as number;
    }
    return this.#shown;
  }

  deviceOf(clientId: string): number | undefined {
    return this.#devices.get(clientId);
  }

  online(device: number): void {
    this.#memberOf(device)?.online(this.#localOf(device));
  }

  offline(device: number, atMs: number): void {
    this.#memberOf(device)?.offline(this.#localOf(device), atMs);
  }

  telemetry(
    device: number,
    seq: number | undefined,
    atMs: number,
    measuredUnixMs: number | undefined,
  ): void {
    this.#memberOf(device)?.telemetry(this.#localOf(device), seq, atMs, measuredUnixMs);
  }

  excuse(nowMs: number): void {
    for (const member of this.#members()) member.excuse(nowMs);
  }

  #stateOf(device: number): DeviceState {
    const state = this.#memberOf(device)?.stateBytes[this.#localOf(device)];
    return state ?? DeviceState.Off;
  }

  #memberOf(device: number): FleetMember | undefined {
    return this.#members()[partOf(this.#partCount, device)];
  }

  #localOf(device: number): number {
    return localIndex(this.#partCount, device);
  }
}
