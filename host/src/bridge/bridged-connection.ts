/** One connection of a board, joined to one Network Connection to the broker: bytes and back-pressure in both directions. */

import type { TunnelConnection, TunnelEnd } from "../board/tunnel.ts";
import { CloseReason } from "../board/tunnel-messages.ts";
import type { ConnectionError } from "../errors.ts";
import type { OpenTransport, Transport } from "../transport/transport.ts";

export interface BridgedHandlers {
  opened(): void;
  /** Called exactly once. */
  closed(end: BridgeEnd): void;
}

/** How a bridged connection ended. */
export interface BridgeEnd {
  /** "tunnel": the line had lost something. "line": the line itself was lost. "bridge": the bridge was stopped. */
  readonly by: TunnelEnd["by"] | "broker" | "bridge";
  /** For people. */
  readonly reason: string;
  /** Why the broker could not be reached, or was lost. */
  readonly error: ConnectionError | undefined;
  /** The broker had taken the connection. */
  readonly stood: boolean;
  readonly toBrokerLength: number;
  readonly toBoardLength: number;
}

export class BridgedConnection {
  readonly #connection: TunnelConnection;
  readonly #transport: Transport;
  readonly #handlers: BridgedHandlers;
  #stood = false;
  #isOver = false;
  #toBrokerLength = 0;
  #toBoardLength = 0;
  /** Bytes of the board that wait in the transport. */
  #waitingLength = 0;

  /** Begins to connect to the broker. */
  constructor(
    connection: TunnelConnection,
    openTransport: OpenTransport,
    handlers: BridgedHandlers,
  ) {
    this.#connection = connection;
    this.#handlers = handlers;
    connection.handle({
      received: (bytes) => this.#toBroker(bytes),
      drained: () => this.#transport.resume(),
      closed: (end) => this.#boardClosed(end),
    });
    this.#transport = openTransport({
      opened: () => this.#opened(),
      received: (bytes) => this.#toBoard(bytes),
      drained: () => {
        connection.taken(this.#waitingLength);
        this.#waitingLength = 0;
      },
      closed: (error) => this.#brokerClosed(error),
    });
  }

  get toBrokerLength(): number {
    return this.#toBrokerLength;
  }

  get toBoardLength(): number {
    return this.#toBoardLength;
  }

  /** The bridge is stopped. */
  bridgeEnds(): void {
    this.#connection.close(CloseReason.BridgeEnds, "the bridge ends");
    this.#transport.close();
    this.#over({ by: "bridge", reason: "the bridge ends" });
  }

  #opened(): void {
    this.#stood = true;
    this.#connection.accept();
    this.#handlers.opened();
  }

  #toBroker(bytes: Uint8Array): void {
    this.#toBrokerLength += bytes.length;
    if (this.#transport.write(bytes)) this.#connection.taken(bytes.length);
    else this.#waitingLength += bytes.length;
  }

  #toBoard(bytes: Uint8Array): void {
    this.#toBoardLength += bytes.length;
    if (!this.#connection.write(bytes)) this.#transport.pause();
  }

  /** What the board sent before goes; no DISCONNECT is invented, so that the broker publishes the Will if there was none. */
  #boardClosed({ by, text, reason }: TunnelEnd): void {
    this.#transport.close();
    this.#over({ by, reason: text === "" ? (REASONS[reason] ?? `reason ${reason}`) : text });
  }

  /** What the broker sent before still goes to the board. */
  #brokerClosed(error: ConnectionError | undefined): void {
    const reason = error?.message ?? "the broker closed the connection";
    const code = this.#stood ? CloseReason.BrokerClosed : CloseReason.BrokerUnreachable;
    this.#connection.finish(code, reason);
    this.#over({ by: "broker", reason, error });
  }

  #over(end: Pick<BridgeEnd, "by" | "reason"> & { error?: ConnectionError | undefined }): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#handlers.closed({
      ...end,
      error: end.error,
      stood: this.#stood,
      toBrokerLength: this.#toBrokerLength,
      toBoardLength: this.#toBoardLength,
    });
  }
}

/** Reasons that need no text of the board. */
const REASONS: Readonly<Record<number, string>> = {
  [CloseReason.InOrder]: "the board closed it in order",
  [CloseReason.FrameLost]: "the board missed a frame",
  [CloseReason.NoAnswer]: "the board heard no answer",
  [CloseReason.Unknown]: "the board does not know this connection",
  [CloseReason.ModuleRestarts]: "the board restarts its module",
  [CloseReason.WindowExceeded]: "the board was sent more than its window allows",
};
