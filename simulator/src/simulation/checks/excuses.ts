/** What a check lets pass, and why: each excuse names the messages it covers, and is counted. */

export const EXCUSES = {
  "session ended":
    "the server gave up the session, by a restart without its state or because a clean one ended: what was on its way in it is lost (3.1.2.4)",
  "in doubt":
    "the server has lost the session of a QoS 2 message that was sent: 3.1.1 has no way to learn whether it arrived, and the device was told (Dropped)",
  "session present lies":
    "a server that had lost the session took CONNECT and its CONNACK was lost: the next one has Session Present although the state is not the old one (3.2.2.2)",
  "memory lost": "the device keeps its session in memory only, and lost power",
} as const;

export type Excuse = keyof typeof EXCUSES;

export class ExcuseCounts {
  readonly counts: Record<Excuse, number> = {
    "session ended": 0,
    "in doubt": 0,
    "session present lies": 0,
    "memory lost": 0,
  };

  add(excuse: Excuse): void {
    this.counts[excuse]++;
  }
}
