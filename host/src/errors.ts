/** The errors of the host. Callers switch on `name` or on fields, never on the text. */

import { Status } from "../../firmware/core/abi.ts";

/** A mistake of the person at the keyboard; `remedy` says what to do. Printed without a stack. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly remedy: string;

  constructor(problem: string, remedy: string, options?: ErrorOptions) {
    super(problem, options);
    this.remedy = remedy;
  }
}

/** Why a Network Connection could not be made, or ended. */
export type ConnectionFailure =
  /** Nobody listens there, or the name has no address. */
  | "unreachable"
  /** TLS: the certificate or the handshake was refused. */
  | "untrusted"
  /** WebSocket: the server does not speak the sub-protocol "mqtt". */
  | "not-mqtt"
  /** No answer within the time limit. */
  | "timeout"
  /** It was there and ended without being asked to. */
  | "lost";

/** A Network Connection could not be made, or ended before its time; `remedy` says what to do. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
  readonly failure: ConnectionFailure;
  readonly remedy: string;

  constructor(failure: ConnectionFailure, problem: string, remedy: string, options?: ErrorOptions) {
    super(problem, options);
    this.failure = failure;
    this.remedy = remedy;
  }
}

/** The server broke the protocol, or answered too late; the connection was closed. `status` says which. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  readonly status: Status;

  constructor(status: Status) {
    super(`The broker was disconnected: ${violations[status] ?? `Status ${status}`}`);
    this.status = status;
  }
}

const violations: Partial<Record<Status, string>> = {
  [Status.MalformedPacket]: "it sent bytes that are no MQTT packet",
  [Status.ProtocolViolation]: "it sent a packet that MQTT 3.1.1 does not allow there",
  [Status.ResponseTimeout]: "it did not answer in time",
  [Status.IncomingFull]:
    "it has more unfinished QoS 2 messages under way than this client can keep apart",
};

/** The server answered CONNECT with a Connect Return code other than 0 (MQTT 3.1.1, 3.2.2.3). */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
  readonly returnCode: number;
  readonly remedy: string;

  constructor(returnCode: number) {
    const [reason, remedy] = refusals[returnCode] ?? [
      "for a reason that MQTT 3.1.1 does not know",
      askTheLog,
    ];
    super(`The broker refused the connection (return code ${returnCode}): ${reason}`);
    this.returnCode = returnCode;
    this.remedy = remedy;
  }
}

const askTheLog = "See the broker's log";

const refusals: Record<number, [reason: string, remedy: string]> = {
  1: ["it does not speak MQTT 3.1.1", "Use a broker, or a listener of this one, that does"],
  2: [
    "it does not take this client id",
    "Choose another with --id: 1 to 23 letters and digits always pass",
  ],
  3: ["it is not ready for clients", `${askTheLog}, and try again later`],
  4: ["it does not know this user name and password", "Check --username and the password"],
  5: [
    "this client may not connect",
    "Check --username, the password and the broker's access rules",
  ],
};
