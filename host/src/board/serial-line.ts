/** What a serial line is to those who speak over it; node-serialport, a socket or a test may stand behind it. */

/** What a line tells its owner. Nothing is called after `closed`. */
export interface LineHandlers {
  /** Bytes that arrived, in any pieces. They are valid during this call only. */
  received(chunk: Uint8Array): void;
  /** It is over. Called exactly once; without `reason` after `close`. */
  closed(reason: Error | undefined): void;
}

/** One open line. After its end every method is harmless and does nothing. */
export interface SerialLine {
  /** As the person named it, as in "/dev/ttyUSB0". */
  readonly path: string;
  /** Sends all of `bytes`, which are valid during this call only. Never throws: a failure ends the line. */
  write(bytes: Uint8Array): void;
  /** Ends the line; resolves when another may be opened in its place. */
  close(): Promise<void>;
}

/** Opens the line anew with each call. Rejects with a BoardError that says what to do. */
export type OpenLine = (handlers: LineHandlers) => Promise<SerialLine>;
