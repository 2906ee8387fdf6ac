/** Turns what the operating system says about a connection into a ConnectionError that says what to do. */

import { ConnectionError, type ConnectionFailure } from "../errors.ts";

interface Explanation {
  readonly failure: ConnectionFailure;
  /** Follows the peer's address and a colon. */
  readonly problem: string;
  readonly remedy: string;
}

const nobodyThere: Explanation = {
  failure: "unreachable",
  problem: "nobody listens there",
  remedy: "Start the broker, or check host and port",
};
const noSuchName: Explanation = {
  failure: "unreachable",
  problem: "the host name has no address",
  remedy: "Check how the host name is written",
};
const noWay: Explanation = {
  failure: "unreachable",
  problem: "no network leads there",
  remedy: "Check the network, the VPN, and the address of the host",
};
const noMoreFiles: Explanation = {
  failure: "unreachable",
  problem: "this process may not open more connections",
  remedy:
    "Raise the limit of open files (`wasmqtt doctor -c NUMBER` says how), or connect fewer devices",
};
const noLocalAddress: Explanation = {
  failure: "unreachable",
  problem: "no local address or port is left to connect from",
  remedy:
    "Check --ifaddr; a machine has about 28,000 ports for one broker, so give several addresses for more devices",
};
const forbidden: Explanation = {
  failure: "unreachable",
  problem: "the operating system forbids the connection",
  remedy: "Check the firewall and the rights of this process",
};
const brokenOff: Explanation = {
  failure: "lost",
  problem: "the peer broke the connection off",
  remedy: "Look into the broker's log",
};

const EXPLANATIONS: ReadonlyMap<string, Explanation> = new Map([
  ["ECONNREFUSED", nobodyThere],
  ["ENOTFOUND", noSuchName],
  [
    "EAI_AGAIN",
    {
      failure: "unreachable",
      problem: "no name server answered",
      remedy: "Check the network and its DNS, or write the address instead of the name",
    },
  ],
  [
    "ETIMEDOUT",
    {
      failure: "timeout",
      problem: "no answer",
      remedy: "Check host and port, and whether a firewall lies between",
    },
  ],
  ["EHOSTUNREACH", noWay],
  ["ENETUNREACH", noWay],
  ["EHOSTDOWN", noWay],
  ["ENETDOWN", noWay],
  ["EMFILE", noMoreFiles],
  ["ENFILE", noMoreFiles],
  ["EADDRNOTAVAIL", noLocalAddress],
  ["EADDRINUSE", noLocalAddress],
  ["EINVAL", noLocalAddress], // The local address is IPv4 and the broker's IPv6, or the other way round.
  ["EACCES", forbidden],
  ["EPERM", forbidden],
  ["ECONNRESET", brokenOff],
  ["ECONNABORTED", brokenOff],
  ["EPIPE", brokenOff],
]);

/** Explains an error of a socket by its code. `where` is the peer's address. */
export function connectionError(error: NodeJS.ErrnoException, where: string): ConnectionError {
  const known = EXPLANATIONS.get(error.code ?? "");
  if (known !== undefined) {
    return new ConnectionError(known.failure, `${where}: ${known.problem}`, known.remedy, {
      cause: error,
    });
  }
  return new ConnectionError("lost", `${where}: ${error.message}`, "Look into the broker's log", {
    cause: error,
  });
}
