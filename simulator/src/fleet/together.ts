/** What the parts of a fleet, each on a thread of its own, do with one another. */

import type { Qos } from "../../../host/src/core/session.ts";
import type { BrokerRestartPhase, Target } from "../scenario/scenario.ts";

/**
 * One part's view of all. All parts make the same calls in the same order; `sum`, `draw` and `restartBroker` resolve
 * when all have made them.
 */
export interface Together {
  /** The sum of what the parts give. */
  sum(count: number): Promise<number>;
  /** Draws connected devices, by their index in the whole fleet, in the order in which they were drawn. */
  draw(target: Target): Promise<readonly number[]>;
  /** Stops the run's own broker and starts it again; false if the run's subscriber did not come back. */
  restartBroker(phase: BrokerRestartPhase): Promise<boolean>;
  /** Publishes through the run's own client. Rejects if it could not. */
  publish(topic: string, text: string, qos: Qos): Promise<void>;
  /** A phase begins; of interest from the first part. */
  phaseBegins(name: string, kind: string): void;
  /** What the result alone would not say, in a plain sentence. */
  problem(sentence: string): void;
}

/** What is done once for all parts. */
type Deeds = Omit<Together, "sum" | "phaseBegins">;

export interface GatheringOptions extends Deeds {
  partCount: number;
  phaseBegins: Together["phaseBegins"];
}

/** Where the parts meet. */
export class Gathering {
  readonly #options: GatheringOptions;
  #round: Round | undefined;
  #failure: Error | undefined;

  constructor(options: GatheringOptions) {
    this.#options = options;
  }

  /** For the part with this index. */
  member(index: number): Together {
    const { draw, restartBroker, publish, phaseBegins, problem } = this.#options;
    return {
      sum: (count) => this.#meet(count),
      draw: (target) => this.#meet(0, () => draw(target)),
      restartBroker: (phase) => this.#meet(0, () => restartBroker(phase)),
      publish,
      phaseBegins: (name, kind) => {
        if (index === 0) phaseBegins(name, kind);
      },
      problem,
    };
  }

  /** A part is gone: nobody waits for it any longer. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#round?.reject(this.#failure);
  }

  #meet(count: number): Promise<number>;
  #meet<Answer>(count: number, deed: () => Promise<Answer>): Promise<Answer>;
  #meet(count: number, deed?: () => Promise<unknown>): Promise<unknown> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    this.#round ??= new Round();
    const round = this.#round;
    round.sum += count;
    round.arrivedCount++;
    if (round.arrivedCount === this.#options.partCount) {
      this.#round = undefined;
      if (deed === undefined) round.resolve(round.sum);
      else deed().then(round.resolve, round.reject);
    }
    return round.promise;
  }
}

/** One call that all parts make. */
class Round {
  sum = 0;
  arrivedCount = 0;
  resolve: (answer: unknown) => void = () => {};
  reject: (error: Error) => void = () => {};
  readonly promise = new Promise<unknown>((resolve, reject) => {
    this.resolve = resolve;
    this.reject = reject;
  });
}
