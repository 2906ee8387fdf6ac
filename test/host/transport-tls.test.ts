import { X509Certificate } from "node:crypto";
import type { AddressInfo } from "node:net";
import { createServer as createTcpServer, type Server } from "node:net";
import { createServer, type TlsOptions as ServerOptions, type TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type ConnectionError, UsageError } from "../../host/src/errors.ts";
import { openTransport } from "../../host/src/transport/open-transport.ts";
import { type TlsOptions, tlsError, tlsTo } from "../../host/src/transport/tls.ts";
import { realWorld } from "../../host/src/world.ts";
import { describeWith } from "../support/optional.ts";
import { createPki, type Identity, type Pki } from "../support/pki.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

async function listen(server: Server): Promise<number> {
  server.on("connection", (socket) => {
    socket.on("error", () => {});
    cleanups.push(() => socket.destroy());
  });
  cleanups.push(() => server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

/** Connects and waits until the server has greeted, or it is over. Answers the reason, or "greeted". */
function greeting(
  port: number,
  tls: TlsOptions,
  host = "127.0.0.1",
): Promise<ConnectionError | "greeted" | undefined> {
  const open = openTransport({ scheme: "mqtts", host, port }, realWorld, { tls });
  return new Promise((resolve) => {
    const transport = open({
      opened: () => {},
      received: () => {
        resolve("greeted");
        transport.reset();
      },
      drained: () => {},
      closed: resolve,
    });
  });
}

async function refusal(port: number, tls: TlsOptions, host?: string): Promise<ConnectionError> {
  const reason = await greeting(port, tls, host);
  if (reason === undefined || reason === "greeted") throw new Error("the broker was trusted");
  return reason;
}

describeWith(["openssl"], "TLS", () => {
  let pki: Pki;
  let stranger: Pki;
  let broker: Identity;
  let device: Identity;

  beforeAll(() => {
    pki = createPki();
    stranger = createPki();
    broker = pki.issue("broker", "IP:127.0.0.1,DNS:localhost,DNS:broker.example");
    device = pki.issue("device-1", "DNS:device-1");
  });
  afterAll(() => {
    pki.remove();
    stranger.remove();
  });

  /** A TLS server that greets each client with one byte. */
  function greeter(options: ServerOptions = {}, accept: (socket: TLSSocket) => void = () => {}) {
    const server = createServer({ ...broker, ...options }, (socket) => {
      socket.on("error", () => {});
      accept(socket);
      socket.write("!");
    });
    return listen(server);
  }

  test("a broker whose authority is given is trusted", async () => {
    expect(await greeting(await greeter(), { ca: pki.ca.cert })).toBe("greeted");
  });

  test.each([
    ["well-known authorities alone", () => ({})],
    ["another authority", () => ({ ca: stranger.ca.cert })],
  ])("with %s it is not", async (_title, tls: () => TlsOptions) => {
    const reason = await refusal(await greeter(), tls());
    expect(reason.failure).toBe("untrusted");
    expect(reason.message).toContain("nobody we trust vouches");
    expect(reason.remedy).toContain("--cafile");
    expect(reason.remedy).toContain("--insecure");
  });

  test("insecure takes any certificate, for any name", async () => {
    const port = await greeter(stranger.issue("other", "DNS:other.example"));
    expect(await greeting(port, { insecure: true })).toBe("greeted");
  });

  test("a certificate for another name is refused, naming both", async () => {
    const port = await greeter(pki.issue("other", "DNS:other.example"));
    const reason = await refusal(port, { ca: pki.ca.cert });
    expect(reason.failure).toBe("untrusted");
    expect(reason.message).toContain("is for another name");
    expect(reason.message).toContain("127.0.0.1");
    expect(reason.remedy).toContain("--insecure");

    const named = await refusal(port, { ca: pki.ca.cert }, "localhost");
    expect(named.message).toContain("localhost");
    expect(named.message).toContain("other.example");
  });

  test("the server name is asked for (SNI) and checked in place of the host", async () => {
    const asked: (string | false | null)[] = [];
    const port = await greeter({}, (socket) => {
      // `servername` is missing in the types of a server's socket.
      asked.push((socket as TLSSocket & { servername: string | false }).servername);
    });
    const ca = pki.ca.cert;
    expect(await greeting(port, { ca, serverName: "broker.example" })).toBe("greeted");
    expect(await greeting(port, { ca }, "localhost")).toBe("greeted");
    expect(await greeting(port, { ca })).toBe("greeted");
    expect(asked).toEqual(["broker.example", "localhost", false]);

    const reason = await refusal(port, { ca, serverName: "wrong.example" });
    expect(reason.message).toContain("wrong.example");
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "%s: a client certificate is shown",
    async (version) => {
      let name: string | undefined;
      const options: ServerOptions = {
        ca: pki.ca.cert,
        requestCert: true,
        rejectUnauthorized: true,
        minVersion: version,
        maxVersion: version,
      };
      const port = await greeter(options, (socket) => {
        name = socket.getPeerCertificate().subject.CN as string;
      });
      expect(await greeting(port, { ca: pki.ca.cert, cert: device.cert, key: device.key })).toBe(
        "greeted",
      );
      expect(name).toBe("device-1");

      const missing = await refusal(port, { ca: pki.ca.cert });
      expect(missing.failure).toBe("untrusted");
      expect(missing.remedy).toContain("--cert");
    },
  );

  test("a client certificate of another authority is refused", async () => {
    const port = await greeter({ ca: pki.ca.cert, requestCert: true, rejectUnauthorized: true });
    const impostor = stranger.issue("device-1", "DNS:device-1");
    const reason = await greeting(port, {
      ca: pki.ca.cert,
      cert: impostor.cert,
      key: impostor.key,
    });
    // Node as a server hangs up without an alert, so there is no reason to report.
    expect(reason).not.toBe("greeted");
  });

  test("the application protocol is asked for (ALPN)", async () => {
    let protocol: string | false | null = null;
    const port = await greeter({ ALPNProtocols: ["mqtt"] }, (socket) => {
      protocol = socket.alpnProtocol;
    });
    expect(await greeting(port, { ca: pki.ca.cert, alpn: "mqtt" })).toBe("greeted");
    expect(protocol).toBe("mqtt");

    const reason = await refusal(port, { ca: pki.ca.cert, alpn: "x-amzn-mqtt-ca" });
    expect(reason.failure).toBe("untrusted");
    expect(reason.message).toContain("TLS failed");
  });

  test("a server that does not speak TLS is recognised, whether it answers or hangs up", async () => {
    const answering = await listen(
      createTcpServer((socket) => void socket.end("\x20\x02\x00\x00HTTP")),
    );
    const silent = await listen(
      createTcpServer((socket) => socket.once("data", () => socket.end())),
    );
    for (const port of [answering, silent]) {
      const reason = await refusal(port, { ca: pki.ca.cert });
      expect(reason.failure).toBe("untrusted");
      expect(reason.message).toContain("does not speak TLS");
      expect(reason.remedy).toContain("8883");
    }
  });

  test("a version of TLS that is too old is refused", async () => {
    const port = await greeter({
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "ALL@SECLEVEL=0",
    });
    expect((await refusal(port, { ca: pki.ca.cert })).failure).toBe("untrusted");
  });

  describe("options that cannot be used are refused before anything is opened:", () => {
    test.each<[string, () => TlsOptions, string, string]>([
      ["a certificate alone", () => ({ cert: device.cert }), "certificate has no key", "--key"],
      ["a key alone", () => ({ key: device.key }), "key has no certificate", "--cert"],
      ["an authority that is a key", () => ({ ca: device.key }), "no certificate", "--cafile"],
      [
        "an authority that is not PEM",
        () => ({ ca: Buffer.from("hello") }),
        "no certificate",
        "--cafile",
      ],
      [
        "an authority in DER",
        () => ({ ca: new X509Certificate(pki.ca.cert).raw }),
        "no certificate",
        "--cafile",
      ],
      [
        "a certificate that is none",
        () => ({ cert: Buffer.from("hello"), key: device.key }),
        "cannot be used",
        "PEM",
      ],
      [
        "a key of another certificate",
        () => ({ cert: device.cert, key: broker.key }),
        "cannot be used",
        "belong together",
      ],
    ])("%s", (_title, options, problem, remedy) => {
      expectRefused(options(), problem, remedy);
    });
  });
});

function expectRefused(options: TlsOptions, problem: string, remedy: string): void {
  const make = () => tlsTo("localhost", options);
  expect(make).toThrow(UsageError);
  expect(make).toThrow(
    expect.objectContaining({
      message: expect.stringContaining(problem),
      remedy: expect.stringContaining(remedy),
    }),
  );
}

test.each<[string, TlsOptions, string, string]>([
  ["an address as server name", { serverName: "127.0.0.1" }, "no host name", "certificate is for"],
  ["an empty server name", { serverName: "" }, "no host name", "certificate is for"],
  ["an empty protocol", { alpn: "" }, "0 bytes", "--tls-alpn"],
  ["a protocol of 256 bytes", { alpn: "x".repeat(256) }, "256 bytes", "--tls-alpn"],
])("%s is refused", (_title, options, problem, remedy) => expectRefused(options, problem, remedy));

describe("an error of TLS is explained:", () => {
  test.each([
    ["CERT_HAS_EXPIRED", "has expired", "Renew it"],
    ["CERT_NOT_YET_VALID", "not valid yet", "clock"],
    ["DEPTH_ZERO_SELF_SIGNED_CERT", "nobody we trust", "--cafile"],
    ["ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE", "refused the TLS handshake", "--cert"],
    ["ERR_SSL_SOMETHING_NEW", "TLS failed: something new", "--insecure"],
    ["CERT_REVOKED", "TLS failed: something new", "--insecure"],
  ])("%s", (code, problem, remedy) => {
    const error = tlsError(Object.assign(new Error("something new"), { code }), "host:8883", false);
    expect(error.failure).toBe("untrusted");
    expect(error.message).toContain(`host:8883: `);
    expect(error.message).toContain(problem);
    expect(error.remedy).toContain(remedy);
  });

  test("a reset after the handshake is a lost connection, not a broken trust", () => {
    const reset = Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" });
    expect(tlsError(reset, "host:8883", true).failure).toBe("lost");
    expect(tlsError(reset, "host:8883", false).failure).toBe("untrusted");
  });
});
