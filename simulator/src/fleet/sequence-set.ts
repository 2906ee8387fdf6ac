/** A set of sequence numbers that come nearly in order, kept as ranges: small however many there are. */

interface Range {
  first: number;
  last: number;
}

export class SequenceSet {
  /** In ascending order, neither touching nor overlapping. */
  readonly #ranges: Range[] = [];
  #size = 0;

  /** The numbers from `first` up to and without `end`. */
  static ofRange(first: number, end: number): SequenceSet {
    const set = new SequenceSet();
    if (first >= end) return set;
    set.#ranges.push({ first, last: end - 1 });
    set.#size = end - first;
    return set;
  }

  get size(): number {
    return this.#size;
  }

  /** The largest number, or undefined in an empty set. */
  get largest(): number | undefined {
    return this.#ranges.at(-1)?.last;
  }

  /** Adds a number; false if it was there already. */
  add(value: number): boolean {
    const index = this.#indexBefore(value);
    const before = this.#ranges[index];
    if (before !== undefined && value <= before.last) return false;
    this.#size++;
    const after = this.#ranges[index + 1];
    const touchesBefore = before !== undefined && before.last + 1 === value;
    const touchesAfter = after !== undefined && after.first - 1 === value;
    if (touchesBefore && touchesAfter) {
      before.last = after.last;
      this.#ranges.splice(index + 1, 1);
    } else if (touchesBefore) before.last = value;
    else if (touchesAfter) after.first = value;
    else this.#ranges.splice(index + 1, 0, { first: value, last: value });
    return true;
  }

  has(value: number): boolean {
    const range = this.#ranges[this.#indexBefore(value)];
    return range !== undefined && value <= range.last;
  }

  /** How many numbers are in both sets. */
  countCommon(other: SequenceSet): number {
    let count = 0;
    let otherIndex = 0;
    for (const { first, last } of this.#ranges) {
      for (; otherIndex < other.#ranges.length; otherIndex++) {
        const range = other.#ranges[otherIndex] as Range;
        count += Math.max(0, Math.min(last, range.last) - Math.max(first, range.first) + 1);
        if (range.last > last) break;
      }
    }
    return count;
  }

  /** The index of the last range that starts at or before `value`, -1 if there is none. */
  #indexBefore(value: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#ranges[middle] as Range).first <= value) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
