/** A set of sequence numbers for each of many devices: two numbers a device, as long as they come in order. */

import { SequenceSet } from "./sequence-set.ts";

/** Devices are numbered from 0; a sequence number is a u32. */
export class SequenceSets {
  /** One stretch for each device, from `#first` up to and without `#end`; empty where they are the same. */
  readonly #first: Float64Array;
  readonly #end: Float64Array;
  /** Of the devices whose numbers are more than one stretch. */
  readonly #irregular = new Map<number, SequenceSet>();

  constructor(deviceCount: number) {
    this.#first = new Float64Array(deviceCount);
    this.#end = new Float64Array(deviceCount);
  }

  /** Adds a number; false if it was there already. */
  add(device: number, value: number): boolean {
    const first = this.#first[device] as number;
    const end = this.#end[device] as number;
    if (value === end && first < end) {
      this.#end[device] = value + 1;
      return true;
    }
    const irregular = this.#irregular.get(device);
    if (irregular !== undefined) return irregular.add(value);
    if (first < end) return this.#addOutOfOrder(device, value);
    this.#first[device] = value;
    this.#end[device] = value + 1;
    return true;
  }

  has(device: number, value: number): boolean {
    const isInStretch = value >= (this.#first[device] as number) && value < this.#endOf(device);
    return isInStretch || this.#irregular.get(device)?.has(value) === true;
  }

  size(device: number): number {
    const irregular = this.#irregular.get(device);
    return irregular?.size ?? this.#endOf(device) - (this.#first[device] as number);
  }

  /** The largest number, or undefined in an empty set. */
  largest(device: number): number | undefined {
    const irregular = this.#irregular.get(device);
    if (irregular !== undefined) return irregular.largest;
    return this.size(device) === 0 ? undefined : this.#endOf(device) - 1;
  }

  /** How many numbers of the device are in both. */
  countCommon(device: number, other: SequenceSets): number {
    const mine = this.#irregular.get(device);
    const theirs = other.#irregular.get(device);
    if (mine === undefined && theirs === undefined) {
      const first = Math.max(this.#first[device] as number, other.#first[device] as number);
      return Math.max(0, Math.min(this.#endOf(device), other.#endOf(device)) - first);
    }
    return (mine ?? this.#asSet(device)).countCommon(theirs ?? other.#asSet(device));
  }

  #endOf(device: number): number {
    return this.#end[device] as number;
  }

  /** From now on the device has a set of its own, and no stretch. */
  #addOutOfOrder(device: number, value: number): boolean {
    if (this.has(device, value)) return false;
    const set = this.#asSet(device);
    this.#first[device] = 0;
    this.#end[device] = 0;
    this.#irregular.set(device, set);
    return set.add(value);
  }

  #asSet(device: number): SequenceSet {
    return SequenceSet.ofRange(this.#first[device] as number, this.#endOf(device));
  }
}
