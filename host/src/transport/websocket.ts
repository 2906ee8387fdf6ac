/** MQTT over WebSocket, over TLS where `dial.secure` asks for it (MQTT 3.1.1, 6). */

import type { Socket } from "node:net";
import WebSocket, { type ClientOptions, createWebSocketStream } from "ws";
import { ConnectionError } from "../errors.ts";
import { type BrokerUrl, brokerAddressText, DEFAULT_PATH } from "./broker-url.ts";
import { CLOSE_TIMEOUT_MS, type Dial } from "./guarded-transport.ts";
import { LayeredTransport } from "./layered-transport.ts";
import type { OpenTransport, TransportHandlers } from "./transport.ts";

/** The longest WebSocket message that a server may send: `ws` gathers it whole before we see it. */
export const MESSAGE_LENGTH_MAX = 16 * 1024 * 1024;

/** The name of MQTT among WebSocket sub-protocols. */
const SUB_PROTOCOL = "mqtt";

/** Codes of the Close frame (RFC 6455, 7.4.1). */
const CLOSE_NORMAL = 1000;
const CLOSE_GOING_AWAY = 1001;
const CLOSE_UNSUPPORTED_DATA = 1003;
const CLOSE_WITHOUT_CODE = 1005;
const CLOSE_WITHOUT_FRAME = 1006;

export function openWebSocket(dial: Dial): OpenTransport {
  const address = httpAddress(dial.url);
  return (handlers) => new WebSocketTransport(dial, address, handlers);
}

class WebSocketTransport extends LayeredTransport {
  readonly #address: URL;
  readonly #highWaterLength: number;
  #isUpgrading = false;

  constructor(dial: Dial, address: URL, handlers: TransportHandlers) {
    super(dial, handlers);
    this.#address = address;
    this.#highWaterLength = dial.highWaterLength;
  }

  protected override established(socket: Socket): void {
    this.#isUpgrading = true;
    const options: ClientOptions & { closeTimeout: number } = {
      createConnection: () => socket,
      perMessageDeflate: false,
      maxPayload: MESSAGE_LENGTH_MAX,
      closeTimeout: CLOSE_TIMEOUT_MS,
    };
    const webSocket = new WebSocket(this.#address, SUB_PROTOCOL, options); // [MQTT-6.0.0-3]
    webSocket.on("upgrade", (response) =>
      this.#checkSubProtocol(response.headers["sec-websocket-protocol"]),
    );
    webSocket.on("unexpected-response", (_request, response) =>
      this.#refused(response.statusCode ?? 0),
    );
    webSocket.on("error", (error) => this.failed(this.explain(error)));
    webSocket.on("open", () => this.#upgraded(webSocket));
  }

  /** Until the server has agreed to speak WebSocket, whatever goes wrong says that it does not. */
  protected override explain(error: Error): ConnectionError {
    if (!this.#isUpgrading) return super.explain(error);
    return this.#notMqtt(
      `no WebSocket server answers there: ${error.message}`,
      "Take the broker's WebSocket port and path, or mqtt:// for its TCP port",
      { cause: error },
    );
  }

  #upgraded(webSocket: WebSocket): void {
    this.#isUpgrading = false;
    webSocket.on("message", (_data, isBinary) => {
      if (!isBinary) this.#refuseText(webSocket);
    });
    webSocket.on("close", (code, reason) => this.#closedBy(code, reason));
    const stream = createWebSocketStream(webSocket, { highWaterMark: this.#highWaterLength });
    this.cover(stream, (error) => this.explain(error));
    // `ws` ends the stream when all is over, and would wait for what can no longer be sent.
    stream.on("end", () => stream.destroy());
    this.begin();
  }

  /** [MQTT-6.0.0-4] `ws` closes the connection then, but does not say why in a way to rely on. */
  #checkSubProtocol(selected: string | undefined): void {
    if (selected === SUB_PROTOCOL) return;
    const what = selected === undefined ? "none" : JSON.stringify(selected);
    this.failed(
      this.#notMqtt(
        `we asked for the sub-protocol "mqtt", and the server selected ${what}`,
        "Check the path of the URL: something else than the broker answers there",
      ),
    );
  }

  #refused(statusCode: number): void {
    this.failed(
      this.#notMqtt(
        `the server answered HTTP ${statusCode} to the WebSocket request for ${this.#address.pathname}`,
        "Check the path of the URL, as in ws://HOST:PORT/mqtt",
      ),
    );
    this.destroy();
  }

  /** [MQTT-6.0.0-1] */
  #refuseText(webSocket: WebSocket): void {
    this.failed(
      this.#notMqtt(
        "the server sent a WebSocket text frame, and MQTT is binary",
        "Check the path of the URL: something else than the broker answers there",
      ),
    );
    webSocket.close(CLOSE_UNSUPPORTED_DATA);
    this.endInOrder();
  }

  #closedBy(code: number, reason: Buffer): void {
    if (code === CLOSE_NORMAL || code === CLOSE_GOING_AWAY || code === CLOSE_WITHOUT_CODE) return;
    const how =
      code === CLOSE_WITHOUT_FRAME
        ? "the connection ended without a WebSocket Close"
        : `the server closed the WebSocket with code ${code} ${JSON.stringify(reason.toString())}`;
    this.failed(new ConnectionError("lost", `${this.where}: ${how}`, "Look into the broker's log"));
  }

  #notMqtt(problem: string, remedy: string, options?: ErrorOptions): ConnectionError {
    return new ConnectionError("not-mqtt", `${this.where}: ${problem}`, remedy, options);
  }
}

/** What `ws` asks for. The zone of an IPv6 address is our affair alone (RFC 6874). */
function httpAddress(url: BrokerUrl): URL {
  const address = brokerAddressText({ ...url, host: url.host.replace(/%.*/, "") });
  return new URL(`${url.scheme}://${address}${url.path ?? DEFAULT_PATH}`);
}
