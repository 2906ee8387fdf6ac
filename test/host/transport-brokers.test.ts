import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { EmbeddedBroker } from "../../host/src/broker/embedded-broker.ts";
import type { ConnectionError } from "../../host/src/errors.ts";
import type { BrokerUrl } from "../../host/src/transport/broker-url.ts";
import { openTransport } from "../../host/src/transport/open-transport.ts";
import type { TlsOptions } from "../../host/src/transport/tls.ts";
import { realWorld } from "../../host/src/world.ts";
import { type Mosquitto, startAedes, startMosquitto } from "../support/brokers.ts";
import { describeWith } from "../support/optional.ts";
import { createPki, type Identity, type Pki } from "../support/pki.ts";

/** CONNECT of MQTT 3.1.1 with a clean session, keep alive 60 s and the client identifier "t". */
const CONNECT = Buffer.from("100d00044d5154540402003c000174", "hex");
const CONNACK = Buffer.from("20020000", "hex");

/** Sends CONNECT; answers as many bytes as a CONNACK has, or why they did not come. aedes sends them one by one. */
function greet(
  url: BrokerUrl,
  tls?: TlsOptions,
): Promise<Uint8Array | ConnectionError | undefined> {
  return new Promise((resolve) => {
    let answer = Buffer.alloc(0);
    const transport = openTransport(url, realWorld, { tls })({
      opened: () => void transport.write(CONNECT),
      received: (chunk) => {
        answer = Buffer.concat([answer, chunk]);
        if (answer.length < CONNACK.length) return;
        resolve(answer);
        transport.close();
      },
      drained: () => {},
      closed: resolve,
    });
  });
}

const host = "127.0.0.1";

describe("the embedded broker", () => {
  let broker: EmbeddedBroker;
  beforeAll(async () => {
    broker = await startAedes();
  });
  afterAll(() => broker.stop());

  test("answers over TCP and over WebSocket", async () => {
    expect(await greet({ scheme: "mqtt", host, port: broker.port })).toEqual(CONNACK);
    expect(await greet({ scheme: "ws", host, port: broker.wsPort ?? 0 })).toEqual(CONNACK);
  });

  test("is recognised when it is asked for the wrong transport", async () => {
    expect(await greet({ scheme: "ws", host, port: broker.port })).toMatchObject({
      failure: "not-mqtt",
    });
    expect(await greet({ scheme: "mqtts", host, port: broker.port })).toMatchObject({
      failure: "untrusted",
    });
  });
});

describeWith(["mosquitto", "openssl"], "mosquitto", () => {
  let pki: Pki;
  let device: Identity;
  let plain: Mosquitto;
  let secure: Mosquitto;

  beforeAll(async () => {
    pki = createPki();
    device = pki.issue("device-1", "DNS:device-1");
    const broker = pki.issue("broker", "IP:127.0.0.1");
    plain = await startMosquitto({ webSocket: true });
    secure = await startMosquitto({
      tls: {
        caFile: pki.ca.certFile,
        certFile: broker.certFile,
        keyFile: broker.keyFile,
        requireCertificate: true,
      },
    });
  });
  afterAll(async () => {
    await plain?.stop();
    await secure?.stop();
    pki?.remove();
  });

  test("answers over TCP and, on any path, over WebSocket", async () => {
    expect(await greet({ scheme: "mqtt", host, port: plain.port })).toEqual(CONNACK);
    const port = plain.wsPort ?? 0;
    expect(await greet({ scheme: "ws", host, port })).toEqual(CONNACK);
    expect(await greet({ scheme: "ws", host, port, path: "/" })).toEqual(CONNACK);
  });

  test("answers over TLS to a client that it knows, and refuses another with a reason", async () => {
    const url: BrokerUrl = { scheme: "mqtts", host, port: secure.port };
    const ca = pki.ca.cert;
    expect(await greet(url, { ca, cert: device.cert, key: device.key })).toEqual(CONNACK);

    const nobody = await greet(url, { ca });
    expect(nobody).toMatchObject({ failure: "untrusted" });
    expect((nobody as ConnectionError).remedy).toContain("--cert");
  });

  test("is recognised when it is asked for the wrong transport", async () => {
    for (const port of [plain.port, secure.port]) {
      expect(await greet({ scheme: "ws", host, port })).toMatchObject({ failure: "not-mqtt" });
    }
    expect(await greet({ scheme: "mqtts", host, port: plain.port })).toMatchObject({
      failure: "untrusted",
    });
  });
});
