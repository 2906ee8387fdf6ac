/** One open serial line with everything that shares it: console text, management, frames. */

import type { World } from "../world.ts";
import { BoardError } from "./board-error.ts";
import type { Frame } from "./frames.ts";
import { LineReceiver } from "./line-receiver.ts";
import type { OpenLine, SerialLine } from "./serial-line.ts";
import { SmpClient } from "./smp-client.ts";

/** A line that the board said to people. */
export interface ConsoleLine {
  /** Without its end; what is no UTF-8 is U+FFFD. */
  readonly text: string;
  /** False if it was cut: it was too long, or something else began in the middle of it. */
  readonly isWhole: boolean;
}

/** What happens on the line. Nothing is called after `closed`. */
export interface LinkHandlers {
  console?: ((line: ConsoleLine) => void) | undefined;
  frame?: ((frame: Frame) => void) | undefined;
  /** It is over. Called exactly once; without `reason` after `close`. */
  closed?: ((reason: Error | undefined) => void) | undefined;
}

export interface BoardLink {
  readonly path: string;
  readonly smp: SmpClient;
  readonly isOpen: boolean;
  /** Bytes that arrived, whatever they were. */
  readonly receivedLength: number;
  write(bytes: Uint8Array): void;
  close(): Promise<void>;
}

/** Rejects with what `openLine` rejects with. */
export async function openLink(
  openLine: OpenLine,
  world: World,
  handlers: LinkHandlers,
): Promise<BoardLink> {
  let line: SerialLine | undefined;
  let isOpen = true;
  let receivedLength = 0;
  const smp = new SmpClient(world, (bytes) => line?.write(bytes));
  const receiver = new LineReceiver(world, {
    text: (bytes, isWhole) =>
      handlers.console?.({ text: Buffer.from(bytes).toString("utf8"), isWhole }),
    packetLine: (bytes) => smp.receive(bytes),
    frame: (frame) => handlers.frame?.(frame),
  });
  const opened = await openLine({
    received: (chunk) => {
      receivedLength += chunk.length;
      receiver.receive(chunk);
    },
    closed: (reason) => {
      isOpen = false;
      receiver.end();
      smp.end(lineLost(reason));
      handlers.closed?.(reason);
    },
  });
  line = opened;
  return {
    path: opened.path,
    smp,
    get isOpen() {
      return isOpen;
    },
    get receivedLength() {
      return receivedLength;
    },
    write: (bytes) => opened.write(bytes),
    close: () => opened.close(),
  };
}

function lineLost(reason: Error | undefined): BoardError {
  if (reason instanceof BoardError) return reason;
  const why = reason === undefined ? "it was closed here" : reason.message;
  return new BoardError(
    "lost",
    `The line to the board ended: ${why}`,
    "Check the cable and the board's power, and try it again",
    { cause: reason },
  );
}
