/** The Server-Sent Events of the dashboard: to several browsers at once, however slow one of them is. */

import type { ServerResponse } from "node:http";

/** More than anybody opens; each takes a socket. */
const STREAM_COUNT_MAX = 32;

/** So much may wait for one browser; what comes then is left out, and made good with the whole state. */
const WAITING_BYTES_MAX = 256 * 1024;

/** After which a browser connects again. */
const RETRY_MS = 1000;

export class EventStreams {
  readonly #state: () => unknown;
  readonly #streams = new Set<Stream>();
  readonly #onFewer: () => void;

  /** `state` gives all that a browser needs that comes late, or was too slow. */
  constructor(state: () => unknown, onFewer: () => void) {
    this.#state = state;
    this.#onFewer = onFewer;
  }

  get count(): number {
    return this.#streams.size;
  }

  get isFull(): boolean {
    return this.#streams.size >= STREAM_COUNT_MAX;
  }

  /** Answers a request with events, the state first, until the browser goes away. */
  add(response: ServerResponse): void {
    const stream: Stream = { response, isBehind: false };
    response.writeHead(200, { "content-type": "text/event-stream", "x-accel-buffering": "no" });
    response.write(`retry: ${RETRY_MS}\n\n${this.#stateText()}`);
    this.#streams.add(stream);
    response.on("drain", () => {
      if (!stream.isBehind) return;
      stream.isBehind = false;
      response.write(this.#stateText());
    });
    response.on("error", () => response.destroy());
    response.on("close", () => {
      this.#streams.delete(stream);
      this.#onFewer();
    });
  }

  send(event: string, data: unknown): void {
    if (this.#streams.size === 0) return;
    const text = eventText(event, data);
    for (const stream of this.#streams) {
      stream.isBehind ||= stream.response.writableLength > WAITING_BYTES_MAX;
      if (!stream.isBehind) stream.response.write(text);
    }
  }

  end(): void {
    for (const { response } of this.#streams) response.end();
  }

  #stateText(): string {
    return eventText("state", this.#state());
  }
}

interface Stream {
  response: ServerResponse;
  /** Something was left out. */
  isBehind: boolean;
}

/** JSON has no line feeds. */
function eventText(event: string, data: unknown): string {
  return `event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;
}
