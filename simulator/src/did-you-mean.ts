/** Finds the word that a misspelt one was meant to be. */

/** A guess further away than this helps nobody. */
const DISTANCE_MAX = 2;
/** Longer words are no typing mistakes; this also bounds the work. */
const WORD_LENGTH_MAX = 64;

/** The nearest of `known`, or undefined if none is near. Case does not matter. */
export function didYouMean(word: string, known: readonly string[]): string | undefined {
  if (word.length > WORD_LENGTH_MAX) return undefined;
  const lower = word.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.min(DISTANCE_MAX, Math.ceil(word.length / 2)) + 1;
  for (const candidate of known) {
    const distance = editDistance(lower, candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** How many letters must be inserted, removed or replaced to turn `from` into `to` (Levenshtein). */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [rowIndex, letter] of [...from].entries()) {
    const next = [rowIndex + 1];
    for (const [index, other] of [...to].entries()) {
      const replaced = at(row, index) + (letter === other ? 0 : 1);
      next.push(Math.min(replaced, at(row, index + 1) + 1, at(next, index) + 1));
    }
    row = next;
  }
  return at(row, to.length);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
