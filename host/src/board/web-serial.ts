/** A port of node-serialport in the shape of the Web Serial API, which Espressif's tool expects. */

import type { SerialPort } from "serialport";
import { openSerialPort } from "./serial-port.ts";
import { listSerialPorts } from "./serial-ports.ts";

/** Control lines that stay as they are are left out. */
interface Signals {
  dataTerminalReady?: boolean;
  requestToSend?: boolean;
  break?: boolean;
}

/** What Espressif's tool uses of a Web Serial port, and how it changes the speed of an open one. */
export class WebSerialPort {
  readonly #path: string;
  readonly #platform: string;
  readonly #usbIds: { usbVendorId?: number; usbProductId?: number };
  readonly #signals = { dtr: true, rts: true, brk: false };
  #port: SerialPort | undefined;
  readable: ReadableStream<Uint8Array> | null = null;
  writable: WritableStream<Uint8Array> | null = null;

  private constructor(
    path: string,
    platform: string,
    usbIds: { usbVendorId?: number; usbProductId?: number },
  ) {
    this.#path = path;
    this.#platform = platform;
    this.#usbIds = usbIds;
  }

  /** Not open yet. By its USB numbers the tool knows how to reset the board behind it. */
  static async at(path: string, platform: string): Promise<WebSerialPort> {
    const ports = await listSerialPorts({ platform }).catch(() => []);
    const found = ports.find((port) => port.path === path || port.stablePath === path);
    if (found?.vendorId === undefined || found.productId === undefined) {
      return new WebSerialPort(path, platform, {});
    }
    return new WebSerialPort(path, platform, {
      usbVendorId: Number.parseInt(found.vendorId, 16),
      usbProductId: Number.parseInt(found.productId, 16),
    });
  }

  getInfo(): { usbVendorId?: number; usbProductId?: number } {
    return this.#usbIds;
  }

  /** Throws a BoardError. */
  async open({ baudRate }: { baudRate: number }): Promise<void> {
    const port = await openSerialPort(this.#path, { platform: this.#platform, baudRate });
    this.#port = port;
    this.readable = new ReadableStream({
      start: (controller) => {
        port.on("data", (chunk: Buffer) => controller.enqueue(chunk));
        port.once("close", () => controller.error(new Error(`${this.#path} is gone`)));
      },
      cancel: () => {
        port.removeAllListeners("data");
      },
    });
    this.writable = new WritableStream({
      write: (chunk) =>
        new Promise((resolve, reject) => {
          port.write(Buffer.from(chunk), (error) => (error ? reject(error) : resolve()));
        }),
    });
  }

  /** Harmless if it is closed. */
  async close(): Promise<void> {
    const port = this.#port;
    this.#port = undefined;
    this.readable = null;
    this.writable = null;
    if (port?.isOpen) await new Promise<void>((resolve) => port.close(() => resolve()));
  }

  /** Pseudo-terminals have no control lines: there it does nothing. */
  async setSignals(signals: Signals): Promise<void> {
    const { dataTerminalReady: dtr, requestToSend: rts, break: brk } = signals;
    if (dtr !== undefined) this.#signals.dtr = dtr;
    if (rts !== undefined) this.#signals.rts = rts;
    if (brk !== undefined) this.#signals.brk = brk;
    await new Promise<void>((resolve) => {
      if (this.#port === undefined) resolve();
      else this.#port.set({ ...this.#signals }, () => resolve());
    });
  }

  async setBaudRate(baudRate: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      if (this.#port === undefined) resolve();
      else this.#port.update({ baudRate }, (error) => (error ? reject(error) : resolve()));
    });
  }
}
