/** Gives a board without a network the host's: what it sends through its tunnel goes to a broker, byte for byte, and back. */

import type { BoardInfo } from "../board/board-info.ts";
import { readInfo } from "../board/board-info.ts";
import type { BoardLink } from "../board/board-link.ts";
import { LineKeeper } from "../board/line-keeper.ts";
import type { OpenLine } from "../board/serial-line.ts";
import { Tunnel, type TunnelConnection } from "../board/tunnel.ts";
import type { OpenTransport } from "../transport/transport.ts";
import type { World } from "../world.ts";
import { BridgedConnection, type BridgeEnd } from "./bridged-connection.ts";

export interface BridgeOptions {
  readonly world: World;
  /** Of the port, for the events. */
  readonly path: string;
  readonly openLine: OpenLine;
  readonly openTransport: OpenTransport;
  readonly tell: (event: BridgeEvent) => void;
}

/** What happens, for logs. `path` says at which board. */
export type BridgeEvent = { readonly path: string } & (
  | { readonly event: "line-opened" }
  /** The line ended, or could not be opened. */
  | { readonly event: "line-closed"; readonly error: Error; readonly retryInMs: number }
  /** Who answers on the line. */
  | { readonly event: "board"; readonly info: BoardInfo }
  /** Nobody does, or somebody else. The bridge goes on greeting. */
  | { readonly event: "silent"; readonly error: Error }
  | { readonly event: "console"; readonly text: string; readonly isWhole: boolean }
  /** The board wants a connection. */
  | { readonly event: "opening"; readonly connection: number }
  | { readonly event: "opened"; readonly connection: number }
  | ({ readonly event: "closed"; readonly connection: number } & BridgeEnd)
);

/** Since the start. */
export interface BridgeCounts {
  /** How often the line was opened. */
  readonly lineCount: number;
  /** Connections that stood. */
  readonly connectionCount: number;
  /** Connections that the broker did not take, or that ended before. */
  readonly refusedCount: number;
  readonly toBrokerLength: number;
  readonly toBoardLength: number;
  /** Frames that arrived and made no sense. */
  readonly ignoredFrameCount: number;
}

/** One board's bridge. The board decides when to connect; each of its connections is one to the broker. */
export class Bridge {
  readonly #options: BridgeOptions;
  readonly #keeper: LineKeeper;
  #tunnel: Tunnel | undefined;
  #bridged: BridgedConnection | undefined;
  /** Of connections and tunnels that are over. */
  readonly #past = {
    lineCount: 0,
    connectionCount: 0,
    refusedCount: 0,
    toBrokerLength: 0,
    toBoardLength: 0,
    ignoredFrameCount: 0,
  };

  /** Begins at once. Throws nothing: what goes wrong is told, and tried again. */
  constructor(options: BridgeOptions) {
    this.#options = options;
    this.#keeper = new LineKeeper({
      world: options.world,
      openLine: options.openLine,
      handlers: {
        opened: (link) => this.#lineOpened(link),
        console: ({ text, isWhole }) => this.#tell({ event: "console", text, isWhole }),
        frame: (frame) => this.#tunnel?.receive(frame),
        closed: (error, retryInMs) => this.#lineClosed(error, retryInMs),
      },
    });
  }

  get counts(): BridgeCounts {
    const past = this.#past;
    return {
      ...past,
      toBrokerLength: past.toBrokerLength + (this.#bridged?.toBrokerLength ?? 0),
      toBoardLength: past.toBoardLength + (this.#bridged?.toBoardLength ?? 0),
      ignoredFrameCount: past.ignoredFrameCount + (this.#tunnel?.ignoredCount ?? 0),
    };
  }

  /** Ends the connection without a word to the broker (its Will is published), tells the board, and leaves the line. */
  async stop(): Promise<void> {
    this.#bridged?.bridgeEnds();
    this.#tunnel?.end();
    await this.#keeper.stop();
  }

  #lineOpened(link: BoardLink): void {
    this.#past.lineCount++;
    this.#tell({ event: "line-opened" });
    this.#tunnel = new Tunnel(this.#options.world, (bytes) => link.write(bytes), {
      opening: (connection) => this.#bridge(connection),
    });
    this.#introduce(link);
  }

  /** Who is there, for people: the tunnel works without it. */
  #introduce(link: BoardLink): void {
    readInfo(link.smp).then(
      (info) => this.#tell({ event: "board", info }),
      (error: Error) => {
        if (link.isOpen) this.#tell({ event: "silent", error });
      },
    );
  }

  #lineClosed(error: Error, retryInMs: number): void {
    this.#tunnel?.lineLost();
    this.#past.ignoredFrameCount += this.#tunnel?.ignoredCount ?? 0;
    this.#tunnel = undefined;
    this.#tell({ event: "line-closed", error, retryInMs });
  }

  #bridge(connection: TunnelConnection): void {
    this.#tell({ event: "opening", connection: connection.number });
    const bridged = new BridgedConnection(connection, this.#options.openTransport, {
      opened: () => {
        this.#past.connectionCount++;
        this.#tell({ event: "opened", connection: connection.number });
      },
      closed: (end) => {
        if (!end.stood) this.#past.refusedCount++;
        this.#past.toBrokerLength += end.toBrokerLength;
        this.#past.toBoardLength += end.toBoardLength;
        if (this.#bridged === bridged) this.#bridged = undefined;
        this.#tell({ event: "closed", connection: connection.number, ...end });
      },
    });
    this.#bridged = bridged;
  }

  #tell(event: DistributiveOmit<BridgeEvent, "path">): void {
    this.#options.tell({ path: this.#options.path, ...event });
  }
}

type DistributiveOmit<Union, Key extends PropertyKey> = Union extends unknown
  ? Omit<Union, Key>
  : never;
